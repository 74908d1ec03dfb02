//! The lifecycle of a worker: a state machine with one transition function, without processes or
//! clocks.
//!
//! `Lifecycle::apply` takes an input and its time, and returns the actions that the supervisor
//! performs. `Lifecycle::deadline` says when `WorkerInput::TimeUp` is due if nothing happens. A job
//! that loses its worker is handed back (`WorkerAction::LoseJob`) and not judged here.

pub(crate) mod state;

use std::time::{Duration, Instant};

use zimg_protocol::error::{Failure, Kind};
use zimg_protocol::messages::{JobId, WorkerState};

use self::state::{Killed, WorkerAction, WorkerInput, WorkerPhase};
use super::exit::{Exit, Fault};
use crate::timeouts::Timeouts;

/// After so many failed starts in a row, jobs are refused instead of waiting.
const LOADS_MAX: u32 = 5;
/// So many processes in a row may ask for a smaller memory plan; each plan is smaller by a block or
/// more, so a sound worker never asks more often.
const REPLANS_MAX: u32 = 64;
/// A back-off is longer or shorter by up to this part of itself.
const JITTER: f64 = 0.2;

/// The worker's phase, and what the judgement of its next exit depends on.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    phase: WorkerPhase,
    /// The last progress in this phase, from which its deadline counts.
    since: Instant,
    timeouts: Timeouts,
    /// An idle worker is ended after this time.
    idle: Option<Duration>,
    random: fastrand::Rng,
    /// When the present process became ready.
    ready: Option<Instant>,
    /// Exits since an image was complete.
    deaths: u32,
    /// Processes in a row that were never ready.
    failed_loads: u32,
    /// The failure that the worker reported before its exit.
    fatal: Option<Failure>,
    /// Why the present process ends for a smaller memory plan.
    replan: Option<String>,
    /// Processes that did so since an image was complete.
    replans: u32,
    /// It ends as soon as it has nothing to do.
    sleepy: bool,
    stopping: bool,
    last_error: Option<String>,
    restarts: u32,
}

impl Lifecycle {
    /// A worker that is about to be started (the caller performs the first `Spawn`). The seed is
    /// that of the back-off's jitter.
    pub(crate) fn new(timeouts: Timeouts, idle: Option<Duration>, seed: u64, now: Instant) -> Self {
        Self {
            phase: WorkerPhase::Spawning,
            since: now,
            timeouts,
            idle,
            random: fastrand::Rng::with_seed(seed),
            ready: None,
            deaths: 0,
            failed_loads: 0,
            fatal: None,
            replan: None,
            replans: 0,
            sleepy: false,
            stopping: false,
            last_error: None,
            restarts: 0,
        }
    }

    /// The present phase.
    pub(crate) fn phase(&self) -> &WorkerPhase {
        &self.phase
    }

    /// How often a process was started after another had failed.
    pub(crate) fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Why the last process ended or could not go on, one sentence.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// The job whose reports count.
    pub(crate) fn job(&self) -> Option<JobId> {
        match &self.phase {
            WorkerPhase::Busy { job, .. } => Some(*job),
            WorkerPhase::Reaping(killed) if killed.trusted => killed.job,
            _ => None,
        }
    }

    /// When `WorkerInput::TimeUp` is due, given the estimated time of a step of the present job.
    pub(crate) fn deadline(&self, step: Option<Duration>) -> Option<Instant> {
        let timeouts = &self.timeouts;
        let time = match &self.phase {
            WorkerPhase::Spawning => timeouts.spawn,
            WorkerPhase::Loading { .. } => timeouts.load,
            WorkerPhase::Warming => timeouts.warmup,
            WorkerPhase::Ready => self.idle?,
            WorkerPhase::Busy { .. } => timeouts.for_step(step),
            WorkerPhase::Draining => timeouts.exit,
            WorkerPhase::BackingOff { pause, .. } => *pause,
            // The cause may go away: a driver is loaded late, another program leaves the GPU.
            WorkerPhase::Failed(failure) if failure.kind != Kind::Config => timeouts.backoff_max,
            WorkerPhase::Reaping(_)
            | WorkerPhase::Failed(_)
            | WorkerPhase::Asleep
            | WorkerPhase::Gone => return None,
        };
        self.since.checked_add(time)
    }

