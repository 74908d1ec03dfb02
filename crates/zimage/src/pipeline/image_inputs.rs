//! Image inputs of a request: encoded once, and mixed with the noise of each seed.
//!
//! Source: diffusers `pipelines/z_image/pipeline_z_image_img2img.py` and `pipeline_z_image_inpaint.py`.
//! The masked image that the latter encodes besides is read by nothing, and drawn after all other numbers,
//! so that it is left out. Numbers are float32 in every dtype, as those of text to image are: with
//! bfloat16 the reference draws noise of 256 levels, whose deviation is 1.05.

use tch::{Kind, Tensor};

use super::networks::Networks;
use super::noise::normal;
use crate::error::{Error, Result};
use crate::params::{InputImages, ResolvedParams};
use crate::vae::Posterior;

/// The least value of a mask that is white: an image is divided by 255 and cut at 0.5.
const WHITE: i64 = 128;

/// The images of a request, as pixels: rows from the top, no padding.
#[derive(Clone, Debug)]
pub struct ImageInputs {
    /// The initial image in RGB: `3 · width · height` bytes.
    pub initial: Vec<u8>,
    /// The mask, `width · height` bytes: from 128 on an image may change.
    pub mask: Option<Vec<u8>>,
}

/// The same for the model.
#[derive(Debug)]
pub struct EncodedImages {
    posterior: Posterior,
    /// 1 where an image may change, `[1, 1, height / 8, width / 8]`.
    mask: Option<Tensor>,
}

/// An initial image with its noise, for one seed: both `[1, channels, height / 8, width / 8]`.
#[derive(Debug)]
pub(super) struct NoisedImage {
    latents: Tensor,
    noise: Tensor,
    mask: Option<Tensor>,
}

impl ImageInputs {
    /// Which images these are.
    pub fn images(&self) -> InputImages {
        match self.mask {
            Some(_) => InputImages::InitialAndMask,
            None => InputImages::Initial,
        }
    }
}

impl EncodedImages {
    /// Encodes the images of a request with these parameters, at once or in strips, to the same bits.
    pub(super) fn new(
        networks: &Networks,
        params: &ResolvedParams,
        images: &ImageInputs,
        at_once: bool,
    ) -> Result<Self> {
        let (height, width) = (i64::from(params.height), i64::from(params.width));
        let initial = pixels("initial image", &images.initial, [height, width, 3])?;
        let device = networks.device;
        let posterior = networks.decoder.ask(move |vae| {
            // 0 to 255 becomes −1 to 1.
            let unit = initial.f_to_device(device)?.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?;
            let colours = unit.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?;
            let colours = colours.f_permute([2, 0, 1])?.f_unsqueeze(0)?.f_contiguous()?;
            if at_once { vae.posterior(&colours) } else { vae.posterior_in_strips(&colours) }
        });
        let mask = images.mask.as_ref().map(|mask| {
            let mask = pixels("mask", mask, [height, width, 1])?;
            // The nearest pixel of a latent is its first.
            let (rows, columns) = networks.latent_size(params);
            let of_latents = mask
                .f_slice(0, 0, height, height / rows)?
                .f_slice(1, 0, width, width / columns)?
                .f_ge(WHITE)?
                .f_to_kind(Kind::Float)?
                .f_reshape([1, 1, rows, columns])?;
            Ok::<_, Error>(of_latents.f_to_device(device)?)
        });
        Ok(Self { posterior: posterior.wait()?, mask: mask.transpose()? })
    }

    /// The initial image with the noise of this seed: the numbers that the image is sampled with are
    /// drawn first.
    pub(super) fn with_noise(&self, networks: &Networks, seed: u64) -> Result<NoisedImage> {
        let shape = self.posterior.mean.size();
        let [sample, noise] = normal(seed, &shape)?;
        let latents = self.posterior.sample(&sample.f_to_device(networks.device)?)?;
        let mask = self.mask.as_ref().map(Tensor::shallow_clone);
        Ok(NoisedImage { latents, noise: noise.f_to_device(networks.device)?, mask })
    }
}

impl NoisedImage {
    /// The latents at this noise level.
    pub(super) fn at(&self, sigma: f32) -> Result<Tensor> {
        let noise = self.noise.f_mul_scalar(f64::from(sigma))?;
        Ok(noise.f_add(&self.latents.f_mul_scalar(f64::from(1.0 - sigma))?)?)
    }

    /// The same, if there is a mask: without one it is of no more use.
    pub(super) fn masked(self) -> Option<Self> {
        self.mask.is_some().then_some(self)
    }

    /// Latents at this noise level, which is 0 after the last step, with the initial image where it may
    /// not change.
    pub(super) fn blend(&self, latents: Tensor, sigma: f32) -> Result<Tensor> {
        let Some(mask) = &self.mask else { return Ok(latents) };
        let initial = self.at(sigma)?;
        let unchanged = mask.f_neg()?.f_add_scalar(1.0)?.f_mul(&initial)?;
        Ok(unchanged.f_add(&mask.f_mul(&latents)?)?)
    }
}

/// Bytes of an image of this shape, in host memory.
fn pixels(name: &str, bytes: &[u8], shape: [i64; 3]) -> Result<Tensor> {
    let expected: i64 = shape.iter().product();
    if usize::try_from(expected) != Ok(bytes.len()) {
        let found = bytes.len();
        let [height, width, _] = shape;
        return Err(Error::Refused(format!(
            "the {name} has {found} bytes, expected {expected} for {width}x{height}"
        )));
    }
    Ok(Tensor::f_from_data_size(bytes, &shape, Kind::Uint8)?)
}
