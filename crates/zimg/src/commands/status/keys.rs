//! Input of `zimg status --watch`: keys of a terminal, signals, and a closed pipe.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{self, LocalFlags, SetArg, SpecialCharacterIndices, Termios};
use zimg_client::{Failure, Kind};

use crate::exit::Exit;

/// Ctrl-C as a key, while the terminal makes no signal of it.
const CTRL_C: u8 = 3;

/// Waits for keys, signals and a timeout.
#[derive(Debug)]
pub(super) struct Keys {
    signals: SignalFd,
    /// The terminal's attributes before, if keys are read.
    terminal: Option<Termios>,
}

/// The reason why a wait ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// The time is over, or the terminal was resized.
    Look,
    /// q was pressed.
    Quit,
}

impl Keys {
    /// Handles signals from now on; with `keys` also reads keys, if standard input is a terminal.
    ///
    /// # Errors
    ///
    /// `Internal`: the system refuses.
    pub(super) fn take(keys: bool) -> Result<Self, Failure> {
        let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGWINCH];
        let signals = SigSet::from_iter(signals);
        let refused =
            |error| Failure::new(Kind::Internal, format!("cannot handle signals: {error}"));
        signals.thread_block().map_err(refused)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&signals, flags).map_err(refused)?;
        let terminal = (keys && io::stdin().is_terminal()).then(single_keys).transpose();
        Ok(Self { signals, terminal: terminal.map_err(refused)? })
    }

    /// Waits for at most this time.
    ///
    /// # Errors
    ///
    /// Ctrl-C or another signal came, or the reader of standard output has closed it.
    pub(super) fn wait(&self, time: Duration) -> Result<Woken, Exit> {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let mut watched = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            // poll reports errors without a flag.
            PollFd::new(stdout.as_fd(), PollFlags::empty()),
        ];
        if self.terminal.is_some() {
            watched.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        match poll(&mut watched, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                let message = format!("cannot wait for keys: {error}");
                return Err(Failure::new(Kind::Internal, message).into());
            }
        }
        let rang = |place: usize, flags: PollFlags| {
            let heard: Option<PollFlags> = watched.get(place).and_then(PollFd::revents);
            heard.is_some_and(|heard| heard.intersects(flags))
        };
        if rang(1, PollFlags::POLLERR) {
            return Err(Exit::PipeClosed);
        }
        while let Ok(Some(signal)) = self.signals.read_signal() {
            let signal = Signal::try_from(signal.ssi_signo.cast_signed());
            if let Some(signal) = signal.ok().filter(|signal| *signal != Signal::SIGWINCH) {
                return Err(Exit::Signalled(signal));
            }
        }
        if rang(2, PollFlags::POLLIN | PollFlags::POLLHUP) {
            return pressed(stdin.as_fd());
        }
        Ok(Woken::Look)
    }
}

/// The action of the keys that were pressed. A terminal that has gone quits.
fn pressed(stdin: BorrowedFd<'_>) -> Result<Woken, Exit> {
    let mut keys = [0; 64];
    match nix::unistd::read(stdin, &mut keys) {
        Ok(0) => Ok(Woken::Quit),
        Ok(n) if keys[..n].contains(&CTRL_C) => Err(Exit::Signalled(Signal::SIGINT)),
        Ok(n) if keys[..n].iter().any(|key| b"qQ".contains(key)) => Ok(Woken::Quit),
        Err(error) if error != Errno::EINTR && error != Errno::EAGAIN => Ok(Woken::Quit),
        _ => Ok(Woken::Look),
    }
}

/// Switches line mode and echo off; returns the attributes before.
fn single_keys() -> Result<Termios, Errno> {
    let before = termios::tcgetattr(io::stdin())?;
    let mut now = before.clone();
    now.local_flags &= !(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG);
    now.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
    now.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
    termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &now)?;
    Ok(before)
}

/// Restores the terminal however the command ends.
impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.terminal {
            let _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, before);
        }
    }
}
