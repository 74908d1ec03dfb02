//! A descriptor that takes lines, or loses them.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

/// A log that takes nothing for this long takes nothing for now.
const STALL: Duration = Duration::from_secs(1);
/// A pipe that polls as writable has room for this many bytes (pipe(7), PIPE_BUF), and a Unix
/// stream socket for more.
const PIECE: usize = 4096;

/// How long a write may wait for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A second for each piece; after that not at all, until the log takes something again.
    Briefly,
    /// As long as it takes: for a thread that does nothing else.
    Forever,
}

/// A log's descriptor.
#[derive(Debug)]
pub struct LogSink {
    out: Out,
    lost: u64,
    /// How many of the lost lines were reported.
    reported: u64,
    /// Part of a line was written, and the rest was lost.
    torn: bool,
    /// It took nothing for [`STALL`].
    stalled: bool,
}

/// Where the bytes go.
#[derive(Debug)]
enum Out {
    Stderr(io::Stderr),
    /// A descriptor of one's own.
    Own(File),
}

impl AsFd for Out {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stderr(stderr) => stderr.as_fd(),
            Self::Own(file) => file.as_fd(),
        }
    }
}

impl LogSink {
    /// Standard error.
    pub fn stderr() -> Self {
        let stderr = io::stderr();
        let out = nonblocking(stderr.as_fd()).map_or(Out::Stderr(stderr), Out::Own);
        Self::new(out)
    }

    /// This descriptor, whatever it is.
    pub fn of(file: File) -> Self {
        Self::new(Out::Own(file))
    }

    fn new(out: Out) -> Self {
        Self { out, lost: 0, reported: 0, torn: false, stalled: false }
    }

    /// Writes all of it, or counts a lost line: whether it is written.
    pub fn write(&mut self, line: &[u8], wait: Wait) -> bool {
        let written = self.try_write(line, wait);
        self.lost += u64::from(!written);
        written
    }

    /// The same for what is replaced soon, such as a progress bar: a loss does not count.
    pub fn write_uncounted(&mut self, bytes: &[u8], wait: Wait) -> bool {
        self.try_write(bytes, wait)
    }

    /// How many lines were lost.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// How many lines were lost since this was last asked.
    pub fn take_unreported(&mut self) -> u64 {
        let count = self.lost - self.reported;
        self.reported = self.lost;
        count
    }

    fn try_write(&mut self, bytes: &[u8], wait: Wait) -> bool {
        // The rest of a line that was torn is not continued by the next one.
        if self.torn && self.write_all(b"\n", wait).is_err() {
            return false;
        }
        self.torn = false;
        self.write_all(bytes, wait).is_ok()
    }

    fn write_all(&mut self, mut rest: &[u8], wait: Wait) -> Result<(), Errno> {
        let length = rest.len();
        let mut again = false;
        while !rest.is_empty() {
            let written = self
                .wait_for_room(wait)
                .and_then(|()| rustix::io::write(&self.out, &rest[..rest.len().min(PIECE)]));
            match written {
                Ok(count) => {
                    rest = rest.get(count..).unwrap_or_default();
                    self.stalled = false;
                    again = false;
                }
                Err(Errno::INTR) => {}
                // It polled as writable and is not: not twice, or this would spin.
                Err(Errno::AGAIN) if !again => again = true,
                Err(error) => {
                    self.torn |= rest.len() < length;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn wait_for_room(&mut self, wait: Wait) -> Result<(), Errno> {
        let most = match wait {
            Wait::Forever => None,
            Wait::Briefly if self.stalled => Some(Duration::ZERO),
            Wait::Briefly => Some(STALL),
        };
        let most = most.and_then(|most| Timespec::try_from(most).ok());
        // A closed or broken descriptor polls as ready, too: the write says what is wrong.
        match poll(&mut [PollFd::new(&self.out, PollFlags::OUT)], most.as_ref()) {
            Ok(0) => {
                self.stalled = true;
                Err(Errno::TIMEDOUT)
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A description of its own for a terminal or a pipe, so that a write never waits: `O_NONBLOCK` on
/// the given one would be set for every program that shares it. `None` if it is something else,
/// which polls reliably, or cannot be opened.
fn nonblocking(shared: BorrowedFd<'_>) -> Option<File> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(shared).ok()?.st_mode);
    if !matches!(kind, FileType::Fifo | FileType::CharacterDevice) {
        return None;
    }
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&shared));
    Some(rustix::fs::open(path, flags, Mode::empty()).ok()?.into())
}

#[cfg(test)]
mod tests;
