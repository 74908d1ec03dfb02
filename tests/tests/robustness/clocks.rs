//! Jumps of the wall clock, by years and to before 1970: no job is lost or expires early, no number
//! comes twice, and waiting clients go on waiting.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper fails its test by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use zimg_client::{Generate, Image, JobId, Params, Priority, Update};
use zimg_tests::{Daemon, Options, finish, mock};

const YEAR: i64 = 365 * 24 * 3600;
/// Seconds by which the clock is wrong, one after the other.
const JUMPS: [i64; 5] = [10 * YEAR, -30 * YEAR, -100 * YEAR, 200 * YEAR, 0];

/// A clock that the test sets.
struct Clock(PathBuf);

impl Clock {
    /// Builds it in a folder.
    fn new(folder: &Path) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/clock.cpp");
        let library = folder.join("clock.so");
        let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
        let mut build = Command::new(compiler);
        build.args(["-shared", "-fPIC", "-O1", "-o"]).arg(library).arg(source);
        assert!(build.status().unwrap().success(), "the clock does not build");
        let clock = Self(folder.to_owned());
        clock.set(0);
        clock
    }

    fn set(&self, more: i64) {
        // Whole, whenever it is read.
        let new = self.0.join("new");
        fs::write(&new, more.to_string()).unwrap();
        fs::rename(new, self.0.join("more")).unwrap();
    }

    /// A daemon that goes by it, and keeps its jobs in the folder, for an hour.
    fn daemon(&self, mock: &str) -> Daemon {
        let path = |name| self.0.join(name).to_str().unwrap().to_owned();
        let environment = [
            ("LD_PRELOAD", path("clock.so")),
            ("ZIMG_CLOCK", path("more")),
            ("ZIMAGED_RETENTION", "1h".into()),
            ("ZIMAGED_TIMEOUTS", "disk_check=20ms".into()),
        ];
        Daemon::with(Options {
            mock: mock.into(),
            state: Some(self.0.join("state")),
            environment: environment.map(|(name, value)| (name.into(), value)).into(),
            ..Options::default()
        })
    }
}

fn draw(seed: u64) -> Params {
    Params { seed: Some(seed), width: Some(64), height: Some(64), ..Params::new("a fox") }
}

fn detach(daemon: &Daemon, seed: u64) -> JobId {
    let priority = Priority::default();
    let submit = Generate {
        params: draw(seed),
        priority,
        detach: true,
        previews: false,
        ..Generate::default()
    };
    match daemon.client().generate(&submit).unwrap().next() {
        Some(Ok(Update::Accepted { job, .. })) => job,
        other => panic!("not accepted but {other:?}"),
    }
}

fn check(images: &[Image], seed: u64) {
    let [image] = images else { panic!("{} images", images.len()) };
    assert!(image.pixels == mock::colour(seed).repeat(64 * 64), "another image");
}

/// That the daemon has these jobs and no others, and their images.
fn has(daemon: &Daemon, jobs: &[JobId]) {
    let mut listed: Vec<_> = daemon.client().jobs().unwrap().iter().map(|info| info.job).collect();
    listed.sort_unstable();
    assert_eq!(listed, jobs);
    for (job, seed) in jobs.iter().zip(1..) {
        check(&finish(daemon.client().wait(*job).unwrap()).unwrap(), seed);
    }
}

/// When the daemon says that a job came, in seconds since 1970.
fn came(daemon: &Daemon, job: JobId) -> i64 {
    let jobs = daemon.client().jobs().unwrap();
    let info = jobs.iter().find(|info| info.job == job).unwrap();
    i64::try_from(info.accepted_unix_s).unwrap()
}

#[test]
fn stored_images_outlive_every_jump_of_the_clock() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::new(folder.path());
    let daemon = clock.daemon("slow:10,hold@step:2");
    let (running, _) = daemon.submit(&draw(99));
    daemon.held();
    let mut jobs = Vec::new();
    for (jump, seed) in JUMPS.into_iter().zip(1..) {
        clock.set(jump);
        let job = detach(&daemon, seed);
        jobs.push(job);
        // The clock is really another. (Nothing is before 1970.)
        let now = UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed() + jump;
        let came = came(&daemon, job);
        assert!((came - now.max(0)).abs() < 60, "{came} by a clock that says {now}");
    }
    daemon.open_gate();
    check(&finish(running).unwrap(), 99);
    assert!(jobs.is_sorted_by(|one, next| one < next), "{jobs:?}");
    for jump in JUMPS {
        clock.set(jump);
        has(&daemon, &jobs);
        // Which takes so long that meanwhile it looks for what has expired.
        check(&daemon.draw(&draw(7)).unwrap(), 7);
    }
    daemon.end();
}

#[test]
fn a_daemon_that_starts_with_a_wrong_clock_has_all_stored_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::new(folder.path());
    let daemon = clock.daemon("slow:10");
    let mut jobs = vec![detach(&daemon, 1)];
    has(&daemon, &jobs);
    daemon.end();
    for (jump, seed) in JUMPS.into_iter().zip(2..) {
        clock.set(jump);
        let daemon = clock.daemon("slow:10");
        has(&daemon, &jobs);
        jobs.push(detach(&daemon, seed));
        assert!(jobs.is_sorted_by(|one, next| one < next), "{jobs:?}");
        has(&daemon, &jobs);
        daemon.end();
    }
}
