//! One job: what was asked for, its state, its progress, and where its images go.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use zimage_ipc::{Command, JobImage, Point};
use zimage_params::limits::default_strength;
use zimg_protocol::limits::PROMPT_SHOWN;
use zimg_protocol::messages::{
    Event, Generate, ImageInfo, ImageRole, JobId, JobInfo, JobState, ModelInfo, Priority, Started,
    Timings, Waiting,
};
use zimg_protocol::{Failure, Kind};

use super::attempts::Attempts;
use super::effect::Effect;
use super::input_pixels::InputPixels;
use super::progress::Progress;
use super::retention;
use super::state::JobPhase;
use crate::events;
use crate::outbox::ClientId;
use crate::owner::Owner;
use crate::request_images::NewJob;
use crate::scheduler::estimates::{Estimates, Shape};
use crate::scheduler::queue::Ticket;
use crate::store::{JobRecord, StoredImage};
use crate::workers::link::CommandPayload;

/// Characters of a failure in a list of jobs.
const FAILURE_SHOWN: usize = 200;

/// An accepted job, until it has ended and, if it is detached, is deleted.
#[derive(Debug)]
pub(crate) struct Job {
    pub id: JobId,
    /// Its owner.
    pub owner: Owner,
    /// What was asked for; of a detached job that has ended only as much as a list shows.
    pub request: Generate,
    pub delivery: Delivery,
    pub phase: JobPhase,
    pub progress: Progress,
    pub attempts: Attempts,
    /// The pixels of the request's images.
    pub inputs: InputPixels,
    /// The reason for waiting that its client was told last.
    pub announced: Option<Waiting>,
    /// When it was accepted, in seconds since 1970.
    accepted_unix_s: u64,
    /// When it got its place in the queue, from which its times are measured.
    queued: Instant,
    /// When it first got a worker.
    begun: Option<Instant>,
    /// Steps done of the present image, as the worker reported.
    step: u32,
    /// When the present image's last step was done.
    last_step: Option<Instant>,
}

/// Where a job's images go.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// To this connection, while it lasts: the job ends with it.
    Connection(ClientId),
    /// To the store, and from there to any number of subscribers: the job is detached.
    Store(Box<DetachedJob>),
}

/// What a detached job has in the store, or on the way there.
#[derive(Debug)]
pub(crate) struct DetachedJob {
    /// What the defaults became, once a worker has said it.
    pub started: Option<Started>,
    /// What its subscribers may have.
    pub published: watch::Sender<Published>,
    /// Bytes of images on their way to the disk.
    pub unsaved_bytes: u64,
    /// The image whose pixels are coming from the worker.
    pub incoming: Option<(ImageInfo, Vec<u8>)>,
    /// Bytes that it takes, or will take, of its owner's quota.
    pub bytes: u64,
}

/// What the subscribers of a detached job may have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published {
    /// Its images that are on the disk.
    pub images: Vec<StoredImage>,
    /// How it ended.
    pub end: Option<Result<Timings, Failure>>,
}

impl Job {
    /// A job for a client's connection.
    pub(crate) fn attached(id: JobId, uid: u32, client: ClientId, job: NewJob) -> Self {
        let delivery = Delivery::Connection(client);
        let NewJob { request, images } = job;
        let mut job = Self::new(id, uid, request, delivery, JobPhase::Waiting);
        job.inputs = InputPixels::Here(images);
        job.accepted_unix_s = unix_s();
        job
    }

    /// A job as it is in the store.
    pub(crate) fn detached(
        id: JobId,
        record: JobRecord,
        phase: JobPhase,
        model: Option<&ModelInfo>,
    ) -> Self {
        let JobRecord { uid, submit, accepted_unix_s, started, images, end, .. } = record;
        let phase = match &end {
            Some(end) => ended(&end.result, end.lived_s),
            None => phase,
        };
        let stored = DetachedJob {
            bytes: retention::job_bytes(&submit, started.as_ref(), model),
            published: watch::Sender::new(Published { images, end: end.map(|end| end.result) }),
            started,
            unsaved_bytes: 0,
            incoming: None,
        };
        let mut job = Self::new(id, uid, submit, Delivery::Store(Box::new(stored)), phase);
        job.accepted_unix_s = accepted_unix_s;
        if job.phase.has_ended() {
            job.shrink();
        }
        job
    }

