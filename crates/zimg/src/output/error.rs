//! Failures that several checks of the output share.

use std::fmt::Display;

use zimg_client::{Failure, Kind};

/// `name` is the output's, in sentences.
pub(super) fn terminal(name: impl Display) -> Failure {
    usage(format!("{name} is a terminal, and an image is binary data"))
        .hint("give a file with -o FILE, or pipe the image to another program")
}

pub(super) fn usage(message: String) -> Failure {
    Failure::new(Kind::Usage, message)
}
