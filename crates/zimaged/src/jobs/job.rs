//! One job as the supervisor sees it: whose it is, how far it is, what its log line says.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use zimg_protocol::limits::PROMPT_SHOWN;
use zimg_protocol::messages::{
    Command, Generate, JobId, JobInfo, JobState, ModelInfo, Params, Point, Priority, Timings,
    Waiting,
};
use zimg_protocol::{Failure, Kind};

pub(crate) use super::progress::{Progress, Wrong};
use crate::outbox::ClientId;
use crate::scheduler::estimates::{Estimates, Shape};
use crate::scheduler::queue::Ticket;
use crate::workers::exit::Fault;

/// A job that so many workers in a row died of is given up.
const STRIKES_MAX: u32 = 2;
/// A job during which so many workers were killed from outside is given up, so that nothing goes
/// round for ever.
const KILLS_MAX: u32 = 5;

/// An accepted, unfinished job.
#[derive(Debug)]
pub(crate) struct Job {
    ticket: Ticket,
    /// The connection that gets its images.
    pub client: Option<ClientId>,
    /// Whether the client wishes previews.
    pub previews: bool,
    params: Params,
    /// What has come of it.
    pub progress: Progress,
    /// Asked to end; asked once only.
    pub cancelled: bool,
    /// Asked to make room for a more urgent one.
    pub pausing: bool,
    /// A more urgent one went first, and it has not gone on yet.
    pub overtaken: bool,
    /// The reason for waiting that its client knows.
    pub told: Option<Waiting>,
    accepted: Instant,
    accepted_at: SystemTime,
    begun: Option<Instant>,
    /// The present worker has begun it.
    under_way: bool,
    /// Workers in a row that died of it.
    strikes: u32,
    /// Workers that died under it for other reasons.
    kills: u32,
    /// Steps done of the present image, as the worker says.
    step: u32,
    /// When the present image's last step was done.
    drawn_at: Option<Instant>,
}

/// What becomes of a job whose worker died.
#[derive(Debug, PartialEq)]
pub(crate) enum Lost {
    /// All its images had come.
    Complete(Timings),
    /// Another worker goes on.
    GoesOn,
    /// It ends.
    Ends(Failure),
}

impl Job {
    /// A job that was just accepted, with so many before it.
    pub(crate) fn new(ticket: Ticket, client: ClientId, submit: Generate, position: u32) -> Self {
        let told = Some(Waiting::Queue { position });
        Self { told, ..Self::of(ticket, Some(client), submit) }
    }

    fn of(ticket: Ticket, client: Option<ClientId>, submit: Generate) -> Self {
        Self {
            ticket,
            client,
            previews: submit.previews,
            progress: Progress::new(&submit.params),
            params: submit.params,
            cancelled: false,
            pausing: false,
            overtaken: false,
            told: None,
            accepted: Instant::now(),
            accepted_at: SystemTime::now(),
            begun: None,
            under_way: false,
            strikes: 0,
            kills: 0,
            step: 0,
            drawn_at: None,
        }
    }

    /// A detached job that is drawn on after its first `images`.
    pub(crate) fn again(ticket: Ticket, submit: &Generate, images: u32, unix_s: u64) -> Self {
        let mut job = Self::of(ticket, None, submit.clone());
        job.progress.go_on_after(images);
        // Beyond what a clock can say it is at least not wrong.
        let at = UNIX_EPOCH.checked_add(Duration::from_secs(unix_s));
        job.accepted_at = at.unwrap_or(job.accepted_at);
        job
    }

    /// Its number.
    pub(crate) fn id(&self) -> JobId {
        self.ticket.job
    }

    /// Whose it is.
    pub(crate) fn uid(&self) -> u32 {
        self.ticket.uid
    }

    /// A worker gets it: the command, and the latents that follow.
    pub(crate) fn begin(&mut self) -> (Command, Bytes) {
        self.begun.get_or_insert_with(Instant::now);
        self.under_way = false;
        self.pausing = false;
        self.drawn_at = None;
        let (from, latents) = self.progress.take_over().unzip();
        self.step = from.map_or(0, |point: Point| point.step);
        let (job, params, previews) = (self.ticket.job, self.params.clone(), self.previews);
        (Command::Draw { job, params, previews, from }, latents.unwrap_or_default())
    }

