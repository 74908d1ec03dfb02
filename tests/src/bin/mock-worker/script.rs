//! What the mock does wrong.
//!
//! `ZIMG_MOCK` is a script for each start, separated by `;` (the last one repeats); each is a
//! list of behaviours, separated by `,`:
//!
//! ```text
//! WAY@PHASE             goes wrong when it reaches the phase
//! exit:N                says why on standard error and exits with N while loading
//! fatal:N               says why with a Fatal report (kind of exit code N) and exits with N
//! slow:MS               takes so many milliseconds a step
//! ms:MS                 says that a step took so many milliseconds
//! grain                 makes previews and images grainy: their files are as large as photographs'
//! stamps                leaves the time of each step for the test
//! few-pixels            says done before all pixels were sent
//! refuse                fails each job as refused
//! text-only             is a model that takes no image inputs
//! deaf                  does not end when its socket closes
//! orphan                asks the kernel for no signal when its supervisor ends
//! strike:N              of 1000 seeds N are struck: the first worker that generates them goes wrong
//! strike-start:N        every Nth start goes wrong before its first job
//! ```
//!
//! The phases are `spawn` (nothing said yet), `load`, `warm`, `idle` (ready), `begin` (a job),
//! `latents:N` (half of step N's latents sent), `step:N` (done), `decode`, `send` (half of the
//! pixels sent), `sent` (all of them), `done` (said so). The ways are
//!
//! ```text
//! hold, hang            waits until the gate opens, or its job is cancelled or paused
//! crash                 aborts with last words
//! segv, kill, stop      sends itself that signal
//! exit                  exits with status 0
//! garbage               sends a frame of an unknown kind
//! half-frame            exits in the middle of a frame
//! cut                   is killed in the middle of a frame
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, raise};
use zimg_protocol::messages::JobId;
use zimg_tests::mock::chance;

use crate::link::Link;

/// How often a closed gate is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// Where the mock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Spawn,
    Load,
    Warm,
    Idle,
    Begin,
    Latents(u32),
    Step(u32),
    Decode,
    Send,
    Sent,
    Done,
}

pub(crate) struct Script {
    words: Vec<String>,
    start: usize,
    gate: Option<PathBuf>,
}

impl Script {
    pub(crate) fn from_environment() -> Self {
        let start = std::env::var("ZIMG_MOCK_START").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
        let scripts = std::env::var("ZIMG_MOCK").unwrap_or_default();
        let scripts: Vec<&str> = scripts.split(';').collect();
        let script = scripts[usize::min(start, scripts.len() - 1)];
        let words = script.split(',').map(|word| word.trim().to_owned()).collect();
        Self { words, start, gate: std::env::var_os("ZIMG_MOCK_GATE").map(PathBuf::from) }
    }

    pub(crate) fn says(&self, word: &str) -> bool {
        self.words.iter().any(|other| other == word)
    }

    pub(crate) fn number(&self, word: &str) -> Option<u64> {
        self.words.iter().find_map(|other| other.strip_prefix(word)?.parse().ok())
    }

    pub(crate) fn be_slow(&self) {
        if let Some(ms) = self.number("slow:") {
            thread::sleep(Duration::from_millis(ms));
        }
    }

    /// Leaves its process's number for the test to look for.
    pub(crate) fn leave_pid(&self) {
        let pids = self.beside("pids");
        if let Some(Ok(mut pids)) =
            pids.map(|p| OpenOptions::new().append(true).create(true).open(p))
        {
            let _ = writeln!(pids, "{}", process::id());
        }
    }

    /// Leaves the time of a step: job, image and step, from 0, 0 and 1, and nanoseconds of the clock.
    pub(crate) fn stamp(&self, job: JobId, image: u32, step: u32) {
        let stamps = self.beside("stamps").filter(|_| self.says("stamps"));
        if let Some(Ok(mut stamps)) =
            stamps.map(|path| OpenOptions::new().append(true).create(true).open(path))
        {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let _ = writeln!(stamps, "{job} {image} {step} {}", now.as_nanos());
        }
    }

    /// The pixels of an image or a preview of one colour.
    pub(crate) fn pixels(&self, colour: [u8; 3], count: usize) -> Vec<u8> {
        if !self.says("grain") {
            return colour.repeat(count);
        }
        let mut state = u64::from(colour[0]) + 1;
        let numbers = std::iter::repeat_with(|| {
            state = chance(state);
            state.to_le_bytes()
        });
        numbers.flatten().take(3 * count).map(|byte| 120 + (byte & 15)).collect()
    }

    /// The mock is there now, with a job and its seed or without: it goes wrong if it is to.
    pub(crate) fn reach(
        &self,
        phase: Phase,
        link: &mut Link,
        job: Option<(JobId, u64)>,
    ) -> io::Result<()> {
        let here = phase.name();
        let told = self.words.iter().filter_map(|word| word.split_once('@'));
        for (way, _) in told.filter(|(_, there)| *there == here) {
            self.go_wrong(way, phase, link, job.map(|(id, _)| id))?;
        }
        if let Some(way) = self.struck(phase, job.map(|(_, seed)| seed)) {
            self.go_wrong(way, phase, link, job.map(|(id, _)| id))?;
        }
        Ok(())
    }

