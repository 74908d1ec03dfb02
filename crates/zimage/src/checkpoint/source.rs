//! Where a checkpoint's bytes come from: a folder, or the program itself.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::stamp::Stamp;
use crate::error::{Error, Result};

/// A set of named files.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Folder(PathBuf),
    Memory { name: String, files: &'static [(&'static str, &'static [u8])] },
}

/// One file, opened for reads at any offset.
#[derive(Debug)]
pub(super) struct DataFile {
    /// How to call it in a message.
    pub(super) label: String,
    /// Its length when it was opened.
    pub(super) len: u64,
    /// Which file it is, as it was then.
    pub(super) stamp: Stamp,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Disk(File),
    Memory(&'static [u8]),
}

impl Source {
    /// A folder, which must be there and hold a checkpoint. What may not be looked into is not
    /// called absent: a service seldom may all that its administrator may.
    pub(super) fn folder(path: &Path) -> Result<Self> {
        let folder = path.display().to_string();
        let is_folder = match fs::metadata(path) {
            Ok(found) => found.is_dir(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoFolder { folder });
            }
            Err(source) => return Err(Error::Io { file: folder, source }),
        };
        let hint = match fs::symlink_metadata(path.join("model_index.json")) {
            Ok(_) => return Ok(Self::Folder(path.to_owned())),
            Err(_) if !is_folder => {
                Some("it is a file: give the folder of a checkpoint in the diffusers layout")
            }
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Io { file: folder, source });
            }
            Err(_) => path.join("snapshots").is_dir().then_some(
                "this is a repository of the Hugging Face cache: give a folder under its snapshots/",
            ),
        };
        Err(Error::NotACheckpoint { folder, hint: hint.map(str::to_owned) })
    }

    /// Files in memory.
    pub(super) fn memory(name: &str, files: &'static [(&'static str, &'static [u8])]) -> Self {
        Self::Memory { name: name.to_owned(), files }
    }

    /// How to call a file of it in a message.
    pub(super) fn label(&self, file: &str) -> String {
        match self {
            Self::Folder(path) => path.join(file).display().to_string(),
            Self::Memory { name, .. } => format!("{name}/{file}"),
        }
    }

    /// Whether there is such a name; a link to nowhere counts, so that opening it says so.
    pub(super) fn has(&self, file: &str) -> bool {
        match self {
            Self::Folder(path) => fs::symlink_metadata(path.join(file)).is_ok(),
            Self::Memory { files, .. } => files.iter().any(|(name, _)| *name == file),
        }
    }

    /// Opens a regular file, or a link to one.
    pub(super) fn open(&self, file: &str) -> Result<DataFile> {
        let label = self.label(file);
        match self {
            Self::Folder(path) => open_regular(&path.join(file), label),
            Self::Memory { files, .. } => {
                let found = files.iter().find(|(name, _)| *name == file);
                let Some((_, bytes)) = found else {
                    return Err(Error::MissingFile { file: label });
                };
                let len = bytes.len() as u64;
                let stamp = Stamp::of_program(&label, len);
                Ok(DataFile { label, len, stamp, bytes: Bytes::Memory(bytes) })
            }
        }
    }

    /// All of a small file.
    pub(super) fn read(&self, file: &str, limit: u64) -> Result<Vec<u8>> {
        let file = self.open(file)?;
        if file.len > limit {
            return Err(Error::FileTooLarge { file: file.label, bytes: file.len, limit });
        }
        let mut bytes = vec![0; file.len as usize];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

fn open_regular(path: &Path, label: String) -> Result<DataFile> {
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(match fs::symlink_metadata(path) {
                Ok(_) => Error::DanglingLink { file: label },
                Err(_) => Error::MissingFile { file: label },
            });
        }
        Err(source) => return Err(Error::Io { file: label, source }),
    };
    if !metadata.is_file() {
        return Err(Error::NotAFile { file: label });
    }
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    match opened {
        Ok((metadata, file)) => Ok(DataFile {
            label,
            len: metadata.len(),
            stamp: Stamp::of(path, &metadata),
            bytes: Bytes::Disk(file),
        }),
        Err(source) => Err(Error::Io { file: label, source }),
    }
}

impl DataFile {
    /// Fills `buffer` with what lies at `offset`.
    ///
    /// Positioned reads, not a mapping: a file that shrinks is an error and not a SIGBUS.
    pub(super) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let done = match &self.bytes {
            Bytes::Disk(file) => file.read_exact_at(buffer, offset),
            Bytes::Memory(bytes) => bytes.read_exact_at(buffer, offset),
        };
        done.map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => Error::Shrunk { file: self.label.clone() },
            _ => Error::Io { file: self.label.clone(), source },
        })
    }
}

/// Reads of memory, as [`FileExt`] has them for files.
trait ReadAt {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let end = start.and_then(|start| start.checked_add(buffer.len()));
        let found = start.zip(end).and_then(|(start, end)| self.get(start..end));
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// `Tongyi-MAI/Z-Image-Turbo` for `…/models--Tongyi-MAI--Z-Image-Turbo/snapshots/…`, else the
/// folder's name.
pub(super) fn name_of(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let parents = || {
        let snapshots = folder.parent()?;
        let repository = name(snapshots.parent()?)?;
        let repository = repository.strip_prefix("models--")?;
        (name(snapshots)? == "snapshots").then(|| repository.replacen("--", "/", 1))
    };
    parents().or_else(|| name(&folder)).unwrap_or_else(|| "/".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_like_a_file() {
        let source = Source::memory("tiny", &[("a/b", b"0123")]);
        let file = source.open("a/b").unwrap();
        let mut two = [0; 2];
        file.read_exact_at(&mut two, 2).unwrap();
        assert_eq!(&two, b"23");
        for offset in [3, u64::MAX] {
            let error = file.read_exact_at(&mut two, offset).unwrap_err();
            assert_eq!(error.to_string(), "tiny/a/b became shorter while it was read");
        }
        assert_eq!(source.open("c").unwrap_err().to_string(), "tiny/c is missing");
    }

    #[test]
    fn a_snapshot_is_called_by_its_repository() {
        let cached = Path::new("/hub/models--Tongyi-MAI--Z-Image-Turbo/snapshots/0123abcd");
        assert_eq!(name_of(cached), "Tongyi-MAI/Z-Image-Turbo");
        assert_eq!(name_of(Path::new("/nowhere/my-model")), "my-model");
    }
}
