//! Reports to the supervisor. A thread writes them, so the model never waits for the socket.

use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use zimage::{Image, Snapshot};
use zimage_ipc::WorkerFrame;
use zimage_ipc::write_latents;
use zimage_ipc::{Point, Report};
use zimg_protocol::FrameError;
use zimg_protocol::frame::write_pixels;
use zimg_protocol::messages::{JobId, Preview};

use crate::log;

/// Snapshots that may wait for the socket. A job that is resumed a step earlier loses a step.
const WAITING: usize = 4;

/// Reports to the supervisor.
pub(crate) struct Reports {
    queue: Sender<Outgoing>,
    /// Snapshots that wait to be written.
    waiting: Arc<AtomicUsize>,
    writer: JoinHandle<()>,
}

/// Sends reports from other threads.
#[derive(Debug)]
pub(crate) struct ReportSender(Sender<Outgoing>);

#[derive(Debug)]
enum Outgoing {
    Report(Box<Report>),
    Pixels(Vec<u8>),
    Latents(JobId, Point, Snapshot),
    /// Nothing follows.
    End,
}

impl ReportSender {
    /// As [`Reports::send`].
    pub(crate) fn send(&self, report: Report) {
        let _ = self.0.send(Outgoing::Report(Box::new(report)));
    }
}

impl Reports {
    /// Starts the thread; `lost` is called on it when writing fails, and does not return.
    pub(crate) fn start(
        to: impl Write + Send + 'static,
        lost: impl FnOnce(FrameError) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (queue, outgoing) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&waiting);
        let writer = thread::Builder::new().name("reports".into()).spawn(move || {
            if let Err(e) = write(to, &outgoing, &written) {
                lost(e);
            }
        })?;
        Ok(Self { queue, waiting, writer })
    }

    /// Sends a report; returns at once.
    pub(crate) fn send(&self, report: Report) {
        // The writer ends only with the process.
        let _ = self.queue.send(Outgoing::Report(Box::new(report)));
    }

    /// Sends reports from other threads.
    pub(crate) fn sender(&self) -> ReportSender {
        ReportSender(self.queue.clone())
    }

    /// Sends an image's pixels, which a report announced; returns at once.
    pub(crate) fn send_pixels(&self, rgb: Vec<u8>) {
        let _ = self.queue.send(Outgoing::Pixels(rgb));
    }

    /// Whether the supervisor keeps up, so that another snapshot can be sent.
    pub(crate) fn keeps_up(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < WAITING
    }

    /// Sends the latents of a point, whose `bytes` are filled in, and the preview, if there is one;
    /// returns at once.
    pub(crate) fn send_latents(&self, job: JobId, point: Point, snapshot: Snapshot) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _ = self.queue.send(Outgoing::Latents(job, point, snapshot));
    }

    /// Waits until everything has been written.
    pub(crate) fn finish(self) {
        // Other threads may send on.
        let _ = self.queue.send(Outgoing::End);
        // A writer that failed has ended the process.
        let _ = self.writer.join();
    }
}

fn write(
    to: impl Write,
    outgoing: &Receiver<Outgoing>,
    waiting: &AtomicUsize,
) -> Result<(), FrameError> {
    let mut to = BufWriter::new(to);
    while let Ok(next) = outgoing.recv() {
        match next {
            Outgoing::End => return Ok(()),
            Outgoing::Report(report) => WorkerFrame::Report(*report).write(&mut to)?,
            Outgoing::Pixels(rgb) => write_pixels(&mut to, &rgb)?,
            Outgoing::Latents(job, point, snapshot) => {
                let (bytes, preview) = (snapshot.to_bytes(), snapshot.preview());
                drop(snapshot);
                waiting.fetch_sub(1, Ordering::Relaxed);
                match bytes {
                    Ok(bytes) => write_step(&mut to, job, point, &bytes, preview.ok().flatten())?,
                    // The image will fail; if it is resumed, from an earlier step.
                    Err(e) => log::line(format_args!(
                        "the snapshot of step {} is not sent: {e}",
                        point.step
                    )),
                }
            }
        }
        to.flush()?;
    }
    Ok(())
}

fn write_step(
    to: &mut impl Write,
    job: JobId,
    point: Point,
    latents: &[u8],
    preview: Option<Image>,
) -> Result<(), FrameError> {
    let point = Point { bytes: latents.len() as u64, ..point };
    WorkerFrame::Report(Report::Latents { job, point }).write(to)?;
    write_latents(to, latents)?;
    let Some(Image { width, height, rgb }) = preview else { return Ok(()) };
    let Point { image, step, .. } = point;
    let preview = Preview { image, step, width, height, rgb: rgb.into() };
    WorkerFrame::Report(Report::Preview { job, preview }).write(to)
}
