//! A large file that appears under its name when it is complete.
//!
//! It has no name before that (`O_TMPFILE`), so that whatever ends the process leaves nothing. File
//! systems without that, such as NFS and vfat, get a temporary name beside it, which the next attempt
//! takes over.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc::O_TMPFILE;
use rustix::fs::{AtFlags, CWD, FallocateFlags, RenameFlags, fallocate, linkat, renameat_with};
use zimg_client::{Failure, Kind};
use zimg_hub::free_bytes;
use zimg_text::shell_word;

use crate::format;
use crate::interrupt::hold_exit;

/// The file and the name that it will have.
#[derive(Debug)]
pub(crate) struct NewFile {
    file: File,
    path: PathBuf,
    folder: PathBuf,
    /// Its name until then, if it has one.
    temporary: Option<PathBuf>,
    replace: bool,
}

impl NewFile {
    /// Creates it in the folder of `path`. `replace`: a file that exists may be replaced.
    ///
    /// # Errors
    ///
    /// `CannotCreate`: the name is taken, or the folder is absent or not writable.
    pub(crate) fn create(path: &Path, replace: bool) -> Result<Self, Failure> {
        Self::check(path, replace)?;
        // Through a link: what it names is replaced, as images are.
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let path = real.as_path();
        let folder = folder_of(path);
        let unnamed = OpenOptions::new()
            .read(true)
            .write(true)
            .mode(0o666)
            .custom_flags(O_TMPFILE)
            .open(&folder);
        match unnamed {
            // Its name is given by way of /proc.
            Ok(file) if proc_path(&file).exists() => {
                let path = path.to_owned();
                Ok(Self { file, path, folder, temporary: None, replace })
            }
            Err(error) if !is_lacking(&error) => Err(cannot(path, &error)),
            Ok(_) | Err(_) => Self::named(path, replace),
        }
    }

    /// The same with a temporary name.
    fn named(path: &Path, replace: bool) -> Result<Self, Failure> {
        let temporary = temporary_of(path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&temporary)
            .map_err(|error| cannot(path, &error))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let text = format!("another zimg is writing {}", path.display());
            return Err(Failure::new(Kind::CannotCreate, text));
        }
        // What an attempt left that was killed.
        file.set_len(0).map_err(|error| cannot(path, &error))?;
        let folder = folder_of(path);
        Ok(Self { file, path: path.to_owned(), folder, temporary: Some(temporary), replace })
    }

    fn check(path: &Path, replace: bool) -> Result<(), Failure> {
        let failure = |text| Failure::new(Kind::CannotCreate, text);
        let at = path.display();
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => Err(failure(format!("{at} is a folder"))),
            Ok(_) if !replace => {
                Err(failure(format!("{at} exists already")).hint("--force replaces it"))
            }
            _ => {
                let folder = folder_of(path);
                if folder.is_dir() {
                    return Ok(());
                }
                let text = format!("there is no folder {}", folder.display());
                Err(failure(text)
                    .hint(format!("create it with `mkdir -p {}`", shell_word(&folder))))
            }
        }
    }

    /// The file, to be written.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Takes the disk's space for all of it.
    ///
    /// # Errors
    ///
    /// `Io`: there is less.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), Failure> {
        let full = |free: Option<u64>| {
            let free =
                free.map_or("less is".to_owned(), |free| format!("{} are", format::bytes(free)));
            let (at, needed) = (self.folder.display(), format::bytes(bytes));
            let text = format!("the file takes {needed}, and {free} free in {at}");
            Failure::new(Kind::Io, text).hint("free some space, or name a file on another disk")
        };
        let free = free_bytes(&self.folder);
        if free.is_some_and(|free| free < bytes) {
            return Err(full(free));
        }
        match fallocate(&self.file, FallocateFlags::empty(), 0, bytes).map_err(io::Error::from) {
            Err(error)
                if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
            {
                Err(full(None))
            }
            // Without it, writing finds a full disk.
            _ => Ok(()),
        }
    }

    /// Brings it to the disk and gives it its name.
    ///
    /// # Errors
    ///
    /// `Io`: the disk reports an error. `CannotCreate`: the name was taken meanwhile.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let failed = |error: io::Error| {
            let kind = match error.kind() {
                ErrorKind::AlreadyExists => Kind::CannotCreate,
                _ => Kind::Io,
            };
            Failure::new(kind, format!("cannot write {}: {error}", self.path.display()))
        };
        self.file.sync_all().map_err(failed)?;
        let _no_temporary_name_is_left = hold_exit();
        let temporary = match &self.temporary {
            Some(temporary) => temporary.clone(),
            None if !self.replace => {
                self.link(&self.path).map_err(failed)?;
                return self.sync_folder().map_err(failed);
            }
            None => {
                let temporary = temporary_of(&self.path);
                let _ = fs::remove_file(&temporary);
                self.link(&temporary).map_err(failed)?;
                self.temporary = Some(temporary.clone());
                temporary
            }
        };
        self.rename(&temporary).map_err(|error| {
            Failure::new(
                Kind::CannotCreate,
                format!("cannot write {}: {error}", self.path.display()),
            )
        })?;
        self.temporary = None;
        self.sync_folder().map_err(|error| {
            Failure::new(Kind::Io, format!("cannot write {}: {error}", self.path.display()))
        })
    }

    fn link(&self, path: &Path) -> io::Result<()> {
        Ok(linkat(CWD, proc_path(&self.file), CWD, path, AtFlags::SYMLINK_FOLLOW)?)
    }

    fn rename(&self, temporary: &Path) -> io::Result<()> {
        if self.replace {
            return fs::rename(temporary, &self.path);
        }
        match renameat_with(CWD, temporary, CWD, &self.path, RenameFlags::NOREPLACE) {
            Err(error) if is_lacking(&error.into()) => {
                if fs::symlink_metadata(&self.path).is_ok() {
                    return Err(ErrorKind::AlreadyExists.into());
                }
                fs::rename(temporary, &self.path)
            }
            done => Ok(done?),
        }
    }

    /// Brings the name to the disk, where folders can be synced.
    fn sync_folder(&self) -> io::Result<()> {
        match File::open(&self.folder).and_then(|folder| folder.sync_all()) {
            Err(error) if !is_lacking(&error) && error.kind() != ErrorKind::PermissionDenied => {
                Err(error)
            }
            _ => Ok(()),
        }
    }
}

