//! Verification of a checkpoint without reading its tensors.

use crate::architecture::Architecture;
use crate::checkpoint::Checkpoint;
use crate::component::Component;
use crate::error::Result;

/// The size of a sound checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files of weights.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Numbers in the tensors that the files hold.
    pub parameters: u64,
}

/// See [`Checkpoint::verify`].
pub(crate) fn verify(checkpoint: &Checkpoint) -> Result<Summary> {
    checkpoint.tokenizer()?;
    let mut summary = Summary::default();
    for component in Component::ALL {
        let mut index = checkpoint.tensor_index(component)?;
        summary.files += index.files.len();
        summary.bytes += index.files.iter().map(|file| file.len).sum::<u64>();
        let sizes = index.tensors.values().map(|(_, stored)| stored.numbers());
        summary.parameters += sizes.sum::<u64>();
        let Architecture { tensors, unused } = checkpoint.architecture(component);
        unused.iter().for_each(|prefix| {
            index.skip(prefix);
        });
        for expected in &tensors {
            index.take(&expected.name, &expected.shape)?;
        }
        index.check_empty()?;
    }
    Ok(summary)
}
