//! The autoencoder between latents and pixels.
//!
//! Source: diffusers `models/autoencoders/{autoencoder_kl,vae}.py` (`AutoencoderKL`).

mod cut;
mod decoder;
mod encoder;
mod layers;
mod posterior;
mod preview;
mod strips;

use std::cell::OnceCell;

use tch::{Kind, Tensor};
use zimage_cuda::Kernels;

use crate::checkpoint::VaeConfig;
use crate::error::Result;
use crate::image::Image;
use crate::weights::Weights;
use cut::Cut;
use decoder::Decoder;
use encoder::Encoder;
pub(crate) use posterior::Posterior;
use preview::Code;

/// The autoencoder.
#[derive(Debug)]
pub struct Vae {
    encoder: Encoder,
    decoder: Decoder,
    scaling: f64,
    shift: f64,
    /// Pixels a side of one latent.
    scale: i64,
    /// Channels of the latents.
    channels: i64,
    kind: Kind,
    /// Computed for the first preview.
    code: OnceCell<Code>,
}

impl Vae {
    /// Takes all weights.
    ///
    /// # Errors
    /// When a tensor is missing, misshapen or surplus, or cannot be read.
    pub fn load(mut w: Weights<'_>, config: &VaeConfig) -> Result<Self> {
        let vae = Self {
            encoder: Encoder::load(&mut w, config)?,
            decoder: Decoder::load(&mut w, config)?,
            scaling: config.scaling_factor,
            shift: config.shift_factor,
            scale: config.scale(),
            channels: config.latent_channels,
            kind: w.kind(),
            code: OnceCell::new(),
        };
        w.finish()?;
        Ok(vae)
    }

    /// Uses the fused kernels for decoding, where they are supported: on a GPU, in bfloat16, with channels
    /// in multiples of eight. Must be called after loading: it changes the layout of the weights.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub fn fuse(&mut self, kernels: &Kernels) -> Result<()> {
        self.decoder.fuse(kernels)
    }

    /// Latents as the transformer has them, `[1, channels, h, w]`, to pixels `[1, 3, 8h, 8w]`
    /// of about −1 to 1.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        self.decoder.forward(&self.unscaled(latents)?)
    }

    /// The same to an image in host memory.
    ///
    /// # Errors
    /// [`crate::Error::NotFinite`] for NaN or infinity; or when libtorch fails (out of memory).
    pub fn image(&self, latents: &Tensor) -> Result<Image> {
        Image::from_bytes(&self.bytes(latents)?)
    }

    /// The same as bytes `[8h, 8w, 3]` on the autoencoder's device.
    ///
    /// # Errors
    /// As [`Vae::image`].
    pub(crate) fn bytes(&self, latents: &Tensor) -> Result<Tensor> {
        self.decoder.bytes(&self.unscaled(latents)?)
    }

    /// As [`Vae::decode`], to the bit, in a fraction of the memory: large maps are computed in strips.
    ///
    /// # Errors
    /// As [`Vae::decode`].
    pub fn decode_in_strips(&self, latents: &Tensor) -> Result<Tensor> {
        self.decoder.forward_in_strips(&self.unscaled(latents)?, Cut::USUAL)
    }

    /// As [`Vae::bytes`], to the bit, in a fraction of the memory.
    ///
    /// # Errors
    /// As [`Vae::image`].
    pub(crate) fn bytes_in_strips(&self, latents: &Tensor) -> Result<Tensor> {
        self.decoder.bytes_in_strips(&self.unscaled(latents)?, Cut::USUAL)
    }

    /// As [`Vae::image`], to the bit, in a fraction of the memory.
    ///
    /// # Errors
    /// As [`Vae::image`].
    pub fn image_in_strips(&self, latents: &Tensor) -> Result<Image> {
        Image::from_bytes(&self.bytes_in_strips(latents)?)
    }

    /// Pixels `[1, 3, 8h, 8w]` of −1 to 1 to latents as the transformer has them,
    /// `[1, channels, h, w]`: the mode of the posterior.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub fn encode(&self, pixels: &Tensor) -> Result<Tensor> {
        let posterior = self.posterior(pixels)?;
        posterior.scaled(&posterior.mean)
    }

    /// The distribution of the latents of pixels `[1, 3, 8h, 8w]` of −1 to 1.
    pub(crate) fn posterior(&self, pixels: &Tensor) -> Result<Posterior> {
        let moments = self.encoder.forward(&pixels.f_to_kind(self.kind)?)?;
        Posterior::new(&moments, (self.scaling, self.shift))
    }

    /// The same, to the bit, in a fraction of the memory: large maps are computed in strips.
    pub(crate) fn posterior_in_strips(&self, pixels: &Tensor) -> Result<Posterior> {
        let moments = self.encoder.forward_in_strips(&pixels.f_to_kind(self.kind)?, Cut::USUAL)?;
        Posterior::new(&moments, (self.scaling, self.shift))
    }

    /// Latents in the decoder's scale.
    fn unscaled(&self, latents: &Tensor) -> Result<Tensor> {
        let z = latents.f_to_kind(self.kind)?;
        Ok(z.f_div_scalar(self.scaling)?.f_add_scalar(self.shift)?)
    }
}
