//! How long the daemon waits for what: for a worker that says nothing, between two starts, for
//! the running job when it ends.
//!
//! `ZIMAGED_TIMEOUTS` makes the times shorter, for tests: "step=2s,load=500ms".

use std::time::Duration;

/// Times, each with what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// For a new process's first word: it finds its libraries and its GPU.
    pub spawn: Duration,
    /// For more bytes of the checkpoint.
    pub load: Duration,
    /// For each warm-up image: on a slow CPU it takes minutes.
    pub warmup: Duration,
    /// The least for a step, a decoding or a chunk of pixels.
    pub step: Duration,
    /// The same while nothing is known about a step's time.
    pub first_step: Duration,
    /// For a worker to go when its input has closed.
    pub exit: Duration,
    /// For a killed process to be gone; a kernel that takes longer is stuck.
    pub reap: Duration,
    /// Between a second death and the next start; each further one waits twice as long. The first
    /// waits for nothing: one death is no loop, and somebody waits for an image.
    pub backoff: Duration,
    /// The longest such pause.
    pub backoff_max: Duration,
    /// A worker that was ready for so long has proved itself: its death is a first one.
    pub stable: Duration,
    /// For the running job when the daemon ends.
    pub shutdown: Duration,
    /// Woken so much later than it wished, the daemon was stopped itself.
    pub suspended: Duration,
    /// Between two looks at what is kept: what has expired, and whether a bad disk has got better.
    pub disk_check: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            spawn: Duration::from_secs(120),
            load: Duration::from_secs(60),
            warmup: Duration::from_secs(600),
            step: Duration::from_secs(30),
            first_step: Duration::from_secs(600),
            exit: Duration::from_secs(3),
            reap: Duration::from_secs(30),
            backoff: Duration::from_millis(500),
            backoff_max: Duration::from_secs(60),
            stable: Duration::from_secs(300),
            shutdown: Duration::from_secs(60),
            suspended: Duration::from_secs(5),
            disk_check: Duration::from_secs(30),
        }
    }
}

/// A step may take so many times what it was expected to take.
const SLOWER: u32 = 20;

impl Timeouts {
    /// For a step that is expected to take so long.
    pub(crate) fn for_step(&self, expected: Option<Duration>) -> Duration {
        let times = |step: Duration| step.saturating_mul(SLOWER).max(self.step);
        expected.map_or(self.first_step, times)
    }
}

impl std::str::FromStr for Timeouts {
    type Err = String;

    /// The usual times but for those that are named.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let wrong = || format!("has {part:?}, which is not a known name and a time");
            let (name, time) = part.split_once('=').ok_or_else(wrong)?;
            let slot = match name {
                "spawn" => &mut all.spawn,
                "load" => &mut all.load,
                "warmup" => &mut all.warmup,
                "step" => &mut all.step,
                "first_step" => &mut all.first_step,
                "exit" => &mut all.exit,
                "disk_check" => &mut all.disk_check,
                "reap" => &mut all.reap,
                "backoff" => &mut all.backoff,
                "backoff_max" => &mut all.backoff_max,
                "stable" => &mut all.stable,
                "shutdown" => &mut all.shutdown,
                "suspended" => &mut all.suspended,
                _ => return Err(wrong()),
            };
            *slot = humantime::parse_duration(time).map_err(|_| wrong())?;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_may_take_twenty_times_as_long_and_half_a_minute() {
        let timeouts = Timeouts::default();
        let seconds = Duration::from_secs;
        assert_eq!(timeouts.for_step(Some(Duration::from_millis(100))), seconds(30));
        assert_eq!(timeouts.for_step(Some(seconds(2))), seconds(40));
        assert_eq!(timeouts.for_step(None), seconds(600));
    }

    #[test]
    fn tests_may_be_impatient() {
        let timeouts: Timeouts = "step=2s,load=500ms".parse().unwrap();
        assert_eq!(timeouts.step, Duration::from_secs(2));
        assert_eq!(timeouts.load, Duration::from_millis(500));
        assert_eq!(timeouts.shutdown, Timeouts::default().shutdown);
        for wrong in ["step", "stpe=1s", "step=soon"] {
            let said = wrong.parse::<Timeouts>().unwrap_err();
            assert!(said.contains(wrong), "{said}");
        }
    }
}
