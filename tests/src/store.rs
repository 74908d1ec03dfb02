//! File descriptor store of a service manager (sd_pid_notify_with_fds(3)): filled by a daemon's
//! messages and passed to the next daemon.

use std::fmt::Write;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;

use rustix::io::retry_on_intr;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// Descriptors with their names, in the order in which they came.
#[derive(Debug, Default)]
pub struct Store(Vec<(String, OwnedFd)>);

impl Store {
    /// Hears one message to a service manager, stores and removes what it says, and returns it.
    pub(crate) fn hear(&mut self, manager: impl AsFd, flags: RecvFlags) -> io::Result<String> {
        let mut bytes = [0; 4096];
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut beside = RecvAncillaryBuffer::new(&mut room);
        // Daemons that other tests start must not have them.
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        // A child of another test that ends interrupts the waiting, which is not over then.
        let found = retry_on_intr(|| {
            recvmsg(&manager, &mut [IoSliceMut::new(&mut bytes)], &mut beside, flags)
        })?;
        let said = String::from_utf8_lossy(&bytes[..found.bytes]).into_owned();
        let name = said.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or("stored");
        if said.lines().any(|line| line == "FDSTOREREMOVE=1") {
            self.0.retain(|(other, _)| other != name);
        }
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = message {
                assert!(said.contains("FDSTORE=1\n"), "descriptors for what? {said}");
                self.0.extend(passed.map(|descriptor| (name.to_owned(), descriptor)));
            }
        }
        Ok(said)
    }

    /// What is stored.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| &**name).collect()
    }

    /// The descriptor of this name, to be looked at or exchanged.
    pub fn get(&mut self, name: &str) -> &mut OwnedFd {
        let found = self.0.iter_mut().find(|(other, _)| other == name);
        &mut found.unwrap_or_else(|| panic!("nothing is called {name}")).1
    }

    /// Loses what has this name.
    pub fn lose(&mut self, name: &str) {
        self.0.retain(|(other, _)| other != name);
    }

    /// A command that starts a program with all of it, as a service manager does: descriptors
    /// from 3 on, their number and names and the process itself in the environment.
    pub(crate) fn command(&self, program: &Path) -> Command {
        if self.0.is_empty() {
            return Command::new(program);
        }
        let mut script = String::new();
        for (number, (_, descriptor)) in (3..).zip(&self.0) {
            let (own, theirs) = (std::process::id(), descriptor.as_raw_fd());
            writeln!(script, "exec {number}</proc/{own}/fd/{theirs}").unwrap();
        }
        script.push_str("LISTEN_PID=$$ exec \"$0\" \"$@\"");
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(script)
            .arg(program)
            .env("LISTEN_FDS", self.0.len().to_string())
            .env("LISTEN_FDNAMES", self.names().join(":"));
        command
    }
}
