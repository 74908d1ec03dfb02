//! The `zimg` program: generate images from the command line through zimaged.

use std::process::ExitCode;

fn main() -> ExitCode {
    zimg::run()
}
