//! Names of models that are no folder: what may be meant, and what to type.

use std::borrow::Cow;

use zimg_text::shell_word;

/// What may be meant by a name that is no folder: an address, a repository, the built-in model.
pub(crate) fn instead_of(folder: &str) -> Cow<'static, str> {
    if let Some(path) = folder.strip_prefix("file://") {
        return format!("give the path without file://: {}", shell_word(path)).into();
    }
    let name = folder.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'');
    if name.eq_ignore_ascii_case("tiny") {
        return "the built-in model is `tiny`".into();
    }
    let bare = ["https:", "http:", "hf:"].iter().find_map(|scheme| name.strip_prefix(*scheme));
    let rest = bare.unwrap_or(name).trim_start_matches('/');
    let sites = ["huggingface.co/", "www.huggingface.co/", "hf.co/", "hf-mirror.com/"];
    let site = sites.iter().find_map(|site| rest.strip_prefix(site));
    let is_address = bare.is_some() || site.is_some();
    let parts: Vec<_> = site.unwrap_or(rest).split('/').filter(|part| !part.is_empty()).collect();
    match parts[..] {
        [owner, repository, ..] if is_address && (site.is_some() || name.starts_with("hf:")) => {
            format!("fetch it: `zimg pull {}`", shell_word(format!("{owner}/{repository}"))).into()
        }
        [owner, repository] if !name.starts_with(['/', '.', '~']) && name.ends_with('/') => {
            let repository = shell_word(format!("{owner}/{repository}"));
            format!("a repository has no / at its end: {repository}").into()
        }
        _ if is_address => "fetch its files, and give their folder".into(),
        _ => "`zimg models` lists the models on this machine, and `zimg pull` fetches one".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_folder_are_told_what_to_type() {
        let pull = "fetch it: `zimg pull Tongyi-MAI/Z-Image-Turbo`";
        for (name, hint) in [
            ("https://huggingface.co/Tongyi-MAI/Z-Image-Turbo", pull),
            ("https:/huggingface.co/Tongyi-MAI/Z-Image-Turbo/tree/main", pull),
            ("huggingface.co/Tongyi-MAI/Z-Image-Turbo", pull),
            ("hf://Tongyi-MAI/Z-Image-Turbo", pull),
            ("https://hf-mirror.com/Tongyi-MAI/Z-Image-Turbo/", pull),
            ("https://civitai.com/models/1", "fetch its files, and give their folder"),
            (
                "Tongyi-MAI/Z-Image-Turbo/",
                "a repository has no / at its end: Tongyi-MAI/Z-Image-Turbo",
            ),
            ("file:///m/z image", "give the path without file://: '/m/z image'"),
            ("TINY", "the built-in model is `tiny`"),
            (" \"tiny\"", "the built-in model is `tiny`"),
        ] {
            assert_eq!(instead_of(name), hint, "{name}");
        }
        for name in ["Z-Image-Turbo", "/models/z", "./a/b/", "~/z"] {
            assert!(instead_of(name).starts_with("`zimg models` lists"), "{name}");
        }
    }
}
