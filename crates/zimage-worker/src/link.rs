//! The socket to the supervisor: commands in, reports out, and the end when it closes.
//!
//! A thread reads and a thread writes, so the model never waits for the socket.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::AsFd;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use zimg_protocol::frame::write_pixels;
use zimg_protocol::limits::TO_DAEMON_BYTES;
use zimg_protocol::messages::{Command, Draw, JobId, Report};
use zimg_protocol::{Frame, FrameError};

use crate::log;

/// The exit status when the supervisor went away or spoke nonsense.
const LOST_SUPERVISOR: i32 = 70;

/// A job from the supervisor.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) draw: Draw,
}

/// Reports to the supervisor.
pub(crate) struct Reports {
    queue: Sender<Outgoing>,
    writer: JoinHandle<()>,
}

/// Which job is cancelled; only the running one can be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancelled(Arc<AtomicU64>);

enum Outgoing {
    Report(Box<Report>),
    Pixels(Vec<u8>),
}

impl Cancelled {
    /// Whether this job is to stop.
    pub(crate) fn is(&self, job: JobId) -> bool {
        self.0.load(Ordering::Relaxed) == job
    }
}

/// Takes file descriptor 0 and starts both threads.
pub(crate) fn open() -> std::io::Result<(Receiver<Job>, Cancelled, Reports)> {
    let socket = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let (job_sender, jobs) = mpsc::channel();
    let cancelled = Cancelled::default();
    let (reading, flag) = (socket.try_clone()?, cancelled.clone());
    thread::Builder::new().name("commands".into()).spawn(move || {
        let status = match read(reading, &job_sender, &flag) {
            Ok(()) => 0,
            Err(e) => {
                log::line(format_args!("the supervisor's message is not understood: {e}"));
                LOST_SUPERVISOR
            }
        };
        // The supervisor is gone; a worker without one must not keep the GPU, whatever the
        // model thread is doing.
        process::exit(status)
    })?;
    let (queue, outgoing) = mpsc::channel();
    let writer = thread::Builder::new().name("reports".into()).spawn(move || {
        if let Err(e) = write(socket, &outgoing) {
            log::line(format_args!("the supervisor does not listen: {e}"));
            process::exit(LOST_SUPERVISOR);
        }
    })?;
    Ok((jobs, cancelled, Reports { queue, writer }))
}

impl Reports {
    /// Sends a report; returns at once.
    pub(crate) fn send(&self, report: Report) {
        // The writer ends only with the process.
        let _ = self.queue.send(Outgoing::Report(Box::new(report)));
    }

    /// Sends a picture's pixels, which a report announced; returns at once.
    pub(crate) fn send_pixels(&self, rgb: Vec<u8>) {
        let _ = self.queue.send(Outgoing::Pixels(rgb));
    }

    /// Waits until everything has been written.
    pub(crate) fn finish(self) {
        drop(self.queue);
        // A writer that failed has ended the process.
        let _ = self.writer.join();
    }
}

fn read(mut socket: File, jobs: &Sender<Job>, cancelled: &Cancelled) -> Result<(), FrameError> {
    while let Some(frame) = Frame::read(&mut socket, TO_DAEMON_BYTES)? {
        match frame {
            Frame::Command(Command::Draw { job: id, draw, .. }) => {
                // The model thread ends only with the process.
                let _ = jobs.send(Job { id, draw });
            }
            Frame::Command(Command::Cancel { job }) => cancelled.0.store(job, Ordering::Relaxed),
            other => return Err(FrameError::Kind(other.kind())),
        }
    }
    Ok(())
}

fn write(socket: File, outgoing: &Receiver<Outgoing>) -> Result<(), FrameError> {
    let mut socket = BufWriter::new(socket);
    while let Ok(next) = outgoing.recv() {
        match next {
            Outgoing::Report(report) => Frame::Report(*report).write(&mut socket)?,
            Outgoing::Pixels(rgb) => write_pixels(&mut socket, &rgb)?,
        }
        socket.flush()?;
    }
    Ok(())
}