    fn new(id: JobId, uid: u32, request: Generate, delivery: Delivery, phase: JobPhase) -> Self {
        Self {
            id,
            owner: Owner::new(uid, request.on_behalf_of.as_deref()),
            progress: Progress::new(&request.params),
            inputs: InputPixels::of(&request),
            request,
            delivery,
            phase,
            attempts: Attempts::default(),
            announced: None,
            accepted_unix_s: 0,
            queued: Instant::now(),
            begun: None,
            step: 0,
            last_step: None,
        }
    }

    /// Puts a detached job at its first image that is not in the store, as if it had just come.
    pub(crate) fn restart(&mut self) {
        let images = self.stored_images();
        self.progress = Progress::new(&self.request.params);
        self.progress.go_on_after(images);
        self.attempts = Attempts::default();
        self.announced = None;
        self.queued = Instant::now();
        self.begun = None;
        self.step = 0;
        self.last_step = None;
    }

    /// What the queue knows of it.
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket { job: self.id, owner: self.owner.clone(), priority: self.request.priority }
    }

    /// The part that only a detached job has.
    pub(crate) fn stored(&self) -> Option<&DetachedJob> {
        match &self.delivery {
            Delivery::Store(stored) => Some(stored),
            Delivery::Connection(_) => None,
        }
    }

    /// The same, to change it.
    pub(crate) fn stored_mut(&mut self) -> Option<&mut DetachedJob> {
        match &mut self.delivery {
            Delivery::Store(stored) => Some(stored),
            Delivery::Connection(_) => None,
        }
    }

    /// Whether it goes on without a connection.
    pub(crate) fn is_detached(&self) -> bool {
        self.stored().is_some()
    }

    /// Images that were asked for.
    pub(crate) fn count(&self) -> u32 {
        self.request.params.images()
    }

    /// How many of its images are in the store.
    pub(crate) fn stored_images(&self) -> u32 {
        let images = |stored: &DetachedJob| stored.published.borrow().images.len();
        u32::try_from(self.stored().map_or(0, images)).unwrap_or(u32::MAX)
    }

    /// Bytes of one of its images, as far as its size is known.
    pub(crate) fn image_bytes(&self) -> u64 {
        let started = self.stored().and_then(|stored| stored.started.as_ref());
        retention::image_bytes(&self.request.params, started, None)
    }

    /// Its client was told how many jobs are before it.
    pub(crate) fn announce_position(&mut self, position: u32) {
        self.announced = Some(Waiting::Queue { position });
    }

    /// Tells its client or its subscribers.
    pub(crate) fn tell(&self, event: Event) -> Effect {
        match self.delivery {
            Delivery::Connection(client) => Effect::Tell(client, event),
            Delivery::Store(_) => Effect::Publish(self.id, event),
        }
    }

    /// A worker gets it: the command, and what follows it.
    pub(crate) fn begin(&mut self) -> (Command, CommandPayload) {
        self.begun.get_or_insert_with(Instant::now);
        self.last_step = None;
        let (from, latents) = self.progress.take_over().unzip();
        self.step = from.map_or(0, |point: Point| point.step);
        let (job, params) = (self.id, Box::new(self.request.params.clone()));
        let previews = self.request.previews;
        let pixels = self.inputs.give(self.is_detached());
        let images = self.request.images.iter().zip(&pixels);
        let images = images
            .map(|(image, pixels)| JobImage { role: image.role, bytes: pixels.len() as u64 })
            .collect();
        let payload = CommandPayload { latents: latents.unwrap_or_default(), images: pixels };
        (Command::Generate { job, params, previews, from, images }, payload)
    }

    /// The worker has done a step of `of`.
    pub(crate) fn step_done(&mut self, step: u32, of: u32) {
        self.step = step;
        self.last_step = (step == of).then(Instant::now);
    }

    /// An image is complete: how long after its last step.
    pub(crate) fn image_complete(&mut self) -> Option<Duration> {
        self.attempts.image_complete();
        self.step = 0;
        self.last_step.take().map(|at| at.elapsed())
    }

    /// What its steps' time depends on, if the request or the model says it.
    pub(crate) fn shape(&self, model: Option<&ModelInfo>) -> Option<Shape> {
        if let Some(started) = self.progress.shape() {
            let guided = started.guidance > 0.0;
            return Some(Shape { width: started.width, height: started.height, guided });
        }
        let asked = &self.request.params;
        Some(Shape {
            width: asked.width.or(model.map(|model| asked.usual_side(model.width)))?,
            height: asked.height.or(model.map(|model| asked.usual_side(model.height)))?,
            guided: asked.guidance.or(model.map(|model| model.guidance)).unwrap_or(0.0) > 0.0,
        })
    }

    /// How long it will still take a worker, if that is known.
    pub(crate) fn time_left(
        &self,
        model: Option<&ModelInfo>,
        estimates: &Estimates,
    ) -> Option<Duration> {
        let steps = self.steps(model)?;
        let skipped = self.skipped(steps);
        let images = u64::from(self.count().saturating_sub(self.progress.whole()));
        let shape = self.shape(model)?;
        // The present image is further than those after it.
        let left = |of: u32, done: u32| (images * u64::from(of)).saturating_sub(done.into());
        let Some(second) = self.request.params.second_pass() else {
            let done = self.step.saturating_sub(skipped);
            return estimates.work(shape, left(steps - skipped, done), images);
        };
        let (width, height) = second.first_size((shape.width, shape.height));
        let first = left(steps, self.step.min(steps));
        let first = estimates.work(Shape { width, height, ..shape }, first, 0)?;
        let more = left(second.steps(steps), self.step.saturating_sub(steps));
        Some(first + estimates.work(shape, more, images)?)
    }

    /// Of so many steps, those that an initial image saves, as diffusers'
    /// `ZImageImg2ImgPipeline.get_timesteps` has them.
    fn skipped(&self, steps: u32) -> u32 {
        if self.request.image(ImageRole::Initial).is_none() {
            return 0;
        }
        let usual = default_strength(self.request.image(ImageRole::Mask).is_some());
        let strength = self.request.params.strength.unwrap_or(usual);
        let skipped = f64::from(steps) - f64::from(steps) * f64::from(strength);
        // A step at least is left to wait for.
        (skipped.max(0.0) as u32).min(steps.saturating_sub(1))
    }

    fn steps(&self, model: Option<&ModelInfo>) -> Option<u32> {
        let started = self.progress.shape().map(|started| started.steps);
        started.or(self.request.params.steps).or(model.map(|model| model.steps))
    }

    /// The worker's timings with what only the daemon knows.
    pub(crate) fn timings(&self, worker: Timings) -> Timings {
        Timings { queued: self.queued_ms(), total: milliseconds(self.queued), ..worker }
    }

    /// Publishes how a detached job ended, and drops what a list does not show.
    pub(crate) fn publish_end(&mut self, result: Result<Timings, Failure>) {
        if let Some(stored) = self.stored() {
            stored.published.send_modify(|published| published.end = Some(result));
        }
        self.shrink();
    }

    /// A detached job that has ended takes what it takes, and of a long prompt only the beginning
    /// stays in memory, and nothing of what its images were made of.
    fn shrink(&mut self) {
        let Delivery::Store(stored) = &mut self.delivery else { return };
        let images: u64 =
            stored.published.borrow().images.iter().map(|stored| stored.image.bytes).sum();
        stored.bytes = retention::ended_bytes(&self.request, images);
        self.inputs = InputPixels::of(&self.request);
        let asked = &mut self.request.params;
        asked.prompt = asked.prompt.chars().take(PROMPT_SHOWN).collect();
        asked.negative = None;
        asked.image_inputs = None;
        asked.control_input = None;
    }

    /// The job as its owner sees it; `position` jobs are before it if it is in the queue.
    pub(crate) fn info(&self, position: u32, model: Option<&ModelInfo>) -> JobInfo {
        let asked = &self.request.params;
        let started = self.stored().and_then(|stored| stored.started.as_ref());
        let (width, height) = if self.phase.is_scheduled() {
            self.shape(model).map(|shape| (shape.width, shape.height)).unzip()
        } else {
            let size = started.map(|started| (started.width, started.height));
            (size.map(|size| size.0).or(asked.width), size.map(|size| size.1).or(asked.height))
        };
        JobInfo {
            job: self.id,
            uid: self.owner.uid,
            on_behalf_of: self.request.on_behalf_of.clone(),
            state: self.public_state(position, model),
            priority: self.request.priority,
            detached: self.is_detached(),
            width,
            height,
            seed: asked.first_seed(),
            count: asked.images(),
            generated: match self.phase.is_scheduled() {
                true => self.progress.whole(),
                false => self.stored_images(),
            },
            accepted_unix_s: self.accepted_unix_s,
            prompt: asked.prompt.chars().take(PROMPT_SHOWN).collect(),
        }
    }

    fn public_state(&self, position: u32, model: Option<&ModelInfo>) -> JobState {
        let asked = &self.request.params;
        match &self.phase {
            JobPhase::Running(_) => JobState::Running {
                image: self.progress.whole(),
                step: self.step,
                of: asked.steps_of_passes(self.steps(model).unwrap_or_default()),
            },
            JobPhase::Blocked(failure) => JobState::Blocked(shortened(failure)),
            JobPhase::Done { .. } => JobState::Done,
            JobPhase::Failed { failure, .. } => JobState::Failed(shortened(failure)),
            JobPhase::Accepting(_)
            | JobPhase::Waiting
            | JobPhase::Preempted
            | JobPhase::Saving(_)
            | JobPhase::Ending(_)
            | JobPhase::Truncating => JobState::Waiting { position },
        }
    }

    /// The job's one line in the log; of the prompt only its length.
    pub(crate) fn log(&self, result: &Result<Timings, Failure>) {
        let asked = &self.request.params;
        let (width, height, steps) = match self.progress.shape() {
            Some(started) => (started.width, started.height, started.steps),
            None => (
                asked.width.unwrap_or_default(),
                asked.height.unwrap_or_default(),
                asked.steps.unwrap_or_default(),
            ),
        };
        let (result, end) = match result {
            Ok(_) => (0, "done".to_owned()),
            Err(failure) => {
                let code = failure.kind.exit_code();
                (code, format!("failed ({code}): {failure}"))
            }
        };
        let worker = match &self.phase {
            JobPhase::Running(run) => Some(run.worker.0),
            _ => None,
        };
        tracing::info!(
            event = events::JOB_ENDED,
            job = self.id,
            uid = self.owner.uid,
            worker,
            batch = self.request.priority == Priority::Batch,
            size = format_args!("{width}x{height}"),
            steps,
            images = self.progress.whole(),
            prompt_bytes = asked.prompt.len(),
            queued_ms = self.queued_ms().round(),
            ms = milliseconds(self.queued).round(),
            result,
            "{end}"
        );
    }

    fn queued_ms(&self) -> f32 {
        let until = self.begun.unwrap_or_else(Instant::now);
        until.duration_since(self.queued).as_secs_f32() * 1e3
    }
}

