//! The worker on a GPU when things go wrong, with the built-in model: `make gpu-test` runs it. It
//! says what it measured, and stops at the first promise that does not hold.
//!
//! Its arguments are the worker and the one with planted faults; without them both are built.

#![expect(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use zimage_ipc::{Command, Report};
use zimg_protocol::Kind;
use zimg_protocol::messages::Params;
use zimg_tests::{Run, Worker, built_worker, faulty_worker};

const ARGUMENTS: [&str; 4] = ["--device", "cuda:0", "--warmup", "512x512"];

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let worker = arguments.next().unwrap_or_else(built_worker);
    let faulty = arguments.next().unwrap_or_else(faulty_worker);
    going_on(&worker);
    planted_address(&worker, &faulty);
    cost_of_saving(&worker);
    memory(&worker, &faulty);
}

fn start(program: &Path, environment: &[(&str, &str)]) -> Worker {
    let begun = Instant::now();
    let worker = Worker::on(program, environment, &ARGUMENTS);
    println!("ready after {:.2} s on {}", begun.elapsed().as_secs_f32(), worker.model().device);
    worker
}

fn draw(side: u32) -> Params {
    let size = Some(side);
    Params {
        width: size,
        height: size,
        seed: Some(5),
        ..Params::new("a red circle on a white background")
    }
}

fn done(run: Run) -> Run {
    assert!(matches!(run.end, Some(Report::Done { .. })), "{:?}", run.end);
    run
}

/// A job goes on in another process from any step, and after a pause, to the same bits: also where
/// one of the two replays what the other computes launch by launch.
fn going_on(program: &Path) {
    let (mut first, mut second) = (start(program, &[]), start(program, &[]));
    let guided = Params { guidance: Some(2.0), negative: Some("blue".into()), ..draw(512) };
    for job in [draw(512), draw(1024), guided] {
        let whole = done(first.draw(1, &job, None));
        for snapshot in &whole.points {
            let rest = done(second.draw(2, &job, Some(snapshot)));
            assert!(rest.images == whole.images, "from step {}", snapshot.point.step);
        }
        assert!(done(first.draw(3, &job, None)).images == whole.images);
    }
    let long = Params { steps: Some(100), ..draw(512) };
    let whole = done(first.draw(1, &long, None));
    second.submit(2, &long, false, None);
    let begun = second.follow(2, |second, report| {
        if matches!(report, Report::Step { step, .. } if step.step == 3) {
            second.send(Command::Pause { job: 2 });
        }
    });
    assert!(matches!(begun.end, Some(Report::Paused { .. })), "{:?}", begun.end);
    let rest = done(second.draw(2, &long, begun.points.last()));
    assert!(rest.images == whole.images, "after a pause");
    println!("gone on with from every step, and after a pause: the same to the bit");
}

/// A kernel writes to an unmapped address: the worker exits, and the job goes on in
/// another.
fn planted_address(program: &Path, faulty: &Path) {
    let job = draw(1024);
    let whole = done(start(program, &[]).draw(1, &job, None));
    for fault in ["address@step:5", "address@encode", "address@decode"] {
        let mut sick = start(faulty, &[("ZIMG_FAULTS", fault)]);
        let begun = Instant::now();
        let run = sick.draw(1, &job, None);
        let Some(Report::Fatal(failure)) = &run.end else { panic!("{fault}: {:?}", run.end) };
        assert_eq!(failure.kind, Kind::Internal);
        assert_eq!(sick.wait().code(), Some(71));
        println!("{fault}: given up after {:.3} s: {failure}", begun.elapsed().as_secs_f32());
        let next = Instant::now();
        let rest = done(start(program, &[]).draw(1, &job, run.points.last()));
        assert!(rest.images == whole.images, "{fault}");
        println!("  drawn by the next worker after {:.2} s", next.elapsed().as_secs_f32());
    }
}

/// What a job pays for being saved after each step, and for previews.
fn cost_of_saving(program: &Path) {
    let mut worker = start(program, &[]);
    let job = Params { steps: Some(50), ..draw(1024) };
    let mut time = |previews| {
        worker.submit(1, &job, previews, None);
        let run = done(worker.follow(1, |_, _| {}));
        let Some(Report::Done { timings, .. }) = run.end else { panic!("it is done") };
        (timings.steps / 50.0, run.previews.len())
    };
    time(false);
    for previews in [false, true, false, true] {
        let (step, count) = time(previews);
        println!("a step at 1024² with its latents sent takes {step:.3} ms; {count} previews");
    }
}

/// What is said about memory, and what is said when there is too little.
fn memory(program: &Path, faulty: &Path) {
    let mut worker = start(program, &[]);
    for side in [512, 1024, 2048] {
        let run = done(worker.draw(1, &draw(side), None));
        // It comes behind a job's end, and so at the beginning of what is heard of the next.
        let memory = run.memory.expect("a worker on a GPU says how much memory is in use");
        let [used, total] = [memory.used, memory.total].map(|bytes| bytes as f64 / 1e9);
        println!("{used:.2} of {total:.2} GB are in use before {side}²");
        assert!(memory.used > 0 && memory.used < memory.total);
    }
    let mut faulty = start(faulty, &[("ZIMG_FAULTS", "oom@step:2,oom@step:2")]);
    let run = faulty.draw(1, &draw(512), None);
    let Some(Report::Failed { failure, .. }) = &run.end else { panic!("{:?}", run.end) };
    println!("{failure} ({})", failure.hint.as_deref().unwrap_or("no hint"));
    assert!(failure.message.starts_with("the GPU's memory is too small: 1.6 GB at once"));
    done(faulty.draw(1, &draw(512), run.points.last()));
}
