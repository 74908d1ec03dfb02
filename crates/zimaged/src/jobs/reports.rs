//! What a worker reports about its job: progress for clients, images for clients or the store.

use bytes::Bytes;
use zimage_ipc::{Point, Report};
use zimg_protocol::messages::{Event, JobId, Preview, Started, Step};

use super::JobTable;
use super::effect::Effect;
use super::job::{Delivery, Job};
use super::progress::Violation;
use super::state::JobPhase;
use crate::scheduler::estimates::Shape;
use crate::workers::WorkerId;
use crate::workers::lifecycle::state::WorkerInput;

/// A preview has an eighth of the image's sides.
const PREVIEW_SCALE: u32 = 8;

impl JobTable {
    /// A worker reports about the job that it was given.
    pub(crate) fn report(&mut self, worker: WorkerId, id: JobId, report: Report) -> Vec<Effect> {
        let Some(job) = self.on_worker(worker, id) else {
            return abandoned(worker, id, &report);
        };
        match report {
            Report::Started { started, .. } => self.started(worker, id, started),
            Report::Step { step, .. } => self.step(worker, id, step),
            Report::Latents { point, .. } => vec![judge(worker, job.progress.latents(point))],
            Report::Preview { preview, .. } => {
                let fits = fits(job, &preview);
                let shown = fits.is_ok() && job.request.previews;
                let event = shown.then(|| job.tell(Event::Preview(preview)));
                event.into_iter().chain([judge(worker, fits)]).collect()
            }
            Report::Decoding { image, .. } => {
                let event = job.tell(Event::Decoding { image });
                vec![Effect::Worker(worker, WorkerInput::Alive), event]
            }
            Report::Image { image, .. } => {
                let accepted = job.progress.image(&image);
                let mut effects = Vec::new();
                if accepted.is_ok() {
                    match &mut job.delivery {
                        Delivery::Connection(client) => {
                            effects.push(Effect::Tell(*client, Event::Image(image)));
                        }
                        // Subscribers are told when it is on the disk.
                        Delivery::Store(stored) => {
                            let size = usize::try_from(image.bytes).unwrap_or_default();
                            stored.incoming = Some((image, Vec::with_capacity(size)));
                        }
                    }
                }
                effects.push(judge(worker, accepted));
                effects
            }
            Report::Done { timings, .. } => {
                if !job.progress.is_complete() {
                    let early = Violation("done before all images were sent");
                    return vec![judge(worker, Err(early))];
                }
                let ended = Effect::Worker(worker, WorkerInput::Ended(id));
                [ended].into_iter().chain(self.end(id, Ok(timings))).collect()
            }
            Report::Failed { failure, .. } => {
                let ended = Effect::Worker(worker, WorkerInput::Ended(id));
                [ended].into_iter().chain(self.end(id, Err(failure))).collect()
            }
            Report::Paused { .. } => self.paused(id),
            _ => Vec::new(),
        }
    }

    fn started(&mut self, worker: WorkerId, id: JobId, started: Started) -> Vec<Effect> {
        let Some(run) = self.run_mut(id) else { return Vec::new() };
        run.began = true;
        let was_preempted = std::mem::take(&mut run.was_preempted);
        let Some(job) = self.jobs.get_mut(&id) else { return Vec::new() };
        let first = job.progress.started(&started);
        let Point { image, step, .. } = job.progress.point();
        let reached = WorkerInput::Step { job: id, step, of: started.steps };
        let told = match first {
            Ok(true) => job.tell(Event::Started(started)),
            Ok(false) => {
                let event = job.tell(Event::Resumed { image, step });
                self.counts.counters.resumed += u64::from(!was_preempted);
                event
            }
            Err(violation) => judge(worker, Err(violation)),
        };
        vec![Effect::Worker(worker, reached), told]
    }

