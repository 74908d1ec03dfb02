//! Weights: a checkpoint's tensors in a device's memory, read from files or retained from an earlier
//! process.
//!
//! [`Weights`] gives each tensor its place in a component's arena; the [`Loader`] then reads all
//! bytes at once with many threads, or finds them in retained memory and checks them.

mod arena;
mod blocks;
mod cast;
mod component;
mod file_rows;
mod float8;
mod int8;
mod loader;
mod packed;
mod reader;
mod retained;
pub(crate) mod streaming;

pub(crate) use blocks::{BlockMatrix, Form, PartName, Streaming, bytes_in_slot, part_of};
pub(crate) use component::bytes_on_device;
pub use component::{Target, Weights};
pub(crate) use file_rows::FileRows;
pub use loader::{LoadedFrom, LoadedWeights, Loader, Progress};
pub(crate) use reader::threads as reader_threads;
pub use retained::WeightDescriptors;
