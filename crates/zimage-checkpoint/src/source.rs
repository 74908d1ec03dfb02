//! Sources of a checkpoint's files: a folder, a snapshot in a Hugging Face cache, the program itself.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::fingerprint::FileFingerprint;
use crate::misnamed::missing;

/// A set of named files.
#[derive(Clone, Debug)]
pub enum Source {
    /// A folder; a snapshot in a Hugging Face cache is a folder of links.
    Folder(PathBuf),
    /// Files inside the program.
    Embedded {
        /// What messages call it.
        name: String,
        /// Names, relative to the checkpoint, and bytes.
        files: &'static [(&'static str, &'static [u8])],
    },
}

/// One file, opened for reads at any offset.
#[derive(Debug)]
pub struct DataFile {
    /// What messages call it.
    pub label: String,
    /// Its length when it was opened.
    pub len: u64,
    /// Its identity when it was opened.
    pub fingerprint: FileFingerprint,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Disk(File),
    Embedded(&'static [u8]),
}

impl Source {
    /// Files inside the program.
    pub fn embedded(name: &str, files: &'static [(&'static str, &'static [u8])]) -> Self {
        Self::Embedded { name: name.to_owned(), files }
    }

    /// What messages call a file of it.
    pub fn label(&self, file: &str) -> String {
        match self {
            Self::Folder(path) => path.join(file).display().to_string(),
            Self::Embedded { name, .. } => format!("{name}/{file}"),
        }
    }

    /// Whether there is such a name. A dangling link counts: opening it then reports the link.
    pub fn has(&self, file: &str) -> bool {
        match self {
            Self::Folder(path) => fs::symlink_metadata(path.join(file)).is_ok(),
            Self::Embedded { files, .. } => files.iter().any(|(name, _)| *name == file),
        }
    }

    /// The names in the folder `folder`, sorted; none if it is absent or unreadable.
    pub(crate) fn names_in(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = match self {
            Self::Folder(path) => match fs::read_dir(path.join(folder)) {
                Ok(entries) => {
                    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
                }
                Err(_) => Vec::new(),
            },
            Self::Embedded { files, .. } => files
                .iter()
                .filter_map(|(name, _)| name.strip_prefix(folder)?.strip_prefix('/'))
                .map(str::to_owned)
                .collect(),
        };
        names.sort_unstable();
        names
    }

    /// Opens a regular file, or a link to one.
    ///
    /// # Errors
    /// When it is absent, no regular file, or unreadable.
    pub fn open(&self, file: &str) -> Result<DataFile> {
        let label = self.label(file);
        match self {
            Self::Folder(path) => open_regular(&path.join(file), label),
            Self::Embedded { files, .. } => {
                let found = files.iter().find(|(name, _)| *name == file);
                let Some((_, bytes)) = found else {
                    return Err(Error::MissingFile { file: label });
                };
                let len = bytes.len() as u64;
                let fingerprint = FileFingerprint::of_program(&label, len);
                Ok(DataFile { label, len, fingerprint, bytes: Bytes::Embedded(bytes) })
            }
        }
    }

    /// The bytes of a file of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Source::open`], and when it is longer.
    pub fn read(&self, file: &str, limit: u64) -> Result<Vec<u8>> {
        let file = self.open(file)?;
        if file.len > limit {
            return Err(Error::FileTooLarge { file: file.label, bytes: file.len, limit });
        }
        let mut bytes = vec![0; file.len as usize];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

/// Opens a regular file; `label` is what messages call it.
pub(crate) fn open_regular(path: &Path, label: String) -> Result<DataFile> {
    // Before it is opened: opening a pipe would wait for its writer.
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(match fs::symlink_metadata(path) {
                Ok(_) => Error::DanglingLink { file: label },
                Err(_) => missing(label),
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
            fingerprint: FileFingerprint::of(path, &metadata),
            bytes: Bytes::Disk(file),
        }),
        Err(source) => Err(Error::Io { file: label, source }),
    }
}

impl DataFile {
    /// The descriptor of a file on disk; none for files inside the program.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.bytes {
            Bytes::Disk(file) => Some(file.as_fd()),
            Bytes::Embedded(_) => None,
        }
    }

    /// Fills `buffer` with the bytes at `offset`.
    ///
    /// Positioned reads, not a mapping: a file that shrinks is an error and not a SIGBUS.
    ///
    /// # Errors
    /// When the file ends before, or cannot be read.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let done = match &self.bytes {
            Bytes::Disk(file) => file.read_exact_at(buffer, offset),
            Bytes::Embedded(bytes) => bytes.read_exact_at(buffer, offset),
        };
        done.map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => Error::Shrunk { file: self.label.clone() },
            _ => Error::Io { file: self.label.clone(), source },
        })
    }
}

/// [`FileExt::read_exact_at`] for memory.
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
pub(crate) fn name_of(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    repository_of(&folder).or_else(|| file_name(&folder)).unwrap_or_else(|| "/".to_owned())
}

/// The repository of a snapshot in a Hugging Face cache.
pub(crate) fn repository_of(snapshot: &Path) -> Option<String> {
    let snapshots = snapshot.parent()?;
    let repository = file_name(snapshots.parent()?)?;
    let repository = repository.strip_prefix("models--")?;
    (file_name(snapshots)? == "snapshots").then(|| repository.replacen("--", "/", 1))
}

fn file_name(path: &Path) -> Option<String> {
    path.file_name().map(|name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_files_are_read_like_files_on_disk() {
        let source = Source::embedded("tiny", &[("a/b", b"0123")]);
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
    fn a_snapshot_has_the_name_of_its_repository() {
        let cached = Path::new("/hub/models--Tongyi-MAI--Z-Image-Turbo/snapshots/0123abcd");
        assert_eq!(name_of(cached), "Tongyi-MAI/Z-Image-Turbo");
        assert_eq!(name_of(Path::new("/nowhere/my-model")), "my-model");
    }
}
