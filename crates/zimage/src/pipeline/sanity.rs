//! Whether the device still works, and how to have more of its memory.

use tch::Device;

use super::cuda_graphs::DenoiserGraphs;
use super::prompt_cache::PromptCache;
use super::{Generation, Pipeline};
use crate::error::{Error, Result};
use crate::image::{Image, all_finite};

impl Pipeline {
    /// Where it computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Lets the device do a little work. After a fault of a GPU that only a new process cures,
    /// it fails at that too.
    ///
    /// # Errors
    /// When the device does not work any more.
    pub fn probe(&self) -> Result<()> {
        match self.device {
            Device::Cuda(ordinal) => Ok(zimage_cuda::probe(ordinal)?),
            _ => Ok(()),
        }
    }

    /// Lets go of all memory that is only kept because it may be useful.
    pub fn make_room(&self) {
        self.transformer.forget();
        *self.captions.borrow_mut() = PromptCache::new();
        *self.flows.borrow_mut() = DenoiserGraphs::new();
        if let Device::Cuda(_) = self.device {
            // If libtorch refuses, there is no more room than before, which will show.
            let _ = zimage_cuda::give_back_cache();
        }
    }

    /// As [`Pipeline::decode`] in a fraction of the memory: tile by tile. The image is a little
    /// different, as each tile is normed by itself.
    ///
    /// # Errors
    /// As [`Pipeline::decode`].
    pub fn decode_in_tiles(&self, generation: &Generation) -> Result<Image> {
        if !all_finite(&generation.latents)? {
            return Err(Error::NotFinite("the latents"));
        }
        let latents = generation.latents.shallow_clone();
        self.decoding.ask(move |vae| vae.image_in_tiles(&latents)).wait()
    }
}
