//! Everything at once, for long: clients of all sorts, workers, clients and daemons that are
//! killed. Nothing is lost, nothing comes twice, and nothing grows: neither memory nor
//! descriptors nor bytes on the disk.
//!
//! `make soak` does it for an hour (`ZIMG_SOAK_SECONDS`), `make test` for half a minute.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper fails its test by panicking")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zimg_client::{Client, Generate, Kind, Params, Priority, Update};
use zimg_tests::mock::{chance, colour};
use zimg_tests::{Daemon, Ledger, Options, Raw, Seeded, finish, wait_until};

/// How often the daemons are looked at in all.
const LOOKS: u32 = 240;
/// How much more a daemon may have in the last third than in the first: what an allocator does
/// not give back at once.
const MEMORY_MORE: u64 = 4 << 20;
/// The same for descriptors: a client that is connected, or a worker that runs, just then.
const DESCRIPTORS_MORE: u64 = 8;
/// The same for what is stored on the disk: jobs that are just being stored.
const KEPT_MORE: u64 = 1 << 20;

/// When it ends.
#[derive(Clone, Copy)]
struct Until(Instant);

impl Until {
    /// Waits between one thing and the next, by chance for so long or less, and says whether there
    /// is time for another.
    fn pause(self, seeded: &mut Seeded, most: u64) -> bool {
        thread::sleep(Duration::from_millis(seeded.below(most)));
        Instant::now() < self.0
    }
}

fn seconds() -> u32 {
    std::env::var("ZIMG_SOAK_SECONDS").map_or(30, |seconds| seconds.parse().unwrap())
}

fn settings() -> Vec<(String, String)> {
    let timeouts = "spawn=3s,load=3s,warmup=3s,step=3s,first_step=3s,backoff=5ms,backoff_max=50ms";
    [("ZIMAGED_JOBS_PER_USER", "64"), ("ZIMAGED_TIMEOUTS", timeouts), ("ZIMAGED_WARMUP", "64x64")]
        .map(|(name, value)| (name.into(), value.into()))
        .into()
}

/// What was seen of a daemon, at each look.
#[derive(Default)]
struct Seen {
    memory: Vec<u64>,
    descriptors: Vec<u64>,
    kept: Vec<u64>,
}

impl Seen {
    fn look(&mut self, daemon: &Daemon, state: &Path) {
        self.memory.push(daemon.memory());
        self.descriptors.push(daemon.descriptors() as u64);
        self.kept.push(bytes_in(state));
    }

    /// Fails if the last third is more than the first, and says both.
    fn flat(&self) -> String {
        let [memory, descriptors, kept] = [
            ("memory", &self.memory, MEMORY_MORE),
            ("descriptors", &self.descriptors, DESCRIPTORS_MORE),
            ("bytes on the disk", &self.kept, KEPT_MORE),
        ]
        .map(|(what, seen, more)| {
            let third = seen.len() / 3;
            assert!(third >= 2, "{what} was looked at {} times", seen.len());
            let [first, last] = [&seen[..third], &seen[seen.len() - third..]].map(median);
            assert!(last <= first + more, "{what} grew from {first} to {last}");
            (first, last, seen.iter().copied().max().unwrap_or_default())
        });
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let in_mebibytes = |(first, last, most)| {
            let [first, last, most] = [first, last, most].map(mebibytes);
            format!("{first:.2} then {last:.2} MiB ({most:.2} at most)")
        };
        let (first, last, most) = descriptors;
        format!(
            "memory {}, descriptors {first} then {last} ({most} at most), on the disk {}",
            in_mebibytes(memory),
            in_mebibytes(kept)
        )
    }
}

fn median(seen: &[u64]) -> u64 {
    let mut seen = seen.to_vec();
    seen.sort_unstable();
    seen[seen.len() / 2]
}

