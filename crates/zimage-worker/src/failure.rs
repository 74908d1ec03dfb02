//! Failures: what an error of the model means for its job and for this process.

use tch::Device;
use zimage::{Error, ErrorKind};
use zimg_protocol::{Failure, Kind};
use zimg_system::processes;

use crate::oom_retry::RetryingPipeline;
use crate::{memory, wx_check};

/// What a failure ends.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The job; the worker can take the next one.
    Job(Failure),
    /// This process, which cannot generate any more; the job may be fine.
    Process(Failure),
}

/// The failure that is reported to a user for an error of the model.
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
    let message = processes::explain_text(&error.to_string());
    Failure { kind, message, hint: error.hint() }
}

/// The failure that is reported to an administrator before the worker is ready.
pub(crate) fn at_start(error: &Error, device: Device) -> Failure {
    match error.kind() {
        // There is no request yet: what is refused comes from the configuration.
        ErrorKind::Refused => {
            Failure { kind: Kind::Config, ..memory::explain(from_model(error), error, device) }
        }
        ErrorKind::Fault if device == Device::Cpu && !wx_check::is_allowed() => {
            wx_check::forbidden(error)
        }
        _ => memory::explain(from_model(error), error, device),
    }
}

/// Classifies an error. Its text does not tell whether a GPU still works, so that is probed.
pub(crate) fn judge(stages: RetryingPipeline<'_>, error: &Error) -> Verdict {
    match error.kind() {
        ErrorKind::Memory | ErrorKind::Refused | ErrorKind::Checkpoint | ErrorKind::Internal => {
            Verdict::Job(memory::explain(from_model(error), error, stages.0.device()))
        }
        ErrorKind::Device | ErrorKind::Fault | ErrorKind::Silent => match stages.probe() {
            // The probe needs little memory; if even that is missing, it shows no fault.
            Err(probe) if probe.kind() != ErrorKind::Memory => Verdict::Process(beyond_help(error)),
            _ => Verdict::Job(from_model(error)),
        },
    }
}

/// The failure that is reported when only a new process helps.
pub(crate) fn beyond_help(error: &Error) -> Failure {
    Failure::new(Kind::Internal, format!("the device needs a new worker: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_prompt_is_reported_to_the_user_with_its_count() {
        let failure = from_model(&Error::PromptTooLong { tokens: 1600, limit: 1504 });
        assert_eq!(failure.kind, Kind::Refused);
        assert!(failure.message.contains("1600") && failure.message.contains("1504"));
    }

    #[test]
    fn what_is_refused_before_a_request_is_a_configuration_error() {
        let error = Error::Refused("the width must be a multiple of 16".to_owned());
        assert_eq!(from_model(&error).kind, Kind::Refused);
        assert_eq!(at_start(&error, Device::Cpu).kind, Kind::Config);
        let error = Error::OneColour([0; 3]);
        assert_eq!(at_start(&error, Device::Cpu).kind, Kind::Internal);
    }
}
