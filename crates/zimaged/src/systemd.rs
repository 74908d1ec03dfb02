//! What the service manager is told (sd_notify(3)); nothing happens without one.
//!
//! The supervisor waits for nobody, so what a manager has no room for is lost to it. The
//! sd-notify crate writes the messages, but its own sending would wait.

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use sd_notify::NotifyState;
use zimg_protocol::messages::WorkerState;

/// While loading goes on, the start may take this much longer (microseconds).
const EXTENSION_US: u32 = 30_000_000;
/// Progress is told at most this often.
const PACE: Duration = Duration::from_secs(1);

/// Remembers what was told, so that each thing is told once.
#[derive(Debug)]
pub(crate) struct Notifier {
    ready: bool,
    status: String,
    progress: Option<Instant>,
    /// Bytes that were loaded when more time was asked for.
    grown: u64,
    /// How often the manager wants a sign of life, and when the next one is due.
    watchdog: Option<(Duration, Instant)>,
}

impl Notifier {
    /// Nothing was told yet. With a `period` the manager wants a sign of life in each.
    pub(crate) fn new(period: Option<Duration>) -> Self {
        // Twice in each, as sd_watchdog_enabled(3) has it, the first at once.
        let watchdog = period.map(|period| (period / 2, Instant::now()));
        Self { ready: false, status: String::new(), progress: None, grown: 0, watchdog }
    }

    /// The worker's state: `STATUS=`, and `READY=1` once jobs can be answered, be it with a
    /// refusal that says what is wrong with the configuration.
    pub(crate) fn worker(&mut self, state: &WorkerState) {
        if let WorkerState::Loading { .. } = state {
            if self.progress.is_some_and(|told| told.elapsed() < PACE) {
                return;
            }
            self.progress = Some(Instant::now());
        }
        let mut said = Vec::new();
        let status = sentence(state);
        if status != self.status {
            said.push(NotifyState::Status(&status));
        }
        if !self.ready {
            match state {
                // Only who gets on is given more time.
                WorkerState::Loading { done, .. } if *done > self.grown => {
                    said.push(NotifyState::ExtendTimeoutUsec(EXTENSION_US));
                    self.grown = *done;
                }
                // The next worker begins anew.
                WorkerState::Starting => self.grown = 0,
                WorkerState::Ready | WorkerState::Failed(_) => {
                    said.push(NotifyState::Ready);
                    self.ready = true;
                }
                _ => {}
            }
        }
        if !said.is_empty() {
            tell(&said);
            self.status = status;
        }
    }

    /// When a sign of life is due.
    pub(crate) fn next_ping(&self) -> Option<Instant> {
        self.watchdog.map(|(_, next)| next)
    }

    /// The supervisor's loop runs; a sign of life, unless nothing comes of its running.
    pub(crate) fn ping(&mut self, well: bool) {
        let Some((pause, next)) = &mut self.watchdog else { return };
        *next = Instant::now() + *pause;
        if well {
            tell(&[NotifyState::Watchdog]);
        }
    }

    /// The daemon ends.
    pub(crate) fn stopping(&mut self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("shutting down")]);
    }
}

/// The `STATUS=` line of a state; steps are not told, so there is one line for each job.
fn sentence(state: &WorkerState) -> String {
    match state {
        WorkerState::Starting => "starting the worker".into(),
        WorkerState::Loading { done, total } => {
            let percent = done.saturating_mul(100).checked_div(*total).unwrap_or(0);
            format!("loading the model, {percent} %")
        }
        WorkerState::Warming => "warming up".into(),
        WorkerState::Ready => "ready".into(),
        WorkerState::Busy { job, .. } => format!("drawing job {job}"),
        WorkerState::Draining => "shutting down".into(),
        WorkerState::Restarting { reason, .. } => format!("restarting the worker: {reason}"),
        WorkerState::Failed(failure) => format!("cannot draw: {}", failure.message),
        WorkerState::Asleep => "asleep until the next prompt".into(),
    }
    .replace('\n', " ")
}

/// Has the manager hold a descriptor for the next daemon, which gets it beside the sockets.
pub(crate) fn store(name: &str, descriptor: &OwnedFd) {
    // A manager that polls it might drop it: whether a GPU's can be polled is the driver's choice.
    let said = format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0");
    tell_with(&[NotifyState::Custom(&said)], &[descriptor.as_fd()]);
}

/// Has it let go of all descriptors of this name.
pub(crate) fn unstore(name: &str) {
    let said = format!("FDSTOREREMOVE=1\nFDNAME={name}");
    tell(&[NotifyState::Custom(&said)]);
}

fn tell(said: &[NotifyState<'_>]) {
    tell_with(said, &[]);
}

fn tell_with(said: &[NotifyState<'_>], descriptors: &[BorrowedFd<'_>]) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let message: String = said.iter().map(|state| format!("{state}\n")).collect();
    if let Err(error) = send(&socket, message.as_bytes(), descriptors) {
        tracing::debug!("cannot tell the service manager: {error}");
    }
}

/// Sends to the socket that `NOTIFY_SOCKET` names: a path, or `@` and an abstract name.
fn send(socket: &OsStr, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?;
    sender.connect_addr(&address)?;
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut room);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(&sender, &[IoSlice::new(message)], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_that_does_not_read_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let full = (0..100_000).find_map(|_| send(path.as_os_str(), b"STATUS=drawing", &[]).err());
        assert_eq!(full.unwrap().kind(), io::ErrorKind::WouldBlock);
        let mut first = [0; 32];
        assert_eq!(manager.recv(&mut first).unwrap(), 14);
    }

    #[test]
    fn abstract_names_are_understood() {
        let name = format!("zimaged-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        send(OsStr::new(&format!("@{name}")), b"READY=1", &[]).unwrap();
        assert_eq!(manager.recv(&mut [0; 32]).unwrap(), 7);
    }

    #[test]
    fn sentences_are_one_line_and_say_percent() {
        assert_eq!(
            sentence(&WorkerState::Loading { done: 1, total: 4 }),
            "loading the model, 25 %"
        );
        assert_eq!(sentence(&WorkerState::Loading { done: 0, total: 0 }), "loading the model, 0 %");
        let state = WorkerState::Restarting { in_ms: 1, reason: "a\nb".into() };
        assert_eq!(sentence(&state), "restarting the worker: a b");
    }
}