/// Removes what is not finished.
impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = fs::remove_file(temporary);
        }
    }
}

fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}

/// `.turbo.safetensors.zimg-part` beside `turbo.safetensors`.
fn temporary_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".zimg-part");
    folder_of(path).join(name)
}

fn proc_path(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn cannot(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Kind::CannotCreate, format!("cannot write {}: {error}", path.display()))
}

/// Whether a file system has no such operation; without `O_TMPFILE` the flags mean to open a folder
/// for writing.
fn is_lacking(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw);
    let lacking = [Errno::EINVAL, Errno::ENOSYS, Errno::EOPNOTSUPP, Errno::ENOTTY, Errno::EISDIR];
    code.is_some_and(|code| lacking.contains(&code))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    type Create = fn(&Path, bool) -> Result<NewFile, Failure>;

    /// Both ways, since the temporary folder's file system has only one.
    const WAYS: [Create; 2] = [NewFile::create, |path, replace| {
        NewFile::check(path, replace).and_then(|()| NewFile::named(path, replace))
    }];

    #[test]
    fn it_appears_when_it_is_finished() {
        for create in WAYS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.safetensors");
            let write = |text: &str, replace| {
                let new = create(&path, replace)?;
                new.reserve(100)?;
                new.file().write_all(text.as_bytes()).unwrap();
                new.file().set_len(text.len() as u64).unwrap();
                assert!(replace || !path.exists());
                new.finish()
            };
            write("one", false).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"one");
            let failure = write("two", false).unwrap_err();
            assert_eq!(failure.kind, Kind::CannotCreate);
            write("three", true).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"three");
            assert_eq!(names(folder.path()), ["a.safetensors"]);
        }
    }

    #[test]
    fn an_unfinished_one_leaves_nothing_and_a_taken_name_stays() {
        for create in WAYS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.safetensors");
            drop(create(&path, false).unwrap());
            assert_eq!(names(folder.path()), [""; 0]);
            let new = create(&path, false).unwrap();
            fs::write(&path, "another").unwrap();
            assert_eq!(new.finish().unwrap_err().kind, Kind::CannotCreate);
            assert_eq!(fs::read(&path).unwrap(), b"another");
            assert_eq!(names(folder.path()), ["a.safetensors"]);
        }
    }

    #[test]
    fn what_a_killed_one_left_is_taken_over_and_a_running_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        fs::write(temporary_of(&path), "half").unwrap();
        let new = NewFile::named(&path, false).unwrap();
        assert_eq!(new.file().metadata().unwrap().len(), 0);
        let failure = NewFile::named(&path, false).unwrap_err();
        assert!(failure.message.starts_with("another zimg is writing "), "{}", failure.message);
        new.finish().unwrap();
        assert_eq!(names(folder.path()), ["a.safetensors"]);
    }

    #[test]
    fn more_than_the_disk_has_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let new = NewFile::create(&folder.path().join("a.safetensors"), false).unwrap();
        let failure = new.reserve(1 << 60).unwrap_err();
        assert_eq!(failure.kind, Kind::Io);
        assert!(failure.message.starts_with("the file takes "), "{}", failure.message);
    }
}
