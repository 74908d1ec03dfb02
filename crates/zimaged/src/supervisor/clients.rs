//! The connections: whose each is, and what waits to be written to it.

use std::collections::HashMap;

use bytes::Bytes;
use zimg_protocol::Failure;
use zimg_protocol::messages::Event;

use crate::outbox::{ClientId, Outbox};
use crate::owner::Peer;

/// Bytes of pixels that wait for one client; a client that lets more gather is disconnected. Eight
/// images of 1024², two of 2048².
const PIXELS_PER_CLIENT: usize = 26 << 20;
/// The same for all clients together; the one with the most is disconnected.
const PIXELS_IN_ALL: usize = 32 << 20;

/// Open connections.
#[derive(Debug, Default)]
pub(super) struct Clients(HashMap<ClientId, Client>);

#[derive(Debug)]
struct Client {
    peer: Peer,
    outbox: Outbox,
}

impl Clients {
    pub(super) fn join(&mut self, id: ClientId, peer: Peer, outbox: Outbox) {
        self.0.insert(id, Client { peer, outbox });
    }

    pub(super) fn leave(&mut self, id: ClientId) {
        self.0.remove(&id);
    }

    /// The process at the other end of a connection, if it is open.
    pub(super) fn peer(&self, id: ClientId) -> Option<Peer> {
        self.0.get(&id).map(|client| client.peer)
    }

    /// Its user id.
    pub(super) fn uid(&self, id: ClientId) -> Option<u32> {
        self.peer(id).map(|peer| peer.uid)
    }

    /// What is written to a connection, if it is open.
    pub(super) fn outbox(&self, id: ClientId) -> Option<&Outbox> {
        self.0.get(&id).map(|client| &client.outbox)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn tell(&self, id: ClientId, event: Event) {
        if let Some(outbox) = self.outbox(id) {
            outbox.event(event);
        }
    }

    /// The connection is not idle: an answer will come.
    pub(super) fn expect_answer(&self, id: ClientId) {
        if let Some(outbox) = self.outbox(id) {
            outbox.expect_answer();
        }
    }

    /// The connection has its whole answer.
    pub(super) fn answered(&self, id: ClientId) {
        if let Some(outbox) = self.outbox(id) {
            outbox.answered();
        }
    }

    /// Ends a connection that breaks the rules, with a sentence.
    pub(super) fn refuse(&self, id: ClientId, failure: &Failure) {
        if let Some(outbox) = self.outbox(id) {
            outbox.error(failure);
        }
    }

    /// Pixels for a client, or the end of the client that lets too many gather.
    pub(super) fn pixels(&self, id: ClientId, chunk: Bytes) {
        let Some(outbox) = self.outbox(id) else { return };
        outbox.pixels(chunk);
        if outbox.pixel_bytes() > PIXELS_PER_CLIENT {
            outbox.disconnect();
        }
        let waiting = || self.0.values().map(|client| client.outbox.pixel_bytes());
        if waiting().sum::<usize>() > PIXELS_IN_ALL
            && let Some(most) = self.0.values().max_by_key(|client| client.outbox.pixel_bytes())
        {
            most.outbox.disconnect();
        }
    }

    /// Connections end when all that they were promised is written.
    pub(super) fn close(&self) {
        self.0.values().for_each(|client| client.outbox.close());
    }
}