    /// Whether a killed process does not go away.
    pub(crate) fn is_stuck(&self, now: Instant) -> bool {
        matches!(self.phase, WorkerPhase::Reaping(_))
            && now.saturating_duration_since(self.since) > self.timeouts.reap
    }

    /// The daemon itself did not run for a while: the deadline counts from now.
    pub(crate) fn excuse(&mut self, now: Instant) {
        self.since = now;
    }

    /// The state as clients are told.
    pub(crate) fn shown(&self, now: Instant) -> WorkerState {
        match &self.phase {
            WorkerPhase::Spawning => WorkerState::Starting,
            WorkerPhase::Loading { done, total } => {
                WorkerState::Loading { done: *done, total: *total }
            }
            WorkerPhase::Warming => WorkerState::Warming,
            WorkerPhase::Ready => WorkerState::Ready,
            WorkerPhase::Busy { .. } if self.stopping => WorkerState::Draining,
            WorkerPhase::Busy { job, step, of } => {
                WorkerState::Busy { job: *job, step: *step, of: *of }
            }
            WorkerPhase::Reaping(Killed { reason, .. }) => {
                WorkerState::Restarting { in_ms: 0, reason: reason.clone() }
            }
            WorkerPhase::BackingOff { pause, reason } => {
                let left = pause.saturating_sub(now.saturating_duration_since(self.since));
                let in_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
                WorkerState::Restarting { in_ms, reason: reason.clone() }
            }
            WorkerPhase::Failed(failure) => WorkerState::Failed(failure.clone()),
            WorkerPhase::Draining | WorkerPhase::Asleep => WorkerState::Asleep,
            WorkerPhase::Gone => WorkerState::Draining,
        }
    }

    /// The transition function: an input leads to the next phase and to actions.
    pub(crate) fn apply(&mut self, input: WorkerInput, now: Instant) -> Vec<WorkerAction> {
        match input {
            WorkerInput::Loading { done, total } => match self.phase {
                WorkerPhase::Loading { done: before, .. } if done <= before => {
                    self.phase = WorkerPhase::Loading { done, total };
                    Vec::new()
                }
                WorkerPhase::Spawning | WorkerPhase::Loading { .. } => {
                    self.to(WorkerPhase::Loading { done, total }, now)
                }
                _ => self.unexpected("it loads again", now),
            },
            WorkerInput::Warming => match self.phase {
                WorkerPhase::Spawning | WorkerPhase::Loading { .. } | WorkerPhase::Warming => {
                    self.to(WorkerPhase::Warming, now)
                }
                _ => self.unexpected("it warms up again", now),
            },
            WorkerInput::Ready => match self.phase {
                WorkerPhase::Spawning | WorkerPhase::Loading { .. } | WorkerPhase::Warming => {
                    self.ready = Some(now);
                    self.failed_loads = 0;
                    self.nothing_to_do(now)
                }
                _ => self.unexpected("it is ready again", now),
            },
            WorkerInput::Given(job) => {
                debug_assert_eq!(
                    self.phase,
                    WorkerPhase::Ready,
                    "only a ready worker is given a job"
                );
                self.to(WorkerPhase::Busy { job, step: 0, of: 0 }, now)
            }
            WorkerInput::Step { job, step, of } => match &self.phase {
                WorkerPhase::Busy { job: present, .. } if *present == job => {
                    self.to(WorkerPhase::Busy { job, step, of }, now)
                }
                WorkerPhase::Reaping(killed) if killed.job == Some(job) => Vec::new(),
                _ => self.unexpected("it reports about a job that it was not given", now),
            },
            WorkerInput::Alive => {
                if matches!(self.phase, WorkerPhase::Busy { .. }) {
                    self.since = now;
                }
                Vec::new()
            }
            WorkerInput::ImageComplete => {
                self.deaths = 0;
                self.replans = 0;
                Vec::new()
            }
            WorkerInput::Ended(job) => match &mut self.phase {
                WorkerPhase::Busy { job: present, .. } if *present == job => {
                    self.nothing_to_do(now)
                }
                WorkerPhase::Reaping(killed) if killed.job == Some(job) => {
                    killed.job = None;
                    Vec::new()
                }
                _ => self.unexpected("it ended a job that it was not given", now),
            },
            WorkerInput::Fatal(failure) => {
                self.last_error = Some(failure.message.clone());
                self.fatal = Some(failure);
                Vec::new()
            }
            WorkerInput::Replan(reason) => {
                self.replan = Some(reason);
                Vec::new()
            }
            WorkerInput::Violation(what) => self.unexpected(&what, now),
            WorkerInput::NotStarted(failure) => {
                let config = failure.kind == Kind::Config;
                self.dead(failure.message.clone(), None, config.then_some(failure), None, now)
            }
            WorkerInput::Exited(exit) => self.exited(exit, now),
            WorkerInput::TimeUp => self.time_up(now),
            WorkerInput::Sleep => match self.phase {
                WorkerPhase::Ready
                | WorkerPhase::Spawning
                | WorkerPhase::Loading { .. }
                | WorkerPhase::Warming => self.lie_down(now),
                WorkerPhase::Busy { .. } | WorkerPhase::Reaping(_) => {
                    self.sleepy = true;
                    Vec::new()
                }
                WorkerPhase::BackingOff { .. } => self.to(WorkerPhase::Asleep, now),
                WorkerPhase::Draining
                | WorkerPhase::Failed(_)
                | WorkerPhase::Asleep
                | WorkerPhase::Gone => Vec::new(),
            },
            WorkerInput::Wake => {
                self.sleepy = false;
                match self.phase {
                    WorkerPhase::Asleep => self.spawn(now),
                    WorkerPhase::BackingOff { .. } => self.spawn_again(now),
                    WorkerPhase::Failed(_) => {
                        self.deaths = 0;
                        self.failed_loads = 0;
                        self.spawn_again(now)
                    }
                    _ => Vec::new(),
                }
            }
            WorkerInput::Stop => {
                self.stopping = true;
                match self.phase {
                    WorkerPhase::BackingOff { .. }
                    | WorkerPhase::Failed(_)
                    | WorkerPhase::Asleep => self.to(WorkerPhase::Gone, now),
                    _ => Vec::new(),
                }
            }
        }
    }

