//! What the worker says, and who learns of it.

use std::time::Instant;

use bytes::Bytes;
use zimg_protocol::messages::{Event, JobId, Point, Preview, Report};

use super::Supervisor;
use crate::jobs::job::{Job, Wrong};
use crate::outbox::ClientId;
use crate::workers::lifecycle::state::Input;
use crate::workers::link::FromWorker;

/// Bytes of pixels that wait for one client; a client that lets more gather is dropped. Eight
/// images of 1024², two of 2048².
const PIXELS_PER_CLIENT: usize = 26 << 20;
/// The same for all clients together; the one with the most is dropped.
const PIXELS_IN_ALL: usize = 32 << 20;
/// A preview has an eighth of the image's sides.
const PREVIEW: u32 = 8;

impl Supervisor {
    pub(super) fn heard(&mut self, message: FromWorker) {
        match message {
            FromWorker::Report(report) => self.report(report),
            FromWorker::Pixels(chunk) => self.pixels(chunk),
            FromWorker::Latents(chunk) => {
                let Some(job) = self.present() else { return };
                let taken = job.progress.latent_bytes(&chunk);
                self.judge(taken);
            }
            FromWorker::Nonsense(what) => self.happened(Input::Nonsense(what)),
            FromWorker::Exited(exit) => {
                self.worker.forget();
                self.happened(Input::Exited(exit));
            }
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Loading { done, total } => self.happened(Input::Loading { done, total }),
            Report::Warming => {
                self.worker.warming.get_or_insert_with(Instant::now);
                self.happened(Input::Warming);
            }
            Report::Weights(weights) => self.worker.weights = Some(weights),
            Report::Memory(memory) => self.worker.memory = Some(memory),
            Report::Ready(model) => {
                let load_s = self.worker.started.elapsed().as_secs_f32();
                tracing::info!(
                    model = model.name,
                    device = model.device,
                    dtype = model.dtype,
                    load_s = format_args!("{load_s:.2}"),
                    "ready"
                );
                if let Some(since) = self.worker.warming {
                    self.estimates.warm_up(model.width, model.height, since.elapsed());
                }
                self.worker.kept.ready();
                self.worker.load_s = Some(load_s);
                self.worker.model = Some(model);
                self.happened(Input::Ready);
            }
            Report::Fatal(failure) => self.happened(Input::Fatal(failure)),
            Report::Started { job, .. }
            | Report::Step { job, .. }
            | Report::Decoding { job, .. }
            | Report::Image { job, .. }
            | Report::Done { job, .. }
            | Report::Failed { job, .. }
            | Report::Latents { job, .. }
            | Report::Paused { job }
            | Report::Preview { job, .. } => {
                if self.life.job() == Some(job) {
                    self.of_job(job, report);
                } else {
                    self.happened(Input::Nonsense("it speaks of a job that it has not".into()));
                }
            }
        }
    }

