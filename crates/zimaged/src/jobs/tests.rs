//! The job table as a table: in each phase, where each input leads and what must be done, without
//! processes, sockets or a disk.

mod inputs;

use bytes::Bytes;
use zimage_ipc::{Command, Report};
use zimg_protocol::Kind;
use zimg_protocol::messages::{Generate, ImageInfo, Params, Priority, Started, WorkerState};

use super::*;
use crate::store::{JobRecord, StoreContents, StoreEvent, StoredImage};
use crate::workers::exit::Fault;
use crate::workers::lifecycle::state::WorkerInput;

const FIRST: WorkerId = WorkerId(0);
const SECOND: WorkerId = WorkerId(1);
const CLIENT: ClientId = 9;
const ANN: u32 = 1000;
const BYTES: usize = 3 * 64 * 64;

/// A table whose store is open and empty.
fn table() -> JobTable {
    let limits = QueueLimits { total: 64, per_user: 8 };
    let mut table = JobTable::new(limits, Retention::default());
    let contents = StoreContents { numbers: 1..1000, ..StoreContents::default() };
    assert!(table.store_event(StoreEvent::Opened(Ok(contents)), None).is_empty());
    table
}

fn submit(priority: Priority, detach: bool) -> Generate {
    let params =
        Params { width: Some(64), height: Some(64), count: Some(2), ..Params::new("a secret") };
    Generate { params, priority, detach, ..Generate::default() }
}

fn model(name: &str) -> ModelInfo {
    ModelInfo { name: name.into(), ..ModelInfo::default() }
}

fn image(index: u32) -> ImageInfo {
    ImageInfo { index, seed: index.into(), width: 64, height: 64, bytes: BYTES as u64 }
}

fn stored(index: u32) -> StoreEvent {
    let result = Ok(StoredImage { image: image(index), crc: 0 });
    StoreEvent::ImageStored { job: 1, bytes: BYTES as u64, result }
}

fn full() -> Failure {
    Failure::new(Kind::Io, "the disk is full")
}

/// Worker `FIRST` generates the next image of job 1.
fn generate(table: &mut JobTable, index: u32) -> Vec<Effect> {
    let started = Started { model: model("m"), width: 64, height: 64, steps: 8, guidance: 0.0 };
    table.report(FIRST, 1, Report::Started { job: 1, started });
    table.report(FIRST, 1, Report::Image { job: 1, image: image(index) });
    table.pixels(FIRST, 1, Bytes::from_static(&[7; BYTES]))
}

fn done() -> Report {
    Report::Done { job: 1, timings: Timings::default() }
}

/// Job 1, attached or detached, in the phase of this name.
fn reach(phase: &str, detach: bool) -> JobTable {
    let mut table = table();
    table.submit(CLIENT, ANN, submit(Priority::Batch, detach), None, &[]);
    if phase == "Accepting" {
        return table;
    }
    if detach {
        table.store_event(StoreEvent::Accepted { job: 1, result: Ok(()) }, None);
    }
    if phase == "Waiting" {
        return table;
    }
    table.dispatch(FIRST, Some(&model("m")));
    match phase {
        "Running" => {}
        "Pausing" | "Preempted" => {
            table.run_mut(1).unwrap().stop = state::Stop::Preempt;
            if phase == "Preempted" {
                table.report(FIRST, 1, Report::Paused { job: 1 });
            }
        }
        "Cancelled" => {
            table.cancel(1);
        }
        "Complete" => {
            generate(&mut table, 0);
            generate(&mut table, 1);
        }
        "Blocked" => {
            generate(&mut table, 0);
            let event =
                StoreEvent::ImageStored { job: 1, bytes: BYTES as u64, result: Err(full()) };
            table.store_event(event, None);
        }
        "Saving" | "Ending" | "Truncating" | "Done" => {
            generate(&mut table, 0);
            generate(&mut table, 1);
            table.report(FIRST, 1, done());
            if phase != "Saving" {
                table.store_event(stored(0), None);
                table.store_event(stored(1), None);
            }
            if phase == "Truncating" || phase == "Done" {
                table.store_event(StoreEvent::Ended { job: 1, result: Ok(()) }, None);
            }
            if phase == "Truncating" {
                table.store_event(StoreEvent::ImageDamaged { job: 1, image: 1 }, None);
            }
        }
        "Failed" => {
            let failure = Failure::new(Kind::Refused, "no");
            table.report(FIRST, 1, Report::Failed { job: 1, failure });
            table.store_event(StoreEvent::Ended { job: 1, result: Ok(()) }, None);
        }
        other => panic!("no way to {other}"),
    }
    table
}