    /// The worker has begun it.
    pub(crate) fn is_under_way(&mut self) {
        self.under_way = true;
    }

    /// The worker has done a step of `of`.
    pub(crate) fn stepped(&mut self, step: u32, of: u32) {
        self.step = step;
        self.drawn_at = (step == of).then(Instant::now);
    }

    /// An image has come whole: how long after its last step.
    pub(crate) fn drew(&mut self) -> Option<Duration> {
        self.strikes = 0;
        self.step = 0;
        self.drawn_at.take().map(|at| at.elapsed())
    }

    /// Its worker died.
    pub(crate) fn lost(&mut self, fault: Fault, reason: String) -> Lost {
        if self.progress.is_complete() {
            return Lost::Complete(self.progress.point().timings);
        }
        if self.cancelled {
            return Lost::Ends(cancelled());
        }
        // What died before it had begun the job did not die of it.
        if fault == Fault::Own && self.under_way {
            self.strikes += 1;
        } else {
            self.kills += 1;
        }
        let internal = |what: String| Failure::new(Kind::Internal, what);
        if self.strikes >= STRIKES_MAX {
            let what = format!("{STRIKES_MAX} workers in a row died drawing this; {reason}");
            let hint = "others are drawn: try another size, or other settings; the daemon's log may say more";
            return Lost::Ends(internal(what).hint(hint));
        }
        if self.kills >= KILLS_MAX {
            let what = format!("{KILLS_MAX} workers were killed while they drew this; {reason}");
            let hint = "the system's log may say by whom: `journalctl -k` if memory ran out";
            return Lost::Ends(internal(what).hint(hint));
        }
        self.told = None;
        Lost::GoesOn
    }

    /// The worker has paused it.
    pub(crate) fn paused(&mut self) {
        self.pausing = false;
        self.overtaken = true;
        self.told = None;
    }

    /// What its steps' time depends on, if the request or the model has said it.
    pub(crate) fn shape(&self, model: Option<&ModelInfo>) -> Option<Shape> {
        if let Some(started) = self.progress.shape() {
            let guided = started.guidance > 0.0;
            return Some(Shape { width: started.width, height: started.height, guided });
        }
        Some(Shape {
            width: self.params.width.or(model.map(|model| model.width))?,
            height: self.params.height.or(model.map(|model| model.height))?,
            guided: self.params.guidance.or(model.map(|model| model.guidance)).unwrap_or(0.0) > 0.0,
        })
    }

    /// How long it will still take a worker, if that can be said.
    pub(crate) fn left(
        &self,
        model: Option<&ModelInfo>,
        estimates: &Estimates,
    ) -> Option<Duration> {
        let steps = self.steps(model)?;
        let images = u64::from(self.params.images().saturating_sub(self.progress.whole()));
        let steps = (images * u64::from(steps)).saturating_sub(self.step.into());
        estimates.work(self.shape(model)?, steps, images)
    }

    fn steps(&self, model: Option<&ModelInfo>) -> Option<u32> {
        let started = self.progress.shape().map(|started| started.steps);
        started.or(self.params.steps).or(model.map(|model| model.steps))
    }

    /// The worker's timings with what only the daemon knows.
    pub(crate) fn timings(&self, worker: Timings) -> Timings {
        Timings { queued: self.queued_ms(), total: milliseconds(self.accepted), ..worker }
    }

    /// The job as its owner sees it; a position if it waits.
    pub(crate) fn info(&self, position: Option<u32>, model: Option<&ModelInfo>) -> JobInfo {
        let shape = self.shape(model);
        JobInfo {
            job: self.ticket.job,
            uid: self.ticket.uid,
            state: match position {
                Some(position) => JobState::Waiting { position },
                None => JobState::Running {
                    image: self.progress.whole(),
                    step: self.step,
                    of: self.steps(model).unwrap_or_default(),
                },
            },
            priority: self.ticket.priority,
            detached: false,
            width: shape.map(|shape| shape.width),
            height: shape.map(|shape| shape.height),
            seed: self.params.first_seed(),
            count: self.params.images(),
            drawn: self.progress.whole(),
            accepted_unix_s: self
                .accepted_at
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            prompt: self.params.prompt.chars().take(PROMPT_SHOWN).collect(),
        }
    }