    fn step(&mut self, worker: WorkerId, id: JobId, step: Step) -> Vec<Effect> {
        let Some(job) = self.jobs.get_mut(&id) else { return Vec::new() };
        if let Err(violation) = job.progress.step(&step) {
            return vec![judge(worker, Err(violation))];
        }
        job.step_done(step.step, step.of);
        if let (Some(shape), Some((width, height))) =
            (job.shape(None), job.progress.size_at(step.step))
        {
            let shape = Shape { width, height, ..shape };
            self.estimates.entry(worker).or_default().step(shape, step.ms);
        }
        self.counts.step(step.ms);
        let reached = WorkerInput::Step { job: id, step: step.step, of: step.of };
        vec![Effect::Worker(worker, reached), job.tell(Event::Step(step))]
    }

    /// Pixels of the image that the worker announced last.
    pub(crate) fn pixels(&mut self, worker: WorkerId, id: JobId, chunk: Bytes) -> Vec<Effect> {
        let Some(job) = self.on_worker(worker, id) else {
            return vec![Effect::Worker(worker, WorkerInput::Alive)];
        };
        let accepted = job.progress.pixels(chunk.len());
        let client = match job.delivery {
            Delivery::Connection(client) => Some(client),
            Delivery::Store(_) => None,
        };
        let mut effects = Vec::new();
        if accepted == Ok(true) {
            let (took, shape) = (job.image_complete(), job.shape(None));
            if let (Some(took), Some(shape)) = (took, shape) {
                self.estimates.entry(worker).or_default().decode(shape, took);
            }
            self.counts.counters.images += 1;
            effects.push(Effect::Worker(worker, WorkerInput::ImageComplete));
        }
        match (&accepted, client) {
            (Ok(_), Some(client)) => effects.push(Effect::Pixels(client, chunk)),
            (Ok(complete), None) => effects.extend(self.save_pixels(id, &chunk, *complete)),
            _ => {}
        }
        effects.push(judge(worker, accepted.map(|_| ())));
        effects
    }

    /// Latents of the resume point that the worker announced last.
    pub(crate) fn latents(&mut self, worker: WorkerId, id: JobId, chunk: &[u8]) -> Vec<Effect> {
        let accepted = match self.on_worker(worker, id) {
            Some(job) => job.progress.latent_bytes(chunk),
            None => Ok(()),
        };
        vec![judge(worker, accepted)]
    }

    /// The job, if it runs on this worker and has not been taken from it.
    fn on_worker(&mut self, worker: WorkerId, id: JobId) -> Option<&mut Job> {
        self.jobs
            .get_mut(&id)
            .filter(|job| matches!(&job.phase, JobPhase::Running(run) if run.worker == worker))
    }
}

/// A report about a job that the worker has not been told yet to end, or has not heard of it: only
/// the worker's own state follows.
fn abandoned(worker: WorkerId, job: JobId, report: &Report) -> Vec<Effect> {
    let input = match report {
        Report::Done { .. } | Report::Failed { .. } | Report::Paused { .. } => {
            WorkerInput::Ended(job)
        }
        Report::Step { step, .. } => WorkerInput::Step { job, step: step.step, of: step.of },
        _ => WorkerInput::Alive,
    };
    vec![Effect::Worker(worker, input)]
}

/// A worker that keeps to the protocol is alive; one that does not is ended.
fn judge(worker: WorkerId, accepted: Result<(), Violation>) -> Effect {
    let input = match accepted {
        Ok(()) => WorkerInput::Alive,
        Err(Violation(what)) => WorkerInput::Violation(what.into()),
    };
    Effect::Worker(worker, input)
}

/// Whether a preview has the size that its image's has.
fn fits(job: &Job, preview: &Preview) -> Result<(), Violation> {
    let Some((width, height)) = job.progress.size_at(preview.step) else {
        return Err(Violation("a preview of nothing"));
    };
    let width = width.div_ceil(PREVIEW_SCALE);
    let height = height.div_ceil(PREVIEW_SCALE);
    let bytes = 3 * width as usize * height as usize;
    if (preview.width, preview.height, preview.rgb.len()) == (width, height, bytes) {
        Ok(())
    } else {
        Err(Violation("a preview of an impossible size"))
    }
}
