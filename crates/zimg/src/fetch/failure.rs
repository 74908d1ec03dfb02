//! Failures of a pull: the exit code of each, and what to do.

use zimg_client::{Failure, Kind};
use zimg_hub::Error;

use crate::format;

/// The failure that the user is told.
pub(crate) fn failure(error: &Error) -> Failure {
    let kind = match error {
        Error::InvalidRepository { .. }
        | Error::InvalidRevision { .. }
        | Error::SeveralVariants { .. } => Kind::Usage,
        Error::InvalidVariable { .. } | Error::NoHome => Kind::Config,
        Error::Offline { .. }
        | Error::Unreachable { .. }
        | Error::ServerError { .. }
        | Error::Interrupted { .. } => Kind::Unavailable,
        Error::NotFound { .. }
        | Error::NoVariant { .. }
        | Error::NoCheckpoint { .. }
        | Error::NoLora { .. } => Kind::NotFound,
        Error::Denied { .. } => Kind::Permission,
        Error::RateLimited { .. } => Kind::Busy,
        Error::Incomplete { .. }
        | Error::BadRedirect { .. }
        | Error::BadAnswer { .. }
        | Error::WrongContent { .. }
        | Error::Mismatch { .. } => Kind::Refused,
        Error::NoSpace { .. } | Error::DiskFull { .. } | Error::Io { .. } => Kind::Io,
        Error::CacheUnwritable { .. } => Kind::CannotCreate,
        Error::Stopped => Kind::Cancelled,
    };
    let failure = Failure::new(kind, error.to_string());
    match hint(error) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn hint(error: &Error) -> Option<String> {
    let again = "the same command continues where it stopped";
    Some(match error {
        Error::Offline { variable } => format!("unset {variable} to fetch"),
        Error::Unreachable { .. } => {
            "check the network and HTTPS_PROXY; HF_ENDPOINT names a mirror".to_owned()
        }
        Error::ServerError { .. } | Error::Interrupted { .. } => {
            format!("try again later: {again}; HF_ENDPOINT names a mirror")
        }
        Error::NotFound { .. } => {
            "check its spelling; a private repository needs HF_TOKEN".to_owned()
        }
        Error::SeveralVariants { .. } | Error::NoVariant { .. } => {
            "type the variant behind a colon: OWNER/NAME:VARIANT".to_owned()
        }
        Error::Denied { page, token: false, .. } => {
            format!("accept the licence on {page}, then set HF_TOKEN or use `hf auth login`")
        }
        Error::Denied { page, token: true, .. } => {
            format!("accept the licence on {page} as the user of HF_TOKEN, or use another token")
        }
        Error::RateLimited { wait, .. } => {
            let when = wait.map_or("later".to_owned(), |wait| {
                format!("in {}", format::seconds(wait.as_secs_f32()))
            });
            format!("try again {when}; with HF_TOKEN more requests are allowed")
        }
        Error::WrongContent { .. } | Error::BadAnswer { .. } | Error::Mismatch { .. } => {
            "the server or a proxy before it is at fault: unset HF_ENDPOINT, or name another mirror"
                .to_owned()
        }
        Error::NoSpace { .. } => {
            "free some, or set HF_HOME to a folder on a larger disk".to_owned()
        }
        Error::DiskFull { .. } => format!("free some space: {again}"),
        Error::CacheUnwritable { .. } => "set HF_HOME to a folder that you can write to".to_owned(),
        Error::NoHome => "set HF_HOME".to_owned(),
        _ => return None,
    })
}
