//! The memory plan: which weights stay on a device and how images are decoded, decided before
//! anything is loaded. Arithmetic alone: no libtorch, no device.
//!
//! A [`ModelFootprint`] says how many bytes the parts of a model take; [`MemoryPlan::new`] gives away
//! what the budget does not hold, in the order of what it costs.

mod budget;
mod footprint;
mod plan;
mod rates;
mod residency;

pub use budget::{CONTEXT_BYTES, MemoryBudget};
pub use footprint::{ActivationBytes, ModelFootprint, NumberBytes, is_block_matrix};
pub use plan::{MemoryPlan, TooSmall};
pub use rates::{DeviceRates, ImageSeconds};
pub use residency::{Decode, LEAST_SLOTS, Residency};

/// Bytes as memory plans show them: in GiB, small ones in MiB.
pub fn gibibytes(bytes: u64) -> String {
    if bytes < 1 << 30 {
        return format!("{} MiB", bytes.div_ceil(1 << 20));
    }
    format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64)
}
