//! The worker's life as one value and one transition function, without processes or clocks.
//!
//! `Lifecycle::apply` takes what happened, and when, and answers what must be done; the supervisor does
//! it. `Lifecycle::deadline` says when to come back with `Input::TimeUp` if nothing happens. A job that
//! loses its worker is handed back (`Action::LoseJob`) and not judged here.

pub(crate) mod state;

use std::time::{Duration, Instant};

use zimg_protocol::error::{Failure, Kind};
use zimg_protocol::messages::{JobId, WorkerState};

use self::state::{Action, Input, Killed, State};
use super::exit::{Exit, Fault};
use crate::timeouts::Timeouts;

/// After so many starts in a row that came to nothing jobs are refused instead of kept waiting.
const LOADS_MAX: u32 = 5;
/// A pause is up to this much longer or shorter than its share.
const JITTER: f64 = 0.2;

/// The worker's state and what must be remembered to judge the next death.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    state: State,
    /// The last progress in this state, from which its deadline counts.
    since: Instant,
    timeouts: Timeouts,
    /// It is ended when nothing was to do for so long.
    idle: Option<Duration>,
    random: fastrand::Rng,
    /// Since when the present process has been ready.
    ready: Option<Instant>,
    /// Deaths since an image was drawn.
    deaths: u32,
    /// Processes in a row that were never ready.
    failed_loads: u32,
    /// What the worker called its own cause of death.
    fatal: Option<Failure>,
    /// It is to sleep as soon as it has nothing to do.
    sleepy: bool,
    stopping: bool,
    last_error: Option<String>,
    restarts: u32,
}

impl Lifecycle {
    /// A worker that is about to be started (the caller performs the first `Spawn`). The seed is
    /// of the pauses' jitter.
    pub(crate) fn new(timeouts: Timeouts, idle: Option<Duration>, seed: u64, now: Instant) -> Self {
        Self {
            state: State::Spawning,
            since: now,
            timeouts,
            idle,
            random: fastrand::Rng::with_seed(seed),
            ready: None,
            deaths: 0,
            failed_loads: 0,
            fatal: None,
            sleepy: false,
            stopping: false,
            last_error: None,
            restarts: 0,
        }
    }

    /// The present state.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// How often a process was started after one had died.
    pub(crate) fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Why the last process ended or could not go on, one sentence.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// The job whose reports count.
    pub(crate) fn job(&self) -> Option<JobId> {
        match &self.state {
            State::Busy { job, .. } => Some(*job),
            State::Reaping(killed) if killed.trusted => killed.job,
            _ => None,
        }
    }

    /// When `Input::TimeUp` is due, given how long a step of the present job may be expected to
    /// take.
    pub(crate) fn deadline(&self, step: Option<Duration>) -> Option<Instant> {
        let timeouts = &self.timeouts;
        let time = match &self.state {
            State::Spawning => timeouts.spawn,
            State::Loading { .. } => timeouts.load,
            State::Warming => timeouts.warmup,
            State::Ready => self.idle?,
            State::Busy { .. } => timeouts.for_step(step),
            State::Draining => timeouts.exit,
            State::BackingOff { pause, .. } => *pause,
            // What is wrong may pass: a driver comes late, another program leaves the GPU.
            State::Failed(failure) if failure.kind != Kind::Config => timeouts.backoff_max,
            State::Reaping(_) | State::Failed(_) | State::Asleep | State::Gone => return None,
        };
        self.since.checked_add(time)
    }

    /// Whether a killed process does not go away.
    pub(crate) fn is_stuck(&self, now: Instant) -> bool {
        matches!(self.state, State::Reaping(_))
            && now.saturating_duration_since(self.since) > self.timeouts.reap
    }

    /// Nobody can be blamed for time in which the daemon itself did not run: the deadline counts
    /// from now.
    pub(crate) fn excuse(&mut self, now: Instant) {
        self.since = now;
    }

    /// The state as clients are told.
    pub(crate) fn told(&self, now: Instant) -> WorkerState {
        match &self.state {
            State::Spawning => WorkerState::Starting,
            State::Loading { done, total } => WorkerState::Loading { done: *done, total: *total },
            State::Warming => WorkerState::Warming,
            State::Ready => WorkerState::Ready,
            State::Busy { .. } if self.stopping => WorkerState::Draining,
            State::Busy { job, step, of } => WorkerState::Busy { job: *job, step: *step, of: *of },
            State::Reaping(Killed { reason, .. }) => {
                WorkerState::Restarting { in_ms: 0, reason: reason.clone() }
            }
            State::BackingOff { pause, reason } => {
                let left = pause.saturating_sub(now.saturating_duration_since(self.since));
                let in_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
                WorkerState::Restarting { in_ms, reason: reason.clone() }
            }
            State::Failed(failure) => WorkerState::Failed(failure.clone()),
            State::Draining | State::Asleep => WorkerState::Asleep,
            State::Gone => WorkerState::Draining,
        }
    }

