//! The state of a daemon: its answers to the questions about itself.

use zimg_client::{Client, Failure, Overview, PlannedMemory, Setup, Status, WorkerId, WorkerPlan};

/// The answers.
#[derive(Debug)]
pub(crate) struct DaemonState {
    pub(crate) overview: Overview,
    pub(crate) setup: Setup,
    /// Of the workers that have one.
    pub(crate) plans: Vec<WorkerPlan>,
}

impl DaemonState {
    /// Asks all questions.
    ///
    /// # Errors
    ///
    /// The connection fails.
    pub(crate) fn ask(client: &mut Client) -> Result<Self, Failure> {
        Ok(Self {
            overview: client.overview()?,
            setup: client.setup()?,
            plans: client.memory_plans()?,
        })
    }

    /// A worker's memory plan.
    pub(crate) fn plan_of(&self, worker: WorkerId) -> Option<&PlannedMemory> {
        self.plans.iter().find(|plan| plan.worker == worker).map(|plan| &plan.plan)
    }

    /// The part of the overview that `zimg status` shows first.
    pub(crate) fn status(&self) -> &Status {
        &self.overview.status
    }
}
