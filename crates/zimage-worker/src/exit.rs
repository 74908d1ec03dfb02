//! Exit paths besides `main`'s: at once, and after a panic.

use std::panic;
use std::process;

use nix::libc;
use zimg_system::log::panic_line;

use crate::log;

/// The exit status when the GPU, or libtorch, does not work any more in this process. A new process
/// cures that.
pub(crate) const DEVICE_LOST: u8 = 71;

/// The exit status when the next process makes a smaller memory plan.
pub(crate) const REPLAN: u8 = 72;

/// Ends the process without exit handlers: other threads may be at work, and libtorch's and the
/// driver's handlers can hang on a GPU that failed.
pub(crate) fn now(status: u8) -> ! {
    // SAFETY: it takes a number and does not return; nothing of ours is left half done that
    // another process sees.
    #[expect(unsafe_code, reason = "std has only the exit that runs other libraries' handlers")]
    unsafe {
        libc::_exit(i32::from(status))
    }
}

/// Makes a panic of any thread log one line and abort the process, so that nothing works with
/// half-changed state: what the profile's `panic = "abort"` does, for this program alone.
pub(crate) fn abort_on_panic() {
    panic::set_hook(Box::new(|info| {
        log::line(panic_line(info));
        process::abort();
    }));
}
