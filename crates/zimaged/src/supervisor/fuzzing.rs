//! A worker that is nothing but a string of bytes, and what comes of it: for `fuzzing.rs`.

use std::io;

use bytes::BytesMut;
use tokio::runtime::Builder;
use tokio_util::codec::Decoder;
use zimage_checkpoint::ModelLocation;
use zimg_protocol::messages::{Generate, Params, Places, Priority, Request};
use zimg_protocol::{Failure, Frame, Kind};

use super::{FromClient, Supervisor, SupervisorConfig};
use crate::jobs::detached::Retention;
use crate::outbox::Outbox;
use crate::timeouts::Timeouts;
use crate::workers::exit::Exit;
use crate::workers::lifecycle::state::Input;
use crate::workers::link::{FromWorker, Link, frames_of_worker, understand};
use crate::workers::retained_weights::RetainedWeights;

/// See `fuzzing::run_worker_bytes`.
pub(crate) fn conversation(bytes: &[u8]) -> io::Result<[Vec<Frame>; 2]> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let none = || Failure::new(Kind::Config, "there is no other worker");
    let mut supervisor = Supervisor::new(SupervisorConfig {
        config: None,
        model: ModelLocation::BuiltIn,
        plan: Err(none()),
        places: Places::default(),
        idle_unload: None,
        timeouts: Timeouts::default(),
        folder: Err(none()),
        terms: Retention::default(),
        weights: RetainedWeights::default(),
    })?;
    runtime.block_on(supervisor.open_store());
    supervisor.store.numbers.come(Some(1..100));
    let (link, _commands) = Link::to_nobody();
    supervisor.worker.link = Some(link);

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
        supervisor.client(FromClient::Joined { id, uid, outbox: outbox.clone() });
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
            Err(error) => FromWorker::Nonsense(error.to_string()),
        };
        let over = matches!(said, FromWorker::Nonsense(_));
        supervisor.heard(said);
        supervisor.settle();
        if over {
            return;
        }
    }
}

/// The worker dies, and there is no other.
fn end(supervisor: &mut Supervisor) {
    supervisor.heard(FromWorker::Exited(Exit::default()));
    supervisor.happened(Input::TimeUp);
    supervisor.settle();
}
