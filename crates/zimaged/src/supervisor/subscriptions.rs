//! Subscriptions to detached jobs: subscribers hear what happens to a job, and get its images from
//! the store. The job does not depend on them.

use std::collections::HashMap;

use tokio::task::AbortHandle;
use zimg_protocol::messages::JobId;

use crate::outbox::ClientId;

/// The subscription of each client that has one.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(HashMap<ClientId, Subscription>);

/// A client gets a job's images.
#[derive(Debug)]
struct Subscription {
    job: JobId,
    /// The task that sends them.
    feed: AbortHandle,
}

/// A subscription that is over sends nothing more.
impl Drop for Subscription {
    fn drop(&mut self) {
        self.feed.abort();
    }
}

impl Subscriptions {
    pub(super) fn insert(&mut self, client: ClientId, job: JobId, feed: AbortHandle) {
        self.0.insert(client, Subscription { job, feed });
    }

    /// The job that a client waits for.
    pub(super) fn of(&self, client: ClientId) -> Option<JobId> {
        self.0.get(&client).map(|subscription| subscription.job)
    }

    /// Ends a client's subscription: the job, if there was one.
    pub(super) fn remove(&mut self, client: ClientId) -> Option<JobId> {
        self.0.remove(&client).map(|subscription| subscription.job)
    }

    /// The subscribers of a job.
    pub(super) fn to(&self, job: JobId) -> impl Iterator<Item = ClientId> {
        let subscribed = self.0.iter().filter(move |(_, subscription)| subscription.job == job);
        subscribed.map(|(client, _)| *client)
    }

    /// Ends the subscriptions to a job.
    pub(super) fn end(&mut self, job: JobId) -> Vec<ClientId> {
        let subscribed = self.0.extract_if(|_, subscription| subscription.job == job);
        subscribed.map(|(client, _)| client).collect()
    }

    /// Ends all subscriptions.
    pub(super) fn end_all(&mut self) -> Vec<ClientId> {
        self.0.drain().map(|(client, _)| client).collect()
    }
}
