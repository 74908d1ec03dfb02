//! Detached jobs while daemon and worker are killed at seeded moments: what was accepted ends, its
//! pictures are those of an undisturbed worker, and what was forgotten does not come back.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper fails its test by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zimg_client::{Client, Draw, Failure, Image, JobId, Priority, Submit, Update};
use zimg_tests::mock::{chance, colour};
use zimg_tests::{Daemon, Options, built_worker, finish};

/// Daemons that come to an end.
const ENDS: u32 = 80;

/// Numbers that are the same in every run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: u64) -> u64 {
        self.0 += 1;
        chance(self.0) % end
    }
}

/// A connection, if the daemon lives.
fn connect(daemon: &Daemon) -> Result<Client, Failure> {
    Client::connect("test 1.0", daemon.socket())
}

fn process(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap())
}

/// What a client has been told.
#[derive(Debug, Default)]
struct Told {
    /// Jobs that were accepted, with the seed and the number of their pictures.
    accepted: BTreeMap<JobId, (u64, u32)>,
    /// Jobs that are to be forgotten, or are.
    forgotten: BTreeSet<JobId>,
    /// The same, and that they are was acknowledged.
    gone: BTreeSet<JobId>,
    seeds: u64,
}

impl Told {
    /// Asks, fetches and forgets until the daemon does not answer any more.
    fn go_on(&mut self, daemon: &Daemon, seeded: &mut Seeded) -> Result<(), Failure> {
        loop {
            let left = self.left();
            match seeded.below(4) {
                _ if left.len() < 3 => self.submit(daemon, seeded)?,
                0 if left.len() < 20 => self.submit(daemon, seeded)?,
                1 => {
                    let jobs = connect(daemon)?.jobs()?;
                    self.check_list(jobs.iter().map(|info| info.job));
                }
                _ => {
                    let place = seeded.below(left.len() as u64);
                    self.fetch(daemon, left[usize::try_from(place).unwrap()])?;
                }
            }
        }
    }

    fn submit(&mut self, daemon: &Daemon, seeded: &mut Seeded) -> Result<(), Failure> {
        // A seed of its own also for the one that the daemon may or may not have kept.
        self.seeds += 0x10;
        let (seed, count) = (self.seeds, 1 + u32::try_from(seeded.below(3)).unwrap());
        let priority = if seeded.below(2) == 0 { Priority::Interactive } else { Priority::Batch };
        let draw = Draw { seed, count, width: Some(64), height: Some(64), ..Draw::new("a fox") };
        let submit = Submit { draw, priority, detach: true, previews: false };
        match connect(daemon)?.submit(&submit)?.next() {
            Some(Ok(Update::Accepted { job, .. })) => {
                assert_eq!(self.accepted.insert(job, (seed, count)), None, "{job} came twice");
                Ok(())
            }
            Some(Err(failure)) => Err(failure),
            other => panic!("not accepted but {other:?}"),
        }
    }

    fn fetch(&mut self, daemon: &Daemon, job: JobId) -> Result<(), Failure> {
        let (seed, count) = self.accepted[&job];
        check(&finish(connect(daemon)?.wait(job)?)?, seed, count);
        self.forgotten.insert(job);
        connect(daemon)?.forget(job)?;
        self.gone.insert(job);
        Ok(())
    }

    /// Jobs that the daemon must have.
    fn left(&self) -> Vec<JobId> {
        self.accepted.keys().filter(|job| !self.forgotten.contains(job)).copied().collect()
    }

    /// That the daemon has these jobs: all that it must have, and none that is gone.
    fn check_list(&self, jobs: impl Iterator<Item = JobId>) {
        let jobs: BTreeSet<_> = jobs.collect();
        let lost: Vec<_> = self.left().into_iter().filter(|job| !jobs.contains(job)).collect();
        assert!(lost.is_empty(), "{lost:?} are lost");
        let back: Vec<_> = jobs.intersection(&self.gone).collect();
        assert!(back.is_empty(), "{back:?} are back");
    }
}

/// That these are the pictures of the mock worker.
fn check(images: &[Image], seed: u64, count: u32) {
    assert_eq!(images.len(), count as usize);
    for (index, image) in (0..).zip(images) {
        assert_eq!((u64::from(image.info.index), image.info.seed), (index, seed + index));
        assert!(image.pixels.chunks(3).all(|pixel| pixel == colour(seed + index)));
    }
}