    /// How chance has this start or this job go wrong here.
    fn struck(&self, phase: Phase, seed: Option<u64>) -> Option<&'static str> {
        /// Stops are rare: each takes a timeout of the supervisor.
        const WAYS: [&str; 12] = [
            "crash",
            "segv",
            "kill",
            "exit",
            "garbage",
            "half-frame",
            "crash",
            "segv",
            "kill",
            "exit",
            "half-frame",
            "stop",
        ];
        const STARTS: [Phase; 4] = [Phase::Spawn, Phase::Load, Phase::Warm, Phase::Idle];
        const JOBS: [Phase; 9] = [
            Phase::Begin,
            Phase::Latents(1),
            Phase::Step(1),
            Phase::Step(2),
            Phase::Step(3),
            Phase::Decode,
            Phase::Send,
            Phase::Sent,
            Phase::Done,
        ];
        let pick = |from: u64| WAYS[(from % WAYS.len() as u64) as usize];
        let Some(seed) = seed else {
            let every = usize::try_from(self.number("strike-start:")?).ok()?;
            let number = self.start / every;
            let hit = self.start % every == every - 1 && STARTS[number % STARTS.len()] == phase;
            return hit.then(|| pick(chance(number as u64)));
        };
        let chance = chance(seed);
        let phases = JOBS.len() as u64;
        if chance % 1000 >= self.number("strike:")?
            || JOBS[(chance / 1000 % phases) as usize] != phase
        {
            return None;
        }
        // Once only: the mark outlives this process.
        let mark = self.beside(&format!("struck-{seed}"))?;
        File::create_new(mark).ok()?;
        Some(pick(chance / 1000 / phases))
    }

    fn go_wrong(
        &self,
        way: &str,
        phase: Phase,
        link: &mut Link,
        job: Option<JobId>,
    ) -> io::Result<()> {
        match way {
            "hold" | "hang" => self.wait_at_gate(phase, link, job),
            "crash" => die(phase),
            "segv" => end_by(Signal::SIGSEGV),
            "kill" => end_by(Signal::SIGKILL),
            "stop" => raise(Signal::SIGSTOP)?,
            "exit" => process::exit(0),
            "garbage" => link.write_all(&[0, 0, 0, 2, 0x77, 0x77])?,
            "cut" => {
                link.write_all(&[0, 0, 1, 0, 0x04, 1, 2, 3])?;
                end_by(Signal::SIGKILL);
            }
            "half-frame" => {
                link.write_all(&[0, 0, 1, 0, 0x04, 1, 2, 3])?;
                process::exit(0);
            }
            other => {
                let _ = writeln!(io::stderr(), "the script says \"{other}\", which is no way");
                process::exit(78);
            }
        }
        Ok(())
    }

    fn wait_at_gate(&self, phase: Phase, link: &Link, job: Option<JobId>) {
        if let Some(held) = self.beside("held") {
            // Whole, when it is there at all.
            let unfinished = held.with_extension("new");
            let _ =
                fs::write(&unfinished, phase.name()).and_then(|()| fs::rename(unfinished, held));
        }
        let open = || self.gate.as_ref().is_some_and(|gate| gate.exists());
        let requested = || {
            let requests = link.requests();
            job.is_some_and(|job| requests.cancelled == job || requests.paused == job)
        };
        while !open() && !requested() {
            thread::sleep(LOOK);
        }
    }

    fn beside(&self, name: &str) -> Option<PathBuf> {
        Some(self.gate.as_ref()?.with_file_name(name))
    }
}

impl Phase {
    fn name(self) -> String {
        match self {
            Self::Spawn => "spawn".into(),
            Self::Load => "load".into(),
            Self::Warm => "warm".into(),
            Self::Idle => "idle".into(),
            Self::Begin => "begin".into(),
            Self::Latents(step) => format!("latents:{step}"),
            Self::Step(step) => format!("step:{step}"),
            Self::Decode => "decode".into(),
            Self::Send => "send".into(),
            Self::Sent => "sent".into(),
            Self::Done => "done".into(),
        }
    }
}

fn die(phase: Phase) -> ! {
    let last_words = match phase {
        Phase::Spawn | Phase::Load | Phase::Warm | Phase::Idle => "the weights bit me",
        Phase::Done => "after the work is done",
        _ => "an illegal address",
    };
    let _ = writeln!(io::stderr(), "{last_words}");
    process::abort()
}

/// Ends by a signal, whatever is done about it.
fn end_by(signal: Signal) -> ! {
    let _ = raise(signal);
    process::abort()
}
