//! What the job table knows of the store: whether it is open, and what is wrong with the disk.

use zimg_protocol::Failure;

use super::refusal::Refusal;

/// The store, as its answers have shown it.
#[derive(Debug, Default)]
pub(crate) struct StoreStatus {
    /// Whether it is open; not known at first.
    open: Option<bool>,
    /// What is wrong with the disk now.
    trouble: Option<Failure>,
    /// What became of jobs that were stored before.
    lost: Option<Failure>,
}

impl StoreStatus {
    /// Whether the store has been opened, or could not be.
    pub(super) fn is_known(&self) -> bool {
        self.open.is_some()
    }

    /// Whether jobs can be stored.
    pub(super) fn is_open(&self) -> bool {
        self.open == Some(true)
    }

    /// The store is open; what was damaged is lost.
    pub(super) fn opened(&mut self, lost: Option<Failure>) {
        (self.open, self.trouble) = (Some(true), None);
        self.lost = lost.or_else(|| self.lost.take());
    }

    /// It cannot be opened: whether that is news.
    pub(super) fn closed(&mut self, failure: Failure) -> bool {
        self.trouble = Some(failure);
        self.open.replace(false) != Some(false)
    }

    /// The disk did not do what it was asked for.
    pub(super) fn failed(&mut self, failure: Failure) {
        self.trouble = Some(failure);
    }

    /// The disk does everything again.
    pub(super) fn recovered(&mut self) {
        self.trouble = None;
    }

    /// Why no detached job can be accepted, or looked up, now.
    pub(super) fn why_closed(&self) -> Refusal {
        self.trouble.clone().map_or(Refusal::StoreOpening, Refusal::Failed)
    }

    /// Why there is no id for a detached job.
    pub(super) fn why_no_id(&self) -> Refusal {
        self.trouble.clone().map_or(Refusal::NoJobId, Refusal::Failed)
    }

    /// What a user is told about the state of the disk.
    pub(super) fn trouble(&self) -> Option<Failure> {
        self.trouble.clone().or_else(|| self.lost.clone())
    }
}
