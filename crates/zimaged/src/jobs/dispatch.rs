//! Jobs get workers, make room for interactive ones, and lose workers that die.

use zimage_ipc::Command;
use zimg_protocol::Failure;
use zimg_protocol::messages::{JobId, ModelInfo};

use super::JobTable;
use super::effect::Effect;
use super::job::{Job, cancelled};
use super::refusal::Refusal;
use super::state::{JobPhase, Run, Stop};
use crate::workers::WorkerId;
use crate::workers::exit::Fault;
use crate::workers::lifecycle::state::WorkerInput;
use crate::workers::link::CommandPayload;

impl JobTable {
    /// A ready worker gets the next job, if one waits.
    pub(crate) fn dispatch(&mut self, worker: WorkerId, model: Option<&ModelInfo>) -> Vec<Effect> {
        let can_begin = |id| self.jobs.get(&id).is_some_and(|job: &Job| job.inputs.are_here());
        let Some(id) = self.queue.next_for(worker, can_begin) else { return Vec::new() };
        let mut effects = self.use_one_model(id, model);
        let Some(job) = self.jobs.get_mut(&id) else { return effects };
        let was_preempted = matches!(job.phase, JobPhase::Preempted);
        let (command, payload) = job.begin();
        self.enter(id, JobPhase::Running(Run::new(worker, was_preempted)));
        effects.push(Effect::Command(worker, Box::new(command), payload));
        effects.push(Effect::Worker(worker, WorkerInput::Given(id)));
        effects
    }

    /// Batch jobs on busy workers are asked to pause, one for each interactive job that waits.
    pub(crate) fn preempt(&mut self, is_busy: impl Fn(WorkerId) -> bool) -> Vec<Effect> {
        let mut effects = Vec::new();
        let can_begin = |id| self.jobs.get(&id).is_some_and(|job: &Job| job.inputs.are_here());
        for job in self.queue.preemptible(can_begin) {
            if let Some(run) = self.run_mut(job)
                && run.stop == Stop::None
                && is_busy(run.worker)
            {
                run.stop = Stop::Preempt;
                let command = Box::new(Command::Pause { job });
                effects.push(Effect::Command(run.worker, command, CommandPayload::default()));
            }
        }
        effects
    }

    /// The worker has paused its job: an interactive one goes first, and then it is the next.
    pub(super) fn paused(&mut self, id: JobId) -> Vec<Effect> {
        let Some(run) = self.run_mut(id).copied() else { return Vec::new() };
        if !run.is_pausing() {
            let what = "it paused without being asked".into();
            return vec![Effect::Worker(run.worker, WorkerInput::Violation(what))];
        }
        self.counts.counters.preempted += 1;
        self.enter(id, JobPhase::Preempted);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.announced = None;
        }
        let mut effects = vec![Effect::Worker(run.worker, WorkerInput::Ended(id))];
        if run.is_cancelled() {
            effects.extend(self.end(id, Err(cancelled())));
        }
        effects
    }

    /// A worker died under its job, which goes on with the next one, or ends.
    pub(crate) fn worker_lost(
        &mut self,
        worker: WorkerId,
        id: JobId,
        fault: Fault,
        reason: String,
        shutting_down: bool,
    ) -> Vec<Effect> {
        let Some(job) = self.jobs.get_mut(&id) else { return Vec::new() };
        let JobPhase::Running(run) = job.phase else { return Vec::new() };
        if run.worker != worker {
            return Vec::new();
        }
        let result = if job.progress.is_complete() {
            Ok(job.progress.point().timings)
        } else if run.is_cancelled() {
            Err(cancelled())
        } else {
            match job.attempts.lost_worker(fault, run.began, reason) {
                Err(exhausted) => Err(Failure::from(exhausted)),
                Ok(()) if shutting_down => Err(Refusal::ShuttingDown.into()),
                Ok(()) => {
                    job.announced = None;
                    let preempted = run.was_preempted;
                    let phase = if preempted { JobPhase::Preempted } else { JobPhase::Waiting };
                    self.enter(id, phase);
                    return Vec::new();
                }
            }
        };
        self.end(id, result)
    }

    /// The job's time with its worker, if it has one.
    pub(super) fn run_mut(&mut self, id: JobId) -> Option<&mut Run> {
        match &mut self.jobs.get_mut(&id)?.phase {
            JobPhase::Running(run) => Some(run),
            _ => None,
        }
    }
}
