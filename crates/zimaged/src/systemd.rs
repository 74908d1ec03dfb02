//! Notifications to the service manager: readiness, status, watchdog and fd store (sd_notify(3)).
//! Without a service manager they do nothing.
//!
//! The supervisor never blocks, so messages are dropped when the manager's socket is full. The
//! sd-notify crate formats the messages; its own sending would block.

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use sd_notify::NotifyState;
use zimg_protocol::messages::WorkerState;

use crate::events;

/// How far progress in loading extends the start timeout (microseconds).
const EXTENSION_US: u32 = 30_000_000;
/// Loading progress is sent at most this often.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// A service manager whose socket is full is tried again after this time: without `READY=1` it
/// would end the daemon at its start timeout.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Sends each notification once.
#[derive(Debug)]
pub(crate) struct Notifier {
    /// `NOTIFY_SOCKET`, if there is a service manager.
    socket: Option<OsString>,
    /// Lines for which the socket had no room, and when they are tried again.
    unsent: Option<(Vec<String>, Instant)>,
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
        Self::at(std::env::var_os("NOTIFY_SOCKET"), period)
    }

    fn at(socket: Option<OsString>, period: Option<Duration>) -> Self {
        // Two pings per period (sd_watchdog_enabled(3)), the first one at once.
        let watchdog = period.map(|period| (period / 2, Instant::now()));
        Self {
            socket,
            unsent: None,
            ready: false,
            status: String::new(),
            progress: None,
            extended_at: 0,
            watchdog,
        }
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
            self.send(&messages);
            self.status = status;
        }
    }

    /// When a watchdog ping or another try is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let ping = self.watchdog.map(|(_, next)| next);
        let retry = self.unsent.as_ref().map(|(_, next)| *next);
        ping.into_iter().chain(retry).min()
    }

    /// Sends what is due; a watchdog ping only if the daemon is healthy.
    pub(crate) fn send_due(&mut self, healthy: bool) {
        let now = Instant::now();
        if let Some((pause, next)) = &mut self.watchdog
            && *next <= now
        {
            *next = now + *pause;
            if healthy {
                self.send(&[NotifyState::Watchdog]);
                return;
            }
        }
        if self.unsent.as_ref().is_some_and(|(_, next)| *next <= now) {
            self.send(&[]);
        }
    }

    /// Sends that the daemon shuts down.
    pub(crate) fn stopping(&mut self) {
        self.send(&[NotifyState::Stopping, NotifyState::Status("shutting down")]);
    }

    /// Sends these and what is unsent. A full socket gets them later, any other failure costs them.
    fn send(&mut self, messages: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let mut lines = self.unsent.take().map(|(lines, _)| lines).unwrap_or_default();
        for line in messages.iter().map(ToString::to_string) {
            // Of each kind the newest: a manager reads the first of a datagram.
            let kind = |line: &str| line.split('=').next().map(str::to_owned);
            lines.retain(|other| kind(other) != kind(&line));
            lines.push(line);
        }
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        match send(socket, text.as_bytes(), &[]) {
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                self.unsent = Some((lines, Instant::now() + RETRY_INTERVAL));
            }
            Err(error) => log_failure(&error),
        }
    }
}

/// Whether the manager has not read what was sent before.
fn is_full(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::AGAIN | Errno::NOBUFS))
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
        log_failure(&error);
    }
}

fn log_failure(error: &io::Error) {
    tracing::debug!(event = events::NOTIFY_FAILED, "cannot notify the service manager: {error}");
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
    fn what_a_full_socket_does_not_take_is_sent_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let mut filled = 0;
        while send(path.as_os_str(), b"STATUS=waiting", &[]).is_ok() {
            filled += 1;
        }
        let mut notifier = Notifier::at(Some(path.into()), Some(Duration::from_secs(60)));
        notifier.worker(&WorkerState::Ready);
        notifier.worker(&WorkerState::Warming);
        notifier.send_due(true);
        let retry = notifier.next_due().unwrap();
        assert!(retry <= Instant::now() + RETRY_INTERVAL, "READY=1 is lost");
        let mut said = [0; 256];
        (0..filled).for_each(|_| assert_eq!(manager.recv(&mut said).unwrap(), 14));
        std::thread::sleep(retry.saturating_duration_since(Instant::now()));
        notifier.send_due(true);
        let length = manager.recv(&mut said).unwrap();
        let said = str::from_utf8(&said[..length]).unwrap();
        assert_eq!(said, "READY=1\nSTATUS=warming up\nWATCHDOG=1\n");
        assert!(notifier.next_due().unwrap() > Instant::now() + RETRY_INTERVAL);
    }

    #[test]
    fn a_manager_that_is_not_there_costs_the_notification_alone() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        drop(UnixDatagram::bind(&gone).unwrap());
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let long = format!("/{}", "x".repeat(200));
        let abstract_long = format!("@{}", "x".repeat(200));
        let missing = folder.path().join("missing");
        let sockets = [
            gone.as_os_str(),
            file.as_os_str(),
            missing.as_os_str(),
            folder.path().as_os_str(),
            OsStr::new(&long),
            OsStr::new(&abstract_long),
            OsStr::new(""),
            OsStr::new("@"),
            OsStr::new("vsock:2:1234"),
            OsStr::from_bytes(b"/\0x"),
        ];
        for socket in sockets {
            let mut notifier = Notifier::at(Some(socket.to_owned()), None);
            notifier.worker(&WorkerState::Ready);
            notifier.send_due(true);
            notifier.stopping();
            assert_eq!(notifier.next_due(), None, "{socket:?}");
        }
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
