//! A supervisor whose worker is a string of bytes: for `crate::fuzzing`.

use std::io;

use bytes::BytesMut;
use tokio::runtime::Builder;
use tokio_util::codec::Decoder;
use zimage_checkpoint::ModelLocation;
use zimg_protocol::messages::{DaemonLimits, Generate, Params, Priority, Request};
use zimg_protocol::{Failure, Frame, Kind};

use super::{FromClient, Supervisor, SupervisorConfig};
use crate::outbox::Outbox;
use crate::owner::Peer;
use crate::retention::Retention;
use crate::store::StoreEvent;
use crate::timeouts::Timeouts;
use crate::workers::WorkerId;
use crate::workers::exit::Exit;
use crate::workers::lifecycle::state::WorkerInput;
use crate::workers::link::{FromWorker, Link, frames_of_worker, understand};

/// The only worker.
const WORKER: WorkerId = WorkerId(0);

/// See `fuzzing::run_worker_bytes`.
pub(crate) fn conversation(bytes: &[u8]) -> io::Result<[Vec<Frame>; 2]> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let none = || Failure::new(Kind::Config, "there is no other worker");
    let mut supervisor = Supervisor::new(SupervisorConfig {
        config: None,
        model: ModelLocation::BuiltIn,
        workers: vec![Err(none())],
        limits: DaemonLimits::default(),
        trusted_group: None,
        idle_unload: None,
        timeouts: Timeouts::default(),
        folder: Err(none()),
        retention: Retention::default(),
        weights: Vec::new(),
    })?;
    runtime.block_on(supervisor.open_store());
    supervisor.store_event(StoreEvent::IdsReserved(Ok(1..100)));
    let (link, _commands) = Link::without_process();
    if let Some(slot) = supervisor.workers.get_mut(WORKER) {
        slot.link_to(link);
    }

    let clients = [(0, Priority::Interactive), (1, Priority::Batch)].map(|(id, priority)| {
        let size = Some(64);
        let draw = Params {
            width: size,
            height: size,
            steps: Some(4),
            count: Some(2),
            ..Params::new("a fox")
        };
        let submit = Generate {
            params: draw,
            priority,
            detach: false,
            previews: id == 0,
            ..Generate::default()
        };
        let (uid, outbox) = (1000, Outbox::default());
        supervisor.client(FromClient::Joined {
            id,
            peer: Peer { uid, gid: uid },
            outbox: outbox.clone(),
        });
        supervisor.client(FromClient::Asked { id, request: Request::Generate(submit) });
        outbox
    });
    hear(&mut supervisor, bytes);
    end(&mut supervisor);
    Ok(clients.map(|outbox| {
        outbox.close();
        let mut told = Vec::new();
        while let Ok(Some(frame)) = runtime.block_on(outbox.next()) {
            told.push(frame);
        }
        told
    }))
}

/// As the link hears a worker: to the first thing that makes no sense.
fn hear(supervisor: &mut Supervisor, bytes: &[u8]) {
    let mut bytes = BytesMut::from(bytes);
    let mut codec = frames_of_worker();
    loop {
        let said = match codec.decode(&mut bytes) {
            Ok(Some(body)) => understand(body.freeze()),
            Ok(None) => return,
            Err(error) => FromWorker::Violation(error.to_string()),
        };
        let over = matches!(said, FromWorker::Violation(_));
        supervisor.worker_message(WORKER, said);
        supervisor.dispatch();
        if over {
            return;
        }
    }
}

/// The worker dies, and there is no other.
fn end(supervisor: &mut Supervisor) {
    supervisor.worker_message(WORKER, FromWorker::Exited(Exit::default()));
    supervisor.happened(WORKER, WorkerInput::TimeUp);
    supervisor.dispatch();
}