/// The phase of job 1 by name; "gone" if it is not in the table.
fn name(table: &JobTable) -> String {
    let Some(job) = table.get(1) else { return "gone".into() };
    match &job.phase {
        JobPhase::Running(run) if run.is_cancelled() => "Cancelled".into(),
        JobPhase::Running(run) if run.is_pausing() => "Pausing".into(),
        JobPhase::Running(_) if job.progress.is_complete() => "Complete".into(),
        phase => format!("{phase:?}").split([' ', '(']).next().unwrap().to_owned(),
    }
}

/// The queue has the job exactly if its phase says so.
fn is_consistent(table: &JobTable) {
    let running: Vec<_> = table.queue.running().map(|(_, id)| id).collect();
    let waiting: Vec<_> = table.queue.positions().into_iter().map(|(id, _)| id).collect();
    for job in table.jobs.values() {
        let (runs, waits) = match &job.phase {
            JobPhase::Running(_) => (1, 0),
            JobPhase::Waiting | JobPhase::Preempted => (0, 1),
            _ => (0, 0),
        };
        let count = |ids: &[JobId]| ids.iter().filter(|id| **id == job.id).count();
        assert_eq!((count(&running), count(&waiting)), (runs, waits), "{:?}", job.phase);
    }
    assert!(running.iter().chain(&waiting).all(|id| table.get(*id).is_some()));
}

/// Something that happens to job 1.
type Happens = fn(&mut JobTable) -> Vec<Effect>;

fn lost(table: &mut JobTable) -> Vec<Effect> {
    table.worker_lost(FIRST, 1, Fault::Own, "ouch".into(), false)
}

/// Each input with the phases that it leads to, in the order of `from`; "=" stays.
fn check(detach: bool, from: &[&str], table: &[(&str, Happens, &str)]) {
    for (input, happens, expected) in table {
        assert_eq!(expected.split(' ').count(), from.len(), "{input}");
        for (from, to) in from.iter().zip(expected.split(' ')) {
            let mut table = reach(from, detach);
            assert_eq!(name(&table), *from);
            is_consistent(&table);
            happens(&mut table);
            let to = if to == "=" { from } else { to };
            assert_eq!(name(&table), to, "{from} + {input}");
            is_consistent(&table);
        }
    }
}

#[test]
fn attached_jobs() {
    check(
        false,
        &["Waiting", "Preempted", "Running", "Pausing", "Cancelled", "Complete"],
        &[
            ("dispatch", |t| t.dispatch(FIRST, None), "Running Running = = = ="),
            ("preempt", preempt, "= = Pausing = = Pausing"),
            ("paused", |t| t.report(FIRST, 1, Report::Paused { job: 1 }), "= = = Preempted = ="),
            ("lost", lost, "= = Waiting Waiting gone gone"),
            ("done", |t| t.report(FIRST, 1, done()), "= = = = = gone"),
            ("failed", failed, "= = gone gone gone gone"),
            ("cancel", |t| t.cancel(1), "gone gone Cancelled Cancelled = Cancelled"),
            ("client left", |t| t.client_left(CLIENT), "gone gone Cancelled Cancelled = Cancelled"),
            ("no worker", |t| t.refuse_waiting(&full()), "gone gone = = = ="),
            ("shut down", JobTable::shut_down, "gone gone = = = ="),
            ("give up", JobTable::give_up, "= = gone gone gone gone"),
            ("another's report", |t| t.report(SECOND, 1, done()), "= = = = = ="),
        ],
    );
}

/// An interactive job comes, and the worker is busy.
fn preempt(table: &mut JobTable) -> Vec<Effect> {
    table.submit(8, ANN, submit(Priority::Interactive, false), None, &[]);
    table.preempt(|worker| worker == FIRST)
}

fn failed(table: &mut JobTable) -> Vec<Effect> {
    table.report(FIRST, 1, Report::Failed { job: 1, failure: full() })
}

