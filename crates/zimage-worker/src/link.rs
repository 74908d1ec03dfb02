//! The socket to the supervisor: a thread reads, a thread writes, and when it closes the process
//! ends.

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
                log::line(format_args!("the supervisor's message is not understood: {e}"));
                Kind::Internal.exit_code()
            }
        };
        // The supervisor is gone; a worker without one must not keep the GPU, whatever the
        // model thread is doing.
        exit::now(status)
    })?;
    let reports = Reports::start(socket, |e| {
        log::line(format_args!("the supervisor does not listen: {e}"));
        exit::now(Kind::Internal.exit_code())
    })?;
    Ok((jobs, reports))
}
