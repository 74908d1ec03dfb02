//! The model's output for a step: computed, or for small images replayed from a recording.
//!
//! Up to 512² a step's 360 launches can take longer than its kernels, depending on the processor; above they
//! hide behind them.

use tch::{Kind, Tensor};

use super::Pipeline;
use super::recording::Recording;
use crate::error::{Error, Result};
use crate::ops::Ops;
use crate::recent::Recent;
use crate::transformer::{Context, Grid, Modulations};

/// The most tokens of images whose steps are recorded: those of 512².
const TOKENS_MAX: i64 = 32 * 32;
/// How many shapes are kept.
const SHAPES: usize = 4;
/// Steps of a shape that are computed launch by launch before they are recorded: an image's.
const BEFORE_RECORDING: usize = 8;

/// Recorded steps by the caption's tokens and the image's.
#[derive(Debug)]
pub(super) struct Flows(Recent<(i64, Grid), Flow>);

#[derive(Debug, Default)]
struct Flow {
    uses: usize,
    recorded: Option<Recorded>,
}

/// A recording and the places that it reads.
#[derive(Debug)]
struct Recorded {
    latents: Tensor,
    context: Context,
    modulations: Modulations,
    recording: Recording<Tensor>,
}

impl Flows {
    pub(super) fn new() -> Self {
        Self(Recent::new(SHAPES))
    }
}

impl Pipeline {
    /// The model's output at time `t` (0 = noise, 1 = image), which is minus the velocity:
    /// `[1, channels, height, width]` in float32, as `latents`.
    pub(super) fn flow(&self, latents: &Tensor, t: f32, context: &Context) -> Result<Tensor> {
        let modulations = self.transformer.modulations(t)?;
        let compute = |latents: &Tensor, modulations: &Modulations, context: &Context| {
            let output = self.transformer.forward(&self.ops, latents, modulations, context)?;
            Ok::<_, Error>(output.f_to_kind(Kind::Float)?)
        };
        let shape = context.shape();
        if matches!(self.ops, Ops::Plain) || shape.1.tokens() > TOKENS_MAX {
            return compute(latents, &modulations, context);
        }
        let mut flows = self.flows.borrow_mut();
        let flow = flows.0.get_or_make(shape, || Ok::<_, Error>((Flow::default(), 1)))?;
        if let Some(recorded) = &mut flow.recorded {
            return recorded.replay(latents, &modulations, context);
        }
        let output = compute(latents, &modulations, context)?;
        flow.uses += 1;
        if flow.uses > BEFORE_RECORDING {
            let latents = latents.f_detach_copy()?;
            let context = context.copy()?;
            let modulations = modulations.copy()?;
            let recording = self.record(|| compute(&latents, &modulations, &context))?;
            flow.recorded =
                recording.map(|recording| Recorded { latents, context, modulations, recording });
        }
        Ok(output)
    }
}

impl Recorded {
    fn replay(
        &mut self,
        latents: &Tensor,
        modulations: &Modulations,
        context: &Context,
    ) -> Result<Tensor> {
        self.latents.f_copy_(latents)?;
        self.context.caption().shallow_clone().f_copy_(context.caption())?;
        self.modulations.become_like(modulations)?;
        Ok(self.recording.replay()?.f_detach_copy()?)
    }
}
