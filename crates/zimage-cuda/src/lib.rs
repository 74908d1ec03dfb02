//! What tch lacks: finding libtorch_cuda, asking the driver about a GPU, bringing bytes to it, own
//! kernels.
//!
//! A tch program links libtorch_cpu alone, so that one binary serves machines with and without
//! a GPU. [`bring_up`] loads libtorch_cuda beside it, which must come **before any question to
//! CUDA**: `tch::Cuda::is_available()` remembers a no.

use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

mod allocator;
mod attention;
mod context;
mod driver;
#[cfg(feature = "faults")]
pub mod faults;
mod graph;
mod health;
mod holders;
mod kernels;
mod libtorch;
mod memory;
mod upload;

pub use allocator::{Allocated, allocated, give_back_cache, watch_peak};
pub use attention::WithoutPlans;
pub use context::{make_current, synchronize};
pub use driver::Gpu;
pub use graph::{Graph, Pool};
pub use health::{Room, probe, room};
pub use holders::{Holder, holders};
pub use kernels::{Float8Rows, GroupNorm, Kernels, Moments, Pairs, Rows, Scale};
pub use memory::Memory;
pub use upload::Uploader;

/// Why a GPU cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The libtorch in use was built, or cut, without CUDA.
    #[error("this libtorch has no CUDA: {0} is missing")]
    NoLibtorchCuda(String),
    /// The library is there but cannot be loaded.
    #[error("{path} cannot be loaded: {reason}")]
    Load {
        /// Its path.
        path: String,
        /// What the dynamic loader said.
        reason: String,
    },
    /// No NVIDIA driver on this machine.
    #[error("no NVIDIA driver is loaded (libcuda.so.1: {0})")]
    NoDriver(String),
    /// The driver refused a question.
    #[error("the NVIDIA driver failed: {call} returned {code}")]
    Driver {
        /// The driver's function.
        call: &'static str,
        /// Its `CUresult`.
        code: i32,
    },
    /// Our kernels need bfloat16.
    #[error("own kernels need an Ampere GPU or a later one, not {0}")]
    TooOld(String),
    /// NVRTC is not where libtorch has it.
    #[error("the compiler of kernels is missing (libnvrtc.so.13: {0})")]
    NoCompiler(String),
    /// NVRTC refused a kernel.
    #[error("a kernel does not compile: {0}")]
    Compile(String),
    /// A kernel was called with what it does not take: a mistake in this program.
    #[error("the GPU was asked wrongly: {0}")]
    Misuse(&'static str),
    /// Launches could not be recorded, or not be replayed.
    #[error("a CUDA graph failed: {0}")]
    Graph(String),
    /// libtorch refused memory, for a result or for weights.
    #[error(transparent)]
    Tch(#[from] tch::TchError),
    /// Fewer GPUs than the number asked for.
    #[error("there is no cuda:{asked}: the driver shows {count} GPU(s)")]
    NoSuchGpu {
        /// The number asked for.
        asked: usize,
        /// How many there are.
        count: usize,
    },
    /// The GPU's memory is too small, or others use it.
    #[error(
        "the GPU's memory is too small: {:.1} GB are needed at once, {:.1} GB are free",
        gigabytes(.bytes), gigabytes(.free)
    )]
    NoRoom {
        /// Bytes asked for.
        bytes: usize,
        /// Bytes that there were.
        free: usize,
    },
    /// The GPU added up wrongly.
    #[error("the GPU does not compute: ones add up to {0} instead of {1}")]
    Wrong(f64, i64),
    /// The system starts no thread.
    #[error("a thread cannot be started: {0}")]
    Thread(String),
    /// libtorch does not take the GPU that the driver shows.
    #[error("libtorch finds no usable GPU, although the driver shows {0}")]
    NotUsable(String),
}

impl Error {
    fn driver(call: &'static str, error: cudarc::driver::DriverError) -> Self {
        Self::Driver { call, code: error.0 as i32 }
    }
}

fn gigabytes(bytes: &usize) -> f64 {
    *bytes as f64 / 1e9
}

/// What [`bring_up_timed`] found, and how long it took.
#[derive(Clone, Debug)]
pub struct BroughtUp {
    /// The GPU.
    pub gpu: Gpu,
    /// Loading libtorch_cuda.
    pub libtorch: Duration,
    /// How much longer the driver's context took.
    pub context: Duration,
}

/// Begins, on threads of their own, what of [`bring_up`] needs no libtorch: the driver's context,
/// NVIDIA's libraries, and our kernels if they will be wanted. Who needs any of it waits for it;
/// what fails fails again there, and is said there.
///
/// It may be called before libtorch's initialisers have run.
pub fn begin(ordinal: usize, kernels: bool) {
    if context::load().is_ok() {
        let begin = |name: &str| thread::Builder::new().name(name.to_owned());
        let _ = begin("early context").spawn(move || make_context(ordinal, kernels));
        let _ = begin("early libraries").spawn(libtorch::load_what_cuda_needs);
    }
}

/// Makes `cuda:{ordinal}` usable through tch and says what it is.
///
/// # Errors
/// When there is no driver, no such GPU, or no libtorch_cuda that takes it.
pub fn bring_up(ordinal: usize) -> Result<Gpu, Error> {
    Ok(bring_up_timed(ordinal, true)?.gpu)
}

/// As [`bring_up`], and says how long it took; meanwhile begins to compile our kernels, if they
/// will be wanted.
///
/// # Errors
/// As [`bring_up`].
pub fn bring_up_timed(ordinal: usize, kernels: bool) -> Result<BroughtUp, Error> {
    context::load()?;
    let made =
        thread::Builder::new().name("context".into()).spawn(move || make_context(ordinal, kernels));
    let begun = Instant::now();
    let loaded = libtorch::load_cuda();
    let libtorch = begun.elapsed();
    let made = made.map_err(|e| Error::Thread(e.to_string()))?.join();
    let context = begun.elapsed() - libtorch;
    let gpu = made.unwrap_or_else(|panic| resume_unwind(panic))?;
    loaded?;
    if !tch::Cuda::is_available() {
        return Err(Error::NotUsable(gpu.name));
    }
    Ok(BroughtUp { gpu, libtorch, context })
}

/// Makes the driver's context of a GPU; our kernels, if they are wanted, are compiled meanwhile.
fn make_context(ordinal: usize, kernels: bool) -> Result<Gpu, Error> {
    let gpu = Gpu::find(ordinal)?;
    if kernels {
        Kernels::begin(gpu.clone());
    }
    make_current(ordinal)?;
    Ok(gpu)
}
