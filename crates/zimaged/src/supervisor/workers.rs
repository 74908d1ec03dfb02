//! The worker's life as the supervisor leads it: starting, handing out jobs, judging deaths.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use zimg_protocol::messages::{Command, DeviceMemory, JobId, ModelInfo, Weights};
use zimg_protocol::{Failure, Kind};

use super::{Supervisor, shutting_down};
use crate::jobs::job::Lost;
use crate::workers::exit::Fault;
use crate::workers::lifecycle::state::{Action, Input, State};
use crate::workers::link::{FromWorker, Link};
use crate::workers::process::StartOptions;
use crate::workers::retained_weights::RetainedWeights;

/// The present worker, and what it has said about itself.
#[derive(Debug)]
pub(super) struct Worker {
    pub link: Option<Link>,
    to_supervisor: mpsc::Sender<FromWorker>,
    /// When it was started.
    pub started: Instant,
    /// When it began its warm-up.
    pub warming: Option<Instant>,
    pub model: Option<ModelInfo>,
    pub load_s: Option<f32>,
    pub weights: Option<Weights>,
    pub memory: Option<DeviceMemory>,
    /// Weights that outlive it.
    pub kept: RetainedWeights,
}

impl Worker {
    /// None yet.
    pub(super) fn new(
        to_supervisor: mpsc::Sender<FromWorker>,
        kept: RetainedWeights,
        now: Instant,
    ) -> Self {
        Self {
            link: None,
            to_supervisor,
            started: now,
            warming: None,
            model: None,
            load_s: None,
            weights: None,
            memory: None,
            kept,
        }
    }

    /// It is gone, and what it said with it. What the model is stays true of the next one, which
    /// gets its weights.
    pub(super) fn forget(&mut self) {
        self.kept.ended();
        self.link = None;
        self.warming = None;
        self.load_s = None;
        self.weights = None;
        self.memory = None;
    }
}

impl Supervisor {
    pub(super) fn spawn(&mut self) {
        self.worker.started = Instant::now();
        let start = self.start();
        let plan = self.config.plan.as_ref().map_err(Clone::clone);
        match plan.and_then(|plan| Ok(plan.spawn(start)?)) {
            Ok((child, socket)) => match socket
                .set_nonblocking(true)
                .and_then(|()| tokio::net::UnixStream::from_std(socket))
            {
                Ok(socket) => {
                    let to_supervisor = self.worker.to_supervisor.clone();
                    self.worker.link = Some(Link::new(child, socket, to_supervisor));
                }
                Err(error) => {
                    let failure = Failure::new(Kind::Internal, format!("no socket: {error}"));
                    self.happened(Input::NotStarted(failure));
                }
            },
            Err(failure) => self.happened(Input::NotStarted(failure)),
        }
    }

    /// What a new worker finds: the weights that are kept, and what somebody waits for who was told
    /// already that it was ready.
    fn start(&mut self) -> StartOptions {
        let weights = self.worker.kept.open();
        if let Err(error) = &weights {
            tracing::warn!("the worker does not get the kept weights: {error}");
        }
        let awaited = self.worker.model.as_ref().and_then(|model| {
            let next = self.queue.order().first().and_then(|job| self.jobs.get(job))?;
            next.shape(Some(model)).map(|shape| (shape.width, shape.height))
        });
        StartOptions { weights: weights.ok(), awaited }
    }

    /// A ready worker gets the next job; one that draws a job in no hurry makes room for one that
    /// is; one that sleeps is woken.
    pub(super) fn hand_out(&mut self) {
        match self.life.state() {
            State::Ready => {
                let job = self.queue.start_next().inspect(|job| self.one_model(*job));
                if let Some(job) = job
                    && let (Some(next), Some(link)) = (self.jobs.get_mut(&job), &self.worker.link)
                {
                    let (command, latents) = next.begin();
                    link.command_with(command, latents);
                    self.happened(Input::Given(job));
                }
            }
            State::Busy { .. } => {
                if let Some(job) = self.queue.overtaken()
                    && let (Some(running), Some(link)) =
                        (self.jobs.get_mut(&job), &self.worker.link)
                    && !running.pausing
                    && !running.cancelled
                {
                    running.pausing = true;
                    link.command(Command::Pause { job });
                }
            }
            State::Asleep | State::Draining if self.queue.len() > 0 => self.happened(Input::Wake),
            _ => {}
        }
    }

    /// Applies what happened to the worker's life and does what that asks for.
    pub(super) fn happened(&mut self, input: Input) {
        for action in self.life.apply(input, Instant::now()) {
            match action {
                Action::Spawn => self.spawn(),
                Action::Close => {
                    if let Some(link) = &mut self.worker.link {
                        link.close();
                    }
                }
                Action::Kill => {
                    if let Some(link) = &self.worker.link {
                        link.kill();
                    }
                }
                Action::BackOff { pause, reason } => {
                    let pause_s = pause.as_secs_f32();
                    tracing::warn!(pause_s, "{reason}; it is started again");
                }
                Action::LoseJob { job, fault, reason } => self.lose(job, fault, reason),
                Action::RefuseAll(failure) => {
                    match &failure.hint {
                        Some(hint) => tracing::error!("cannot draw: {failure}; {hint}"),
                        None => tracing::error!("cannot draw: {failure}"),
                    }
                    self.refuse_waiting(&failure);
                }
            }
        }
        if let State::Asleep | State::Failed(_) = self.life.state() {
            // The device is for others.
            self.worker.kept.forget();
        }
        self.answer_sleepers();
    }

    /// The worker died, and the job that it was drawing goes on with the next one, or ends.
    fn lose(&mut self, job: JobId, fault: Fault, reason: String) {
        let Some(lost) = self.jobs.get_mut(&job) else { return };
        match lost.lost(fault, reason) {
            Lost::Complete(timings) => self.end(job, Ok(timings)),
            Lost::Ends(failure) => self.end(job, Err(failure)),
            Lost::GoesOn if self.stop_by.is_some() => self.end(job, Err(shutting_down())),
            Lost::GoesOn => self.queue.put_back(),
        }
    }

    /// How long these jobs will take one after the other, if that can be said.
    pub(super) fn time_for(&self, jobs: &[JobId]) -> Option<Duration> {
        let serves = matches!(self.life.state(), State::Ready | State::Busy { .. });
        let model = self.worker.model.as_ref().filter(|_| serves)?;
        let mut sum = Duration::ZERO;
        for job in jobs {
            sum += self.jobs.get(job)?.left(Some(model), &self.estimates)?;
        }
        Some(sum)
    }
}
