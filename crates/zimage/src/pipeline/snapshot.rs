//! What a drawing is between two steps, in host memory: enough to go on elsewhere, to the same
//! image, bit for bit.

use tch::{Device, Kind, Tensor};

use super::{Conditioning, Generation, Pipeline};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::params::Plan;
use crate::schedule;

/// Bytes of a latent value: float32.
const VALUE: usize = 4;

/// A drawing's latents in host memory. Another thread may have them.
#[derive(Debug)]
pub struct Snapshot {
    /// `[1, channels, height / 8, width / 8]`, float32, on the CPU.
    latents: Tensor,
    /// `[height / 8, width / 8, 3]`, bytes, on the CPU.
    preview: Option<Tensor>,
}

impl Snapshot {
    /// Begins to copy; a GPU's copy is there after the next [`Pipeline::wait`].
    fn begin(latents: &Tensor, preview: Option<&Tensor>) -> Result<Self> {
        let copy = |tensor: &Tensor| match tensor.device() {
            // A step makes new latents and leaves those before as they are.
            Device::Cpu => Ok(tensor.shallow_clone()),
            // Without blocking: libtorch then takes pinned memory, which it keeps for next time.
            _ => tensor.f_to_device_(Device::Cpu, tensor.f_kind()?, true, true),
        };
        Ok(Self { latents: copy(latents)?, preview: preview.map(copy).transpose()? })
    }

    /// What the image will look like, as far as can be said now, at an eighth of its size; if it
    /// was asked for.
    ///
    /// # Errors
    /// None that is to be expected.
    pub fn preview(&self) -> Result<Option<Image>> {
        self.preview.as_ref().map(Image::from_bytes).transpose()
    }

    /// The latents as bytes: float32, little endian (as all machines of libtorch are),
    /// `[channels, height / 8, width / 8]`.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if there is a NaN or an infinity in them: from such nobody can go on.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let values = self.latents.numel();
        let mut bytes = vec![0; values * VALUE];
        self.latents.f_copy_data_u8(&mut bytes, values)?;
        if is_finite(&bytes) { Ok(bytes) } else { Err(Error::NotFinite("the latents")) }
    }
}

impl Pipeline {
    /// As [`Pipeline::step`], and brings the latents to host memory, in the same wait; a preview
    /// too, if wished.
    ///
    /// # Errors
    /// As [`Pipeline::step`].
    pub fn step_with_snapshot(
        &self,
        generation: &mut Generation,
        conditioning: &Conditioning,
        with_preview: bool,
    ) -> Result<Snapshot> {
        let (before, sigma) =
            (generation.latents.shallow_clone(), generation.sigmas[generation.step]);
        let output = self.advance(generation, conditioning)?;
        let preview = if with_preview {
            // Where the model's output points to: it is minus the velocity, and noise is all gone
            // at sigma 0.
            let image = before.f_add(&output.f_mul_scalar(f64::from(sigma))?)?;
            Some(self.decoding.ask(move |vae| vae.preview(&image)).wait()?)
        } else {
            None
        };
        let saved = Snapshot::begin(&generation.latents, preview.as_ref())?;
        self.wait()?;
        Ok(saved)
    }

    /// How many bytes the latents of a plan's image are.
    pub fn snapshot_bytes(&self, plan: &Plan) -> usize {
        let (height, width) = self.latent_size(plan);
        VALUE * (self.channels * height * width) as usize
    }

    /// An image that was saved after `step` steps, to go on with.
    ///
    /// # Errors
    /// [`Error::NotResumable`] if the bytes are not those of such an image; or when libtorch
    /// fails (out of memory).
    pub fn resume(&self, plan: &Plan, seed: u64, step: u32, bytes: &[u8]) -> Result<Generation> {
        if step >= plan.steps {
            let reason = format!("step {step} is not before the last of {}", plan.steps);
            return Err(Error::NotResumable(reason));
        }
        let expected = self.snapshot_bytes(plan);
        if bytes.len() != expected {
            let found = bytes.len();
            let reason = format!("its latents have {found} bytes instead of {expected}");
            return Err(Error::NotResumable(reason));
        }
        if !is_finite(bytes) {
            return Err(Error::NotResumable("its latents are not finite numbers".to_owned()));
        }
        let (height, width) = self.latent_size(plan);
        // Copied to memory of libtorch's own, which is aligned as noise is.
        let latents =
            Tensor::f_from_data_size(bytes, &[1, self.channels, height, width], Kind::Float)?
                .f_to_device(self.device)?;
        let sigmas = schedule::sigmas(plan.steps, self.shift);
        Ok(Generation { plan: plan.clone(), seed, sigmas, step: step as usize, latents })
    }
}

/// Whether these float32 hold neither NaN nor infinity.
fn is_finite(bytes: &[u8]) -> bool {
    let (values, rest) = bytes.as_chunks::<VALUE>();
    rest.is_empty() && values.iter().all(|&value| f32::from_le_bytes(value).is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_the_latents_and_stays_so() {
        let values = [1f32, -0.0, f32::MIN_POSITIVE, f32::MAX];
        let latents = Tensor::from_slice(&values).view([1, 1, 2, 2]);
        let bytes = Snapshot::begin(&latents, None).unwrap().to_bytes().unwrap();
        assert_eq!(bytes, values.map(f32::to_le_bytes).concat());
        let turned = latents.transpose(2, 3);
        let bytes = Snapshot::begin(&turned, None).unwrap().to_bytes().unwrap();
        assert_eq!(bytes, [0, 2, 1, 3].map(|i: usize| values[i].to_le_bytes()).concat());
    }

    #[test]
    fn nothing_goes_on_from_what_is_no_number() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let latents = Tensor::from_slice(&[0.0, value]).view([1, 1, 1, 2]);
            let saved = Snapshot::begin(&latents, None).unwrap();
            assert!(matches!(saved.to_bytes(), Err(Error::NotFinite(_))));
        }
        assert!(is_finite(&[]) && !is_finite(&[0; 6]));
    }
}
