//! Load options: device, number type, kernels, what stays on the device.

use tch::Device;
pub use zimage_checkpoint::Residency;

use crate::dtype::DType;

/// How a pipeline is loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The device that holds the weights and computes.
    pub device: Device,
    /// The weights' number type.
    pub dtype: DType,
    /// Whether libtorch's operations are used alone, none of our kernels: slower, to compare with.
    pub eager: bool,
    /// Which weights stay on the device.
    pub residency: Residency,
    /// Whether quantised weights stay as the file encodes them, and are expanded before each product:
    /// the same numbers in less memory.
    pub packed: bool,
    /// Whether the files of streamed blocks are pinned in host memory, for the link's full speed.
    pub pinned: bool,
}
