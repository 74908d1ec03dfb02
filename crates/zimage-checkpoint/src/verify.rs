//! Verification of a checkpoint without reading its tensors.

use crate::checkpoint::Checkpoint;
use crate::component::Component;
use crate::error::Result;
use crate::expected_tensors::Architecture;
use crate::inventory::Inventory;

impl Checkpoint {
    /// Checks that all files are there and sound, and hold every tensor that the model needs, in
    /// its shape and a supported number format, and no other. Reads headers, no tensors.
    ///
    /// # Errors
    /// The first fault.
    pub fn verify(&self) -> Result<Inventory> {
        self.check_tokenizer()?;
        let mut inventory = Inventory::of(self);
        for component in Component::ALL {
            let mut index = self.tensor_index(component)?;
            inventory.add(&index);
            let Architecture { tensors, unused } = self.architecture(component);
            unused.iter().for_each(|prefix| {
                index.skip(prefix);
            });
            for expected in &tensors {
                index.take(&expected.name, &expected.shape)?;
            }
            index.check_empty()?;
        }
        Ok(inventory)
    }
}
