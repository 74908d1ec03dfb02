//! A pull: the download of all files of a plan, in parallel.

use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::download::Download;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::hub::Hub;
use crate::plan::{Plan, PlannedFile};
use crate::stop::Stop;

/// Files at a time: huggingface_hub's number.
const PARALLEL: usize = 8;

/// Brings all files of a plan into the cache. The events go to `events`; dropping the receiver does
/// not stop the pull, setting `stop` does.
///
/// # Errors
/// The first failure; the other downloads are stopped, and continue in the next pull.
pub fn pull(hub: &Hub, plan: &Plan, stop: &Stop, events: &Sender<Event>) -> Result<()> {
    let is_missing = |file: &&PlannedFile| {
        !plan.cache.is_complete(&plan.commit, &file.path, (&file.hash, file.bytes))
    };
    let missing: Vec<_> = plan.files.iter().filter(is_missing).collect();
    for file in plan.files.iter().filter(|file| !is_missing(file)) {
        let _ = events.send(Event::Start { file: file.index, bytes: file.bytes });
        let _ = events.send(Event::Finished { file: file.index });
    }
    // A whole cache may be read-only.
    if !missing.is_empty() {
        plan.cache.prepare()?;
    }
    let waiting = Mutex::new(missing.iter());
    let failure = Mutex::new(None);
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = |events: Sender<Event>| {
        let report = |event| _ = events.send(event);
        while let Some(file) = next() {
            let (repository, commit, cache) = (&plan.repository, &plan.commit, &plan.cache);
            let report: &dyn Fn(Event) = &report;
            let done = Download { hub, repository, commit, cache, file, stop, report }.run();
            if let Err(error) = done {
                stop.set();
                let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                // What stopped the others is the failure, not that they were stopped.
                if first.is_none() || matches!(*first, Some(Error::Stopped)) {
                    *first = Some(error);
                }
                return;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..PARALLEL.min(missing.len()) {
            let events = events.clone();
            scope.spawn(move || work(events));
        }
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        // Last, so that a program which follows the ref finds all files.
        None => plan.cache.set_ref(&plan.revision, &plan.commit),
    }
}
