//! Failures that several checks of the output share.

use zimg_client::{Failure, Kind};

pub(super) fn terminal() -> Failure {
    usage("standard output is a terminal, and an image is binary data".to_owned())
        .hint("give a file with -o FILE, or pipe the image to another program")
}

pub(super) fn usage(message: String) -> Failure {
    Failure::new(Kind::Usage, message)
}
