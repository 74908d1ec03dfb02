//! Directories of adapters: names and files. A name is looked up among the files that are there, and never
//! becomes a path.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::AdapterError;
use super::nearest::nearest;

/// The ending of files that are read.
const ENDING: &str = "safetensors";
/// Endings of adapters in other formats, which are listed with what is wrong with them.
const OTHERS: [&str; 4] = ["pt", "pth", "ckpt", "bin"];
/// The files of peft and of diffusers, whose folder has the name.
const FOLDERS: [&str; 2] = ["adapter_model", "diffusion_pytorch_model"];
/// How deep folders are searched.
const DEPTH: usize = 4;
/// The most files that are listed.
const MOST: usize = 10_000;

/// The directories in which adapters lie, in the order in which they are searched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdapterDirectories(Vec<PathBuf>);

/// An adapter's file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AdapterFile {
    /// Its path in its directory without the ending, with `/` between folders.
    pub name: String,
    /// Its path.
    pub path: PathBuf,
}

impl AdapterDirectories {
    /// These directories.
    pub fn new(directories: Vec<PathBuf>) -> Self {
        Self(directories)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The adapters in all directories, sorted by name; of two of a name, that of the first directory. With
    /// what is wrong with directories that cannot be read.
    pub fn files(&self) -> (Vec<AdapterFile>, Vec<String>) {
        let (mut files, mut remarks) = (Vec::new(), Vec::new());
        for directory in &self.0 {
            if let Err(error) = search(directory, "", DEPTH, &mut files) {
                remarks.push(format!("{}: {error}", directory.display()));
            }
        }
        // Stable: the first directory's stays first.
        files.sort_by(|a: &AdapterFile, b| a.name.cmp(&b.name));
        files.dedup_by(|later, first| later.name == first.name);
        (files, remarks)
    }

    /// The file of a name: its whole name, or its last part where only one file has it; without regard to
    /// case where that is unique.
    ///
    /// # Errors
    /// When there is none, or several have it.
    pub fn find(&self, name: &str) -> Result<AdapterFile, AdapterError> {
        if self.is_empty() {
            return Err(AdapterError::NoDirectories { name: name.to_owned() });
        }
        let (files, _) = self.files();
        let wanted = name.strip_suffix(&format!(".{ENDING}")).unwrap_or(name);
        if let Some(file) = files.iter().find(|file| file.name == wanted) {
            return Ok(file.clone());
        }
        let same = |file: &&AdapterFile| files_name(&file.name).eq_ignore_ascii_case(wanted);
        let found: Vec<&AdapterFile> = files.iter().filter(same).collect();
        if let [file] = found[..] {
            return Ok(file.clone());
        }
        let names: Vec<&str> = if found.is_empty() {
            nearest(wanted, files.iter().map(|file| file.name.as_str()), 3)
        } else {
            found.iter().map(|file| file.name.as_str()).collect()
        };
        let nearest = names.into_iter().map(str::to_owned).collect();
        Err(AdapterError::Unknown { name: name.to_owned(), nearest })
    }
}

/// The last part of a name.
fn files_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn ending(path: &Path) -> String {
    path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default()
}

fn is_other(path: &Path) -> bool {
    OTHERS.contains(&ending(path).as_str())
}

fn search(
    directory: &Path,
    begin: &str,
    depth: usize,
    files: &mut Vec<AdapterFile>,
) -> std::io::Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        if stem.starts_with('.') || files.len() >= MOST {
            continue;
        }
        // A link to a folder is followed, as people link their collections; the depth bounds circles.
        if path.is_dir() {
            if depth > 1 {
                let _ = search(
                    &path,
                    &format!("{begin}{}/", entry.file_name().display()),
                    depth - 1,
                    files,
                );
            }
        } else if ending(&path) == ENDING || is_other(&path) {
            let name = match begin.strip_suffix('/') {
                Some(folder) if FOLDERS.contains(&stem) => folder.to_owned(),
                _ => format!("{begin}{stem}"),
            };
            files.push(AdapterFile { name, path });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_among_the_files_and_are_no_paths() {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        };
        for path in [
            "one/pixel.safetensors",
            "one/styles/ink.safetensors",
            "one/peft/adapter_model.safetensors",
            "one/old.pt",
            "one/.hidden.safetensors",
            "one/readme.txt",
            "two/pixel.safetensors",
            "two/other/ink.safetensors",
            "secret.safetensors",
        ] {
            put(path);
        }
        let at = |name: &str| folder.path().join(name);
        let directories = AdapterDirectories::new(vec![at("one"), at("two"), at("none")]);
        let (files, remarks) = directories.files();
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["old", "other/ink", "peft", "pixel", "styles/ink"]);
        assert_eq!(remarks.len(), 1);
        for (name, path) in [
            ("pixel", "one/pixel.safetensors"),
            ("Pixel", "one/pixel.safetensors"),
            ("pixel.safetensors", "one/pixel.safetensors"),
            ("styles/ink", "one/styles/ink.safetensors"),
            ("peft", "one/peft/adapter_model.safetensors"),
        ] {
            assert_eq!(directories.find(name).unwrap().path, at(path), "{name}");
        }
        for (name, near) in [
            ("ink", &["other/ink", "styles/ink"][..]),
            ("pixels", &["pixel"]),
            ("../secret", &[]),
            ("/etc/passwd", &[]),
            ("", &[]),
        ] {
            match directories.find(name).unwrap_err() {
                AdapterError::Unknown { nearest, .. } => assert_eq!(nearest, near, "{name}"),
                other => panic!("{other}"),
            }
        }
        let none = AdapterDirectories::default();
        assert!(matches!(none.find("x"), Err(AdapterError::NoDirectories { .. })));
    }
}
