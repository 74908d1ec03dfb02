//! Model faults: the real worker and the built-in model, with faults planted at each stage. Faults of
//! a GPU are planted by `make gpu-test`.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::os::unix::process::ExitStatusExt;

use zimage_ipc::Report;
use zimg_client::Image;
use zimg_protocol::messages::Params;
use zimg_protocol::{Failure, Kind};
use zimg_tests::{Daemon, Options, Run, Worker, faulty_starts, faulty_worker};

/// The status of a worker that only a new one can replace.
const BEYOND_HELP: i32 = 71;

fn faulty(faults: &str) -> Worker {
    Worker::with(&faulty_worker(), &[("ZIMG_FAULTS", faults)])
}

fn draw() -> Params {
    Params {
        width: Some(64),
        height: Some(64),
        steps: Some(4),
        seed: Some(5),
        ..Params::new("a red circle")
    }
}

fn done(run: &Run) -> &[(u32, Vec<u8>)] {
    assert!(matches!(run.end, Some(Report::Done { .. })), "{:?}", run.end);
    &run.images
}

fn failed(run: &Run) -> &Failure {
    match &run.end {
        Some(Report::Failed { failure, .. }) => failure,
        other => panic!("not failed but {other:?}"),
    }
}

/// Draws with these faults until the worker gives up; what it said, and all that came before.
fn given_up(faults: &str) -> (Failure, Run) {
    let mut worker = faulty(faults);
    let run = worker.draw(1, &draw(), None);
    let Some(Report::Fatal(failure)) = run.end.clone() else { panic!("not fatal: {:?}", run.end) };
    assert!(worker.frame().is_none(), "nothing comes after its last word");
    assert_eq!(worker.wait().code(), Some(BEYOND_HELP));
    assert!(worker.log().lines().last().unwrap_or_default().contains(&failure.message));
    (failure, run)
}

#[test]
fn too_little_memory_is_tried_once_more_and_changes_nothing() {
    let whole = faulty("").draw(1, &draw(), None);
    for stage in ["encode", "start", "step:1", "step:4", "decode"] {
        let mut worker = faulty(&format!("oom@{stage}"));
        let run = worker.draw(1, &draw(), None);
        assert!(done(&run) == done(&whole), "{stage}");
        assert!(worker.log().contains("CUDA out of memory"), "{}", worker.log());
    }
}

#[test]
fn an_image_that_cannot_be_decoded_whole_is_decoded_in_strips_to_the_same_bits() {
    // Large enough for strips: the last level has 640x576 positions.
    let job = Params { width: Some(640), height: Some(576), steps: Some(1), ..draw() };
    let mut worker = faulty("oom@decode,oom@decode");
    let in_strips = worker.draw(1, &job, None);
    assert!(worker.log().contains("is decoded in strips"), "{}", worker.log());
    let whole = worker.draw(2, &job, None);
    assert!(done(&in_strips)[0].1 == done(&whole)[0].1);
}

#[test]
fn too_little_memory_twice_fails_the_job_and_not_the_worker() {
    for faults in
        ["oom@step:2,oom@step:2", "oom@encode,oom@encode", "oom@decode,oom@decode,oom@decode"]
    {
        let mut worker = faulty(faults);
        let run = worker.draw(1, &draw(), None);
        let Failure { kind, message, hint } = failed(&run);
        assert_eq!(*kind, Kind::Internal);
        assert!(message.contains("out of memory") && !message.contains('\n'), "{message}");
        assert!(hint.as_ref().is_some_and(|hint| hint.contains("a smaller image")));
        done(&worker.draw(2, &draw(), None));
    }
}

#[test]
fn an_unknown_error_fails_the_job_if_the_device_still_works() {
    let mut worker = faulty("odd@step:2");
    let run = worker.draw(1, &draw(), None);
    assert_eq!(failed(&run).message, "libtorch failed: an error of no known kind");
    assert_eq!(run.steps, [(0, 1)]);
    done(&worker.draw(2, &draw(), None));
}

#[test]
fn a_dead_device_ends_the_worker_and_not_the_job() {
    for faults in ["dead@encode", "dead@step:3", "dead@decode", "nan@decode,dead@step:1"] {
        let (failure, run) = given_up(faults);
        assert_eq!(failure.kind, Kind::Internal);
        let said = "the device needs a new worker: libtorch failed: CUDA error: an illegal memory access was encountered";
        assert_eq!(failure.message, said, "{faults}");
        // The rest can be generated elsewhere.
        if let Some(snapshot) = run.points.last() {
            let whole = Worker::start().draw(1, &draw(), None);
            assert!(done(&Worker::start().draw(1, &draw(), Some(snapshot))) == done(&whole));
        }
    }
}