#[test]
fn detached_jobs() {
    fn event(table: &mut JobTable, event: StoreEvent) -> Vec<Effect> {
        table.store_event(event, None)
    }
    fn truncated(table: &mut JobTable) -> Vec<Effect> {
        let record = JobRecord::new(ANN, submit(Priority::Batch, true), 0);
        event(table, StoreEvent::Truncated { job: 1, result: Ok(record.into()) })
    }
    check(
        true,
        &[
            "Accepting",
            "Waiting",
            "Preempted",
            "Running",
            "Pausing",
            "Cancelled",
            "Complete",
            "Blocked",
            "Saving",
            "Ending",
            "Truncating",
            "Done",
            "Failed",
        ],
        &[
            (
                "accepted",
                |t| event(t, StoreEvent::Accepted { job: 1, result: Ok(()) }),
                "Waiting = = = = = = = = = = = =",
            ),
            (
                "not accepted",
                |t| event(t, StoreEvent::Accepted { job: 1, result: Err(full()) }),
                "gone = = = = = = = = = = = =",
            ),
            ("dispatch", |t| t.dispatch(FIRST, None), "= Running Running = = = = = = = = = ="),
            ("lost", lost, "= = = Waiting Waiting Failed Saving = = = = = ="),
            ("done", |t| t.report(FIRST, 1, done()), "= = = = = = Saving = = = = = ="),
            ("failed", failed, "= = = Ending Ending Ending Ending = = = = = ="),
            (
                "cancel",
                |t| t.cancel(1),
                "Failed Failed Failed Cancelled Cancelled = Cancelled Failed Failed Failed Failed = =",
            ),
            ("no worker", |t| t.refuse_waiting(&full()), "= = = = = = = = = = = = ="),
            ("shut down", JobTable::shut_down, "= = = Waiting Waiting Waiting Waiting = = = = = ="),
            (
                "the disk is full",
                |t| {
                    let (job, bytes) = (1, BYTES as u64);
                    event(t, StoreEvent::ImageStored { job, bytes, result: Err(full()) })
                },
                "= Blocked Blocked Blocked Blocked Blocked Blocked = Blocked = = = =",
            ),
            (
                "the disk has room",
                |t| event(t, StoreEvent::Probed { job: 1, result: Ok(()) }),
                "= = = = = = = Waiting = = = = =",
            ),
            (
                "end stored",
                |t| event(t, StoreEvent::Ended { job: 1, result: Ok(()) }),
                "= = = = = = = = = Done = = =",
            ),
            (
                "damaged",
                |t| event(t, StoreEvent::ImageDamaged { job: 1, image: 0 }),
                "= = = = = = = = = Truncating Truncating Truncating =",
            ),
            (
                "not truncated",
                |t| event(t, StoreEvent::Truncated { job: 1, result: Err(full()) }),
                "= = = = = = = = = = Failed = =",
            ),
            ("truncated", truncated, "= = = = = = = = = = Waiting = ="),
            (
                "deleted",
                |t| event(t, StoreEvent::Deleted { job: 1, result: Ok(()) }),
                "gone gone gone gone gone gone gone gone gone gone gone gone gone",
            ),
        ],
    );
}

#[test]
fn a_ready_worker_gets_the_job_and_its_client_hears_of_each_step() {
    let mut table = reach("Waiting", false);
    let effects = table.dispatch(SECOND, None);
    let [Effect::Command(SECOND, command, payload), Effect::Worker(SECOND, given)] = &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert!(
        matches!(**command, Command::Generate { job: 1, from: None, .. })
            && payload.latents.is_empty()
            && payload.images.is_empty()
    );
    assert!(matches!(given, WorkerInput::Given(1)));
    let started = Started { model: model("m"), width: 64, height: 64, steps: 8, guidance: 0.0 };
    let effects = table.report(SECOND, 1, Report::Started { job: 1, started });
    assert!(matches!(
        &effects[..],
        [
            Effect::Worker(SECOND, WorkerInput::Step { step: 0, of: 8, .. }),
            Effect::Tell(CLIENT, Event::Started(_))
        ]
    ));
    // A worker that lost the job may go on with it for a while.
    let effects = table.report(FIRST, 1, done());
    assert!(matches!(&effects[..], [Effect::Worker(FIRST, WorkerInput::Ended(1))]));
}

