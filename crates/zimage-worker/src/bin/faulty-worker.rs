//! The worker with faults that tests plant (`src/faults.rs`): only with the feature `faults`.

use std::process::ExitCode;

fn main() -> ExitCode {
    zimage_worker::main()
}
