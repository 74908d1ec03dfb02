//! Messages of workers, routed to their slot and to the job table.

use zimage_ipc::Report;
use zimg_protocol::messages::JobId;

use super::Supervisor;
use crate::workers::WorkerId;
use crate::workers::lifecycle::state::WorkerInput;
use crate::workers::link::FromWorker;

impl Supervisor {
    pub(super) fn worker_message(&mut self, worker: WorkerId, message: FromWorker) {
        match message {
            FromWorker::Report(report) => self.report(worker, report),
            FromWorker::Pixels(chunk) => {
                if let Some(job) = self.reported_job(worker) {
                    let effects = self.jobs.pixels(worker, job, chunk);
                    self.perform(effects);
                }
            }
            FromWorker::Latents(chunk) => {
                if let Some(job) = self.reported_job(worker) {
                    let effects = self.jobs.latents(worker, job, &chunk);
                    self.perform(effects);
                }
            }
            FromWorker::Violation(what) => self.happened(worker, WorkerInput::Violation(what)),
            FromWorker::Exited(exit) => {
                if let Some(slot) = self.workers.get_mut(worker) {
                    slot.exited();
                }
                self.happened(worker, WorkerInput::Exited(exit));
                self.lora_worker_left();
            }
        }
    }

    fn report(&mut self, worker: WorkerId, report: Report) {
        let Some(slot) = self.workers.get_mut(worker) else { return };
        match report {
            Report::Loading { done, total } => {
                self.happened(worker, WorkerInput::Loading { done, total });
            }
            Report::Warming => {
                slot.warming();
                self.happened(worker, WorkerInput::Warming);
            }
            Report::Weights(weights) => slot.weights = Some(weights),
            Report::Memory(memory) => slot.memory = Some(memory),
            Report::Planned { plan, basis } => slot.planned(plan, basis),
            Report::Replan { basis, reason } => {
                slot.replan(basis, &reason);
                self.happened(worker, WorkerInput::Replan(reason));
            }
            Report::Ready(model) => {
                if let Some(took) = slot.ready(model.clone()) {
                    self.jobs.warmed_up(worker, &model, took);
                }
                self.happened(worker, WorkerInput::Ready);
            }
            Report::Loras(loras) => self.loras_listed(*loras),
            Report::Fatal(failure) => self.happened(worker, WorkerInput::Fatal(failure)),
            Report::Started { job, .. }
            | Report::Step { job, .. }
            | Report::Decoding { job, .. }
            | Report::Image { job, .. }
            | Report::Done { job, .. }
            | Report::Failed { job, .. }
            | Report::Latents { job, .. }
            | Report::Paused { job }
            | Report::Preview { job, .. } => {
                if slot.lifecycle.job() == Some(job) {
                    let effects = self.jobs.report(worker, job, report);
                    self.perform(effects);
                } else {
                    let what = "it speaks of a job that it has not".into();
                    self.happened(worker, WorkerInput::Violation(what));
                }
            }
        }
    }

    /// The job whose pixels and latents a worker may send.
    fn reported_job(&mut self, worker: WorkerId) -> Option<JobId> {
        let job = self.workers.get(worker).and_then(|slot| slot.lifecycle.job());
        if job.is_none() {
            let what = "pixels without a job".into();
            self.happened(worker, WorkerInput::Violation(what));
        }
        job
    }
}
