//! CUDA graphs: a sequence of kernel launches that is captured once and replayed as a whole; and
//! the transformer's forward, which replays one for small images.
//!
//! Up to 512² a step's 360 launches can take longer than its kernels, depending on the processor;
//! above that the launches are hidden behind the kernels.

use std::rc::Rc;

use tch::{Device, Kind, Tensor};
use zimage_cuda::{Graph, Pool};

use super::networks::Networks;
use crate::adapters::{Adapters, Sides};
use crate::error::{Error, Result};
use crate::lru::LruCache;
use crate::ops::Ops;
use crate::transformer::{Context, Grid, Modulations};

/// The most tokens of images whose steps are captured: those of 512².
const TOKENS_MAX: i64 = 32 * 32;
/// Shapes whose graphs are cached.
const SHAPES: usize = 4;
/// Steps of a shape that are launched one by one before the next is captured: an image's.
const LAUNCHED_FIRST: usize = 8;

/// A captured computation and its result, which each replay writes to the same memory.
#[derive(Debug)]
pub(super) struct CapturedGraph<T> {
    graph: Graph,
    result: T,
}

impl<T> CapturedGraph<T> {
    /// Computes again, from the present contents of the memory that the computation read.
    pub(super) fn replay(&mut self) -> Result<&T> {
        self.graph.replay()?;
        Ok(&self.result)
    }
}

/// Captures graphs, which share a memory pool, until a capture fails.
#[derive(Debug)]
pub(super) enum GraphCapture {
    On {
        /// There after the first capture.
        pool: Option<Pool>,
    },
    Off {
        /// Why, for the log, unless it was read already.
        remark: Option<String>,
    },
}

impl Default for GraphCapture {
    fn default() -> Self {
        Self::On { pool: None }
    }
}

impl GraphCapture {
    /// Captures what `work` does, which has been done before. None where there is no GPU, and once
    /// a capture has failed for another reason than libtorch: a remark says so, and all is
    /// launched one by one from then on.
    pub(super) fn capture<T>(
        &mut self,
        networks: &Networks,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<Option<CapturedGraph<T>>> {
        let Device::Cuda(ordinal) = networks.device else { return Ok(None) };
        // A graph cannot wait for copies that are launched while it runs.
        if networks.streamer.is_some() {
            return Ok(None);
        }
        let Self::On { pool } = self else { return Ok(None) };
        // Launches of the decoder's meanwhile would invalidate the capture.
        networks.decoder.ask(|_| Ok(())).wait()?;
        match Graph::capture(ordinal, *pool, work) {
            Ok((mut graph, result)) => {
                if pool.is_none() {
                    *pool = Some(graph.pool()?);
                }
                Ok(Some(CapturedGraph { graph, result }))
            }
            Err(Error::Torch(error)) => Err(Error::Torch(error)),
            Err(error) => {
                let remark = format!("CUDA graph capture failed, steps are slower: {error}");
                *self = Self::Off { remark: Some(remark) };
                Ok(None)
            }
        }
    }

    /// Why nothing is captured any more; once.
    pub(super) fn take_remark(&mut self) -> Option<String> {
        match self {
            Self::On { .. } => None,
            Self::Off { remark } => remark.take(),
        }
    }
}

/// The transformer's captured forwards by the shape of side products, the prompt's tokens and the image's.
#[derive(Debug)]
pub(super) struct DenoiserGraphs(LruCache<(u64, (i64, Grid)), Denoiser>);

#[derive(Debug, Default)]
struct Denoiser {
    launched: usize,
    captured: Option<CapturedDenoiser>,
}

/// A captured forward and the memory that it reads.
#[derive(Debug)]
struct CapturedDenoiser {
    latents: Tensor,
    context: Context,
    modulations: Modulations,
    /// The memory of side products, if there are any: other adapters of their ranks are copied to it.
    _sides: Option<Rc<Sides>>,
    graph: CapturedGraph<Tensor>,
}

impl Default for DenoiserGraphs {
    fn default() -> Self {
        Self(LruCache::new(SHAPES))
    }
}

impl DenoiserGraphs {
    /// The transformer's output for latents at a time beside a prompt, in float32: computed, or
    /// replayed.
    pub(super) fn predict(
        &mut self,
        networks: &Networks,
        ops: &Ops,
        capture: &mut GraphCapture,
        adapters: &Adapters,
        (latents, t, context): (&Tensor, f32, &Context),
    ) -> Result<Tensor> {
        let transformer = &networks.transformer;
        let modulations = transformer.modulations(t)?;
        let compute = |latents: &Tensor, modulations: &Modulations, context: &Context| {
            let output = transformer.forward(ops, latents, modulations, context)?;
            Ok::<_, Error>(output.f_to_kind(Kind::Float)?)
        };
        let shape = context.shape();
        if matches!(ops, Ops::Eager) || shape.1.tokens() > TOKENS_MAX {
            return compute(latents, &modulations, context);
        }
        let (sides_shape, sides) = adapters.shape();
        let key = (sides_shape, shape);
        let denoiser = self.0.get_or_make(key, || Ok::<_, Error>((Denoiser::default(), 1)))?;
        if let Some(captured) = &mut denoiser.captured {
            return captured.replay(latents, &modulations, context);
        }
        let output = compute(latents, &modulations, context)?;
        denoiser.launched += 1;
        if denoiser.launched > LAUNCHED_FIRST {
            let latents = latents.f_detach_copy()?;
            let context = context.copy()?;
            let modulations = modulations.copy()?;
            let graph = capture.capture(networks, || compute(&latents, &modulations, &context))?;
            denoiser.captured = graph.map(|graph| CapturedDenoiser {
                latents,
                context,
                modulations,
                _sides: sides,
                graph,
            });
        }
        Ok(output)
    }
}

impl CapturedDenoiser {
    fn replay(
        &mut self,
        latents: &Tensor,
        modulations: &Modulations,
        context: &Context,
    ) -> Result<Tensor> {
        self.latents.f_copy_(latents)?;
        self.context.prompt().shallow_clone().f_copy_(context.prompt())?;
        self.modulations.become_like(modulations)?;
        Ok(self.graph.replay()?.f_detach_copy()?)
    }
}
