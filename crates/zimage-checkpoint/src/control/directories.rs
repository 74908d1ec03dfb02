//! Directories of ControlNets: names and files. A name is looked up among the files that are there, and
//! never becomes a path.

use std::path::PathBuf;

use super::error::ControlError;
use crate::adapter::{AdapterDirectories, AdapterError, AdapterFile};

/// The directories in which ControlNets lie, in the order in which they are searched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlDirectories(AdapterDirectories);

impl ControlDirectories {
    /// These directories.
    pub fn new(directories: Vec<PathBuf>) -> Self {
        Self(AdapterDirectories::new(directories))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The files in all directories, as [`AdapterDirectories::files`].
    pub fn files(&self) -> (Vec<AdapterFile>, Vec<String>) {
        self.0.files()
    }

    /// The file of a name, as [`AdapterDirectories::find`]; without a name the only file that is there.
    ///
    /// # Errors
    /// When there is none, or several have the name.
    pub fn find(&self, name: Option<&str>) -> Result<AdapterFile, ControlError> {
        if self.is_empty() {
            return Err(ControlError::NoDirectories);
        }
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            let (mut files, _) = self.files();
            return match files.len() {
                1 => Ok(files.remove(0)),
                0 => Err(ControlError::None),
                _ => Err(ControlError::Several {
                    names: files.into_iter().map(|file| file.name).collect(),
                }),
            };
        };
        self.0.find(name).map_err(|error| match error {
            AdapterError::Unknown { name, nearest } => ControlError::Unknown { name, nearest },
            // The directories are there, so no other error is left.
            _ => ControlError::NoDirectories,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_only_one_needs_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let directories = ControlDirectories::new(vec![folder.path().to_owned()]);
        assert!(matches!(directories.find(None), Err(ControlError::None)));
        let put = |path: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        };
        put("union/diffusion_pytorch_model.safetensors");
        for name in [None, Some(""), Some("union"), Some("Union")] {
            assert_eq!(directories.find(name).unwrap().name, "union", "{name:?}");
        }
        put("tile.safetensors");
        assert_eq!(directories.find(Some("tile")).unwrap().name, "tile");
        match directories.find(None).unwrap_err() {
            ControlError::Several { names } => assert_eq!(names, ["tile", "union"]),
            other => panic!("{other}"),
        }
        match directories.find(Some("tiel")).unwrap_err() {
            ControlError::Unknown { nearest, .. } => assert_eq!(nearest, ["tile"]),
            other => panic!("{other}"),
        }
        let none = ControlDirectories::default();
        assert!(matches!(none.find(Some("tile")), Err(ControlError::NoDirectories)));
    }
}
