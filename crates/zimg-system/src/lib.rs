//! What zimg's programs ask of the operating system: a log that fails without harm, and the limits
//! of the container that they run in.

pub mod cgroup;
pub mod closed_at_start;
pub mod cpus;
pub mod log;
pub mod memory;
pub mod processes;
pub mod signals;
pub mod stack;
