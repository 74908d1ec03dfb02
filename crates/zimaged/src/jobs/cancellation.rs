//! Jobs that are cancelled, refused or left because the daemon ends.

use zimage_ipc::Command;
use zimg_protocol::Failure;
use zimg_protocol::messages::{Event, JobId};

use super::effect::Effect;
use super::job::{Job, cancelled};
use super::refusal::Refusal;
use super::state::{JobPhase, Stop};
use super::{JobTable, ROOT};
use crate::outbox::ClientId;
use crate::workers::link::CommandPayload;

impl JobTable {
    /// Cancels a job of this user, or any for root. A detached job that has ended is deleted.
    pub(crate) fn cancel_own(&mut self, client: ClientId, uid: u32, id: JobId) -> Vec<Effect> {
        let own = self.get(id).filter(|job| job.owner.uid == uid || uid == ROOT);
        match own.map(|job| job.phase.has_ended()) {
            Some(true) => self.delete(client, id),
            Some(false) => {
                let mut effects = self.cancel(id);
                effects.push(Effect::Tell(client, Event::Acknowledged));
                effects
            }
            None => {
                let refusal = match uid {
                    ROOT => Refusal::NoUnfinishedJob(id),
                    _ => Refusal::NoOwnUnfinishedJob(id),
                };
                vec![Effect::Tell(client, Event::Failed(refusal.into()))]
            }
        }
    }

    /// Cancels a job: at the next step while it runs, else at once.
    pub(crate) fn cancel(&mut self, id: JobId) -> Vec<Effect> {
        match self.get(id).map(|job| &job.phase) {
            None | Some(JobPhase::Done { .. } | JobPhase::Failed { .. }) => Vec::new(),
            Some(JobPhase::Running(_)) => self.stop_run(id).into_iter().collect(),
            Some(JobPhase::Accepting(client)) => {
                let client = *client;
                let mut effects = self.end(id, Err(cancelled()));
                effects.push(Effect::Tell(client, Event::Failed(cancelled())));
                effects
            }
            Some(_) => self.end(id, Err(cancelled())),
        }
    }

    /// A connection is closed: its job ends with it.
    pub(crate) fn client_left(&mut self, client: ClientId) -> Vec<Effect> {
        self.of_client(client).map_or_else(Vec::new, |id| self.cancel(id))
    }

    /// Asks the worker of a running job to end it, once.
    pub(super) fn stop_run(&mut self, id: JobId) -> Option<Effect> {
        let run = self.run_mut(id).filter(|run| !run.is_cancelled())?;
        run.stop = Stop::Cancel { after_preempt: run.is_pausing() };
        let command = Box::new(Command::Cancel { job: id });
        Some(Effect::Command(run.worker, command, CommandPayload::default()))
    }

    /// No worker can run: attached jobs that wait fail, detached ones wait on.
    pub(crate) fn refuse_waiting(&mut self, failure: &Failure) -> Vec<Effect> {
        let waiting = self.queue.positions().into_iter().map(|(id, _)| id);
        let attached = |id: &JobId| self.get(*id).is_some_and(|job| !job.is_detached());
        let attached: Vec<_> = waiting.filter(attached).collect();
        attached.into_iter().flat_map(|id| self.end(id, Err(failure.clone()))).collect()
    }

    /// The daemon ends: attached jobs that wait are refused, those that run may finish; detached
    /// ones stay in the store for the next daemon.
    pub(crate) fn shut_down(&mut self) -> Vec<Effect> {
        let effects = self.refuse_waiting(&Refusal::ShuttingDown.into());
        for id in self.running_where(Job::is_detached) {
            self.enter(id, JobPhase::Waiting);
        }
        effects
    }

    /// The running jobs had their time.
    pub(crate) fn give_up(&mut self) -> Vec<Effect> {
        let running = self.running_where(|_| true);
        let end = |id| self.end(id, Err(Refusal::ShuttingDown.into()));
        running.into_iter().flat_map(end).collect()
    }

    fn running_where(&self, filter: impl Fn(&Job) -> bool) -> Vec<JobId> {
        let running = self.queue.running().filter_map(|(_, id)| self.get(id));
        running.filter(|job| filter(job)).map(|job| job.id).collect()
    }
}
