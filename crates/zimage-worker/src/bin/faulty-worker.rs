//! The worker with the faults that tests plant (`src/faults.rs`): only with the feature `faults`.

zimage_worker::worker_program!();
