//! Files and folders that are there under nearly the right name: unfinished downloads, second copies,
//! endings that a system added, other capitals.

use std::fs;
use std::path::Path;

use crate::error::Error;

/// Endings of downloads that are not finished: of huggingface_hub, wget's and curl's users, Firefox,
/// Chromium, Safari, aria2 and others.
const UNFINISHED: [&str; 8] =
    [".incomplete", ".part", ".partial", ".crdownload", ".download", ".aria2", ".tmp", ".temp"];
/// Endings that editors and browsers add.
const ADDED: [&str; 4] = [".txt", ".json", ".bin", ".bak"];

/// The error of an absent file, with what is there instead.
pub(crate) fn missing(file: String) -> Error {
    let path = Path::new(&file);
    let in_folder = path.parent().filter(|folder| !folder.is_dir()).unwrap_or(path);
    match near(in_folder) {
        Some((found, is_unfinished)) => {
            let expected = in_folder.display().to_string();
            Error::Misnamed { file, found, expected, is_unfinished }
        }
        None => Error::MissingFile { file },
    }
}

/// What is there instead of a path, and whether it is a download that was not finished.
fn near(path: &Path) -> Option<(String, bool)> {
    let (folder, name) = (path.parent()?, path.file_name()?.to_str()?.to_lowercase());
    let entries =
        fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> = entries.collect();
    names.sort_unstable();
    names.into_iter().find_map(|found| {
        let is_unfinished = is_meant(&found.to_lowercase(), &name)?;
        Some((folder.join(found).display().to_string(), is_unfinished))
    })
}

/// Whether the name stands for `wanted`, and then whether it is unfinished.
fn is_meant(found: &str, wanted: &str) -> Option<bool> {
    let unfinished = UNFINISHED.iter().find_map(|end| found.strip_suffix(end));
    let name = unfinished.unwrap_or(found);
    let name = ADDED
        .iter()
        .find_map(|end| name.strip_suffix(end).filter(|name| *name == wanted))
        .unwrap_or(name);
    (name == wanted || without_number(name).as_deref() == Some(wanted))
        .then_some(unfinished.is_some())
}

/// `model.safetensors` of `model (1).safetensors`.
fn without_number(name: &str) -> Option<String> {
    let (stem, rest) = name.split_once(" (")?;
    let (number, end) = rest.split_once(')')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("{stem}{end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_meant_are_told_from_others() {
        let wanted = "config.json";
        for (found, unfinished) in [
            ("config.json.txt", false),
            ("config.json.json", false),
            ("config (1).json", false),
            ("config.json (2)", false),
            ("config.json.part", true),
            ("config.json.incomplete", true),
            ("config (1).json.crdownload", true),
        ] {
            assert_eq!(is_meant(found, wanted), Some(unfinished), "{found}");
        }
        for found in
            ["config.yaml", "my config.json", "config.json.gz", "configs", "config (a).json"]
        {
            assert_eq!(is_meant(found, wanted), None, "{found}");
        }
    }
}