    /// What the worker says about its job.
    fn of_job(&mut self, id: JobId, report: Report) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        match report {
            Report::Started { started, .. } => {
                job.is_under_way();
                let overtaken = std::mem::take(&mut job.overtaken);
                let first = job.progress.started(&started);
                let Point { image, step, .. } = job.progress.point();
                self.happened(Input::Step { job: id, step, of: started.steps });
                match first {
                    Ok(true) => self.tell(id, Event::Started(started)),
                    Ok(false) => {
                        self.tally.counters.resumed += u64::from(!overtaken);
                        self.tell(id, Event::Resumed { image, step });
                    }
                    Err(wrong) => self.judge(Err(wrong)),
                }
            }
            Report::Step { step, .. } => {
                if let Err(wrong) = job.progress.step(&step) {
                    return self.judge(Err(wrong));
                }
                job.stepped(step.step, step.of);
                if let Some(shape) = job.shape(None) {
                    self.estimates.step(shape, step.ms);
                }
                self.tally.stepped(step.ms);
                self.happened(Input::Step { job: id, step: step.step, of: step.of });
                self.tell(id, Event::Step(step));
            }
            Report::Latents { point, .. } => {
                let taken = job.progress.latents(point);
                self.judge(taken);
            }
            Report::Preview { preview, .. } => {
                let (fits, wished) = (fits(job, &preview), job.previews);
                if fits == Ok(()) && wished {
                    self.tell(id, Event::Preview(preview));
                }
                self.judge(fits);
            }
            Report::Decoding { image, .. } => {
                self.happened(Input::Alive);
                self.tell(id, Event::Decoding { image });
            }
            Report::Image { image, .. } => {
                let taken = job.progress.image(&image);
                if taken == Ok(()) {
                    // A detached job's images are told when they are on the disk.
                    match self.is_detached(id) {
                        true => self.image_comes(id, &image),
                        false => self.tell(id, Event::Image(image)),
                    }
                }
                self.judge(taken);
            }
            Report::Done { timings, .. } => {
                if job.progress.is_complete() {
                    self.happened(Input::Ended(id));
                    self.end(id, Ok(timings));
                } else {
                    self.judge(Err(Wrong("done before all images were sent")));
                }
            }
            Report::Failed { failure, .. } => {
                self.happened(Input::Ended(id));
                self.end(id, Err(failure));
            }
            Report::Paused { .. } => self.paused(id),
            _ => {}
        }
    }

    /// The job has made room for a more urgent one, and is the first to go on after that.
    fn paused(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if !job.pausing {
            return self.judge(Err(Wrong("it paused without being asked")));
        }
        job.paused();
        let cancelled = job.cancelled;
        self.queue.put_back();
        self.tally.counters.overtaken += 1;
        self.happened(Input::Ended(id));
        if cancelled {
            self.end(id, Err(crate::jobs::job::cancelled()));
        }
    }

    fn pixels(&mut self, chunk: Bytes) {
        let Some(job) = self.present() else { return };
        let (client, id) = (job.client, job.id());
        let taken = job.progress.pixels(chunk.len());
        if taken == Ok(true) {
            let (took, shape) = (job.drew(), job.shape(None));
            if let (Some(took), Some(shape)) = (took, shape) {
                self.estimates.decode(shape, took);
            }
            self.tally.counters.images += 1;
            self.happened(Input::Drawn);
        }
        match (&taken, client) {
            (Ok(_), Some(client)) => self.hand_over(client, chunk),
            (Ok(whole), None) => self.pixels_to_keep(id, &chunk, *whole),
            _ => {}
        }
        self.judge(taken.map(|_| ()));
    }

    /// The job that the worker is heard about; without one what it says is nonsense.
    fn present(&mut self) -> Option<&mut Job> {
        if let Some(job) = self.life.job() {
            return self.jobs.get_mut(&job);
        }
        self.happened(Input::Nonsense("pixels without a job".into()));
        None
    }

    /// A worker that keeps to the protocol is alive; one that does not is ended.
    fn judge(&mut self, said: Result<(), Wrong>) {
        self.happened(match said {
            Ok(()) => Input::Alive,
            Err(Wrong(what)) => Input::Nonsense(what.into()),
        });
    }

    /// Pixels for a client, or the end of the client that holds too many.
    fn hand_over(&mut self, id: ClientId, chunk: Bytes) {
        let Some(client) = self.clients.get(&id) else { return };
        client.outbox.pixels(chunk);
        if client.outbox.pixel_bytes() > PIXELS_PER_CLIENT {
            client.outbox.disconnect();
        }
        let held: usize = self.clients.values().map(|client| client.outbox.pixel_bytes()).sum();
        if held > PIXELS_IN_ALL
            && let Some(most) =
                self.clients.values().max_by_key(|client| client.outbox.pixel_bytes())
        {
            most.outbox.disconnect();
        }
    }
}

/// Whether a preview is of the size that its image's has.
fn fits(job: &Job, preview: &Preview) -> Result<(), Wrong> {
    let Some(started) = job.progress.shape() else { return Err(Wrong("a preview of nothing")) };
    let (width, height) = (started.width.div_ceil(PREVIEW), started.height.div_ceil(PREVIEW));
    let bytes = 3 * width as usize * height as usize;
    if (preview.width, preview.height, preview.rgb.len()) == (width, height, bytes) {
        Ok(())
    } else {
        Err(Wrong("a preview of an impossible size"))
    }
}