/// What the files below a folder take. One that goes meanwhile takes nothing.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let entries = entries.filter_map(|entry| Some((entry.as_ref().ok()?.path(), entry.ok()?)));
    entries
        .map(|(path, entry)| match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_in(&path),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

/// A job of any sort.
fn any(seeded: &mut Seeded) -> Generate {
    let mut pick = |of: &[u32]| of[seeded.below(of.len() as u64) as usize];
    let draw = Params {
        width: Some(pick(&[64, 128, 512])),
        height: Some(pick(&[64, 96, 512])),
        steps: Some(pick(&[3, 4, 6])),
        count: Some(pick(&[1, 1, 1, 2])),
        // Its own, and far from those of detached jobs.
        seed: Some(chance(seeded.0) | 1 << 63),
        ..Params::new("a fox")
    };
    let priority = if seeded.below(3) == 0 { Priority::Batch } else { Priority::Interactive };
    Generate {
        params: draw,
        priority,
        detach: false,
        previews: seeded.below(4) == 0,
        ..Generate::default()
    }
}

/// That these are a job's images.
fn check(images: &[zimg_client::Image], draw: &Params) {
    assert_eq!(images.len(), draw.images() as usize);
    for (image, seed) in images.iter().zip(draw.first_seed()..) {
        let (width, height) = (image.info.width as usize, image.info.height as usize);
        assert!(width * height > 0 && image.pixels.len() == 3 * width * height, "{:?}", image.info);
        assert!(image.pixels.chunks(3).all(|pixel| pixel == colour(seed)), "another image");
    }
}

/// Sends a process a signal, if it is still there.
fn strike(process: u32, signal: Signal) -> bool {
    match kill(Pid::from_raw(i32::try_from(process).unwrap()), signal) {
        Ok(()) => true,
        Err(Errno::ESRCH) => false,
        Err(error) => panic!("cannot send {signal}: {error}"),
    }
}

/// What became of all clients' jobs.
#[derive(Default)]
struct Counts {
    /// Jobs whose images came, and how many images.
    generated: AtomicU64,
    images: AtomicU64,
    /// Jobs whose client went or changed its mind: they may be done or not.
    given_up: AtomicU64,
    /// Clients that were killed: they may have had a job or not.
    killed: AtomicU64,
    /// Workers that were killed from outside.
    struck: AtomicU64,
}

fn more(counter: &AtomicU64, by: u32) {
    counter.fetch_add(by.into(), Ordering::Relaxed);
}

/// Draws and gets the right images.
fn generates(daemon: &Daemon, until: Until, counts: &Counts, mut seeded: Seeded) {
    while until.pause(&mut seeded, 900) {
        let submit = any(&mut seeded);
        check(&finish(daemon.client().generate(&submit).unwrap()).unwrap(), &submit.params);
        more(&counts.generated, 1);
        more(&counts.images, submit.params.images());
    }
}

/// Changes its mind in the middle: says so, or goes.
fn changes_its_mind(daemon: &Daemon, until: Until, counts: &Counts, mut seeded: Seeded) {
    while until.pause(&mut seeded, 2_000) {
        let mut submit = any(&mut seeded);
        submit.params.steps = Some(50);
        let mut updates = daemon.client().generate(&submit).unwrap();
        let Some(Ok(Update::Accepted { job, .. })) = updates.next() else { panic!("refused") };
        let steps = seeded.below(40) as usize;
        updates.by_ref().filter(|update| matches!(update, Ok(Update::Step(_)))).nth(steps);
        if seeded.below(2) == 0 {
            // It may have ended just now.
            let _ = daemon.client().cancel(job);
            match finish(updates) {
                Err(failure) => assert_eq!(failure.kind, Kind::Cancelled, "{failure}"),
                Ok(images) => assert!(images.len() <= submit.params.images() as usize),
            }
        }
        more(&counts.given_up, 1);
    }
}

/// Command lines, which are left alone, killed, or suspended for a while.
fn types(daemon: &Daemon, until: Until, counts: &Counts, mut seeded: Seeded) {
    while until.pause(&mut seeded, 4_000) {
        let seed = (1 << 62 | seeded.0).to_string();
        let arguments = ["a fox", "-s", "512x512", "--steps", "20", "--seed", &seed];
        let mut zimg = daemon.zimg(&arguments);
        zimg.args(["-o", "fox.png", "--force"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut zimg = zimg.spawn().unwrap();
        thread::sleep(Duration::from_millis(seeded.below(80)));
        let fate = seeded.below(3);
        if fate == 0 {
            zimg.kill().unwrap();
            zimg.wait().unwrap();
            more(&counts.killed, 1);
            continue;
        }
        if fate == 1 && strike(zimg.id(), Signal::SIGSTOP) {
            thread::sleep(Duration::from_millis(seeded.below(500)));
            strike(zimg.id(), Signal::SIGCONT);
        }
        let ended = zimg.wait_with_output().unwrap();
        assert!(ended.status.success(), "{fate}: {}", String::from_utf8_lossy(&ended.stderr));
        let image = image::open(daemon.folder().join("fox.png")).unwrap().to_rgb8();
        assert!(image.pixels().all(|pixel| pixel.0 == colour(seed.parse().unwrap())));
        more(&counts.generated, 1);
        more(&counts.images, 1);
    }
}

/// Sends garbage, or half a request.
fn talks_nonsense(daemon: &Daemon, until: Until, mut seeded: Seeded) {
    while until.pause(&mut seeded, 4_000) {
        let nonsense = [&b"GET / HTTP/1.1\r\n\r\n"[..], b"ZI", b""][seeded.below(3) as usize];
        let _ = Raw::connect(daemon.socket()).0.write_all(nonsense);
        let frame = [&b"\xff\xff\xff\xff"[..], b"\0\0\x10\0\x01half"][seeded.below(2) as usize];
        let _ = Raw::greeted(daemon.socket()).0.write_all(frame);
    }
}

/// Kills workers.
fn kills_workers(daemon: &Daemon, until: Until, counts: &Counts, mut seeded: Seeded) {
    while until.pause(&mut seeded, 6_000) {
        let signal = if seeded.below(2) == 0 { Signal::SIGKILL } else { Signal::SIGTERM };
        let worker = daemon.status().workers[0].pid;
        let hit = worker.is_some_and(|worker| strike(worker, signal));
        more(&counts.struck, u32::from(hit));
    }
}

#[test]
fn a_daemon_stays_as_small_as_it_was_while_workers_and_clients_die() {
    let seconds = seconds();
    let mut daemon = Daemon::with(Options {
        mock: "slow:2,strike:60,strike-start:11".into(),
        environment: settings(),
        ..Options::default()
    });
    daemon.wait_for("READY=1");
    let state = daemon.folder().join("state");
    let (counts, mut told, mut seen) = (Counts::default(), Ledger::default(), Seen::default());
    let until = Until(Instant::now() + Duration::from_secs(seconds.into()));
    thread::scope(|scope| {
        let (daemon, counts, told) = (&daemon, &counts, &mut told);
        for client in 1..=3 {
            scope.spawn(move || generates(daemon, until, counts, Seeded(client << 32)));
        }
        scope.spawn(move || changes_its_mind(daemon, until, counts, Seeded(4 << 32)));
        scope.spawn(move || types(daemon, until, counts, Seeded(5 << 32)));
        scope.spawn(move || talks_nonsense(daemon, until, Seeded(6 << 32)));
        scope.spawn(move || kills_workers(daemon, until, counts, Seeded(7 << 32)));
        scope.spawn(move || {
            let (mut seeded, mut pauses) = (Seeded(8 << 32), Seeded(9 << 32));
            let more = || until.pause(&mut pauses, 500);
            told.go_on(daemon, &mut seeded, more).unwrap();
        });
        let pace = Duration::from_secs(seconds.into()) / LOOKS;
        while Instant::now() < until.0 {
            thread::sleep(pace);
            seen.look(daemon, &state);
        }
    });
    told.fetch_all(&daemon).unwrap();
    let update = daemon.client().generate(Params::new("a fox")).unwrap().next();
    assert!(matches!(update, Some(Ok(Update::Accepted { .. }))), "{update:?}");
    wait_until("the last one has ended", || daemon.client().overview().unwrap().unfinished == 0);
    let overview = daemon.client().overview().unwrap();
    let Counts { generated, images, given_up, killed, struck } = counts;
    let [generated, images, given_up, killed, struck] =
        [generated, images, given_up, killed, struck].map(AtomicU64::into_inner);
    // Each job has one end, which is its images unless its client would have it otherwise.
    let (detached, refused) = told.counts();
    // All kinds of clients were there. (One is killed every twelve seconds or so.)
    assert!(generated > 0 && detached > 0 && given_up > 0, "{generated}, {detached}, {given_up}");
    assert!(killed > 0 || seconds < 60, "no client was killed");
    assert_eq!(refused, 0);
    let status = overview.status;
    let ended = status.done + status.failed;
    assert_eq!(status.failed, overview.counters.cancelled, "{status:?}");
    let counted = overview.counters.images;
    println!(
        "soak: {seconds} s: {ended} jobs ({detached} detached, {} cancelled, {killed} \
         clients killed), {counted} images, {} deaths of workers ({struck} from outside), {} \
         jobs resumed, {} preempted; {}",
        status.failed,
        status.workers[0].restarts,
        overview.counters.resumed,
        overview.counters.preempted,
        seen.flat()
    );
    // And the last one, whose client waits for its acceptance alone.
    let least = generated + detached + given_up + 1;
    assert!((least..=least + killed).contains(&ended), "{least} + {killed}, {ended}");
    let unwanted = given_up + killed + 1;
    assert!(status.failed <= unwanted, "{} of {unwanted} failed", status.failed);
    // No image came twice. Of the jobs without a waiting client two each may have come.
    let least = images + told.images();
    assert!((least..=least + 2 * unwanted).contains(&counted), "{least} and {counted}");
    assert!(
        u64::from(status.workers[0].restarts) >= struck && struck >= u64::from(seconds) / 10,
        "{struck}"
    );
    daemon.end();
}

#[test]
fn daemons_that_are_killed_leave_nothing_behind() {
    let seconds = seconds();
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let mut seeded = Seeded(10 << 32);
    let (counts, mut told, mut seen) = (Counts::default(), Ledger::default(), Seen::default());
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let mut daemons = 0;
    // At least so many that there is something to compare.
    while Instant::now() < end || daemons < 6 {
        daemons += 1;
        let mut daemon = Daemon::with(Options {
            mock: "slow:2,strike-start:3".into(),
            state: Some(state.clone()),
            environment: settings(),
            ..Options::default()
        });
        told.take_over(&daemon).unwrap();
        let until = Until(Instant::now() + Duration::from_millis(1_000 + seeded.below(4_000)));
        let signal = if seeded.below(4) == 0 { Signal::SIGTERM } else { Signal::SIGKILL };
        thread::scope(|scope| {
            let (daemon, counts, told) = (&daemon, &counts, &mut told);
            let mut pauses = Seeded(seeded.below(u64::MAX));
            let client = Seeded(seeded.below(u64::MAX));
            let seeded = &mut seeded;
            scope.spawn(move || {
                // Until no daemon answers.
                let more = || {
                    until.pause(&mut pauses, 200);
                    true
                };
                told.go_on(daemon, seeded, more).unwrap_err();
            });
            scope.spawn(move || generates_or_is_told(daemon, counts, client));
            while Instant::now() < until.0 {
                thread::sleep(Duration::from_millis(50));
            }
            seen.look(daemon, &state);
            daemon.signal(signal);
        });
        assert!(daemon.wait().success() == (signal == Signal::SIGTERM), "{}", daemon.log());
        daemon.is_gone();
    }
    let daemon = Daemon::with(Options { state: Some(state.clone()), ..Options::default() });
    told.fetch_all(&daemon).unwrap();
    assert!(daemon.client().jobs().unwrap().is_empty());
    assert_eq!(fs::read_dir(state.join("pictures")).unwrap().count(), 0);
    let (detached, unanswered) = told.counts();
    assert!(unanswered <= daemons, "{unanswered} not answered by {daemons} daemons");
    let [generated, given_up] = [counts.generated, counts.given_up].map(AtomicU64::into_inner);
    assert!(given_up <= daemons, "{given_up} told by {daemons} daemons");
    println!(
        "soak: {seconds} s: {daemons} daemons ended, {detached} detached jobs, {generated} others \
         generated and {given_up} told that the daemon ended; {}",
        seen.flat()
    );
    daemon.end();
}

/// Draws until the daemon ends, which it is told.
fn generates_or_is_told(daemon: &Daemon, counts: &Counts, mut seeded: Seeded) {
    loop {
        thread::sleep(Duration::from_millis(seeded.below(100)));
        let mut submit = any(&mut seeded);
        // So long that it is often under way when the daemon ends.
        submit.params.steps = Some(20);
        let Ok(client) = Client::connect("test 1.0", daemon.socket()) else { return };
        match client.generate(&submit).and_then(finish) {
            Ok(images) => check(&images, &submit.params),
            Err(failure) => {
                let told = [Kind::Internal, Kind::Busy].contains(&failure.kind);
                assert!(told, "{failure}");
                return more(&counts.given_up, 1);
            }
        }
        more(&counts.generated, 1);
    }
}
