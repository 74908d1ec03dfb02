//! Our own kernels: a few passes over memory that libtorch makes in many.
//!
//! Each is one `.cu` file and one `.rs` file beside it that checks and launches. They are compiled
//! at start-up for the very GPU there is (NVRTC, which comes with libtorch), so that a user needs
//! no compiler and the repository holds no binary. They take and give bfloat16, compute in
//! float32, and sum in a fixed order: the same input gives the same bits in every run. The model
//! has a twin of each in libtorch's operations, which `zimage`'s `ops` chooses where there is no
//! such GPU, and which `examples/kernels.rs` compares them with.

mod compile;
mod gate;
mod group_norm;
mod image;
mod launch;
mod norm;
mod rope;
mod softmax;

pub use group_norm::{GroupNorm, Moments};
pub use norm::{Rows, Scale};
pub use rope::Pairs;

use std::sync::Arc;
use std::thread;

use cudarc::driver::sys::CUfunction;

use crate::{Error, Gpu};
use launch::Stream;

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

/// Rows as float8 (e4m3): `values` `[rows, width]`, and what each row is to be multiplied with,
/// `scales` `[rows, 1]` in float32.
#[derive(Debug)]
pub struct Float8Rows {
    /// The numbers.
    pub values: tch::Tensor,
    /// The rows' scales.
    pub scales: tch::Tensor,
}

impl Kernels {
    /// Compiles them for `gpu` and loads them into its context.
    ///
    /// # Errors
    /// When the GPU is older than Ampere, or NVRTC is missing or refuses.
    pub fn compile(gpu: &Gpu) -> Result<Self, Error> {
        if !gpu.has_bfloat16() {
            return Err(Error::TooOld(gpu.name.clone()));
        }
        compile::bring_compiler()?;
        compile::compile_all(gpu);
        Ok(Self(Arc::new(Functions {
            stream: Stream::of(gpu)?,
            norm: norm::Functions::load(gpu)?,
            rope: rope::Functions::load(gpu)?,
            gate: gate::Functions::load(gpu)?,
            group_norm: group_norm::Functions::load(gpu)?,
            image: image::Functions::load(gpu)?,
            softmax: softmax::Functions::load(gpu)?,
        })))
    }

    /// Begins to compile them on a thread, which takes 0.1 to 0.2 s and needs no context yet.
    pub(crate) fn begin(gpu: Gpu) {
        if gpu.has_bfloat16() {
            // Without a thread, `compile` does it.
            let _ = thread::Builder::new()
                .name("kernels".into())
                .spawn(move || compile::compile_all(&gpu));
        }
    }
}

/// A kernel in its loaded module, which stays loaded as long as the process.
#[derive(Clone, Copy, Debug)]
struct Kernel(CUfunction);

// SAFETY: a CUfunction is an address inside the driver that any thread may launch; modules are
// never unloaded.
#[expect(unsafe_code, reason = "a handle of the driver is a pointer")]
unsafe impl Send for Kernel {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "a handle of the driver is a pointer")]
unsafe impl Sync for Kernel {}
