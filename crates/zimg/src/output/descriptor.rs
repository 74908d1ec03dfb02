//! Descriptors as outputs: standard output and other open descriptors, which have names such as
//! `/dev/stdout` and `/dev/fd/3` that look like files and are written to instead.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use zimg_client::{Failure, Kind};
use zimg_system::closed_at_start;

use super::error::terminal;

/// Symbolic links that are followed to a descriptor.
const LINKS_MAX: usize = 8;

/// A descriptor with which zimg was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor(RawFd);

impl Descriptor {
    pub(crate) const STDOUT: Self = Self(1);
    pub(crate) const STDERR: Self = Self(2);

    /// The descriptor that a path names: "-", `/dev/stdout`, `/dev/fd/3`, `/proc/self/fd/3`, or a
    /// symbolic link to one of these.
    pub(crate) fn named(path: &Path) -> Option<Self> {
        if path == Path::new("-") {
            return Some(Self::STDOUT);
        }
        let mut path = std::path::absolute(path).ok()?;
        for _ in 0..LINKS_MAX {
            if let Some(number) = number(&path) {
                return Some(Self(number));
            }
            let target = fs::read_link(&path).ok()?;
            path = path.parent()?.join(target);
        }
        None
    }

    /// Checks that it can take an image.
    ///
    /// # Errors
    ///
    /// `Io`: it is closed, or not open for writing. `Usage`: it is a terminal.
    pub(crate) fn check(self) -> Result<(), Failure> {
        let io = |what: &str, hint: &str| {
            let message = format!("{self} is {what}, expected one that is open for writing");
            Failure::new(Kind::Io, message).hint(hint.to_owned())
        };
        let closed =
            || io("closed", "redirect it to a file or a pipe, or give a file with -o FILE");
        if closed_at_start::is_closed(self.0) {
            return Err(closed());
        }
        self.with(|fd| {
            let flags = fcntl(fd, FcntlArg::F_GETFD).map_err(|_| closed())?;
            // What this process opens itself is closed on exec; what was passed to it is not.
            if FdFlag::from_bits_truncate(flags).contains(FdFlag::FD_CLOEXEC) {
                return Err(closed());
            }
            let status = fcntl(fd, FcntlArg::F_GETFL).map_err(|_| closed())?;
            let status = OFlag::from_bits_truncate(status);
            if status & OFlag::O_ACCMODE == OFlag::O_RDONLY || status.contains(OFlag::O_PATH) {
                return Err(io("open for reading", "redirect it with > instead of <"));
            }
            if fd.is_terminal() { Err(terminal(self)) } else { Ok(()) }
        })
    }

    /// Writes all bytes, also to a descriptor that does not block.
    pub(crate) fn write(self, bytes: &[u8]) -> io::Result<()> {
        io::stdout().flush()?;
        let mut file = File::from(self.with(|fd| fd.try_clone_to_owned())?);
        write_all(&mut file, bytes)?;
        // NFS and FUSE report here what they could not write.
        match nix::unistd::close(OwnedFd::from(file).into_raw_fd()) {
            Ok(()) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    #[expect(unsafe_code, reason = "a descriptor that was passed is only a number")]
    fn with<T>(self, use_it: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        // SAFETY: nothing in this process owns or closes the descriptors with which it was started;
        // one that is not open makes the system calls fail with EBADF, and is not -1.
        use_it(unsafe { BorrowedFd::borrow_raw(self.0) })
    }
}

impl std::fmt::Display for Descriptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => f.write_str("standard input"),
            1 => f.write_str("standard output"),
            2 => f.write_str("standard error"),
            number => write!(f, "descriptor {number}"),
        }
    }
}

/// Writes all bytes; waits where the other end of a pipe has asked for descriptors that do not
/// block.
pub(super) fn write_all(file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut ready = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
                match poll(&mut ready, PollTimeout::NONE) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The number of the descriptor that an absolute path names directly.
fn number(path: &Path) -> Option<RawFd> {
    match path.to_str()? {
        "/dev/stdin" => return Some(0),
        "/dev/stdout" => return Some(1),
        "/dev/stderr" => return Some(2),
        _ => {}
    }
    let number = path.file_name()?.to_str()?.parse().ok().filter(|number| *number >= 0)?;
    let folder = path.parent()?;
    let own = ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd"];
    if own.iter().any(|own| folder == Path::new(own)) {
        return Some(number);
    }
    let real = |path: &Path| fs::canonicalize(path).ok();
    let ours: PathBuf = real(Path::new("/proc/self/fd"))?;
    (real(folder)? == ours).then_some(number)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn descriptors_have_many_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink("/dev/stdout", at("out")).unwrap();
        symlink("out", at("again")).unwrap();
        symlink("/dev/fd", at("fd")).unwrap();
        symlink("loop", at("loop")).unwrap();
        fs::write(at("a.png"), "").unwrap();
        symlink("a.png", at("link.png")).unwrap();
        let named = |path: &Path| Descriptor::named(path).map(|found| found.0);
        let own = format!("/proc/{}/fd/7", std::process::id());
        for (name, number) in [
            ("-", 1),
            ("/dev/stdout", 1),
            ("/dev/stderr", 2),
            ("/dev/stdin", 0),
            ("/dev/fd/3", 3),
            ("/proc/self/fd/12", 12),
            ("/dev/./fd/63", 63),
            (&own, 7),
        ] {
            assert_eq!(named(Path::new(name)), Some(number), "{name}");
        }
        assert_eq!(named(&at("out")), Some(1));
        assert_eq!(named(&at("again")), Some(1));
        assert_eq!(named(&at("fd/4")), Some(4));
        for name in ["a.png", "link.png", "loop", "none", "3"] {
            assert_eq!(named(&at(name)), None, "{name}");
        }
        for name in ["/dev/null", "/dev/fd/x", "/dev/fd/-1", "/proc/1/fd/1", "stdout"] {
            assert_eq!(named(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn what_zimg_opened_itself_is_no_output() {
        let file = File::options().write(true).open("/dev/null").unwrap();
        let failure = Descriptor(file.as_raw_fd()).check().unwrap_err();
        assert_eq!(failure.kind, Kind::Io);
        let failure = Descriptor(1_000_000).check().unwrap_err();
        assert!(failure.message.starts_with("descriptor 1000000 is closed, "), "{failure}");
    }

    #[test]
    fn a_pipe_that_does_not_block_is_waited_for() {
        let (reader, writer) = io::pipe().unwrap();
        let mut file = File::from(OwnedFd::from(writer));
        fcntl(&file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let bytes = vec![7; 1 << 20];
        let read = std::thread::spawn(move || io::read_to_string(reader).unwrap().len());
        write_all(&mut file, &bytes).unwrap();
        drop(file);
        assert_eq!(read.join().unwrap(), bytes.len());
    }
}
