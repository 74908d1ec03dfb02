//! What the daemon says about itself, and what it counts for that.

use std::path::Path;
use std::time::Instant;

use zimg_protocol::messages::{
    Counters, JobId, Overview, Priority, Setup, Status, Timings, WorkerId, WorkerStatus,
};
use zimg_protocol::{Failure, Kind};

use super::Supervisor;
use crate::scheduler::queue::Ticket;

/// What happened since the daemon started.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Jobs answered with `Done`.
    pub done: u64,
    /// Jobs answered with `Failed` or `Busy`.
    pub failed: u64,
    pub counters: Counters,
}

impl Tally {
    /// A job has its answer.
    pub(super) fn ended(&mut self, result: &Result<Timings, Failure>) {
        match result {
            Ok(_) => self.done += 1,
            Err(failure) => {
                self.failed += 1;
                self.counters.cancelled += u64::from(failure.kind == Kind::Cancelled);
            }
        }
    }

    /// A step was drawn.
    pub(super) fn stepped(&mut self, ms: f32) {
        self.counters.steps += 1;
        self.counters.step_seconds += f64::from(ms) / 1e3;
    }
}

impl Supervisor {
    /// The daemon on one screen.
    pub(super) fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            workers: vec![self.worker_status()],
            queued: count(self.queue.len()),
            done: self.tally.done,
            failed: self.tally.failed,
        }
    }

    fn worker_status(&self) -> WorkerStatus {
        let link = self.worker.link.as_ref();
        WorkerStatus {
            worker: WorkerId(0),
            state: self.life.told(Instant::now()),
            pid: link.and_then(|link| link.pid),
            restarts: self.life.restarts(),
            model: self.worker.model.clone(),
            load_s: self.worker.load_s,
            age_s: link.map(|_| self.worker.started.elapsed().as_secs()),
            weights: self.worker.weights,
            memory: self.worker.memory,
            last_error: self.life.last_error().map(str::to_owned),
        }
    }

    /// The daemon in full, for a user who may want to draw.
    pub(super) fn overview(&self, uid: u32) -> Overview {
        let next = Ticket { job: JobId::MAX, uid, priority: Priority::Interactive };
        let wait = self.time_for(&self.queue.before(next));
        Overview {
            status: self.status(),
            places: self.config.places,
            unfinished: count(self.queue.unfinished()),
            connections: count(self.clients.len()),
            kept: count(self.store.finished()),
            wait_ms: wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            counters: self.tally.counters,
            keeping: self.store.trouble(),
        }
    }

    /// Where it has its things.
    pub(super) fn setup(&self) -> Setup {
        let shown = |path: &Path| path.display().to_string();
        Setup {
            config: self.config.config.as_deref().map(shown),
            model: self.config.model.to_string(),
            state_dir: self.config.folder.as_deref().ok().map(shown),
        }
    }
}

fn count(things: usize) -> u32 {
    u32::try_from(things).unwrap_or(u32::MAX)
}
