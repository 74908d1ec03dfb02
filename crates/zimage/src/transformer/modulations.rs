//! Modulations: scales and gates of all blocks and of the final layer at one time.

use tch::Tensor;

use super::stack::Modulation;
use crate::error::Result;

/// Scales and gates of one time, in two tensors, so that those of another time can be copied into them.
#[derive(Debug)]
pub(crate) struct Modulations {
    /// `[blocks, 4, dim]`: the noise refiner's and the main layers'.
    blocks: Tensor,
    /// `[1, dim]`.
    last: Tensor,
    /// Views of `blocks`.
    pub(super) noise_refiner: Vec<Modulation>,
    /// Views of `blocks`.
    pub(super) layers: Vec<Modulation>,
}

impl Modulations {
    /// From `[blocks, 4, dim]`, of which the first `refiners` are the noise refiner's, and the final
    /// layer's `[1, dim]`.
    pub(super) fn of(blocks: Tensor, last: Tensor, refiners: usize) -> Result<Self> {
        let views = blocks.f_unbind(0)?;
        let views = views.iter().map(Modulation::of).collect::<Result<Vec<_>>>()?;
        let mut noise_refiner = views;
        let layers = noise_refiner.split_off(refiners);
        Ok(Self { blocks, last, noise_refiner, layers })
    }

    /// The factor of the final layer's norm: `[1, dim]`.
    pub(super) fn last(&self) -> &Tensor {
        &self.last
    }

    /// Another handle to the same tensors.
    pub(super) fn shallow_clone(&self) -> Self {
        let clone = |views: &[Modulation]| views.iter().map(Modulation::shallow_clone).collect();
        Self {
            blocks: self.blocks.shallow_clone(),
            last: self.last.shallow_clone(),
            noise_refiner: clone(&self.noise_refiner),
            layers: clone(&self.layers),
        }
    }

    /// A copy with its own memory.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn copy(&self) -> Result<Self> {
        let refiners = self.noise_refiner.len();
        Self::of(self.blocks.f_detach_copy()?, self.last.f_detach_copy()?, refiners)
    }

    /// Copies the numbers of `other` into its own memory.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn become_like(&self, other: &Self) -> Result<()> {
        self.blocks.shallow_clone().f_copy_(&other.blocks)?;
        self.last.shallow_clone().f_copy_(&other.last)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn views_follow_the_numbers_that_take_their_place() {
        let float = (Kind::Float, Device::Cpu);
        let make = || {
            let blocks = Tensor::randn([3, 4, 8], float);
            Modulations::of(blocks, Tensor::randn([1, 8], float), 1).unwrap()
        };
        let (one, two) = (make(), make());
        let copy = one.copy().unwrap();
        assert_eq!((copy.noise_refiner.len(), copy.layers.len()), (1, 2));
        copy.become_like(&two).unwrap();
        assert_eq!(copy.layers[1].ffn_gate, two.blocks.get(2).get(3));
        assert_eq!(copy.blocks, two.blocks);
        assert_ne!(one.blocks, two.blocks, "the copy has its own memory");
    }
}
