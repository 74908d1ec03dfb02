//! What tch lacks: finding libtorch_cuda, asking the driver about a GPU, own kernels.
//!
//! A tch program links libtorch_cpu alone, so that one binary serves machines with and without
//! a GPU. [`bring_up`] loads libtorch_cuda beside it, which must come **before any question to
//! CUDA**: `tch::Cuda::is_available()` remembers a no.

mod context;
mod driver;
mod kernels;
mod libtorch;

pub use driver::Gpu;
pub use kernels::{Float8Rows, Kernels, Pairs, Rows, Scale};

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
    #[error("a kernel was called wrongly: {0}")]
    Misuse(&'static str),
    /// libtorch refused memory for a result.
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
    /// libtorch does not take the GPU that the driver shows.
    #[error("libtorch finds no usable GPU, although the driver shows {0}")]
    NotUsable(String),
}

impl Error {
    fn driver(call: &'static str, error: cudarc::driver::DriverError) -> Self {
        Self::Driver { call, code: error.0 as i32 }
    }
}

/// Makes `cuda:{ordinal}` usable through tch and says what it is.
///
/// # Errors
/// When there is no driver, no such GPU, or no libtorch_cuda that takes it.
pub fn bring_up(ordinal: usize) -> Result<Gpu, Error> {
    let gpu = Gpu::find(ordinal)?;
    libtorch::load_cuda()?;
    if !tch::Cuda::is_available() {
        return Err(Error::NotUsable(gpu.name));
    }
    Ok(gpu)
}
