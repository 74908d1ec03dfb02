//! `zimage-worker`, the GPU process.

use std::process::ExitCode;

fn main() -> ExitCode {
    zimage_worker::main()
}
