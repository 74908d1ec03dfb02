//! ControlNets: files of blocks that steer a transformer by an image, told apart by their tensors.
//!
//! Sources: diffusers `models/controlnets/controlnet_z_image.py` (`ZImageControlNetModel`) and
//! `loaders/single_file_utils.py` (which structure a single file has), alibaba-pai's published files, and
//! VideoX-Fun `config/z_image` (the layers that hints are added to).

mod directories;
mod error;
mod open;
mod structure;

pub use directories::ControlDirectories;
pub use error::ControlError;
pub use open::ControlNet;
pub use structure::{ControlRefiner, ControlStructure};
