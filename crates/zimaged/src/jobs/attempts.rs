//! How many workers a job may cost: two crashes of its own in a row, or five kills from outside.

use zimg_protocol::{Failure, Kind};

use crate::workers::exit::Fault;

/// A job fails after so many workers in a row that crashed while they ran it.
const CRASHES_MAX: u32 = 2;
/// A job fails after so many workers that were killed from outside while they ran it, to bound
/// retries.
const KILLS_MAX: u32 = 5;

/// Workers that a job has lost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attempts {
    /// Crashes since an image was complete.
    crashes: u32,
    kills: u32,
}

/// Why a job is not tried again.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum RetriesExhausted {
    #[error("{CRASHES_MAX} workers in a row died running this job; {reason}")]
    Crashes { reason: String },
    #[error("{KILLS_MAX} workers were killed while they ran this job; {reason}")]
    Kills { reason: String },
}

impl Attempts {
    /// An image is complete: what crashed before it is not repeated.
    pub(crate) fn image_complete(&mut self) {
        self.crashes = 0;
    }

    /// The job lost its worker; a worker that had not begun with it did not crash because of it.
    pub(crate) fn lost_worker(
        &mut self,
        fault: Fault,
        began: bool,
        reason: String,
    ) -> Result<(), RetriesExhausted> {
        match fault {
            Fault::Own if began => self.crashes += 1,
            Fault::Own | Fault::Outside => self.kills += 1,
            // The lifecycle bounds them.
            Fault::Replan => {}
        }
        if self.crashes >= CRASHES_MAX {
            return Err(RetriesExhausted::Crashes { reason });
        }
        if self.kills >= KILLS_MAX {
            return Err(RetriesExhausted::Kills { reason });
        }
        Ok(())
    }
}

impl From<RetriesExhausted> for Failure {
    fn from(error: RetriesExhausted) -> Self {
        let hint = match error {
            RetriesExhausted::Crashes { .. } => {
                "other jobs go on: try another size, or other settings; the daemon's log may say more"
            }
            RetriesExhausted::Kills { .. } => {
                "the system's log may say by whom: `journalctl -k` if memory ran out"
            }
        };
        Self::new(Kind::Internal, error.to_string()).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes_on(attempts: &mut Attempts, fault: Fault) -> bool {
        let reason = "the worker was ended by SIGSEGV: ouch".to_owned();
        match attempts.lost_worker(fault, true, reason) {
            Ok(()) => true,
            Err(error) => {
                let failure = Failure::from(error);
                assert!(failure.message.ends_with("SIGSEGV: ouch"), "{failure}");
                false
            }
        }
    }

    #[test]
    fn a_job_that_kills_two_workers_in_a_row_is_given_up() {
        let mut attempts = Attempts::default();
        assert!(goes_on(&mut attempts, Fault::Own));
        assert!(goes_on(&mut attempts, Fault::Outside));
        assert!(!goes_on(&mut attempts, Fault::Own));
    }

    #[test]
    fn an_image_in_between_resets_the_count() {
        let mut attempts = Attempts::default();
        assert!(goes_on(&mut attempts, Fault::Own));
        attempts.image_complete();
        assert!(goes_on(&mut attempts, Fault::Own));
    }

    #[test]
    fn kills_from_outside_do_not_count_as_crashes_but_are_bounded() {
        let mut attempts = Attempts::default();
        for _ in 0..4 {
            assert!(goes_on(&mut attempts, Fault::Outside));
        }
        assert!(!goes_on(&mut attempts, Fault::Outside));
    }

    #[test]
    fn a_smaller_memory_plan_is_no_crash() {
        let mut attempts = Attempts::default();
        assert!(goes_on(&mut attempts, Fault::Own));
        for _ in 0..20 {
            assert!(goes_on(&mut attempts, Fault::Replan));
        }
        assert!(!goes_on(&mut attempts, Fault::Own));
    }

    #[test]
    fn a_worker_that_died_before_it_began_did_not_die_of_the_job() {
        let mut attempts = Attempts::default();
        for _ in 0..4 {
            assert_eq!(attempts.lost_worker(Fault::Own, false, String::new()), Ok(()));
        }
        let fifth = attempts.lost_worker(Fault::Own, false, String::new());
        assert_eq!(fifth, Err(RetriesExhausted::Kills { reason: String::new() }));
    }
}
