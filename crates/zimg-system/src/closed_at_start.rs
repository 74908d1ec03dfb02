//! Standard descriptors that were closed when the program started. std opens `/dev/null` in their
//! place before `main`, so that writing to them seems to succeed.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU8, Ordering};

use nix::libc::{F_GETFD, fcntl};

/// A bit for each of the descriptors 0, 1 and 2.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Looks at the descriptors. A program has the dynamic loader call it before `main` (System V ABI,
/// `DT_INIT_ARRAY`); in one that does not, none counts as closed.
#[expect(unsafe_code, reason = "std has no descriptors yet")]
pub extern "C" fn note_closed_descriptors() {
    for number in 0..3 {
        // SAFETY: it reads the flags of a descriptor, which need not be open.
        if unsafe { fcntl(number, F_GETFD) } < 0 {
            CLOSED.fetch_or(1 << number, Ordering::Relaxed);
        }
    }
}

/// Whether this standard descriptor was closed.
#[must_use]
pub fn is_closed(number: RawFd) -> bool {
    (0..3).contains(&number) && CLOSED.load(Ordering::Relaxed) & 1 << number != 0
}
