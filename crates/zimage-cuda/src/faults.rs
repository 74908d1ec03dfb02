//! Fault injection for tests: only in builds with the feature `faults`.

use crate::context::synchronize;
use crate::error::Error;
use crate::memory::Memory;

/// Lets a kernel write to unmapped memory: the GPU reports an illegal access, and from then on fails
/// all other work of this process.
///
/// # Errors
/// Always: the driver's error.
pub fn write_to_unmapped_memory(ordinal: usize) -> Result<(), Error> {
    let memory = Memory::new(ordinal, 1 << 20)?;
    let mut unmapped = memory.tensor()?;
    drop(memory);
    let _ = unmapped.f_fill_(1)?;
    synchronize(ordinal)
}
