//! The socket to the supervisor: one thread reads, one writes, and when it closes the process ends.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use zimg_protocol::Kind;

use crate::commands::{self, Job};
use crate::reports::Reports;
use crate::{exit, log};

/// Takes file descriptor 0 and starts both threads.
pub(crate) fn open() -> std::io::Result<(Receiver<Job>, Reports)> {
    let socket = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let (sender, jobs) = mpsc::channel();
    let mut reading = socket.try_clone()?;
    thread::Builder::new().name("commands".into()).spawn(move || {
        let status = match commands::read(&mut reading, &sender) {
            Ok(()) => 0,
            Err(e) => {
                log::line(format_args!("invalid message from the supervisor: {e}"));
                Kind::Internal.exit_code()
            }
        };
        // A worker without a supervisor must not hold the GPU, whatever the model thread is doing.
        exit::now(status)
    })?;
    let reports = Reports::start(socket, |e| {
        log::line(format_args!("reports to the supervisor cannot be written: {e}"));
        exit::now(Kind::Internal.exit_code())
    })?;
    Ok((jobs, reports))
}
