//! Workers die all the time, of everything and everywhere, while many clients draw: every accepted
//! job has exactly one answer, which is the image that an undisturbed worker would have generated.
//!
//! What goes wrong follows from `ZIMG_CHAOS_SEED`; when it goes wrong also from the machine.
//! `ZIMG_CHAOS_JOBS` makes it longer, to see that nothing grows.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper fails its test by panicking")]

use std::fs;
use std::ops::Range;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use zimg_client::{Generate, Params, Priority, Update};
use zimg_tests::mock::{chance, colour};
use zimg_tests::{Daemon, Options, built_worker, finish, wait_until};

/// Clients at a time; a batch job may be preempted by jobs of the others.
const CLIENTS: u64 = 8;

fn seed() -> u64 {
    number("ZIMG_CHAOS_SEED", 1)
}

/// A number from the environment.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |number| number.parse().unwrap())
}

fn settings(timeouts: &str) -> Vec<(String, String)> {
    [("ZIMAGED_JOBS_PER_USER", "64"), ("ZIMAGED_TIMEOUTS", timeouts), ("ZIMAGED_WARMUP", "64x64")]
        .map(|(name, value)| (name.into(), value.into()))
        .into()
}

/// The job with this number: sizes, steps, images and priorities of all sorts.
fn job(number: u64) -> Generate {
    let sort = chance(seed() ^ (number << 8));
    let pick = |of: &[u32], at: u32| of[(sort >> at) as usize % of.len()];
    let draw = Params {
        width: Some(pick(&[64, 128, 64], 0)),
        height: Some(pick(&[64, 64, 96], 4)),
        steps: Some(pick(&[3, 4, 6], 8)),
        count: Some(pick(&[1, 1, 1, 2], 12)),
        // Far apart, so that no image has the seed of another job.
        seed: Some(sort << 16),
        ..Params::new("a fox")
    };
    let priority =
        if (sort >> 16).is_multiple_of(3) { Priority::Batch } else { Priority::Interactive };
    Generate {
        params: draw,
        priority,
        detach: false,
        previews: (sort >> 20).is_multiple_of(4),
        ..Generate::default()
    }
}

/// Ends the present worker by a signal, if there is one.
fn strike(daemon: &Daemon, signal: Signal) -> bool {
    let Some(worker) = daemon.status().workers[0].pid else { return false };
    let pid = nix::unistd::Pid::from_raw(i32::try_from(worker).unwrap());
    match kill(pid, signal) {
        Ok(()) => true,
        // It died just now by itself.
        Err(Errno::ESRCH) => false,
        Err(error) => panic!("cannot send {signal}: {error}"),
    }
}

/// Draws jobs with several clients at a time, checks each image, and tells `done` of each job.
fn draw_all(daemon: &Daemon, jobs: Range<u64>, done: &Sender<()>) {
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let done = done.clone();
            let jobs = jobs.clone().filter(move |number| number % CLIENTS == client);
            scope.spawn(move || {
                for number in jobs {
                    let submit = job(number);
                    let draw = &submit.params;
                    let images = finish(daemon.client().generate(&submit).unwrap());
                    let images = images.unwrap_or_else(|failure| panic!("{number}: {failure}"));
                    assert_eq!(images.len(), draw.images() as usize, "{number}");
                    for (image, seed) in images.iter().zip(draw.first_seed()..) {
                        let pixels = image.info.width as usize * image.info.height as usize;
                        assert!(pixels >= 64 * 64, "{:?}", image.info);
                        let right = colour(seed).repeat(pixels);
                        assert!(image.pixels == right, "{number}: another image");
                    }
                    let _ = done.send(());
                }
            });
        }
    });
}

#[test]
fn a_thousand_jobs_survive_hundreds_of_deaths_at_every_phase() {
    let jobs = number("ZIMG_CHAOS_JOBS", 1000);
    let begun = Instant::now();
    let daemon = Daemon::with(Options {
        mock: "strike:150,strike-start:11".into(),
        environment: settings(
            "spawn=1s,load=1s,warmup=1s,step=1s,first_step=1s,backoff=5ms,backoff_max=50ms",
        ),
        ..Options::default()
    });
    let (mut done, mut killed) = (0, 0);
    thread::scope(|scope| {
        let (sender, answers) = mpsc::channel();
        scope.spawn(|| {
            let sender = sender;
            draw_all(&daemon, 0..jobs, &sender);
        });
        // From outside, too, after every few jobs.
        let mut next = 5;
        for () in answers {
            done += 1;
            if done < next {
                continue;
            }
            let chance = chance(seed() ^ next);
            let signal = if chance.is_multiple_of(2) { Signal::SIGKILL } else { Signal::SIGTERM };
            killed += u64::from(strike(&daemon, signal));
            next += 4 + chance % 8;
        }
    });
    assert_eq!(done, jobs);
    let deaths = daemon.workers().len() as u64 - 1;
    assert!(deaths >= jobs / 5 && killed >= jobs / 12, "{deaths} deaths, {killed} from outside");
    let struck = fs::read_dir(daemon.folder()).unwrap();
    let struck = struck.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("struck-")
    });
    let struck = struck.count() as u64;
    assert!(struck >= jobs / 10, "{struck} from inside");
    // None was lost, none generated twice.
    let overview = daemon.client().overview().unwrap();
    let images: u64 = (0..jobs).map(|number| u64::from(job(number).params.images())).sum();
    assert_eq!((overview.status.done, overview.status.failed), (jobs, 0));
    assert_eq!(overview.counters.images, images);
    assert!(overview.counters.resumed > jobs / 20, "{:?}", overview.counters);
    assert_eq!(overview.unfinished, 0);
    // Descriptors and memory do not grow with deaths.
    assert!(daemon.descriptors() < 40, "{}", daemon.descriptors());
    assert!(daemon.peak_memory() < 64 << 20, "{}", daemon.peak_memory());
    println!(
        "{jobs} jobs, {images} images, {deaths} deaths ({killed} from outside, {struck} jobs \
         struck from inside), {} resumed, {} preempted, in {:.1} s",
        overview.counters.resumed,
        overview.counters.preempted,
        begun.elapsed().as_secs_f32()
    );
    daemon.end();
}