fn start(state: &Path, mock: &str) -> Daemon {
    Daemon::with(Options {
        mock: mock.into(),
        state: Some(state.to_owned()),
        environment: vec![("ZIMAGED_JOBS_PER_USER".into(), "64".into())],
        ..Options::default()
    })
}

#[test]
fn what_was_accepted_ends_whoever_is_killed_when() {
    let state = tempfile::tempdir().unwrap();
    let mut seeded = Seeded(8);
    let mut told = Told::default();
    for _ in 0..ENDS {
        let daemon = start(state.path(), "slow:1");
        let (pid, after) = (process(daemon.pid()), Duration::from_millis(seeded.below(200)));
        let signal = match seeded.below(4) {
            0 => Signal::SIGTERM,
            _ => Signal::SIGKILL,
        };
        let worker = (seeded.below(3) == 0).then(|| daemon.status().worker_pid).flatten();
        let killer = thread::spawn(move || {
            // At any moment: what is being done then is what the test is about.
            thread::sleep(after / 2);
            if let Some(worker) = worker {
                let _ = kill(process(worker), Signal::SIGKILL);
            }
            thread::sleep(after / 2);
            kill(pid, signal).unwrap();
        });
        let ended = told.go_on(&daemon, &mut seeded).unwrap_err();
        killer.join().unwrap();
        let mut daemon = daemon;
        let status = daemon.wait();
        assert!(status.success() == (signal == Signal::SIGTERM), "{ended}: {status}");
    }
    let daemon = start(state.path(), "");
    let jobs = daemon.client().jobs().unwrap();
    told.check_list(jobs.iter().map(|info| info.job));
    for info in jobs {
        // One that the daemon had kept and nobody was told of is as good as any.
        told.accepted.entry(info.job).or_insert((info.seed, info.count));
        told.fetch(&daemon, info.job).unwrap();
    }
    assert!(daemon.client().jobs().unwrap().is_empty());
    assert_eq!(std::fs::read_dir(state.path().join("pictures")).unwrap().count(), 0);
    let (accepted, unanswered) =
        (told.accepted.len(), told.seeds / 0x10 - told.accepted.len() as u64);
    let answered = unanswered <= ENDS.into();
    assert!(accepted > 20 && answered, "{accepted} accepted, {unanswered} not answered");
    println!("{accepted} jobs over {ENDS} ends of daemons");
}

#[test]
fn the_built_in_model_draws_the_same_over_the_daemons_death() {
    let state = tempfile::tempdir().unwrap();
    let start = || {
        Daemon::with(Options {
            worker: Some(built_worker()),
            state: Some(state.path().to_owned()),
            ..Options::default()
        })
    };
    let draw = Draw { seed: 5, count: 3, ..Draw::new("a red circle above a blue square") };
    let daemon = start();
    let undisturbed = daemon.draw(&draw).unwrap();
    let priority = Priority::default();
    let submit = Submit { draw, priority, detach: true, previews: false };
    let update = daemon.client().submit(&submit).unwrap().next();
    let Some(Ok(Update::Accepted { job, .. })) = update else { panic!("{update:?}") };
    // In the first picture, and in the second.
    let until_step = |daemon: &Daemon, picture: u32| {
        let mut updates = daemon.client().wait(job).unwrap();
        let there = updates.find(|update| match update {
            Ok(Update::Step(step)) => (step.picture, step.step) >= (picture, 2),
            Ok(_) => false,
            Err(failure) => panic!("{failure}"),
        });
        assert!(there.is_some());
    };
    until_step(&daemon, 0);
    drop(daemon);
    let daemon = start();
    until_step(&daemon, 1);
    drop(daemon);
    let mut daemon = start();
    until_step(&daemon, 1);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.wait().success());
    drop(daemon);
    let daemon = start();
    let images = finish(daemon.client().wait(job).unwrap()).unwrap();
    assert!(images == undisturbed, "another picture, or another number of them");
    daemon.client().forget(job).unwrap();
    assert!(daemon.client().jobs().unwrap().is_empty());
}
