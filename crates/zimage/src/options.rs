//! Load options: device, number type, kernels.

use tch::Device;

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
}
