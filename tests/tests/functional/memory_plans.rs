//! Memory plans: the CPU is a device whose memory is a number. Each plan generates the same bits, and
//! memory that runs out is a smaller plan or one sentence.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use zimage_checkpoint::{Checkpoint, DeviceRates, Forms, MemoryPlan, ModelFootprint, Residency};
use zimg_client::{Kind, Params, PlannedMemory, WorkerState};
use zimg_protocol::messages::Weights;
use zimg_tests::{Daemon, Options, built_worker, faulty_starts, wait_until};

/// Pixels of the largest image that the daemons here plan for.
const PIXELS: u64 = 128 * 128;
/// The sides of the images that are compared: each plan has room to decode them at once.
const SIDE: u32 = 64;

/// Until a worker of the built-in model is ready again on a busy machine; on an idle one it is a second.
const PROMISED: Duration = Duration::from_secs(20);

/// The built-in model, its weights in these forms.
fn tiny(forms: Forms) -> ModelFootprint {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/zimage-worker/tiny");
    let checkpoint = Checkpoint::open(Path::new(folder)).unwrap();
    ModelFootprint::new(&checkpoint, forms, false).unwrap()
}

/// The plan that the worker makes.
fn plan(budget: u64, pixels: u64) -> Option<MemoryPlan> {
    MemoryPlan::new(&tiny(Forms::SINGLE), &DeviceRates::ASSUMED, budget, pixels).ok()
}

/// Plans from the largest to the smallest, some fifteen.
fn plans(pixels: u64) -> Vec<MemoryPlan> {
    let least = MemoryPlan::least(&tiny(Forms::SINGLE), &DeviceRates::ASSUMED, pixels).peak;
    let mut plans = vec![plan(1 << 30, pixels).unwrap()];
    let step = (plans[0].peak - least) / 15;
    while let Some(next) = plan(plans[plans.len() - 1].peak - 1 - step, pixels) {
        plans.push(next);
    }
    plans.push(plan(least, pixels).unwrap());
    plans
}

fn options(memory: u64) -> Options {
    let environment =
        [("ZIMAGED_MEMORY", format!("{memory}B")), ("ZIMAGED_WARMUP", "128x128".into())];
    let environment = environment.map(|(name, value)| (name.to_owned(), value)).into();
    Options { worker: Some(built_worker()), environment, ..Options::default() }
}

/// A daemon with a budget, and the faults of each of its workers.
fn faulty(memory: u64, faults: &str) -> (tempfile::TempDir, Daemon) {
    let folder = tempfile::tempdir().unwrap();
    let worker = Some(faulty_starts(folder.path(), faults));
    (folder, Daemon::with(Options { worker, ..options(memory) }))
}

fn draw(prompt: &str, side: u32) -> Params {
    let (width, height) = (Some(side), Some(side));
    Params { width, height, steps: Some(4), seed: Some(7), ..Params::new(prompt) }
}

fn pixels(daemon: &Daemon, draw: &Params) -> Vec<u8> {
    daemon.draw(draw).unwrap().remove(0).pixels
}

/// The present worker's plan, once it is ready.
fn planned(daemon: &Daemon) -> PlannedMemory {
    wait_until("the worker is ready", || daemon.status().workers[0].state == WorkerState::Ready);
    daemon.client().memory_plans().unwrap().remove(0).plan
}

/// An image of a daemon without a budget.
fn undisturbed(draw: &Params) -> Vec<u8> {
    let environment = vec![("ZIMAGED_WARMUP".to_owned(), "128x128".to_owned())];
    let worker = Some(built_worker());
    let daemon = Daemon::with(Options { worker, environment, ..Options::default() });
    let image = pixels(&daemon, draw);
    assert!(daemon.client().memory_plans().unwrap().is_empty());
    daemon.end();
    image
}

#[test]
fn every_plan_generates_the_same_bits() {
    let (first, second) = (draw("a red circle", SIDE), draw("a blue square", SIDE));
    let expected = [undisturbed(&first), undisturbed(&second)];
    let plans = plans(PIXELS);
    assert!(plans.len() > 8 && plans[0].residency == Residency::All, "{plans:?}");
    for plan in plans {
        let daemon = Daemon::with(options(plan.peak));
        for _ in 0..2 {
            assert!(pixels(&daemon, &first) == expected[0], "{plan:?}");
            assert!(pixels(&daemon, &second) == expected[1], "{plan:?}");
        }
        let shown = planned(&daemon);
        let blocks = (shown.blocks, shown.resident_blocks, shown.text_encoder);
        assert_eq!(blocks, (plan.blocks, plan.resident_blocks, plan.streamed_text == 0));
        assert_eq!((shown.budget, shown.peak), (plan.peak, plan.peak));
        assert!(daemon.log().contains("memory_planned"), "{}", daemon.log());
        daemon.end();
    }
}