    /// The job's one line in the log; of the prompt only its length.
    pub(crate) fn log(&self, result: &Result<Timings, Failure>) {
        let (width, height, steps) = match self.progress.shape() {
            Some(started) => (started.width, started.height, started.steps),
            None => (
                self.params.width.unwrap_or_default(),
                self.params.height.unwrap_or_default(),
                self.params.steps.unwrap_or_default(),
            ),
        };
        let result = match result {
            Ok(_) => "done".to_owned(),
            Err(failure) => format!("failed ({}): {failure}", failure.kind.exit_code()),
        };
        tracing::info!(
            job = self.ticket.job,
            uid = self.ticket.uid,
            batch = self.ticket.priority == Priority::Batch,
            size = format_args!("{width}x{height}"),
            steps,
            images = self.progress.whole(),
            prompt_bytes = self.params.prompt.len(),
            queued_ms = self.queued_ms().round(),
            ms = milliseconds(self.accepted).round(),
            "{result}"
        );
    }

    fn queued_ms(&self) -> f32 {
        let until = self.begun.unwrap_or_else(Instant::now);
        until.duration_since(self.accepted).as_secs_f32() * 1e3
    }
}

/// The end of a job that somebody did not want any more.
pub(crate) fn cancelled() -> Failure {
    Failure::new(Kind::Cancelled, "the job was cancelled")
}

fn milliseconds(since: Instant) -> f32 {
    since.elapsed().as_secs_f32() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
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
        Job::new(Ticket { job: 1, uid: 1000, priority }, 1, submit, 0)
    }

    fn goes_on(job: &mut Job, fault: Fault) -> bool {
        job.begin();
        job.is_under_way();
        match job.lost(fault, "the worker was ended by SIGSEGV: ouch".into()) {
            Lost::GoesOn => true,
            Lost::Ends(failure) => {
                assert!(failure.message.ends_with("SIGSEGV: ouch"), "{failure}");
                false
            }
            Lost::Complete(_) => panic!("no image came"),
        }
    }

    #[test]
    fn a_job_that_kills_two_workers_in_a_row_is_given_up() {
        let mut job = job();
        assert!(goes_on(&mut job, Fault::Own));
        assert!(goes_on(&mut job, Fault::Outside));
        assert!(!goes_on(&mut job, Fault::Own));
    }

    #[test]
    fn kills_from_outside_do_not_count_but_do_not_go_on_for_ever() {
        let mut job = job();
        for _ in 0..4 {
            assert!(goes_on(&mut job, Fault::Outside));
        }
        assert!(!goes_on(&mut job, Fault::Outside));
    }

    #[test]
    fn a_worker_that_died_before_it_began_did_not_die_of_the_job() {
        let mut job = job();
        for _ in 0..4 {
            job.begin();
            assert_eq!(job.lost(Fault::Own, String::new()), Lost::GoesOn);
        }
        job.begin();
        assert!(matches!(job.lost(Fault::Own, String::new()), Lost::Ends(_)));
    }

    #[test]
    fn what_is_left_is_steps_times_their_time() {
        let mut job = job();
        let mut estimates = Estimates::default();
        assert_eq!(job.left(None, &estimates), None, "nothing was measured");
        let shape = job.shape(None).unwrap();
        estimates.step(shape, 100.0);
        assert_eq!(job.left(None, &estimates), Some(Duration::from_millis(400)));
        job.stepped(3, 4);
        assert_eq!(job.left(None, &estimates), Some(Duration::from_millis(100)));
    }

    #[test]
    fn an_owner_sees_the_beginning_of_the_prompt() {
        let mut job = job();
        job.params.prompt = "é".repeat(500);
        let info = job.info(Some(2), None);
        assert_eq!(info.prompt.chars().count(), PROMPT_SHOWN);
        assert_eq!(info.state, JobState::Waiting { position: 2 });
        assert_eq!((info.width, info.height, info.drawn), (Some(64), Some(64), 0));
    }
}
