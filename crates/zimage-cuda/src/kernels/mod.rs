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
mod launch;
mod norm;
mod picture;
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
    picture: picture::Functions,
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
        // Each file by itself and all at once: they take some 0.2 s together.
        let (norm, rope, gate, group_norm, picture, softmax) = thread::scope(|scope| {
            let rope = scope.spawn(|| rope::Functions::load(gpu));
            let gate = scope.spawn(|| gate::Functions::load(gpu));
            let group_norm = scope.spawn(|| group_norm::Functions::load(gpu));
            let picture = scope.spawn(|| picture::Functions::load(gpu));
            let softmax = scope.spawn(|| softmax::Functions::load(gpu));
            let norm = norm::Functions::load(gpu);
            (norm, join(rope), join(gate), join(group_norm), join(picture), join(softmax))
        });
        let stream = Stream::of(gpu)?;
        Ok(Self(Arc::new(Functions {
            stream,
            norm: norm?,
            rope: rope?,
            gate: gate?,
            group_norm: group_norm?,
            picture: picture?,
            softmax: softmax?,
        })))
    }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, Result<T, Error>>) -> Result<T, Error> {
    thread.join().unwrap_or_else(|_| Err(Error::Compile("the compiling thread died".into())))
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