    fn to(&mut self, phase: WorkerPhase, now: Instant) -> Vec<WorkerAction> {
        self.phase = phase;
        self.since = now;
        Vec::new()
    }

    fn spawn(&mut self, now: Instant) -> Vec<WorkerAction> {
        self.to(WorkerPhase::Spawning, now);
        vec![WorkerAction::Spawn]
    }

    fn spawn_again(&mut self, now: Instant) -> Vec<WorkerAction> {
        self.restarts = self.restarts.saturating_add(1);
        self.spawn(now)
    }

    fn nothing_to_do(&mut self, now: Instant) -> Vec<WorkerAction> {
        if self.sleepy {
            return self.lie_down(now);
        }
        self.to(WorkerPhase::Ready, now)
    }

    fn lie_down(&mut self, now: Instant) -> Vec<WorkerAction> {
        self.sleepy = true;
        self.to(WorkerPhase::Draining, now);
        vec![WorkerAction::Close]
    }

    fn kill(&mut self, reason: String, trusted: bool, now: Instant) -> Vec<WorkerAction> {
        let job = self.job();
        self.to(WorkerPhase::Reaping(Killed { job, reason, trusted }), now);
        vec![WorkerAction::Kill]
    }

    /// The worker broke the protocol: it cannot be trusted with another job.
    fn unexpected(&mut self, what: &str, now: Instant) -> Vec<WorkerAction> {
        match &mut self.phase {
            // It was told to go, or is gone: what it still says counts for nothing.
            WorkerPhase::Reaping(killed) => {
                killed.trusted = false;
                Vec::new()
            }
            WorkerPhase::Draining
            | WorkerPhase::BackingOff { .. }
            | WorkerPhase::Failed(_)
            | WorkerPhase::Asleep
            | WorkerPhase::Gone => Vec::new(),
            _ => self.kill(format!("the worker broke the protocol: {what}"), false, now),
        }
    }

