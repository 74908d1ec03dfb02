//! The ways in which the process ends, besides `main`'s.

use std::panic::{self, PanicHookInfo};
use std::process;

use nix::libc;

use crate::log;

/// The status when the GPU, or libtorch, cannot be used any more in this process, which a new
/// one cures.
pub(crate) const BEYOND_HELP: u8 = 71;

/// Ends the process without asking anybody: other threads may be at work, and libtorch's and the
/// driver's own endings can hang on a GPU that failed.
pub(crate) fn now(status: u8) -> ! {
    // SAFETY: it takes a number and does not return; nothing of ours is left half done that
    // anybody else sees.
    #[expect(unsafe_code, reason = "std has only the exit that runs other libraries' endings")]
    unsafe {
        libc::_exit(i32::from(status))
    }
}

/// Has a panic of any thread say one line and abort the process, so that no half-changed state is
/// worked with. What the profile's `panic = "abort"` does, for this program alone.
pub(crate) fn at_a_panic() {
    panic::set_hook(Box::new(|info| {
        log::line(words(info));
        process::abort();
    }));
}

/// A panic in one line.
fn words(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let said = payload.downcast_ref::<&str>().copied();
    let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let said = said.unwrap_or("no words").replace('\n', " ");
    match info.location() {
        Some(place) => format!("a bug, please report it: {said} ({place})"),
        None => format!("a bug, please report it: {said}"),
    }
}
