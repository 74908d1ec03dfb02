//! CUDA support missing from tch: loading libtorch_cuda, device queries, host-to-device upload,
//! memory that outlives the process, CUDA graphs, fused kernels.
//!
#![doc = include_str!("../README.md")]

mod allocator;
mod attention;
mod context;
mod copy_stream;
mod driver;
mod error;
mod event;
#[cfg(feature = "faults")]
pub mod faults;
mod graph;
mod health;
mod init;
mod kernels;
mod libtorch;
mod mapped_file;
mod memory;
mod nvml;
mod upload;

pub use allocator::{Allocated, allocated, empty_cache, limit as limit_allocator, reset_peak};
pub use attention::WithoutCudnnAttention;
pub use context::{make_current, synchronize};
pub use copy_stream::CopyStream;
pub use driver::{Gpu, driver_version};
pub use error::Error;
pub use event::{Event, synchronize_compute};
pub use graph::{Graph, Pool};
pub use health::{FreeMemory, free_memory, probe};
pub use init::{Initialized, init, init_timed, preinit};
pub use kernels::{
    Expander, Float8Rows, GroupNorm, Int8Maker, Kernels, Moments, NormCoefficients, Pairs, Pieces,
    PlainRows, Rows, Scale,
};
pub use mapped_file::MappedFile;
pub use memory::Memory;
pub use nvml::{GpuProcess, gpu_processes};
pub use upload::Uploader;
