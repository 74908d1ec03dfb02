//! The worker's life as one value and one transition function, without processes or clocks.
//!
//! `Life::apply` takes what happened and answers what must be done; the supervisor does it. A job
//! that loses its worker is handed back (`Action::LoseJob`) and not judged here, so that trying
//! it again or going on from its last step is the supervisor's choice.

use std::time::Duration;

use zimg_protocol::error::{Failure, Kind};
use zimg_protocol::messages::{JobId, WorkerState};

/// The first pause before a new start; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A worker's exit status that says: the configuration is wrong, do not start me again.
const EXIT_CONFIG: i32 = Kind::Config.exit_code() as i32;

/// Where the worker stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    /// The process runs and has said nothing yet.
    Starting,
    /// Weights are being read; bytes.
    Loading { done: u64, total: u64 },
    /// The first picture, thrown away.
    Warming,
    /// Ready, nothing to do.
    Ready,
    /// Drawing a job; steps of the present picture.
    Busy { job: JobId, step: u32, of: u32 },
    /// It was told to go, for this reason; its end is awaited.
    Ending(String),
    /// There is no process; a new one starts after the pause.
    Pausing { pause: Duration, reason: String },
    /// There is no process, and none will be started without a human.
    Failed(Failure),
    /// There is no process, and none is wanted: the daemon ends.
    Gone,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Its exit status, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The last line that it wrote to standard error.
    pub last_line: Option<String>,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// The process could not be started.
    NotStarted(Failure),
    /// It reads weights; bytes.
    Loading { done: u64, total: u64 },
    /// It draws the warm-up picture.
    Warming,
    /// Jobs may come.
    Ready,
    /// The supervisor gave it a job.
    Given(JobId),
    /// The job has done `step` steps (0: it began) of `of`.
    Step { job: JobId, step: u32, of: u32 },
    /// The job has ended; whether with its pictures.
    Ended { job: JobId, drawn: bool },
    /// It cannot go on.
    Fatal(Failure),
    /// It said something that it must not say.
    Nonsense(String),
    /// The process has ended, and all that it had said was heard.
    Exited(Exit),
    /// The pause is over.
    PauseOver,
    /// The daemon ends.
    Stop,
}

/// What must be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Start a process.
    Spawn,
    /// End the process at once.
    Kill,
    /// Say `PauseOver` after this time.
    Pause(Duration),
    /// The job's worker died under it.
    LoseJob { job: JobId, reason: String },
    /// No job can be drawn any more.
    RefuseAll(Failure),
}

/// The worker's state and what must be remembered to judge the next death.
#[derive(Debug)]
pub(crate) struct Life {
    state: State,
    /// Deaths since a job was last drawn.
    deaths: u32,
    /// What the worker called its own cause of death.
    fatal: Option<Failure>,
    /// The job that the present process was drawing when it was told to go.
    held: Option<JobId>,
    stopping: bool,
    last_error: Option<String>,
    restarts: u32,
}

impl Life {
    /// A worker that is about to be started (the caller performs the first `Spawn`).
    pub(crate) fn new() -> Self {
        Self {
            state: State::Starting,
            deaths: 0,
            fatal: None,
            held: None,
            stopping: false,
            last_error: None,
            restarts: 0,
        }
    }

    /// The present state.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// How often a process was started after the first.
    pub(crate) fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Why the last process ended or could not go on, one sentence.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// The state as clients are told.
    pub(crate) fn told(&self) -> WorkerState {
        match &self.state {
            State::Starting => WorkerState::Starting,
            State::Loading { done, total } => WorkerState::Loading { done: *done, total: *total },
            State::Warming => WorkerState::Warming,
            State::Ready => WorkerState::Ready,
            State::Busy { .. } if self.stopping => WorkerState::Draining,
            State::Busy { job, step, of } => WorkerState::Busy { job: *job, step: *step, of: *of },
            State::Ending(reason) => WorkerState::Restarting { in_ms: 0, reason: reason.clone() },
            State::Pausing { pause, reason } => WorkerState::Restarting {
                in_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                reason: reason.clone(),
            },
            State::Failed(failure) => WorkerState::Failed(failure.clone()),
            State::Gone => WorkerState::Draining,
        }
    }

