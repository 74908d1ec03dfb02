//! How long the daemon waits for what: for a worker that says nothing, between two starts, for
//! the running job when it ends.
//!
//! `ZIMAGED_PATIENCE` makes the times shorter, for tests: "step=2s,load=500ms".

use std::time::Duration;

/// Times, each with what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// For a new process's first word: it finds its libraries and its GPU.
    pub spawn: Duration,
    /// For more bytes of the checkpoint.
    pub load: Duration,
    /// For each warm-up image: on a slow CPU it takes minutes.
    pub warm: Duration,
    /// The least for a step, a decoding or a chunk of pixels.
    pub step: Duration,
    /// The same while nothing is known about a step's time.
    pub first_step: Duration,
    /// For a worker to go when its input has closed.
    pub leave: Duration,
    /// For a killed process to be gone; a kernel that takes longer is stuck.
    pub reap: Duration,
    /// Between a second death and the next start; each further one waits twice as long. The first
    /// waits for nothing: one death is no loop, and somebody waits for an image.
    pub pause: Duration,
    /// The longest such pause.
    pub longest_pause: Duration,
    /// A worker that was ready for so long has proved itself: its death is a first one.
    pub settled: Duration,
    /// For the running job when the daemon ends.
    pub drain: Duration,
    /// Woken so much later than it wished, the daemon was stopped itself.
    pub overslept: Duration,
    /// Between two looks at what is kept: what has expired, and whether a bad disk has got better.
    pub disk: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            spawn: Duration::from_secs(120),
            load: Duration::from_secs(60),
            warm: Duration::from_secs(600),
            step: Duration::from_secs(30),
            first_step: Duration::from_secs(600),
            leave: Duration::from_secs(3),
            reap: Duration::from_secs(30),
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
            settled: Duration::from_secs(300),
            drain: Duration::from_secs(60),
            overslept: Duration::from_secs(5),
            disk: Duration::from_secs(30),
        }
    }
}

/// A step may take so many times what it was expected to take.
const SLOWER: u32 = 20;

impl Patience {
    /// For a step that is expected to take so long.
    pub(crate) fn for_step(&self, expected: Option<Duration>) -> Duration {
        let times = |step: Duration| step.saturating_mul(SLOWER).max(self.step);
        expected.map_or(self.first_step, times)
    }
}

impl std::str::FromStr for Patience {
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
                "warm" => &mut all.warm,
                "step" => &mut all.step,
                "first_step" => &mut all.first_step,
                "leave" => &mut all.leave,
                "disk" => &mut all.disk,
                "reap" => &mut all.reap,
                "pause" => &mut all.pause,
                "longest_pause" => &mut all.longest_pause,
                "settled" => &mut all.settled,
                "drain" => &mut all.drain,
                "overslept" => &mut all.overslept,
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
        let patience = Patience::default();
        let seconds = Duration::from_secs;
        assert_eq!(patience.for_step(Some(Duration::from_millis(100))), seconds(30));
        assert_eq!(patience.for_step(Some(seconds(2))), seconds(40));
        assert_eq!(patience.for_step(None), seconds(600));
    }

    #[test]
    fn tests_may_be_impatient() {
        let patience: Patience = "step=2s,load=500ms".parse().unwrap();
        assert_eq!(patience.step, Duration::from_secs(2));
        assert_eq!(patience.load, Duration::from_millis(500));
        assert_eq!(patience.drain, Patience::default().drain);
        for wrong in ["step", "stpe=1s", "step=soon"] {
            let said = wrong.parse::<Patience>().unwrap_err();
            assert!(said.contains(wrong), "{said}");
        }
    }
}
