//! Load options: device, number type, kernels, what stays on the device.

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
    /// Which weights stay on the device.
    pub residency: Residency,
    /// Whether quantised weights stay as the file encodes them, and are expanded before each product:
    /// the same numbers in less memory.
    pub packed: bool,
    /// Whether the files of streamed blocks are pinned in host memory, for the link's full speed.
    pub pinned: bool,
}

/// Which blocks' matrices stay on the device; the others are streamed from their files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residency {
    /// All.
    #[default]
    All,
    /// A part.
    Part {
        /// So many of the blocks of a denoising step (noise refiner and main layers), spread evenly
        /// between the streamed ones, so that copies never pause.
        denoising_blocks: u32,
        /// Whether the text encoder's and the context refiner's stay.
        text_encoder: bool,
    },
}