    /// The transition function: what happened → the next state and what must be done.
    pub(crate) fn apply(&mut self, input: Input) -> Vec<Action> {
        match input {
            Input::Loading { done, total } => match self.state {
                State::Starting | State::Loading { .. } => {
                    self.state = State::Loading { done, total };
                    Vec::new()
                }
                _ => self.unexpected("it loads again"),
            },
            Input::Warming => match self.state {
                State::Starting | State::Loading { .. } => {
                    self.state = State::Warming;
                    Vec::new()
                }
                _ => self.unexpected("it warms up again"),
            },
            Input::Ready => match self.state {
                State::Starting | State::Loading { .. } | State::Warming => {
                    self.state = State::Ready;
                    Vec::new()
                }
                _ => self.unexpected("it is ready again"),
            },
            Input::Given(job) => {
                debug_assert_eq!(self.state, State::Ready, "only a ready worker is given a job");
                self.state = State::Busy { job, step: 0, of: 0 };
                Vec::new()
            }
            Input::Step { job, step, of } => match self.state {
                State::Busy { job: present, .. } if present == job => {
                    self.state = State::Busy { job, step, of };
                    Vec::new()
                }
                _ => self.unexpected("it draws a job that it was not given"),
            },
            Input::Ended { job, drawn } => match self.state {
                State::Busy { job: present, .. } if present == job => {
                    self.state = State::Ready;
                    if drawn {
                        self.deaths = 0;
                    }
                    Vec::new()
                }
                _ => self.unexpected("it ended a job that it was not given"),
            },
            Input::Fatal(failure) => {
                self.last_error = Some(failure.message.clone());
                self.fatal = Some(failure);
                Vec::new()
            }
            Input::Nonsense(what) => self.unexpected(&what),
            Input::NotStarted(failure) => {
                let reason = failure.message.clone();
                self.dead(reason, (failure.kind == Kind::Config).then_some(failure))
            }
            Input::Exited(exit) => {
                let fatal = self.fatal.take();
                let reason = match (&fatal, &self.state) {
                    (Some(failure), _) => failure.message.clone(),
                    (None, State::Ending(reason)) => reason.clone(),
                    (None, _) => exit.sentence(),
                };
                let config = match fatal {
                    Some(failure) if failure.kind == Kind::Config => Some(failure),
                    None if exit.code == Some(EXIT_CONFIG) => {
                        let message = exit.last_line.unwrap_or_else(|| {
                            "the worker refused its configuration and did not say why".into()
                        });
                        Some(Failure::new(Kind::Config, message))
                    }
                    _ => None,
                };
                self.dead(reason, config)
            }
            Input::PauseOver => match self.state {
                State::Pausing { .. } => {
                    self.state = State::Starting;
                    self.restarts = self.restarts.saturating_add(1);
                    vec![Action::Spawn]
                }
                _ => Vec::new(),
            },
            Input::Stop => {
                self.stopping = true;
                match self.state {
                    State::Pausing { .. } | State::Failed(_) => {
                        self.state = State::Gone;
                        Vec::new()
                    }
                    _ => Vec::new(),
                }
            }
        }
    }

    /// The worker broke the protocol: it cannot be trusted with another job.
    fn unexpected(&mut self, what: &str) -> Vec<Action> {
        match self.state {
            // It was told to go, or is gone: what it still says counts for nothing.
            State::Ending(_) | State::Pausing { .. } | State::Failed(_) | State::Gone => Vec::new(),
            _ => {
                if let State::Busy { job, .. } = self.state {
                    self.held = Some(job);
                }
                self.state = State::Ending(format!("the worker broke the protocol: {what}"));
                vec![Action::Kill]
            }
        }
    }

    /// The process is gone: for good if the configuration is wrong, else for a while.
    fn dead(&mut self, reason: String, config: Option<Failure>) -> Vec<Action> {
        let mut actions = Vec::new();
        let held = match self.state {
            State::Busy { job, .. } => Some(job),
            _ => self.held.take(),
        };
        if let Some(job) = held {
            actions.push(Action::LoseJob { job, reason: reason.clone() });
        }
        if self.stopping {
            self.state = State::Gone;
            return actions;
        }
        self.last_error = Some(reason.clone());
        if let Some(failure) = config {
            self.state = State::Failed(failure.clone());
            actions.push(Action::RefuseAll(failure));
            return actions;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.deaths.min(16)).min(LONGEST_PAUSE);
        self.deaths = self.deaths.saturating_add(1);
        self.state = State::Pausing { pause, reason };
        actions.push(Action::Pause(pause));
        actions
    }
}

impl Exit {
    /// The end in one sentence, with the worker's own last words.
    fn sentence(&self) -> String {
        let how = match (self.code, self.signal) {
            (_, Some(signal)) => format!("the worker was ended by {}", signal_name(signal)),
            (Some(code), None) => format!("the worker ended with status {code}"),
            (None, None) => "the worker ended".to_owned(),
        };
        match &self.last_line {
            Some(line) => format!("{how}: {line}"),
            None => how,
        }
    }
}

