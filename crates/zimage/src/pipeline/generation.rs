//! One image between its noise and its pixels: latents and a step number.

use std::rc::Rc;

use tch::Tensor;

use super::controls::ControlInput;
use super::engine::Engine;
use super::guidance;
use super::image_inputs::{EncodedImages, NoisedImage};
use super::networks::Networks;
use super::noise::normal;
use super::variety::{self, Features};
use crate::error::{Error, Result};
use crate::params::ResolvedParams;
use crate::transformer::Context;

/// The prompts of a request, encoded.
#[derive(Debug)]
pub struct Conditioning {
    pub(super) positive: Context,
    /// There while guidance is on.
    pub(super) negative: Option<Context>,
    /// Of the prompt, there while variety is on.
    pub(super) features: Option<Features>,
    pub(super) tokens: usize,
}

/// An image that is being generated. Its loop is the caller's: between two steps it can be
/// stopped, preempted, shown or resumed.
#[derive(Debug)]
pub struct Generation {
    params: ResolvedParams,
    seed: u64,
    sigmas: Vec<f32>,
    step: usize,
    latents: Tensor,
    /// What may not change, if there is a mask.
    masked: Option<NoisedImage>,
    /// The prompt with the noise of variety, once a step has it.
    varied: Option<Context>,
    /// What steers the steps, if there is a control image.
    control: Option<Rc<ControlInput>>,
}

impl Conditioning {
    /// Tokens of the prompt, template included.
    pub fn tokens(&self) -> usize {
        self.tokens
    }
}

impl Generation {
    /// A generation before the first step that is computed: noise from the seed, or the initial image
    /// with so much noise as is left at that step.
    pub(super) fn new(
        networks: &Networks,
        params: &ResolvedParams,
        seed: u64,
        images: Option<&EncodedImages>,
    ) -> Result<Self> {
        let sigmas = networks.sigmas(params.steps);
        let step = params.first_step() as usize;
        check(params, images)?;
        let noised = images.map(|images| images.with_noise(networks, seed)).transpose()?.flatten();
        let (latents, masked) = match noised {
            Some(image) => (image.at(sigmas[step])?, image.masked()),
            None => {
                let shape = networks.latent_shape(networks.latent_size(params));
                let [noise] = normal(seed, &shape)?;
                (noise.f_to_device(networks.device)?, None)
            }
        };
        let control = images.and_then(EncodedImages::control);
        let (params, varied) = (params.clone(), None);
        Ok(Self { params, seed, sigmas, step, latents, masked, varied, control })
    }

    /// A generation after so many steps, from latents on the device.
    pub(super) fn at_step(
        networks: &Networks,
        params: &ResolvedParams,
        (seed, step): (u64, usize),
        latents: Tensor,
        images: Option<&EncodedImages>,
    ) -> Result<Self> {
        let sigmas = networks.sigmas(params.steps);
        // Without a mask nothing of the initial image is of any more use.
        if images.is_some() || params.is_controlled {
            check(params, images)?;
        }
        let noised = images.map(|images| images.with_noise(networks, seed)).transpose()?.flatten();
        let masked = noised.and_then(NoisedImage::masked);
        let control = images.and_then(EncodedImages::control);
        let (params, varied) = (params.clone(), None);
        Ok(Self { params, seed, sigmas, step, latents, masked, varied, control })
    }

    /// One Euler step, which a GPU may still be computing on return. The result is the model's
    /// output for it. On an error the generation is as it was.
    pub(super) fn step(&mut self, engine: &Engine, conditioning: &Conditioning) -> Result<Tensor> {
        self.vary(engine, conditioning)?;
        let t = engine.networks.time(self.sigma());
        let contexts = self.contexts(conditioning, t);
        let control = self.control.as_deref();
        let outputs = if contexts.len() > 1 && engine.guides_together.get() && control.is_none() {
            let all: Vec<_> = contexts.iter().map(|context| (&self.latents, *context)).collect();
            engine.predict_together(&all, t)?
        } else {
            if let Some(control) = control {
                control.modulate(&engine.networks, &engine.networks.times(self.params.steps))?;
            }
            let predict = |context: &&Context| engine.predict(&self.latents, t, context, control);
            let each = contexts.iter().map(predict);
            each.collect::<Result<_>>()?
        };
        self.advance(t, outputs)
    }