#[test]
fn an_invalid_image_is_generated_once_more() {
    let whole = faulty("").draw(1, &draw(), None);
    for (fault, said) in [
        ("nan@decode", "the latents are not finite numbers"),
        ("black@decode", "all of the image has one colour, #000000"),
    ] {
        let mut worker = faulty(fault);
        let run = worker.draw(1, &draw(), None);
        assert!(done(&run) == done(&whole), "{fault}");
        assert_eq!(run.steps, [1, 2, 3, 4, 1, 2, 3, 4].map(|step| (0, step)), "from its noise");
        assert!(worker.log().contains(said), "{}", worker.log());
        let (failure, _) = given_up(&format!("{fault},{fault}"));
        assert!(failure.message.starts_with("the device needs a new worker: "));
        assert!(failure.message.contains(said), "{}", failure.message);
    }
}

#[test]
fn a_bug_ends_the_worker_at_once_with_one_line() {
    let mut worker = faulty("panic@step:2");
    let run = worker.draw(1, &draw(), None);
    assert_eq!(run.end, None);
    // What it had said last may not have left it.
    assert!(run.steps.is_empty() || run.steps == [(0, 1)], "{:?}", run.steps);
    assert_eq!(worker.wait().signal(), Some(nix::libc::SIGABRT));
    let log = worker.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.starts_with("a bug, please report it: a planted bug ("), "{last}");
}

/// A daemon whose workers have these faults, start by start, and what it answers to two jobs.
fn answers(faults: &str) -> (Daemon, [Result<Vec<Image>, Failure>; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::with(Options {
        worker: Some(faulty_starts(folder.path(), faults)),
        environment: vec![("ZIMAGED_WARMUP".into(), "64x64".into())],
        ..Options::default()
    });
    let answers = [(); 2].map(|()| daemon.draw(&draw()));
    (daemon, answers)
}

#[test]
fn a_job_outlives_the_device_it_began_on() {
    let (undisturbed, [whole, _]) = answers("");
    undisturbed.end();
    let whole = whole.unwrap();
    for (faults, said) in [
        ("dead@step:3", "an illegal memory access was encountered"),
        ("nan@decode,nan@decode", "the latents are not finite numbers"),
        ("black@decode,black@decode", "all of the image has one colour, #000000"),
    ] {
        let (daemon, answers) = answers(faults);
        assert!(answers.iter().all(|answer| answer.as_ref() == Ok(&whole)), "{faults}");
        let overview = daemon.client().overview().unwrap();
        assert_eq!(
            (overview.status.workers[0].restarts, overview.counters.resumed),
            (1, 1),
            "{faults}"
        );
        assert!(overview.status.workers[0].last_error.clone().unwrap().contains(said));
        daemon.end();
    }
}

#[test]
fn a_job_that_ends_two_workers_fails_alone() {
    let (daemon, [first, second]) = answers("dead@step:2;dead@step:2");
    let failure = first.unwrap_err();
    assert_eq!(failure.kind, Kind::Internal);
    assert!(failure.message.contains("an illegal memory access"), "{failure}");
    assert_eq!(second.unwrap().len(), 1);
    daemon.end();
}

#[test]
fn the_kernel_ends_the_worker_first_when_memory_runs_out() {
    let worker = Worker::start();
    let score = |process: &str| -> i32 {
        let text = std::fs::read_to_string(format!("/proc/{process}/oom_score_adj")).unwrap();
        text.trim().parse().unwrap()
    };
    assert_eq!(score(&worker.pid().to_string()), score("self").max(500));
}

/// What plants faults is not in the worker that people get.
#[test]
fn the_worker_for_use_knows_no_faults() {
    let faults = ("ZIMG_FAULTS", "panic@encode,dead@step:1,black@decode");
    let mut worker = Worker::with(&zimg_tests::built_worker(), &[faults]);
    done(&worker.draw(1, &draw(), None));
    let holds = |program: &std::path::Path| {
        let bytes = std::fs::read(program).unwrap_or_default();
        bytes.windows(11).any(|window| window == b"ZIMG_FAULTS")
    };
    assert!(!holds(&zimg_tests::built_worker()) && holds(&faulty_worker()));
}
