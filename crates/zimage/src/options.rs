//! What a pipeline is loaded with.

use tch::Device;

use crate::dtype::DType;

/// Where and in what to compute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Where the weights lie.
    pub device: Device,
    /// What they are.
    pub dtype: DType,
    /// Whether to use libtorch's operations alone, none of our kernels: slower, to compare with.
    pub plain: bool,
}
