//! The model's errors as they cross the wire.

use zimage::{Error, ErrorKind};
use zimg_protocol::{Failure, Kind};

/// The failure that an error of the model is to a user.
pub(crate) fn from_model(error: &Error) -> Failure {
    let kind = match error.kind() {
        ErrorKind::Refused => Kind::Refused,
        ErrorKind::Checkpoint => Kind::Config,
        ErrorKind::Device | ErrorKind::Internal => Kind::Internal,
    };
    Failure { kind, message: error.to_string(), hint: error.hint() }
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
