//! Warm-up: running each stage once and discarding the result, so that the first request finds
//! kernels loaded and cuDNN's plans built.
//!
//! A [`WarmupPlan`] says what is run, when and in which order; it is made by the caller, who knows
//! which sizes are likely. `run.rs` executes its steps. The result of a step is never used, so the
//! weights need not be there on a GPU: memory that is allocated is enough.

mod plan;
mod run;

pub use plan::{
    LoadingWarmup, Measure, WarmupEvent, WarmupPlan, WarmupSize, WarmupStep, WarmupTimings,
};
pub(super) use run::{Runner, build_first_plans, initialize_cublas, start_decode};
