//! Image inputs of a request: encoded once, and mixed with the noise of each seed.
//!
//! Source: diffusers `pipelines/z_image/pipeline_z_image_img2img.py`, `pipeline_z_image_inpaint.py`,
//! `pipeline_z_image_controlnet.py` and `pipeline_z_image_controlnet_inpaint.py`.
//! The masked image that the latter encodes besides is read by nothing, and drawn after all other numbers,
//! so that it is left out. Numbers are float32 in every dtype, as those of text to image are: with
//! bfloat16 the reference draws noise of 256 levels, whose deviation is 1.05.

use std::rc::Rc;

use tch::{Kind, Tensor};

use super::controls::{ControlChoice, ControlInput, LoadedControl};
use super::decoder_thread::Answer;
use super::networks::Networks;
use super::noise::normal;
use crate::error::{Error, Result};
use crate::params::{InitialImage, InputImages, ResolvedParams};
use crate::vae::Posterior;

/// The least value of a mask that is white: an image is divided by 255 and cut at 0.5.
const WHITE: i64 = 128;

/// The images of a request, as pixels: rows from the top, no padding.
#[derive(Clone, Debug, Default)]
pub struct ImageInputs {
    /// The initial image in RGB: `3 · width · height` bytes.
    pub initial: Option<Vec<u8>>,
    /// The mask of the initial image, `width · height` bytes: from 128 on an image may change.
    pub mask: Option<Vec<u8>>,
    /// The control image.
    pub control: Option<ControlImage>,
}

/// A control image, and the ControlNet that it steers with.
#[derive(Clone, Debug)]
pub struct ControlImage {
    /// RGB: `3 · width · height` bytes.
    pub rgb: Vec<u8>,
    /// The ControlNet.
    pub choice: ControlChoice,
}

/// The same for the model.
#[derive(Debug)]
pub struct EncodedImages {
    /// Whether the request has an initial image.
    has_initial: bool,
    /// That image, unless generation starts from noise alone.
    initial: Option<InitialLatents>,
    control: Option<Rc<ControlInput>>,
}

/// An initial image.
#[derive(Debug)]
struct InitialLatents {
    posterior: Posterior,
    /// 1 where an image may change, `[1, 1, height / 8, width / 8]`; none where the ControlNet is told so,
    /// and nothing is blended.
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
        let initial = match (&self.initial, &self.mask) {
            (None, _) => InitialImage::None,
            (Some(_), None) => InitialImage::Alone,
            (Some(_), Some(_)) => InitialImage::WithMask,
        };
        InputImages { initial, control: self.control.is_some() }
    }
}

