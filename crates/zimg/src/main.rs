//! The `zimg` program: generate images from the command line through zimaged.

use std::process::ExitCode;

/// Runs before std gives closed descriptors another meaning.
#[used]
#[expect(unsafe_code, reason = "the section's name")]
// SAFETY: the section holds pointers to functions, and this one takes no arguments.
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = zimg_system::closed_at_start::note_closed_descriptors;

fn main() -> ExitCode {
    zimg::run_with_stack()
}
