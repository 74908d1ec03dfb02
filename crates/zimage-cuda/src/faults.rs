//! A fault for tests to plant: only in builds with the feature `faults`.

use crate::{Error, Memory, synchronize};

/// Has a kernel write where memory was and is no more: the GPU refuses it, and from then on
/// everything else that this process asks of it.
///
/// # Errors
/// Always, with the driver's word for it.
pub fn write_to_nowhere(ordinal: usize) -> Result<(), Error> {
    let memory = Memory::new(ordinal, 1 << 20)?;
    let mut nowhere = memory.tensor()?;
    drop(memory);
    let _ = nowhere.f_fill_(1)?;
    synchronize(ordinal)
}
