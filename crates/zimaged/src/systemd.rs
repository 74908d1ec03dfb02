//! Notifications to the service manager: readiness, status, watchdog and fd store (sd_notify(3)).
//! Without a service manager they do nothing.
//!
//! The supervisor never blocks, so messages are dropped when the manager's socket is full. The
//! sd-notify crate formats the messages; its own sending would block.

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

use crate::events;

/// How far progress in loading extends the start timeout (microseconds).
const EXTENSION_US: u32 = 30_000_000;
/// Loading progress is sent at most this often.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Sends each notification once.
#[derive(Debug)]
pub(crate) struct Notifier {
    ready: bool,
    status: String,
    progress: Option<Instant>,
    /// Bytes that were loaded at the last extension.
    extended_at: u64,
    /// The interval of watchdog pings, and when the next one is due.
    watchdog: Option<(Duration, Instant)>,
}

impl Notifier {
    /// A notifier that has sent nothing yet; `period` is the watchdog's.
    pub(crate) fn new(period: Option<Duration>) -> Self {
        // Two pings per period (sd_watchdog_enabled(3)), the first one at once.
        let watchdog = period.map(|period| (period / 2, Instant::now()));
        Self { ready: false, status: String::new(), progress: None, extended_at: 0, watchdog }
    }

    /// Sends the worker's state as `STATUS=`, and `READY=1` once requests can be answered, be it
    /// with the error of the configuration.
    pub(crate) fn worker(&mut self, state: &WorkerState) {
        if let WorkerState::Loading { .. } = state {
            if self.progress.is_some_and(|sent| sent.elapsed() < PROGRESS_INTERVAL) {
                return;
            }
            self.progress = Some(Instant::now());
        }
        let mut messages = Vec::new();
        let status = status_line(state);
        if status != self.status {
            messages.push(NotifyState::Status(&status));
        }
        if !self.ready {
            match state {
                // Only progress extends the timeout.
                WorkerState::Loading { done, .. } if *done > self.extended_at => {
                    messages.push(NotifyState::ExtendTimeoutUsec(EXTENSION_US));
                    self.extended_at = *done;
                }
                // The next worker starts at zero.
                WorkerState::Starting => self.extended_at = 0,
                WorkerState::Ready | WorkerState::Failed(_) => {
                    messages.push(NotifyState::Ready);
                    self.ready = true;
                }
                _ => {}
            }
        }
        if !messages.is_empty() {
            send_messages(&messages);
            self.status = status;
        }
    }

    /// When the next watchdog ping is due.
    pub(crate) fn next_ping(&self) -> Option<Instant> {
        self.watchdog.map(|(_, next)| next)
    }

    /// Sends a watchdog ping, if the daemon is healthy.
    pub(crate) fn ping(&mut self, healthy: bool) {
        let Some((pause, next)) = &mut self.watchdog else { return };
        *next = Instant::now() + *pause;
        if healthy {
            send_messages(&[NotifyState::Watchdog]);
        }
    }

    /// Sends that the daemon shuts down.
    pub(crate) fn stopping(&mut self) {
        send_messages(&[NotifyState::Stopping, NotifyState::Status("shutting down")]);
    }
}

/// The `STATUS=` line of a state, without the step: one line a job.
fn status_line(state: &WorkerState) -> String {
    match state {
        WorkerState::Starting => "starting the worker".into(),
        WorkerState::Loading { done, total } => {
            let percent = done.saturating_mul(100).checked_div(*total).unwrap_or(0);
            format!("loading the model, {percent} %")
        }
        WorkerState::Warming => "warming up".into(),
        WorkerState::Ready => "ready".into(),
        WorkerState::Busy { job, .. } => format!("generating job {job}"),
        WorkerState::Draining => "shutting down".into(),
        WorkerState::Restarting { reason, .. } => format!("restarting the worker: {reason}"),
        WorkerState::Failed(failure) => format!("cannot generate: {}", failure.message),
        WorkerState::Asleep => "asleep until the next prompt".into(),
    }
    .replace('\n', " ")
}

/// Puts a descriptor into the fd store, from which the next daemon gets it.
pub(crate) fn store_fd(name: &str, descriptor: &OwnedFd) {
    // Without polling, which might drop it: whether a GPU's descriptor can be polled depends on the
    // driver.
    let messages = format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0");
    send_with_fds(&[NotifyState::Custom(&messages)], &[descriptor.as_fd()]);
}

/// Removes all descriptors of this name from the fd store.
pub(crate) fn remove_fds(name: &str) {
    let messages = format!("FDSTOREREMOVE=1\nFDNAME={name}");
    send_messages(&[NotifyState::Custom(&messages)]);
}

fn send_messages(messages: &[NotifyState<'_>]) {
    send_with_fds(messages, &[]);
}

fn send_with_fds(messages: &[NotifyState<'_>], descriptors: &[BorrowedFd<'_>]) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let message: String = messages.iter().map(|state| format!("{state}\n")).collect();
    if let Err(error) = send(&socket, message.as_bytes(), descriptors) {
        tracing::debug!(
            event = events::NOTIFY_FAILED,
            "cannot notify the service manager: {error}"
        );
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
    fn a_manager_that_does_not_read_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let full = (0..100_000).find_map(|_| send(path.as_os_str(), b"STATUS=waiting", &[]).err());
        assert_eq!(full.unwrap().kind(), io::ErrorKind::WouldBlock);
        let mut first = [0; 32];
        assert_eq!(manager.recv(&mut first).unwrap(), 14);
    }

    #[test]
    fn abstract_socket_names_are_supported() {
        let name = format!("zimaged-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        send(OsStr::new(&format!("@{name}")), b"READY=1", &[]).unwrap();
        assert_eq!(manager.recv(&mut [0; 32]).unwrap(), 7);
    }

    #[test]
    fn status_lines_are_single_lines_with_percent() {
        assert_eq!(
            status_line(&WorkerState::Loading { done: 1, total: 4 }),
            "loading the model, 25 %"
        );
        assert_eq!(
            status_line(&WorkerState::Loading { done: 0, total: 0 }),
            "loading the model, 0 %"
        );
        let state = WorkerState::Restarting { in_ms: 1, reason: "a\nb".into() };
        assert_eq!(status_line(&state), "restarting the worker: a b");
    }
}