    /// The same step of several images of a request, computed together: each as [`Self::step`] has it, to the
    /// last bits that products of more rows round differently.
    pub(super) fn step_together(
        all: &mut [Self],
        engine: &Engine,
        conditioning: &Conditioning,
    ) -> Result<()> {
        // A ControlNet's blocks are computed for one image at a time.
        if all.iter().any(|image| image.control.is_some()) {
            return all.iter_mut().try_for_each(|image| image.step(engine, conditioning).map(drop));
        }
        let Some(first) = all.first() else { return Ok(()) };
        let (step, t) = (first.step, engine.networks.time(first.sigma()));
        if all.iter().any(|image| image.step != step || image.sigmas != first.sigmas) {
            return Err(Error::Internal(
                "images at several steps cannot go on together".to_owned(),
            ));
        }
        all.iter_mut().try_for_each(|image| image.vary(engine, conditioning))?;
        let contexts: Vec<_> = all.iter().map(|image| image.contexts(conditioning, t)).collect();
        let asked: Vec<_> = all
            .iter()
            .zip(&contexts)
            .flat_map(|(image, of)| of.iter().map(|context| (&image.latents, *context)))
            .collect();
        let mut outputs = engine.predict_together(&asked, t)?.into_iter();
        let counts: Vec<usize> = contexts.iter().map(Vec::len).collect();
        for (image, count) in all.iter_mut().zip(counts) {
            let of_image = outputs.by_ref().take(count).collect();
            let _output = image.advance(t, of_image)?;
        }
        Ok(())
    }

    /// The prompts that a step at time `t` sees: with guidance two.
    fn contexts<'a>(&'a self, conditioning: &'a Conditioning, t: f32) -> Vec<&'a Context> {
        let positive = self.varied.as_ref().unwrap_or(&conditioning.positive);
        let is_guided = guidance::scale_at(&self.params, t) > 0.0;
        let negative = conditioning.negative.as_ref().filter(|_| is_guided);
        [positive].into_iter().chain(negative).collect()
    }

    /// The step from the outputs for its prompts. The result is the model's output for it.
    fn advance(&mut self, t: f32, outputs: Vec<Tensor>) -> Result<Tensor> {
        let mut outputs = outputs.into_iter();
        let missing = || Error::Internal("a prediction is missing".to_owned());
        let (positive, negative) = (outputs.next().ok_or_else(missing)?, outputs.next());
        let output = match negative {
            Some(negative) => guidance::apply(&self.params, t, positive, || Ok(negative))?,
            None => positive,
        };
        let (sigma, next) = (self.sigma(), self.sigmas[self.step + 1]);
        // The model's output is minus the velocity.
        let change = output.f_neg()?.f_mul_scalar(f64::from(next - sigma))?;
        let latents = self.latents.f_add(&change)?;
        self.latents = match &self.masked {
            Some(image) => image.blend(latents, next)?,
            None => latents,
        };
        self.step += 1;
        Ok(output)
    }

    /// Has the prompt with noise there for a step that takes it, and not for one that does not. It follows
    /// from the seed: a generation that is resumed makes the same.
    fn vary(&mut self, engine: &Engine, conditioning: &Conditioning) -> Result<()> {
        let first = self.params.first_step();
        match self.params.variety.filter(|variety| variety.applies(self.step, first)) {
            Some(_) if self.varied.is_some() => {}
            Some(of) => {
                let features = variety::expect(conditioning.features.as_ref())?;
                self.varied = Some(features.context(engine, &self.params, (of, self.seed))?);
            }
            None => self.varied = None,
        }
        Ok(())
    }

    /// The noise level of the latents.
    pub(super) fn sigma(&self) -> f32 {
        self.sigmas[self.step]
    }

    /// The parameters of the request.
    pub(super) fn params(&self) -> &ResolvedParams {
        &self.params
    }

    /// Whether all steps are done.
    pub fn is_done(&self) -> bool {
        self.step == self.sigmas.len() - 1
    }

    /// Steps done; those that an initial image leaves out count.
    pub fn steps_done(&self) -> usize {
        self.step
    }

    /// The seed of the noise.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether it began with an initial image; then one colour alone may be what was asked for.
    pub fn has_initial_image(&self) -> bool {
        self.params.strength.is_some()
    }

    /// The latents after the last step: `[1, channels, height / 8, width / 8]`, float32, on the
    /// device.
    pub fn latents(&self) -> &Tensor {
        &self.latents
    }
}

/// Whether the encoded images are those of the parameters.
fn check(params: &ResolvedParams, images: Option<&EncodedImages>) -> Result<()> {
    let expected = (params.strength.is_some(), params.is_controlled);
    let found = images.map_or((false, false), EncodedImages::has);
    if expected == found {
        return Ok(());
    }
    Err(Error::Internal(format!(
        "an initial image and a control image are there or not, {found:?}, unlike in the parameters, \
         {expected:?}"
    )))
}