/// The state of a job that ended with this result, when the store was so old.
pub(super) fn ended(result: &Result<Timings, Failure>, age_s: u64) -> JobPhase {
    match result {
        Ok(_) => JobPhase::Done { age_s },
        Err(failure) => JobPhase::Failed { failure: failure.clone(), age_s },
    }
}

/// The end of a job that was cancelled.
pub(crate) fn cancelled() -> Failure {
    Failure::new(Kind::Cancelled, "the job was cancelled")
}

/// As much of a failure as a list shows.
fn shortened(failure: &Failure) -> Failure {
    let message: String = failure.message.chars().take(FAILURE_SHOWN).collect();
    Failure::new(failure.kind, message)
}

fn milliseconds(since: Instant) -> f32 {
    since.elapsed().as_secs_f32() * 1e3
}

/// Now, in seconds since 1970.
pub(super) fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use zimg_protocol::messages::{ImageInput, ImageSource, Params};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn attached() -> Job {
        let draw =
            Params { width: Some(64), height: Some(64), steps: Some(4), ..Params::new("a fox") };
        let priority = Priority::Interactive;
        let submit = Generate {
            params: draw,
            priority,
            detach: false,
            previews: false,
            ..Generate::default()
        };
        Job::attached(1, 1000, 1, submit.into())
    }

    #[test]
    fn what_is_left_is_steps_times_their_time() {
        let mut job = attached();
        let mut estimates = Estimates::default();
        assert_eq!(job.time_left(None, &estimates), None, "nothing was measured");
        let shape = job.shape(None).unwrap();
        estimates.step(shape, 100.0);
        assert_eq!(job.time_left(None, &estimates), Some(Duration::from_millis(400)));
        job.step_done(3, 4);
        assert_eq!(job.time_left(None, &estimates), Some(Duration::from_millis(100)));
        // An initial image saves the first steps: 1 of 4 at 0.6, and 2 at 0.5.
        let layout = ImageRole::Initial.layout();
        let (role, source) = (ImageRole::Initial, ImageSource::Inline);
        job.request.images = vec![ImageInput { role, layout, width: 64, height: 64, source }];
        for (strength, step, left) in [
            (None, 0, 300),
            (None, 1, 300),
            (None, 3, 100),
            (Some(0.5), 0, 200),
            (Some(1.0), 0, 400),
        ] {
            job.request.params.strength = strength;
            job.step_done(step, 4);
            let expected = Some(Duration::from_millis(left));
            assert_eq!(job.time_left(None, &estimates), expected, "{strength:?} {step}");
        }
    }

    #[test]
    fn a_second_pass_takes_the_time_of_its_size() {
        let mut job = attached();
        job.request.params = Params {
            width: Some(128),
            height: Some(128),
            hires: Some(2.0),
            ..job.request.params.clone()
        };
        let mut estimates = Estimates::default();
        let whole = job.shape(None).unwrap();
        estimates.step(whole, 1000.0);
        assert_eq!(job.time_left(None, &estimates), None, "the first pass was not measured");
        estimates.step(Shape { width: 64, height: 64, ..whole }, 100.0);
        // 4 steps, and 2 of the second pass.
        for (step, left) in [(0, 2400), (3, 2100), (4, 2000), (5, 1000), (6, 0)] {
            job.step_done(step, 6);
            let expected = Some(Duration::from_millis(left));
            assert_eq!(job.time_left(None, &estimates), expected, "{step}");
        }
    }

    #[test]
    fn an_owner_sees_the_beginning_of_the_prompt() {
        let mut job = attached();
        job.request.params.prompt = "é".repeat(500);
        let info = job.info(2, None);
        assert_eq!(info.prompt.chars().count(), PROMPT_SHOWN);
        assert_eq!(info.state, JobState::Waiting { position: 2 });
        assert_eq!((info.width, info.height, info.generated), (Some(64), Some(64), 0));
    }

    #[test]
    fn what_is_listed_is_short() {
        let draw = Params {
            count: Some(2),
            width: Some(1024),
            height: Some(1024),
            ..Params::new("a fox")
        };
        let long = Params { prompt: "é".repeat(9000), negative: Some("x".into()), ..draw };
        let submit = Generate {
            params: long,
            priority: Priority::Batch,
            detach: true,
            previews: false,
            ..Generate::default()
        };
        let record = JobRecord::new(7, submit, 1_700_000_000);
        let mut job = Job::detached(1, record, JobPhase::Accepting(1), None);
        assert_eq!(job.request.params.prompt.len(), 18_000);
        assert_eq!(job.info(3, None).state, JobState::Waiting { position: 3 });
        let image = ImageInfo { index: 0, seed: 0, width: 1024, height: 1024, bytes: 3 * MIB };
        let stored = job.stored_mut().unwrap();
        stored.published.send_modify(|shown| shown.images.push(StoredImage { image, crc: 0 }));
        let failure = Failure::new(Kind::Internal, "y".repeat(9000)).hint("z");
        job.phase = ended(&Err(failure.clone()), 0);
        job.publish_end(Err(failure));
        let info = job.info(0, None);
        assert_eq!((info.prompt.chars().count(), info.generated, info.detached), (200, 1, true));
        assert_eq!(info.state, JobState::Failed(Failure::new(Kind::Internal, "y".repeat(200))));
        assert_eq!(job.request.params.prompt.len(), 400);
    }
}
