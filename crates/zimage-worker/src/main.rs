//! `zimage-worker`, the GPU process.

zimage_worker::worker_program!();
