//! The worker with faults that tests plant (`src/faults.rs`): only with the feature `faults`.

#![expect(unsafe_code, reason = "a section is named")]

use std::ffi::{c_char, c_int};
use std::process::ExitCode;

/// What runs before libtorch's initialisers.
// SAFETY: the section is of pointers to such functions.
#[used]
#[unsafe(link_section = ".preinit_array")]
static EARLY: extern "C" fn(c_int, *const *const c_char) = zimage_worker::preinit::begin;

fn main() -> ExitCode {
    zimage_worker::main()
}