    /// The transition function: what happened → the next state and what must be done.
    pub(crate) fn apply(&mut self, input: Input, now: Instant) -> Vec<Action> {
        match input {
            Input::Loading { done, total } => match self.state {
                State::Loading { done: before, .. } if done <= before => {
                    self.state = State::Loading { done, total };
                    Vec::new()
                }
                State::Spawning | State::Loading { .. } => {
                    self.to(State::Loading { done, total }, now)
                }
                _ => self.unexpected("it loads again", now),
            },
            Input::Warming => match self.state {
                State::Spawning | State::Loading { .. } | State::Warming => {
                    self.to(State::Warming, now)
                }
                _ => self.unexpected("it warms up again", now),
            },
            Input::Ready => match self.state {
                State::Spawning | State::Loading { .. } | State::Warming => {
                    self.ready = Some(now);
                    self.failed_loads = 0;
                    self.nothing_to_do(now)
                }
                _ => self.unexpected("it is ready again", now),
            },
            Input::Given(job) => {
                debug_assert_eq!(self.state, State::Ready, "only a ready worker is given a job");
                self.to(State::Busy { job, step: 0, of: 0 }, now)
            }
            Input::Step { job, step, of } => match &self.state {
                State::Busy { job: present, .. } if *present == job => {
                    self.to(State::Busy { job, step, of }, now)
                }
                State::Reaping(killed) if killed.job == Some(job) => Vec::new(),
                _ => self.unexpected("it draws a job that it was not given", now),
            },
            Input::Alive => {
                if matches!(self.state, State::Busy { .. }) {
                    self.since = now;
                }
                Vec::new()
            }
            Input::Drawn => {
                self.deaths = 0;
                Vec::new()
            }
            Input::Ended(job) => match &mut self.state {
                State::Busy { job: present, .. } if *present == job => self.nothing_to_do(now),
                State::Reaping(killed) if killed.job == Some(job) => {
                    killed.job = None;
                    Vec::new()
                }
                _ => self.unexpected("it ended a job that it was not given", now),
            },
            Input::Fatal(failure) => {
                self.last_error = Some(failure.message.clone());
                self.fatal = Some(failure);
                Vec::new()
            }
            Input::Nonsense(what) => self.unexpected(&what, now),
            Input::NotStarted(failure) => {
                let config = failure.kind == Kind::Config;
                self.dead(failure.message.clone(), None, config.then_some(failure), now)
            }
            Input::Exited(exit) => self.exited(exit, now),
            Input::TimeUp => self.time_up(now),
            Input::Sleep => match self.state {
                State::Ready | State::Spawning | State::Loading { .. } | State::Warming => {
                    self.lie_down(now)
                }
                State::Busy { .. } | State::Reaping(_) => {
                    self.sleepy = true;
                    Vec::new()
                }
                State::BackingOff { .. } => self.to(State::Asleep, now),
                State::Draining | State::Failed(_) | State::Asleep | State::Gone => Vec::new(),
            },
            Input::Wake => {
                self.sleepy = false;
                match self.state {
                    State::Asleep => self.spawn(now),
                    State::BackingOff { .. } => self.spawn_again(now),
                    State::Failed(_) => {
                        self.deaths = 0;
                        self.failed_loads = 0;
                        self.spawn_again(now)
                    }
                    _ => Vec::new(),
                }
            }
            Input::Stop => {
                self.stopping = true;
                match self.state {
                    State::BackingOff { .. } | State::Failed(_) | State::Asleep => {
                        self.to(State::Gone, now)
                    }
                    _ => Vec::new(),
                }
            }
        }
    }

    fn to(&mut self, state: State, now: Instant) -> Vec<Action> {
        self.state = state;
        self.since = now;
        Vec::new()
    }

    fn spawn(&mut self, now: Instant) -> Vec<Action> {
        self.to(State::Spawning, now);
        vec![Action::Spawn]
    }

    fn spawn_again(&mut self, now: Instant) -> Vec<Action> {
        self.restarts = self.restarts.saturating_add(1);
        self.spawn(now)
    }

    fn nothing_to_do(&mut self, now: Instant) -> Vec<Action> {
        if self.sleepy {
            return self.lie_down(now);
        }
        self.to(State::Ready, now)
    }

    fn lie_down(&mut self, now: Instant) -> Vec<Action> {
        self.sleepy = true;
        self.to(State::Draining, now);
        vec![Action::Close]
    }

    fn kill(&mut self, reason: String, trusted: bool, now: Instant) -> Vec<Action> {
        let job = self.job();
        self.to(State::Reaping(Killed { job, reason, trusted }), now);
        vec![Action::Kill]
    }

