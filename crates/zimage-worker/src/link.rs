//! The socket to the supervisor: one thread reads, one writes, and when it closes the process ends.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use zimg_protocol::Kind;

use crate::commands::{self, Job};
use crate::loras::{LoraFolders, SharedLoras};
use crate::reports::Reports;
use crate::{exit, log};

/// Why there is no link.
#[derive(Debug)]
pub(crate) enum LinkError {
    /// File descriptor 0 is not what the supervisor passes.
    Socket(io::Error),
    /// A thread cannot be started.
    Thread(io::Error),
}

/// Takes file descriptor 0 and starts both threads.
pub(crate) fn open(loras: &SharedLoras) -> Result<(Receiver<Job>, Reports), LinkError> {
    let socket = io::stdin().as_fd().try_clone_to_owned().map_err(LinkError::Socket)?;
    let socket = File::from(socket);
    let (sender, jobs) = mpsc::channel();
    let mut reading = socket.try_clone().map_err(LinkError::Socket)?;
    let loras = Arc::clone(loras);
    let reader = thread::Builder::new().name("commands".into()).spawn(move || {
        let status = match commands::read(&mut reading, &sender, &|| LoraFolders::report(&loras)) {
            Ok(()) => 0,
            Err(e) => {
                log::line(format_args!("invalid message from the supervisor: {e}"));
                Kind::Internal.exit_code()
            }
        };
        // A worker without a supervisor must not hold the GPU, whatever the model thread is doing.
        exit::now(status)
    });
    reader.map_err(LinkError::Thread)?;
    let reports = Reports::start(socket, |e| {
        log::line(format_args!("reports to the supervisor cannot be written: {e}"));
        exit::now(Kind::Internal.exit_code())
    });
    Ok((jobs, reports.map_err(LinkError::Thread)?))
}