/// "SIGKILL" for 9, and the number for what has no name.
fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal)
        .map_or_else(|_| format!("signal {signal}"), |known| known.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: i32) -> Input {
        Input::Exited(Exit { code: Some(code), signal: None, last_line: None })
    }

    fn killed(line: &str) -> Input {
        Input::Exited(Exit { code: None, signal: Some(11), last_line: Some(line.into()) })
    }

    fn ready() -> Life {
        let mut life = Life::new();
        assert_eq!(life.apply(Input::Loading { done: 1, total: 2 }), []);
        assert_eq!(life.apply(Input::Warming), []);
        assert_eq!(life.apply(Input::Ready), []);
        life
    }

    fn pause(actions: &[Action]) -> Duration {
        match actions {
            [Action::Pause(pause)] => *pause,
            other => panic!("expected a pause, got {other:?}"),
        }
    }

    #[test]
    fn a_job_goes_through() {
        let mut life = ready();
        life.apply(Input::Given(3));
        assert_eq!(life.apply(Input::Step { job: 3, step: 2, of: 8 }), []);
        assert_eq!(life.told(), WorkerState::Busy { job: 3, step: 2, of: 8 });
        assert_eq!(life.apply(Input::Ended { job: 3, drawn: true }), []);
        assert_eq!(*life.state(), State::Ready);
    }

    #[test]
    fn a_death_while_drawing_loses_the_job_and_starts_anew() {
        let mut life = ready();
        life.apply(Input::Given(3));
        let actions = life.apply(killed("illegal address"));
        let reason = "the worker was ended by SIGSEGV: illegal address".to_owned();
        assert_eq!(
            actions,
            [
                Action::LoseJob { job: 3, reason: reason.clone() },
                Action::Pause(Duration::from_millis(500))
            ]
        );
        assert_eq!(life.told(), WorkerState::Restarting { in_ms: 500, reason });
        assert_eq!(life.apply(Input::PauseOver), [Action::Spawn]);
        assert_eq!(*life.state(), State::Starting);
        assert_eq!(life.restarts(), 1);
    }

    #[test]
    fn pauses_double_to_a_minute_and_a_drawn_job_resets_them() {
        let mut life = Life::new();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            pauses.push(pause(&life.apply(exit(1))).as_millis());
            life.apply(Input::PauseOver);
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
        life.apply(Input::Ready);
        life.apply(Input::Given(1));
        life.apply(Input::Ended { job: 1, drawn: true });
        assert_eq!(pause(&life.apply(exit(1))), FIRST_PAUSE);
    }

    #[test]
    fn a_wrong_configuration_ends_the_attempts() {
        let failure = Failure::new(Kind::Config, "no weights in /models");
        let mut life = Life::new();
        assert_eq!(life.apply(Input::Fatal(failure.clone())), []);
        assert_eq!(life.apply(exit(78)), [Action::RefuseAll(failure.clone())]);
        assert_eq!(*life.state(), State::Failed(failure));
        assert_eq!(life.apply(Input::PauseOver), []);
    }

    #[test]
    fn exit_78_alone_is_a_wrong_configuration_with_the_last_line_as_reason() {
        let mut life = Life::new();
        let actions = life.apply(Input::Exited(Exit {
            code: Some(78),
            signal: None,
            last_line: Some("no such folder".into()),
        }));
        assert_eq!(actions, [Action::RefuseAll(Failure::new(Kind::Config, "no such folder"))]);
    }

    #[test]
    fn another_fatal_reason_is_told_and_tried_again() {
        let mut life = Life::new();
        life.apply(Input::Fatal(Failure::new(Kind::Internal, "no memory on cuda:0")));
        assert_eq!(pause(&life.apply(exit(70))), FIRST_PAUSE);
        assert_eq!(life.last_error(), Some("no memory on cuda:0"));
    }

    #[test]
    fn a_process_that_cannot_start_is_judged_by_its_kind() {
        let mut life = Life::new();
        let failure = Failure::new(Kind::Config, "there is no worker");
        assert_eq!(life.apply(Input::NotStarted(failure.clone())), [Action::RefuseAll(failure)]);

        let mut life = Life::new();
        let failure = Failure::new(Kind::Internal, "no memory for a process");
        assert_eq!(pause(&life.apply(Input::NotStarted(failure))), FIRST_PAUSE);
    }

    #[test]
    fn nonsense_ends_the_process_and_its_job() {
        for nonsense in [
            Input::Nonsense("a frame of kind 9".into()),
            Input::Ready,
            Input::Warming,
            Input::Loading { done: 0, total: 1 },
            Input::Step { job: 4, step: 1, of: 8 },
            Input::Ended { job: 4, drawn: true },
        ] {
            let mut life = ready();
            life.apply(Input::Given(3));
            assert_eq!(life.apply(nonsense.clone()), [Action::Kill], "{nonsense:?}");
            assert_eq!(life.apply(nonsense), [], "said once more while it ends");
            let actions = life.apply(exit(0));
            assert!(matches!(
                &actions[..],
                [Action::LoseJob { job: 3, reason }, Action::Pause(_)]
                    if reason.starts_with("the worker broke the protocol: ")
            ));
        }
    }

    #[test]
    fn a_stopping_daemon_starts_nothing() {
        let mut life = ready();
        life.apply(Input::Given(3));
        assert_eq!(life.apply(Input::Stop), []);
        assert_eq!(life.told(), WorkerState::Draining);
        assert!(matches!(&life.apply(killed("x"))[..], [Action::LoseJob { job: 3, .. }]));
        assert_eq!(*life.state(), State::Gone);

        let mut pausing = Life::new();
        pausing.apply(exit(1));
        pausing.apply(Input::Stop);
        assert_eq!(pausing.apply(Input::PauseOver), []);
        assert_eq!(*pausing.state(), State::Gone);
    }
}