#[test]
fn memory_that_runs_out_is_a_smaller_plan_and_the_job_goes_on() {
    let request = draw("a red circle", SIDE);
    let expected = undisturbed(&request);
    let all = plans(PIXELS)[0].peak;
    let twice = |stage: &str| format!("oom@{stage},oom@{stage}");
    // While encoding, at a step, and for two processes in a row.
    for (faults, restarts) in [
        (twice("encode"), 1),
        (format!("{};", twice("step:3")), 1),
        (format!("{};{};", twice("step:2"), twice("step:3")), 2),
    ] {
        let (_folder, daemon) = faulty(all, &faults);
        assert!(pixels(&daemon, &request) == expected, "{faults}: {}", daemon.log());
        let plan = planned(&daemon);
        assert!(plan.peak < all && !plan.text_encoder, "{plan:?}");
        let status = daemon.status();
        assert_eq!((status.workers[0].restarts, status.failed), (restarts, 0), "{faults}");
        assert_eq!(daemon.log().matches("memory_replanned").count() as u32, restarts);
        // The smaller plan stays until the device is free.
        assert!(pixels(&daemon, &request) == expected);
        daemon.client().sleep().unwrap();
        assert!(pixels(&daemon, &request) == expected);
        assert_eq!(planned(&daemon).peak, all);
        daemon.end();
    }
}

#[test]
fn where_no_smaller_plan_helps_the_job_fails_with_one_sentence() {
    let least = plans(PIXELS).pop().unwrap().peak;
    let (_folder, daemon) = faulty(least, "oom@step:1,oom@step:1");
    let failure = daemon.draw(&draw("a red circle", SIDE)).unwrap_err();
    assert!(failure.message.contains("out of memory"), "{failure}");
    assert!(daemon.draw(&draw("a red circle", SIDE)).is_ok());
    assert_eq!(daemon.status().workers[0].restarts, 0);
    daemon.end();
}

#[test]
fn an_image_that_has_no_room_gets_it_by_a_smaller_plan() {
    // There is room for 64², and for 128² only without some blocks.
    let plan = plans(64 * 64).swap_remove(1);
    assert_eq!(plan.resident_blocks, plan.blocks);
    let mut options = options(plan.peak);
    options.environment.push(("ZIMAGED_WARMUP".to_owned(), "64x64".to_owned()));
    let daemon = Daemon::with(options);
    let request = Params { steps: Some(1), ..draw("a red circle", 128) };
    assert_eq!(daemon.draw(&request).unwrap().len(), 1);
    let smaller = planned(&daemon);
    assert!(smaller.peak <= plan.peak && smaller.resident_blocks < plan.blocks, "{smaller:?}");
    assert_eq!(daemon.status().workers[0].restarts, 1);
    let larger = Params { steps: Some(1), ..draw("a red circle", 1024) };
    let failure = daemon.draw(&larger).unwrap_err();
    assert_eq!(failure.kind, Kind::Refused, "{failure}");
    assert!(failure.message.starts_with("an image of 1024x1024 needs about"), "{failure}");
    daemon.end();
}

#[test]
fn a_budget_that_holds_no_plan_is_one_sentence() {
    let daemon = Daemon::with(options(1 << 20));
    let failure = daemon.draw(&draw("a red circle", SIDE)).unwrap_err();
    assert_eq!(failure.kind, Kind::Config, "{failure}");
    assert!(failure.message.starts_with("the memory budget is 1 MiB, and the least"), "{failure}");
    daemon.end();
}

/// In whatever form the weights are, and wherever: a killed worker is replaced by one with the same plan
/// and the resident weights of the first, and a worker that was put to sleep comes back with its plan.
#[test]
fn a_killed_and_a_sleeping_worker_come_back_with_their_plan() {
    for dtype in ["float32", "int8"] {
        let model = tiny(Forms::of(dtype, false).unwrap());
        let all = MemoryPlan::new(&model, &DeviceRates::ASSUMED, 1 << 30, PIXELS).unwrap();
        let least = MemoryPlan::least(&model, &DeviceRates::ASSUMED, PIXELS);
        assert!(all.residency == Residency::All && least.resident_blocks < all.blocks, "{dtype}");
        let mut images = Vec::new();
        let budgets = [all.peak, all.peak.midpoint(least.peak), least.peak];
        // Integers of streamed blocks are made in each step, which takes a CPU long.
        let count = if dtype == "int8" { 2 } else { 3 };
        for budget in budgets.into_iter().take(count) {
            let mut options = options(budget);
            options.environment.push(("ZIMAGED_DTYPE".to_owned(), dtype.to_owned()));
            let daemon = Daemon::with(options);
            let request = Params { steps: Some(2), ..draw("a red circle", SIDE) };
            images.push(pixels(&daemon, &request));
            let before = planned(&daemon);
            assert!(before.peak <= budget, "{dtype}: {before:?}");
            let pid = daemon.worker();
            kill(pid, Signal::SIGKILL).unwrap();
            let killed = Instant::now();
            wait_until("another worker is there", || {
                let now = daemon.status().workers[0].pid;
                now.is_some_and(|now| now.cast_signed() != pid.as_raw())
            });
            assert_eq!(planned(&daemon), before, "{dtype}");
            assert!(killed.elapsed() < PROMISED, "{dtype}: {:?}", killed.elapsed());
            // Nothing was read: neither what is resident nor, at the start, what is streamed.
            let weights = daemon.status().workers.remove(0).weights;
            assert!(matches!(weights, Some(Weights::Retained { .. })), "{dtype}: {weights:?}");
            images.push(pixels(&daemon, &request));
            daemon.client().sleep().unwrap();
            images.push(pixels(&daemon, &request));
            assert_eq!(planned(&daemon), before, "{dtype}");
            daemon.end();
        }
        assert!(images.iter().all(|image| *image == images[0]), "{dtype}");
    }
}
