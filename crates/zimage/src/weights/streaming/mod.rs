//! Streamed weights: parts of blocks whose matrices stay in the checkpoint's files (in the page cache)
//! and are copied to a ring of slots on the device, each just before it is used.
//!
//! A [`Streamer`] owns the slots. Reader threads fill one while the device computes with the part
//! in another; events order copies and computation on the device, and the processor waits only for
//! the copies to be launched. The parts that stay resident are in the arenas, as all other weights.

mod feeder;
mod pinned;
mod placed;
mod slots;
mod streamer;

pub(crate) use placed::Placed;
pub(crate) use streamer::{PartBuilder, Pass, StreamedPart, Streamer};
