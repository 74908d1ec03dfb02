//! Saving of a generated image: to its file, pipe or device, or where it can be rescued.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc::{O_NOCTTY, O_NONBLOCK};
use zimg_client::{Failure, Kind};
use zimg_text::shell_word;

use super::descriptor::write_all;
use super::file::OutputFile;
use super::place::{PlaceError, place};
use super::{probe, rescue};
use crate::exit::Exit;

/// Places the bytes in the file, or writes them to the pipe or device. `waiting` is called before
/// this waits for the reader of a pipe.
///
/// # Errors
///
/// `CannotCreate`: the file cannot be created, or another one was created meanwhile (unless
/// `force`). `Io`: writing failed. `PipeClosed`: the reader of a pipe has closed it.
pub(crate) fn save(
    file: &OutputFile,
    bytes: &[u8],
    force: bool,
    waiting: &mut dyn FnMut() -> Result<(), Exit>,
) -> Result<(), Exit> {
    let cannot = |kind, error: &io::Error| {
        Failure::new(kind, format!("cannot write {}: {error}", file.path.display()))
    };
    if file.special {
        let mut opened = match open(&file.path, O_NONBLOCK) {
            Err(error) if is_pipe_without_reader(&file.path, &error) => {
                waiting()?;
                open(&file.path, 0)
            }
            other => other,
        }
        .map_err(|error| cannot(Kind::CannotCreate, &error))?;
        return write_all(&mut opened, bytes).and_then(|()| close(opened)).map_err(|error| {
            match error.kind() {
                io::ErrorKind::BrokenPipe => Exit::PipeClosed,
                _ => cannot(Kind::Io, &error).into(),
            }
        });
    }
    place(&file.path, bytes, force).map_err(|error| {
        probe::forget(&file.path);
        let failure = match error {
            PlaceError::Create(error) => cannot(Kind::CannotCreate, &error),
            PlaceError::Write(error) => cannot(Kind::Io, &error),
        };
        failure.into()
    })
}

/// Saves an image that could not be saved as `name` where it can be, and says so in the failure.
pub(crate) fn rescued(failure: Failure, name: &OsStr, bytes: &[u8]) -> Failure {
    let Failure { kind, message, .. } = failure;
    match rescue::rescue(name, bytes) {
        Ok(path) => {
            let hint = format!("`mv {} .` moves it here", shell_word(&path));
            let message = format!("{message}; the image was saved as {}", path.display());
            Failure::new(kind, message).hint(hint)
        }
        Err(tried) => {
            let tried = tried.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
            let message = format!("{message}; the image is lost: {} failed, too", tried.join(", "));
            Failure::new(kind, message).hint("its seed generates it again, see --seed")
        }
    }
}

/// The name under which an image is rescued that was to go to a descriptor.
pub(crate) fn unnamed(format: zimg_image::ImageFormat, seed: u64) -> PathBuf {
    format!("zimg-{seed}.{}", format.extension()).into()
}

fn open(path: &Path, flags: i32) -> io::Result<File> {
    OpenOptions::new().write(true).custom_flags(O_NOCTTY | flags).open(path)
}

fn is_pipe_without_reader(path: &Path, error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENXIO as i32)
        && path.metadata().is_ok_and(|meta| meta.file_type().is_fifo())
}

fn close(file: File) -> io::Result<()> {
    match nix::unistd::close(OwnedFd::from(file).into_raw_fd()) {
        Ok(()) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zimg_image::ImageFormat;

    #[test]
    fn a_full_device_is_an_io_failure() {
        let file = OutputFile { path: "/dev/full".into(), format: ImageFormat::Png, special: true };
        match save(&file, b"x", false, &mut || Ok(())).unwrap_err() {
            Exit::Failed(failure) => assert_eq!(failure.kind, Kind::Io),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_pipe_is_waited_for_with_a_word() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let file = OutputFile { path: path.clone(), format: ImageFormat::Png, special: true };
        let mut reader = None;
        let mut waiting = || {
            let path = path.clone();
            reader = Some(std::thread::spawn(move || std::fs::read(path).unwrap()));
            Ok(())
        };
        save(&file, b"image", false, &mut waiting).unwrap();
        assert_eq!(reader.unwrap().join().unwrap(), b"image");
    }
}
