//! `Request::Status`, `Request::Overview`, `Request::Setup` and `Request::MemoryPlans`: what the daemon
//! says about itself.

use std::path::Path;

use zimg_protocol::messages::{Counters, Event, Overview, Setup, Status};

use crate::log;
use crate::outbox::ClientId;
use crate::supervisor::Supervisor;
use crate::workers::slot::WorkerSlot;

impl Supervisor {
    pub(super) fn tell_status(&self, id: ClientId) {
        self.clients.tell(id, Event::Status(Box::new(self.status())));
    }

    pub(super) fn tell_overview(&self, id: ClientId, uid: u32) {
        self.clients.tell(id, Event::Overview(Box::new(self.overview(uid))));
    }

    pub(super) fn tell_setup(&self, id: ClientId) {
        let shown = |path: &Path| path.display().to_string();
        let setup = Setup {
            config: self.config.config.as_deref().map(shown),
            model: self.config.model.to_string(),
            state_dir: self.config.folder.as_deref().ok().map(shown),
        };
        self.clients.tell(id, Event::Setup(Box::new(setup)));
    }

    pub(super) fn tell_memory_plans(&self, id: ClientId) {
        let plans = self.workers.iter().filter_map(WorkerSlot::memory_plan).collect();
        self.clients.tell(id, Event::MemoryPlans(plans));
    }

    /// The daemon on one screen.
    fn status(&self) -> Status {
        let counts = self.jobs.counts();
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            queued: count(self.jobs.waiting()),
            done: counts.done,
            failed: counts.failed,
            workers: self.workers.iter().map(WorkerSlot::status).collect(),
        }
    }

    /// The daemon in full, for a user who may submit a job.
    fn overview(&self, uid: u32) -> Overview {
        let wait = self.jobs.wait_for(uid, &self.workers.serving());
        Overview {
            status: self.status(),
            limits: self.config.limits,
            unfinished: count(self.jobs.unfinished()),
            connections: count(self.clients.len()),
            detached: count(self.jobs.retained()),
            wait_ms: wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            counters: Counters { log_lines_lost: log::lines_lost(), ..self.jobs.counts().counters },
            store_failure: self.jobs.store_trouble(),
        }
    }
}

fn count(things: usize) -> u32 {
    u32::try_from(things).unwrap_or(u32::MAX)
}
