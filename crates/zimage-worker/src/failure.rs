//! What a failure of the model is to its job, and to this process.

use zimage::{Error, ErrorKind};
use zimg_protocol::{Failure, Kind};

use crate::memory;
use crate::stage::Stages;

/// Who goes on after a failure.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The job failed, the worker lives.
    Job(Failure),
    /// The job may have done nothing wrong, but this process can draw no more.
    Process(Failure),
}

/// The failure that an error of the model is to a user.
pub(crate) fn from_model(error: &Error) -> Failure {
    let kind = match error.kind() {
        ErrorKind::Refused => Kind::Refused,
        ErrorKind::Checkpoint => Kind::Config,
        ErrorKind::Device
        | ErrorKind::Memory
        | ErrorKind::Fault
        | ErrorKind::Silent
        | ErrorKind::Internal => Kind::Internal,
    };
    Failure { kind, message: error.to_string(), hint: error.hint() }
}

/// Decides. What an error says does not tell whether a GPU can go on: it is tried.
pub(crate) fn judge(stages: Stages<'_>, error: &Error) -> Verdict {
    match error.kind() {
        ErrorKind::Memory => Verdict::Job(memory::explain(error, stages.0.device())),
        ErrorKind::Refused | ErrorKind::Checkpoint | ErrorKind::Internal => {
            Verdict::Job(from_model(error))
        }
        ErrorKind::Device | ErrorKind::Fault | ErrorKind::Silent => match stages.probe() {
            // The probe takes little memory; without that it says nothing of a fault.
            Err(probe) if probe.kind() != ErrorKind::Memory => Verdict::Process(beyond_help(error)),
            _ => Verdict::Job(from_model(error)),
        },
    }
}

/// What the supervisor is told when only a new process helps.
pub(crate) fn beyond_help(error: &Error) -> Failure {
    Failure::new(Kind::Internal, format!("the device needs a new worker: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_prompt_is_the_users_business_with_its_count() {
        let failure = from_model(&Error::PromptTooLong { tokens: 1600, limit: 1504 });
        assert_eq!(failure.kind, Kind::Refused);
        assert!(failure.message.contains("1600") && failure.message.contains("1504"));
    }
}