impl EncodedImages {
    /// Encodes the images of a request with these parameters, at once or in strips, to the same bits;
    /// `net` is the control image's.
    pub(super) fn new(
        networks: &Networks,
        params: &ResolvedParams,
        images: &ImageInputs,
        (at_once, net): (bool, Option<Rc<LoadedControl>>),
    ) -> Result<Self> {
        let (height, width) = (i64::from(params.height), i64::from(params.width));
        let encode = |colours: Colours| posterior(networks, colours, at_once);
        let initial = images.initial.as_ref();
        let initial = initial.map(|rgb| pixels("initial image", rgb, [height, width, 3]));
        let initial = initial.transpose()?;
        let mask = images.mask.as_ref().map(|mask| pixels("mask", mask, [height, width, 1]));
        let white = mask.transpose()?.map(|mask| mask.f_ge(WHITE)).transpose()?;
        let of_latents = |white: &Tensor| {
            // The nearest pixel of a latent is its first.
            let (rows, columns) = networks.latent_size(params);
            let mask = white
                .f_slice(0, 0, height, height / rows)?
                .f_slice(1, 0, width, width / columns)?
                .f_to_kind(Kind::Float)?
                .f_reshape([1, 1, rows, columns])?;
            Ok::<_, Error>(mask.f_to_device(networks.device)?)
        };
        let control = match (&images.control, net) {
            (Some(image), Some(net)) => {
                let rgb = pixels("control image", &image.rgb, [height, width, 3])?;
                let latents = encode(Colours { rgb, grey: None }).wait()?.mode()?;
                let filled = initial.as_ref().zip(white.as_ref()).filter(|_| net.fills_masks());
                let scale = image.choice.scale;
                Some(match filled {
                    Some((rgb, white)) => {
                        let (rgb, grey) = (rgb.shallow_clone(), Some(white.shallow_clone()));
                        let masked = encode(Colours { rgb, grey }).wait()?.mode()?;
                        let unchanged = of_latents(white)?.f_neg()?.f_add_scalar(1.0)?;
                        let all = [&latents, &unchanged, &masked];
                        ControlInput::new(networks, net, &all, scale)?
                    }
                    None => ControlInput::new(networks, net, &[&latents], scale)?,
                })
            }
            _ => None,
        };
        let has_initial = initial.is_some();
        let is_filled = control.as_ref().is_some_and(ControlInput::fills_masks) && white.is_some();
        let initial = match initial {
            // What the ControlNet fills begins with noise alone, unless there are steps to leave out.
            Some(_) if is_filled && params.first_step() == 0 => None,
            Some(rgb) => {
                let posterior = encode(Colours { rgb, grey: None });
                let mask = white.filter(|_| !is_filled).map(|white| of_latents(&white));
                let mask = mask.transpose()?;
                Some(InitialLatents { posterior: posterior.wait()?, mask })
            }
            None => None,
        };
        Ok(Self { has_initial, initial, control: control.map(Rc::new) })
    }

    /// The initial image with the noise of this seed: the numbers that the image is sampled with are
    /// drawn first. None where generation starts from noise alone.
    pub(super) fn with_noise(&self, networks: &Networks, seed: u64) -> Result<Option<NoisedImage>> {
        let Some(InitialLatents { posterior, mask }) = &self.initial else { return Ok(None) };
        let shape = posterior.mean.size();
        let [sample, noise] = normal(seed, &shape)?;
        let latents = posterior.sample(&sample.f_to_device(networks.device)?)?;
        let mask = mask.as_ref().map(Tensor::shallow_clone);
        let noise = noise.f_to_device(networks.device)?;
        Ok(Some(NoisedImage { latents, noise, mask }))
    }

    /// Whether there is an initial image, and whether there is a control image.
    pub(super) fn has(&self) -> (bool, bool) {
        (self.has_initial, self.control.is_some())
    }

    /// The control image.
    pub(super) fn control(&self) -> Option<Rc<ControlInput>> {
        self.control.clone()
    }

    /// The latents that a ControlNet is given, `[1, its channels, height / 8, width / 8]`.
    #[doc(hidden)]
    pub fn control_latents(&self) -> Option<&Tensor> {
        self.control.as_deref().map(ControlInput::latents)
    }
}

/// An image on its way to the VAE.
struct Colours {
    /// `[height, width, 3]`, bytes.
    rgb: Tensor,
    /// Where it is grey instead: `[height, width, 1]`, true or false.
    grey: Option<Tensor>,
}

/// The distribution of an image's latents, which the decoder's thread computes.
fn posterior(networks: &Networks, colours: Colours, at_once: bool) -> Answer<Posterior> {
    let device = networks.device;
    networks.decoder.ask(move |vae| {
        let Colours { rgb, grey } = colours;
        // 0 to 255 becomes −1 to 1, and grey 0.
        let unit = rgb.f_to_device(device)?.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?;
        let mut colours = unit.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?;
        if let Some(grey) = grey {
            colours = colours.f_mul(&grey.f_to_device(device)?.f_logical_not()?)?;
        }
        let colours = colours.f_permute([2, 0, 1])?.f_unsqueeze(0)?.f_contiguous()?;
        if at_once { vae.posterior(&colours) } else { vae.posterior_in_strips(&colours) }
    })
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
