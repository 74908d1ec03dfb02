//! Errors of this crate: libraries that are missing, calls that failed, memory that is too small.

/// Why a GPU cannot be used, or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The libtorch in use was built without CUDA, or its CUDA libraries were removed.
    #[error("this libtorch has no CUDA: {0} is missing")]
    NoLibtorchCuda(String),
    /// The library is there but cannot be loaded.
    #[error("{path} cannot be loaded: {reason}")]
    Load {
        /// Its path.
        path: String,
        /// The dynamic loader's message.
        reason: String,
    },
    /// No NVIDIA driver on this machine.
    #[error("no NVIDIA driver is loaded (libcuda.so.1: {0})")]
    NoDriver(String),
    /// A call of the driver failed.
    #[error("the NVIDIA driver failed: {call} returned {code}")]
    Driver {
        /// The driver's function.
        call: &'static str,
        /// Its `CUresult`.
        code: i32,
    },
    /// The fused kernels need bfloat16.
    #[error("the fused kernels need an Ampere GPU or a later one, not {0}")]
    TooOld(String),
    /// NVRTC is not among libtorch's libraries.
    #[error("the kernel compiler is missing (libnvrtc.so.13: {0})")]
    NoCompiler(String),
    /// NVRTC rejected a kernel.
    #[error("a kernel does not compile: {0}")]
    Compile(String),
    /// A function was called with invalid arguments: a fault of this program.
    #[error("invalid arguments for the GPU: {0}")]
    InvalidArguments(&'static str),
    /// A CUDA graph could not be captured or replayed.
    #[error("a CUDA graph failed: {0}")]
    Graph(String),
    /// libtorch failed, for example to allocate.
    #[error(transparent)]
    Tch(#[from] tch::TchError),
    /// There are fewer GPUs than the ordinal requires.
    #[error("there is no cuda:{asked}: the driver lists {count} GPU(s)")]
    NoSuchGpu {
        /// The requested ordinal.
        asked: usize,
        /// The number of GPUs.
        count: usize,
    },
    /// The GPU's memory is too small, or other processes use it.
    #[error(
        "the GPU's memory is too small: {:.1} GB are needed at once, {:.1} GB are free",
        gigabytes(.bytes), gigabytes(.free)
    )]
    OutOfMemory {
        /// Bytes requested.
        bytes: usize,
        /// Bytes that were free.
        free: usize,
    },
    /// The GPU computed a wrong sum.
    #[error("the GPU's self-test failed: the sum of ones is {found}, expected {expected}")]
    SelfTest {
        /// The sum.
        found: f64,
        /// The number of ones.
        expected: i64,
    },
    /// The system could not start a thread.
    #[error("cannot start a thread: {0}")]
    Thread(String),
    /// libtorch rejects the GPU that the driver lists.
    #[error("libtorch finds no usable GPU, although the driver lists {0}")]
    NotUsable(String),
}

impl Error {
    pub(crate) fn driver(call: &'static str, error: cudarc::driver::DriverError) -> Self {
        Self::Driver { call, code: error.0 as i32 }
    }
}

fn gigabytes(bytes: &usize) -> f64 {
    *bytes as f64 / 1e9
}