#[test]
fn two_workers_run_two_jobs() {
    let mut table = table();
    for client in 0..3 {
        table.submit(client, ANN, submit(Priority::Batch, false), None, &[]);
    }
    for (worker, job) in [(FIRST, 1), (SECOND, 2)] {
        table.dispatch(worker, None);
        assert_eq!(table.running_on(worker).map(|job| job.id), Some(job));
    }
    assert!(table.dispatch(FIRST, None).is_empty(), "it has a job");
    assert_eq!((table.running(), table.waiting(), table.unfinished()), (2, 1, 3));
    let announced = table.announce(&WorkerState::Ready);
    assert!(
        announced.is_empty(),
        "the third was told when it was accepted that two are before it: {announced:?}"
    );
    // One of them makes room for an interactive job.
    table.submit(3, ANN, submit(Priority::Interactive, false), None, &[]);
    let effects = table.preempt(|_| true);
    assert!(matches!(
        &effects[..],
        [Effect::Command(FIRST, command, _)] if matches!(**command, Command::Pause { job: 1 })
    ));
    assert!(table.preempt(|_| true).is_empty(), "asked once");
    table.report(FIRST, 1, Report::Paused { job: 1 });
    table.dispatch(FIRST, None);
    assert_eq!(table.running_on(FIRST).map(|job| job.id), Some(4));
    // The other worker dies: the job that it lost is the next, before the preempted one.
    table.worker_lost(SECOND, 2, Fault::Outside, "killed".into(), false);
    assert_eq!(table.queue.order(), [4, 2, 1, 3]);
}

#[test]
fn a_disk_that_is_slower_than_the_worker_holds_the_job_up() {
    let mut table = table();
    let mut request = submit(Priority::Interactive, true);
    request.params.count = Some(3);
    table.submit(CLIENT, ANN, request, None, &[]);
    table.store_event(StoreEvent::Accepted { job: 1, result: Ok(()) }, None);
    table.dispatch(FIRST, Some(&model("m")));
    generate(&mut table, 0);
    assert_eq!(name(&table), "Running", "one image is soon written");
    let unsaved = |table: &mut JobTable, bytes: i64| {
        let stored = table.jobs.get_mut(&1).unwrap().stored_mut().unwrap();
        stored.unsaved_bytes = stored.unsaved_bytes.checked_add_signed(bytes).unwrap();
        stored.unsaved_bytes
    };
    unsaved(&mut table, 24 << 20);
    let effects = generate(&mut table, 1);
    let JobPhase::Blocked(failure) = table.get(1).unwrap().phase.clone() else {
        panic!("{}", name(&table))
    };
    assert_eq!(failure.message, "the disk is slower than the worker");
    let stops = |effect: &Effect| {
        matches!(effect, Effect::Command(FIRST, command, _)
            if matches!(**command, Command::Cancel { job: 1 }))
    };
    assert!(effects.iter().any(stops), "{effects:?}");
    assert_eq!(table.waiting(), 0);
    // What is on its way comes to the disk all the same.
    table.store_event(stored(0), None);
    table.store_event(stored(1), None);
    assert_eq!(table.get(1).unwrap().stored_images(), 2);
    assert_eq!(unsaved(&mut table, -(24 << 20)), 0);
    let effects = table.maintain_store(|_| false);
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Store(StoreRequest::Probe { job: 1, .. })))
    );
    table.store_event(StoreEvent::Probed { job: 1, result: Ok(()) }, None);
    assert_eq!(table.waiting(), 1);
    assert_eq!(table.get(1).unwrap().progress.point().image, 2, "it goes on after them");
    assert!(table.store_trouble().is_none());
}

#[test]
fn all_images_of_a_job_are_of_one_model() {
    for (now, kept) in [("m", 1), ("new", 0)] {
        let mut table = reach("Running", true);
        generate(&mut table, 0);
        table.store_event(stored(0), None);
        lost(&mut table);
        let effects = table.dispatch(FIRST, Some(&model(now)));
        assert_eq!(table.get(1).unwrap().stored_images(), kept, "{now}");
        assert_eq!(table.get(1).unwrap().progress.whole(), kept);
        let left = effects.iter().any(|effect| matches!(effect, Effect::Unsubscribe(1, _)));
        assert_eq!(left, kept == 0);
    }
}

#[test]
fn what_has_not_ended_never_expires() {
    let expired = |table: &mut JobTable, age_s| {
        table.age = StoreAge::new(age_s);
        table
            .maintain_store(|_| false)
            .iter()
            .any(|effect| matches!(effect, Effect::Store(StoreRequest::Delete { job: 1, .. })))
    };
    let week = 7 * 24 * 3600;
    let mut table = reach("Done", true);
    assert!(!expired(&mut table, week - 1));
    assert!(expired(&mut table, week));
    assert!(!expired(&mut reach("Waiting", true), 100 * week));
    let subscribed = table.maintain_store(|job| job == 1);
    assert!(!subscribed.iter().any(|e| matches!(e, Effect::Store(StoreRequest::Delete { .. }))));
}
