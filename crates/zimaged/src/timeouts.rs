//! The daemon's timeouts: for a worker without progress, between two starts, and at shutdown.
//!
//! `ZIMAGED_TIMEOUTS` overrides them in tests: "step=2s,load=500ms".

use std::time::Duration;

/// Each timeout by its purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// For the first message of a new worker process, which loads its libraries and finds its GPU.
    pub spawn: Duration,
    /// For progress in loading the checkpoint.
    pub load: Duration,
    /// For each warm-up image: on a slow CPU it takes minutes.
    pub warmup: Duration,
    /// The least for a denoising step, the decoder or a chunk of pixels.
    pub step: Duration,
    /// The same before any step was timed.
    pub first_step: Duration,
    /// For a worker to exit after its input was closed.
    pub exit: Duration,
    /// For the kernel to end a killed process.
    pub reap: Duration,
    /// The back-off after a second death, doubled at each further one. The first restart is
    /// immediate: a single death is no crash loop, and a job waits.
    pub backoff: Duration,
    /// The longest back-off.
    pub backoff_max: Duration,
    /// A worker that was ready for this long is stable: its death counts as a first one.
    pub stable: Duration,
    /// For the running job at shutdown.
    pub shutdown: Duration,
    /// A wake-up that is late by this much means that the daemon itself was suspended.
    pub suspended: Duration,
    /// Between two checks of the store: for expired jobs, and whether a failed disk works again.
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

/// A step may take this many times its expected time.
const STEP_FACTOR: u32 = 20;

impl Timeouts {
    /// The timeout of a step with this expected time.
    pub(crate) fn for_step(&self, expected: Option<Duration>) -> Duration {
        let times = |step: Duration| step.saturating_mul(STEP_FACTOR).max(self.step);
        expected.map_or(self.first_step, times)
    }
}

impl std::str::FromStr for Timeouts {
    type Err = String;

    /// The defaults, except for the timeouts that `text` names.
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
    fn named_timeouts_are_overridden() {
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