#[test]
fn crashes_and_hangs_from_outside_and_clients_that_vanish_harm_no_other_job() {
    const ROUNDS: u64 = 25;
    let daemon = Daemon::with(Options {
        mock: "slow:1".into(),
        environment: settings("step=1s,first_step=1s,backoff=5ms,backoff_max=50ms"),
        ..Options::default()
    });
    for round in 0..ROUNDS {
        // One that vanishes in the middle.
        let vanishing = Params { steps: Some(50), ..job(10_000 + round).params };
        let (mut vanishing, _) = daemon.submit(&vanishing);
        let (sender, _answers) = mpsc::channel();
        thread::scope(|scope| {
            let jobs = round * CLIENTS..(round + 1) * CLIENTS;
            let generating = scope.spawn(|| draw_all(&daemon, jobs, &sender));
            assert!(vanishing.any(|update| matches!(update, Ok(Update::Step(_)))));
            drop(vanishing);
            // A job that two workers in a row died of would be given up: one such death a round,
            // by a signal that is its own fault, or by a hang.
            let signal = if round % 5 == 4 { Signal::SIGSTOP } else { Signal::SIGSEGV };
            while !strike(&daemon, signal) {}
            generating.join().unwrap();
        });
    }
    wait_until("nothing is left to do", || daemon.client().overview().unwrap().unfinished == 0);
    let overview = daemon.client().overview().unwrap();
    assert_eq!(overview.status.done, ROUNDS * CLIENTS);
    assert_eq!((overview.status.failed, overview.counters.cancelled), (ROUNDS, ROUNDS));
    daemon.end();
}

#[test]
fn the_same_with_the_built_in_model() {
    const JOBS: u64 = 100;
    const KILLS: usize = 30;
    let draw = |number: u64| Params {
        width: Some(64),
        height: Some(64),
        steps: Some(4),
        count: Some(if number.is_multiple_of(10) { 2 } else { 1 }),
        seed: Some(number),
        ..Params::new("a red circle on a white background")
    };
    let options = || Options {
        worker: Some(built_worker()),
        environment: settings("backoff=5ms,backoff_max=50ms"),
        ..Options::default()
    };
    let undisturbed = Daemon::with(options());
    let right: Vec<_> = (0..JOBS).map(|number| undisturbed.draw(&draw(number)).unwrap()).collect();
    undisturbed.end();

    let daemon = Daemon::with(options());
    let mut kills = 0;
    for (number, right) in (0..JOBS).zip(right) {
        let mut images = Vec::new();
        let mut step = 0;
        for update in daemon.client().generate(draw(number)).unwrap() {
            match update.unwrap() {
                Update::Image(image) => images.push(image),
                Update::Step(at) => step = at.step,
                _ => {}
            }
            // At each step in turn, and before the first.
            let wanted = kills as u64 * JOBS / KILLS as u64 <= number;
            if wanted && kills < KILLS && step as usize == kills % 4 {
                // From outside, or as by its own fault: once a job, as two would be given up. Rust
                // goes on after a SIGSEGV that no access caused.
                let signal = if kills % 3 == 2 { Signal::SIGABRT } else { Signal::SIGKILL };
                kills += usize::from(strike(&daemon, signal));
            }
        }
        assert!(images == right, "{number}: another image");
    }
    assert_eq!(kills, KILLS);
    let overview = daemon.client().overview().unwrap();
    assert_eq!((overview.status.done, overview.status.failed), (JOBS, 0));
    let images = (0..JOBS).map(|number| u64::from(draw(number).images())).sum();
    assert_eq!(
        (overview.counters.images, overview.status.workers[0].restarts),
        (images, KILLS as u32)
    );
    daemon.end();
}