    fn time_up(&mut self, now: Instant) -> Vec<WorkerAction> {
        let seconds = now.saturating_duration_since(self.since).as_secs();
        let doing = match &self.phase {
            WorkerPhase::Spawning => "starting",
            WorkerPhase::Loading { .. } => "loading",
            WorkerPhase::Warming => "warming up",
            WorkerPhase::Busy { .. } => "generating",
            WorkerPhase::Ready => return self.lie_down(now),
            WorkerPhase::BackingOff { .. } | WorkerPhase::Failed(_) => {
                return self.spawn_again(now);
            }
            WorkerPhase::Draining => {
                return self.kill("the worker did not go to sleep".to_owned(), true, now);
            }
            WorkerPhase::Reaping(_) | WorkerPhase::Asleep | WorkerPhase::Gone => return Vec::new(),
        };
        self.kill(format!("the worker hung while {doing}, for {seconds} s"), true, now)
    }

    fn exited(&mut self, exit: Exit, now: Instant) -> Vec<WorkerAction> {
        let fatal = self.fatal.take();
        if let Some(reason) = self.replan.take()
            && let WorkerPhase::Spawning
            | WorkerPhase::Loading { .. }
            | WorkerPhase::Warming
            | WorkerPhase::Ready
            | WorkerPhase::Busy { .. } = self.phase
            && !self.stopping
            && !self.sleepy
            && self.replans < REPLANS_MAX
        {
            self.replans += 1;
            return self.replanned(reason, now);
        }
        let advice = exit.advice().filter(|_| fatal.is_none());
        let (reason, fault) = match (&fatal, &self.phase) {
            (Some(failure), _) => (failure.message.clone(), Fault::Own),
            (None, WorkerPhase::Reaping(killed)) => (exit.with_stderr(&killed.reason), Fault::Own),
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
        if matches!(self.phase, WorkerPhase::Draining) && !self.stopping {
            self.ready = None;
            // It may have been woken while it ended.
            return if std::mem::take(&mut self.sleepy) {
                self.to(WorkerPhase::Asleep, now)
            } else {
                self.spawn(now)
            };
        }
        self.dead(reason, Some(fault), config, advice, now)
    }

    /// The process is gone, and the next one makes a smaller plan: nothing failed.
    fn replanned(&mut self, reason: String, now: Instant) -> Vec<WorkerAction> {
        let mut actions = Vec::new();
        if let Some(job) = self.job() {
            actions.push(WorkerAction::LoseJob { job, fault: Fault::Replan, reason });
        }
        self.ready = None;
        actions.extend(self.spawn_again(now));
        actions
    }

    /// The process is gone: for good if the configuration is wrong or nothing ever comes of it,
    /// else for a while.
    fn dead(
        &mut self,
        reason: String,
        fault: Option<Fault>,
        config: Option<Failure>,
        advice: Option<&str>,
        now: Instant,
    ) -> Vec<WorkerAction> {
        let mut actions = Vec::new();
        let held = match &self.phase {
            WorkerPhase::Busy { job, .. } => Some(*job),
            WorkerPhase::Reaping(killed) => killed.job,
            _ => None,
        };
        if let (Some(job), Some(fault)) = (held, fault) {
            actions.push(WorkerAction::LoseJob { job, fault, reason: reason.clone() });
        }
        let ready = self.ready.take();
        if self.stopping {
            self.to(WorkerPhase::Gone, now);
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
                Failure::new(Kind::Internal, message).hint(format!(
                    "{}; it is tried again every minute, and at once by `zimg wake`",
                    advice.unwrap_or("the daemon's log may say more")
                ))
            })
        });
        if let Some(failure) = given_up {
            self.to(WorkerPhase::Failed(failure.clone()), now);
            actions.push(WorkerAction::RefuseAll(failure));
        } else if std::mem::take(&mut self.sleepy) {
            self.to(WorkerPhase::Asleep, now);
        } else {
            let pause = self.pause();
            self.deaths = self.deaths.saturating_add(1);
            self.to(WorkerPhase::BackingOff { pause, reason: reason.clone() }, now);
            actions.push(WorkerAction::BackOff { pause, reason });
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
