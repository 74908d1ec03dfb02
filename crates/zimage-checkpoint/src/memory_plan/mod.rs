//! The memory plan: which weights stay on a device and how images are decoded, decided before
//! anything is loaded. Arithmetic alone: no libtorch, no device.
//!
//! A [`ModelFootprint`] says how many bytes the parts of a model take; [`MemoryPlan::new`] chooses what
//! stays, so that an image takes the least time.

mod budget;
mod decoder;
mod encoder;
mod footprint;
mod measured;
mod part;
mod plan;
mod rates;
mod residency;
mod shown;

pub use budget::{CONTEXT_BYTES, MemoryBudget, PinnedMemory};
pub use decoder::{DecoderFootprint, StripRule, queries_at_a_time};
pub use encoder::EncoderFootprint;
pub use footprint::{ActivationBytes, Forms, ModelFootprint, PartBytes};
pub use measured::MeasuredRates;
pub use part::{BlockPart, is_block_matrix, is_streamed};
pub use plan::{MemoryPlan, TooSmall};
pub use rates::{DeviceRates, ImageSeconds, ModelWork};
pub use residency::{Decode, LEAST_SLOTS, Residency};
pub use shown::PlanPreview;

/// Bytes as memory plans show them: in GiB, small ones in MiB.
pub fn gibibytes(bytes: u64) -> String {
    if bytes < 1 << 30 {
        return format!("{} MiB", bytes.div_ceil(1 << 20));
    }
    format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64)
}
