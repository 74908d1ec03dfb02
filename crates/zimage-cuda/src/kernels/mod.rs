//! Fused kernels: each replaces several of libtorch's operations by one pass over memory.
//!
//! Each is one `.cu` file, and one `.rs` file with the same name that checks arguments and launches.
//! They are compiled at start-up for the GPU in use (with NVRTC, which comes with libtorch), so a user
//! needs no compiler and the repository holds no binary. They read and write bfloat16, compute in
//! float32, and sum in a fixed order: the same input gives the same bits in every run. Each has an
//! eager counterpart of libtorch's operations in `zimage`'s `ops`, which runs on other devices, and
//! which `examples/kernels.rs` compares it with. Those of [`Expander`] read weights as they are in
//! files, and [`Int8Maker`] makes 8-bit integers; their counterparts are in `zimage-checkpoint`, and
//! `examples/expand.rs` compares them.

mod compile;
mod expand;
mod gate;
mod group_norm;
mod image;
mod int8;
mod launch;
mod norm;
mod rope;
mod shared;
mod softmax;

pub use expand::Expander;
pub use group_norm::{GroupNorm, Moments, NormCoefficients, Pieces};
pub use int8::{Int8Maker, PlainRows};
pub use norm::{Rows, Scale};
pub use rope::Pairs;

use std::sync::Arc;
use std::thread;

use cudarc::driver::sys::CUfunction;

use crate::driver::Gpu;
use crate::error::Error;
pub(crate) use launch::Stream;

/// The compiled kernels of one GPU; a clone is another handle to them.
#[derive(Clone, Debug)]
pub struct Kernels(Arc<Functions>);

#[derive(Debug)]
struct Functions {
    stream: Stream,
    norm: norm::Functions,
    rope: rope::Functions,
    gate: gate::Functions,
    group_norm: group_norm::Functions,
    image: image::Functions,
    softmax: softmax::Functions,
}

/// Rows as float8 (e4m3): `values` `[rows, width]`, and a factor for each row, `scales` `[rows, 1]` in
/// float32.
#[derive(Debug)]
pub struct Float8Rows {
    /// The numbers.
    pub values: tch::Tensor,
    /// The rows' scales.
    pub scales: tch::Tensor,
}

impl Kernels {
    /// Compiles the kernels for `gpu` and loads them into its context.
    ///
    /// # Errors
    /// When the GPU is older than Ampere, or NVRTC is missing or fails.
    pub fn compile(gpu: &Gpu) -> Result<Self, Error> {
        if !gpu.has_bfloat16() {
            return Err(Error::TooOld(gpu.name.clone()));
        }
        compile::load_nvrtc()?;
        compile::compile_all(gpu);
        Ok(Self(Arc::new(Functions {
            stream: Stream::of(gpu.ordinal)?,
            norm: norm::Functions::load(gpu)?,
            rope: rope::Functions::load(gpu)?,
            gate: gate::Functions::load(gpu)?,
            group_norm: group_norm::Functions::load(gpu)?,
            image: image::Functions::load(gpu)?,
            softmax: softmax::Functions::load(gpu)?,
        })))
    }

    /// Starts to compile the kernels on a thread: 0.1 to 0.2 s, without a context.
    pub(crate) fn start_compiling(gpu: Gpu) {
        if gpu.has_bfloat16() {
            // If the thread cannot be started, `compile` compiles.
            let _ = thread::Builder::new()
                .name("kernels".into())
                .spawn(move || compile::compile_all(&gpu));
        }
    }
}

/// A kernel in a module that stays loaded as long as the process.
#[derive(Clone, Copy, Debug)]
struct Kernel(CUfunction);

// SAFETY: a CUfunction is an address inside the driver that any thread may launch; modules are
// never unloaded.
#[expect(unsafe_code, reason = "a handle of the driver is a pointer")]
unsafe impl Send for Kernel {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "a handle of the driver is a pointer")]
unsafe impl Sync for Kernel {}
