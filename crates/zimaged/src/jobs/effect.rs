//! What the job table asks the supervisor to do.

use bytes::Bytes;
use zimage_ipc::Command;
use zimg_protocol::Failure;
use zimg_protocol::messages::{Event, JobId};

use crate::outbox::ClientId;
use crate::store::StoreRequest;
use crate::workers::WorkerId;
use crate::workers::lifecycle::state::WorkerInput;
use crate::workers::link::CommandPayload;

/// One thing to do, in the order of a transition's list.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Tells a client, if it is still connected.
    Tell(ClientId, Event),
    /// A client's answer comes later: its connection is not idle.
    Expect(ClientId),
    /// A client has its whole answer.
    Answered(ClientId),
    /// Hands pixels to a client.
    Pixels(ClientId, Bytes),
    /// Tells the subscribers of a detached job.
    Publish(JobId, Event),
    /// Ends the subscriptions to a detached job, which goes on.
    Unsubscribe(JobId, Failure),
    /// Sends a command, and what follows it, to a worker.
    Command(WorkerId, Box<Command>, CommandPayload),
    /// Something happened to a worker.
    Worker(WorkerId, WorkerInput),
    /// Sends a request to the store.
    Store(StoreRequest),
    /// A job was accepted that pending requests to sleep did not know of.
    ModelNeeded,
}