    /// The worker broke the protocol: it cannot be trusted with another job.
    fn unexpected(&mut self, what: &str, now: Instant) -> Vec<Action> {
        match &mut self.state {
            // It was told to go, or is gone: what it still says counts for nothing.
            State::Reaping(killed) => {
                killed.trusted = false;
                Vec::new()
            }
            State::Draining
            | State::BackingOff { .. }
            | State::Failed(_)
            | State::Asleep
            | State::Gone => Vec::new(),
            _ => self.kill(format!("the worker broke the protocol: {what}"), false, now),
        }
    }

    fn time_up(&mut self, now: Instant) -> Vec<Action> {
        let seconds = now.saturating_duration_since(self.since).as_secs();
        let doing = match &self.state {
            State::Spawning => "starting",
            State::Loading { .. } => "loading",
            State::Warming => "warming up",
            State::Busy { .. } => "drawing",
            State::Ready => return self.lie_down(now),
            State::BackingOff { .. } | State::Failed(_) => return self.spawn_again(now),
            State::Draining => {
                return self.kill("the worker did not go to sleep".to_owned(), true, now);
            }
            State::Reaping(_) | State::Asleep | State::Gone => return Vec::new(),
        };
        self.kill(format!("the worker hung while {doing}, for {seconds} s"), true, now)
    }

    fn exited(&mut self, exit: Exit, now: Instant) -> Vec<Action> {
        let fatal = self.fatal.take();
        let (reason, fault) = match (&fatal, &self.state) {
            (Some(failure), _) => (failure.message.clone(), Fault::Own),
            (None, State::Reaping(killed)) => (exit.with_stderr(&killed.reason), Fault::Own),
            (None, _) => (exit.sentence(), exit.fault()),
        };
        let config = match fatal {
            Some(failure) if failure.kind == Kind::Config => Some(failure),
            None if exit.is_config() => {
                let message = exit.stderr_tail.unwrap_or_else(|| {
                    "the worker refused its configuration and did not say why".into()
                });
                Some(Failure::new(Kind::Config, message))
            }
            _ => None,
        };
        if matches!(self.state, State::Draining) && !self.stopping {
            self.ready = None;
            // Somebody may have woken it while it went.
            return if std::mem::take(&mut self.sleepy) {
                self.to(State::Asleep, now)
            } else {
                self.spawn(now)
            };
        }
        self.dead(reason, Some(fault), config, now)
    }

    /// The process is gone: for good if the configuration is wrong or nothing ever comes of it,
    /// else for a while.
    fn dead(
        &mut self,
        reason: String,
        fault: Option<Fault>,
        config: Option<Failure>,
        now: Instant,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        let held = match &self.state {
            State::Busy { job, .. } => Some(*job),
            State::Reaping(killed) => killed.job,
            _ => None,
        };
        if let (Some(job), Some(fault)) = (held, fault) {
            actions.push(Action::LoseJob { job, fault, reason: reason.clone() });
        }
        let ready = self.ready.take();
        if self.stopping {
            self.to(State::Gone, now);
            return actions;
        }
        self.last_error = Some(reason.clone());
        match ready {
            Some(since) if now.saturating_duration_since(since) >= self.timeouts.stable => {
                self.deaths = 0;
            }
            Some(_) => {}
            None => self.failed_loads = self.failed_loads.saturating_add(1),
        }
        let given_up = config.or_else(|| {
            (self.failed_loads >= LOADS_MAX).then(|| {
                let message =
                    format!("the worker did not get ready {LOADS_MAX} times in a row; {reason}");
                Failure::new(Kind::Internal, message).hint(
                    "it is tried again every minute, and at once by `zimg wake`; the daemon's \
                         log may say more",
                )
            })
        });
        if let Some(failure) = given_up {
            self.to(State::Failed(failure.clone()), now);
            actions.push(Action::RefuseAll(failure));
        } else if std::mem::take(&mut self.sleepy) {
            self.to(State::Asleep, now);
        } else {
            let pause = self.pause();
            self.deaths = self.deaths.saturating_add(1);
            self.to(State::BackingOff { pause, reason: reason.clone() }, now);
            actions.push(Action::BackOff { pause, reason });
        }
        actions
    }

    /// None after a first death, then longer and longer, and never quite the same.
    fn pause(&mut self) -> Duration {
        let Some(doublings) = self.deaths.checked_sub(1) else { return Duration::ZERO };
        let pause = self.timeouts.backoff.saturating_mul(1 << doublings.min(16));
        let jitter = 1.0 + JITTER * (2.0 * self.random.f64() - 1.0);
        pause.min(self.timeouts.backoff_max).mul_f64(jitter)
    }
}

#[cfg(test)]
mod tests;
