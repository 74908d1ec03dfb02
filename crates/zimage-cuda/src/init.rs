//! Initialisation of CUDA for tch: the driver's context and libtorch_cuda.
//!
//! A tch program links libtorch_cpu alone, so that one binary serves machines with and without a
//! GPU. [`init`] loads libtorch_cuda beside it, which must come **before any other use of CUDA**:
//! `tch::Cuda::is_available()` caches a negative answer.

use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use crate::context::{self, make_current};
use crate::driver::Gpu;
use crate::error::Error;
use crate::kernels::Kernels;
use crate::libtorch;

/// The GPU that [`init_timed`] initialised, and the time it took.
#[derive(Clone, Debug)]
pub struct Initialized {
    /// The GPU.
    pub gpu: Gpu,
    /// Time to load libtorch_cuda.
    pub libtorch: Duration,
    /// Time that the driver's context took beyond that.
    pub context: Duration,
}

/// Starts the parts of [`init`] that need no libtorch, on threads of their own: the driver's context,
/// NVIDIA's libraries, and with `kernels` the compilation of the fused kernels. [`init`] waits for
/// them; what fails here fails again there, and is reported there.
///
/// It may be called before libtorch's initialisers have run.
pub fn preinit(ordinal: usize, kernels: bool) {
    if context::load().is_ok() {
        let thread = |name: &str| thread::Builder::new().name(name.to_owned());
        let _ = thread("early context").spawn(move || create_context(ordinal, kernels));
        let _ = thread("early libraries").spawn(libtorch::preload_dependencies);
    }
}

/// Makes `cuda:{ordinal}` usable through tch, and describes it.
///
/// # Errors
/// When there is no driver, no such GPU, or no libtorch_cuda that supports it.
pub fn init(ordinal: usize) -> Result<Gpu, Error> {
    Ok(init_timed(ordinal, true)?.gpu)
}

/// As [`init`], with the time that it took; with `kernels` the fused kernels are compiled meanwhile.
///
/// # Errors
/// As [`init`].
pub fn init_timed(ordinal: usize, kernels: bool) -> Result<Initialized, Error> {
    context::load()?;
    let created = thread::Builder::new()
        .name("context".into())
        .spawn(move || create_context(ordinal, kernels));
    let start = Instant::now();
    let loaded = libtorch::load_cuda();
    let libtorch = start.elapsed();
    let created = created.map_err(|e| Error::Thread(e.to_string()))?.join();
    let context = start.elapsed() - libtorch;
    let gpu = created.unwrap_or_else(|panic| resume_unwind(panic))?;
    loaded?;
    if !tch::Cuda::is_available() {
        return Err(Error::NotUsable(gpu.name));
    }
    Ok(Initialized { gpu, libtorch, context })
}

/// Creates the driver's context of a GPU; with `kernels` the fused kernels are compiled meanwhile.
fn create_context(ordinal: usize, kernels: bool) -> Result<Gpu, Error> {
    let gpu = Gpu::find(ordinal)?;
    if kernels {
        Kernels::start_compiling(gpu.clone());
    }
    make_current(ordinal)?;
    Ok(gpu)
}
