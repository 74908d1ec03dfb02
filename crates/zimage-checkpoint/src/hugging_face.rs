//! Places of Hugging Face's own programs, by the variables of the environment: one rule for all crates.
//!
//! Source: huggingface_hub `constants.py`.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The folder of the cache: `HF_HUB_CACHE`, else `hub` in [`home`].
pub fn cache(variable: &impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"];
    let set = set.into_iter().find_map(|name| path(variable, name));
    set.or_else(|| Some(home(variable)?.join("hub")))
}

/// `HF_HOME`, else `huggingface` in `XDG_CACHE_HOME` or `~/.cache`.
pub fn home(variable: &impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let caches =
        || path(variable, "XDG_CACHE_HOME").or_else(|| Some(user(variable)?.join(".cache")));
    path(variable, "HF_HOME").or_else(|| Some(caches()?.join("huggingface")))
}

/// The absolute path in a variable, `~` expanded; none if it is empty.
pub fn path(variable: &impl Fn(&str) -> Option<OsString>, name: &str) -> Option<PathBuf> {
    let path = variable(name).filter(|value| !value.is_empty()).map(PathBuf::from)?;
    match path.strip_prefix("~") {
        Ok(rest) => Some(user(variable)?.join(rest)),
        Err(_) if path.is_absolute() => Some(path),
        Err(_) => Some(env::current_dir().unwrap_or_else(|_| Path::new("/").into()).join(path)),
    }
}

fn user(variable: &impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    variable("HOME").map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_where_huggingface_hub_has_it() {
        let at = |set: &[(&str, &str)]| {
            cache(&|name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into()))
        };
        let home = ("HOME", "/h");
        for (variables, expected) in [
            (&[home][..], "/h/.cache/huggingface/hub"),
            (&[home, ("XDG_CACHE_HOME", "/c")], "/c/huggingface/hub"),
            (&[home, ("HF_HOME", "/f")], "/f/hub"),
            (&[home, ("HF_HOME", "~/hf")], "/h/hf/hub"),
            (&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "/u")], "/u"),
            (&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "")], "/f/hub"),
            (&[home, ("HUGGINGFACE_HUB_CACHE", "/o")], "/o"),
        ] {
            assert_eq!(at(variables), Some(PathBuf::from(expected)), "{variables:?}");
        }
        assert_eq!(at(&[]), None);
        assert_eq!(at(&[("HOME", "relative")]), None);
        assert!(at(&[("HF_HUB_CACHE", "rel")]).unwrap().ends_with("rel"));
        assert!(at(&[("HF_HUB_CACHE", "rel")]).unwrap().is_absolute());
    }
}
