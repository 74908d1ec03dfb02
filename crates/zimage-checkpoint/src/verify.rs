//! Verification of a checkpoint without reading its tensors.

use crate::checkpoint::Checkpoint;
use crate::component::Component;
use crate::error::Result;
use crate::expected_tensors::Architecture;

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

impl Checkpoint {
    /// Checks that all files are there and sound, and hold every tensor that the model needs, in
    /// its shape and a supported number format, and no other. Reads headers, no tensors.
    ///
    /// # Errors
    /// The first fault.
    pub fn verify(&self) -> Result<Summary> {
        self.tokenizer()?;
        let mut summary = Summary::default();
        for component in Component::ALL {
            let mut index = self.tensor_index(component)?;
            summary.files += index.files.len();
            summary.bytes += index.files.iter().map(|file| file.len).sum::<u64>();
            let sizes = index.tensors.values().map(|(_, stored)| stored.numbers());
            summary.parameters += sizes.sum::<u64>();
            let Architecture { tensors, unused } = self.architecture(component);
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
}
