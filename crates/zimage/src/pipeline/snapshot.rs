//! Snapshots: a generation between two steps, in host memory. Enough to resume it in another
//! process, to the same image, bit for bit.

use tch::{Device, Kind, Tensor};

use super::engine::Engine;
use super::generation::{Conditioning, Generation};
use super::image_inputs::EncodedImages;
use super::networks::Networks;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::params::ResolvedParams;

/// Bytes of a latent value: float32.
const VALUE: usize = 4;

/// A generation's latents in host memory, which another thread may take.
#[derive(Debug)]
pub struct Snapshot {
    /// `[1, channels, height / 8, width / 8]`, float32, on the CPU.
    latents: Tensor,
    /// `[height / 8, width / 8, 3]`, bytes, on the CPU.
    preview: Option<Tensor>,
}

impl Snapshot {
    /// Starts to copy; a GPU's copy is complete once the GPU is synchronized.
    fn copy(latents: &Tensor, preview: Option<&Tensor>) -> Result<Self> {
        let copy = |tensor: &Tensor| match tensor.device() {
            // A step makes new latents and leaves those before as they are.
            Device::Cpu => Ok(tensor.shallow_clone()),
            // Without blocking: libtorch then takes pinned memory, which it caches.
            _ => tensor.f_to_device_(Device::Cpu, tensor.f_kind()?, true, true),
        };
        Ok(Self { latents: copy(latents)?, preview: preview.map(copy).transpose()? })
    }

    /// The image as far as it can be foretold at this step, at an eighth of its size; if a
    /// preview was asked for.
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
    /// [`Error::NotFinite`] if they hold NaN or infinity: no image can be resumed from such.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let values = self.latents.numel();
        let mut bytes = vec![0; values * VALUE];
        self.latents.f_copy_data_u8(&mut bytes, values)?;
        if is_finite(&bytes) { Ok(bytes) } else { Err(Error::NotFinite("the latents")) }
    }
}

/// A step, and its snapshot, with a preview on request, after the same wait for the GPU.
pub(super) fn step(
    engine: &Engine,
    generation: &mut Generation,
    conditioning: &Conditioning,
    with_preview: bool,
) -> Result<Snapshot> {
    let networks = &engine.networks;
    let (before, sigma) = (generation.latents().shallow_clone(), generation.sigma());
    let output = generation.step(engine, conditioning)?;
    let preview = if with_preview {
        // Where the model's output points to: it is minus the velocity, and at sigma 0 all noise
        // is gone.
        let image = before.f_add(&output.f_mul_scalar(f64::from(sigma))?)?;
        Some(networks.decoder.ask(move |vae| vae.preview(&image)).wait()?)
    } else {
        None
    };
    let snapshot = Snapshot::copy(generation.latents(), preview.as_ref())?;
    networks.synchronize()?;
    Ok(snapshot)
}

/// The length of a snapshot's latents in bytes.
pub(super) fn bytes(networks: &Networks, params: &ResolvedParams) -> usize {
    let shape = networks.latent_shape(networks.latent_size(params));
    VALUE * shape.iter().product::<i64>() as usize
}

/// The generation that a snapshot after `step` steps was taken of.
pub(super) fn resume(
    networks: &Networks,
    params: &ResolvedParams,
    seed: u64,
    step: u32,
    (latents, images): (&[u8], Option<&EncodedImages>),
) -> Result<Generation> {
    let refused = |reason: String| Err(Error::NotResumable(reason));
    if step >= params.steps {
        return refused(format!("step {step} is not before the last of {}", params.steps));
    }
    if step < params.first_step() {
        return refused(format!("step {step} is before the first, {}", params.first_step()));
    }
    let (found, expected) = (latents.len(), bytes(networks, params));
    if found != expected {
        return refused(format!("its latents have {found} bytes instead of {expected}"));
    }
    if !is_finite(latents) {
        return refused("its latents are not finite numbers".to_owned());
    }
    let shape = networks.latent_shape(networks.latent_size(params));
    // Copied to memory of libtorch's own, which is aligned as noise is.
    let latents =
        Tensor::f_from_data_size(latents, &shape, Kind::Float)?.f_to_device(networks.device)?;
    Generation::at_step(networks, params, (seed, step as usize), latents, images)
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
    fn a_snapshot_is_the_latents_and_stays_so() {
        let values = [1f32, -0.0, f32::MIN_POSITIVE, f32::MAX];
        let latents = Tensor::from_slice(&values).view([1, 1, 2, 2]);
        let bytes = Snapshot::copy(&latents, None).unwrap().to_bytes().unwrap();
        assert_eq!(bytes, values.map(f32::to_le_bytes).concat());
        let turned = latents.transpose(2, 3);
        let bytes = Snapshot::copy(&turned, None).unwrap().to_bytes().unwrap();
        assert_eq!(bytes, [0, 2, 1, 3].map(|i: usize| values[i].to_le_bytes()).concat());
    }

    #[test]
    fn latents_that_are_not_numbers_have_no_bytes() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let latents = Tensor::from_slice(&[0.0, value]).view([1, 1, 1, 2]);
            let snapshot = Snapshot::copy(&latents, None).unwrap();
            assert!(matches!(snapshot.to_bytes(), Err(Error::NotFinite(_))));
        }
        assert!(is_finite(&[]) && !is_finite(&[0; 6]));
    }
}
