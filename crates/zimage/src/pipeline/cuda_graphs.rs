//! The model's output for a step: computed, or for small images replayed from a recording.
//!
//! Up to 512² a step's 360 launches can take longer than its kernels, depending on the processor; above they
//! hide behind them.

use tch::{Device, Kind, Tensor};
use zimage_cuda::{Graph, Pool};

use super::Pipeline;
use crate::error::{Error, Result};
use crate::lru::LruCache;
use crate::ops::Ops;
use crate::transformer::{Context, Grid, Modulations};

/// The most tokens of images whose steps are recorded: those of 512².
const TOKENS_MAX: i64 = 32 * 32;
/// How many shapes are kept.
const SHAPES: usize = 4;
/// Steps of a shape that are computed launch by launch before they are recorded: an image's.
const BEFORE_RECORDING: usize = 8;

/// Recorded steps by the caption's tokens and the image's.
#[derive(Debug)]
pub(super) struct DenoiserGraphs(LruCache<(i64, Grid), Flow>);

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

impl DenoiserGraphs {
    pub(super) fn new() -> Self {
        Self(LruCache::new(SHAPES))
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

/// A recorded computation and its result, which each replay computes anew in the same place.
#[derive(Debug)]
pub(super) struct Recording<T> {
    graph: Graph,
    result: T,
}

impl<T> Recording<T> {
    /// Computes again, from what lies in the places that the computation read.
    pub(super) fn replay(&mut self) -> Result<&T> {
        self.graph.replay()?;
        Ok(&self.result)
    }
}

/// What the recordings of a pipeline have in common.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pool: Option<Pool>,
    /// After one failed.
    given_up: bool,
}

impl Pipeline {
    /// Records what `work` does, which has been done before. None where there is no GPU, or if it
    /// cannot be recorded: then nothing is recorded any more, and a remark says so.
    pub(super) fn record<T>(
        &self,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<Option<Recording<T>>> {
        let Device::Cuda(ordinal) = self.device else { return Ok(None) };
        let recorder = &mut *self.recorder.borrow_mut();
        if recorder.given_up {
            return Ok(None);
        }
        // What the decoder launches meanwhile would spoil it.
        self.decoding.ask(|_| Ok(())).wait()?;
        match Graph::record(ordinal, recorder.pool, work) {
            Ok((mut graph, result)) => {
                if recorder.pool.is_none() {
                    recorder.pool = Some(graph.pool()?);
                }
                Ok(Some(Recording { graph, result }))
            }
            Err(Error::Torch(error)) => Err(Error::Torch(error)),
            Err(error) => {
                recorder.given_up = true;
                self.remarks.borrow_mut().push(format!("generation without CUDA graphs: {error}"));
                Ok(None)
            }
        }
    }
}
