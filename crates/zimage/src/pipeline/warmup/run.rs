//! Executes warm-up steps on an engine.

use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

use super::plan::{Measure, WarmupSize, WarmupStep, WarmupTimings};
use crate::error::{ErrorKind, Result};
use crate::params::{InputImages, ResolvedParams};
use crate::pipeline::decoder_thread::Answer;
use crate::pipeline::engine::Engine;
use crate::pipeline::generation::Generation;
use crate::pipeline::memory::{Fit, peak_of};
use crate::pipeline::networks::Networks;
use crate::transformer::SEQUENCE_MULTIPLE;

/// Runs steps in order, and knows which decoding was started ahead of its pass.
#[derive(Debug)]
pub(in crate::pipeline) struct Runner<'a> {
    engine: &'a Engine,
    started: Option<(ResolvedParams, Answer<Duration>)>,
}

impl<'a> Runner<'a> {
    pub(in crate::pipeline) fn new(engine: &'a Engine) -> Self {
        Self { engine, started: None }
    }

    /// Runs those of the steps whose sizes the model takes, to the first failure.
    pub(in crate::pipeline) fn run_plans(&mut self, steps: &[WarmupStep]) -> Result<()> {
        let networks = &self.engine.networks;
        let mut known = steps.iter().filter(|step| is_known(networks, step));
        known.try_for_each(|step| self.run(step).map(drop))
    }

    /// Runs a step; a pass has timings.
    pub(in crate::pipeline) fn run(&mut self, step: &WarmupStep) -> Result<Option<WarmupTimings>> {
        let engine = self.engine;
        let networks = &engine.networks;
        match step {
            WarmupStep::Attention { size, tokens } => {
                build_attention(networks, &resolve(networks, *size)?, *tokens)?;
            }
            WarmupStep::StartDecode(size) => {
                let params = resolve(networks, *size)?;
                self.started = start_decode(engine, &params)?.map(|answer| (params, answer));
            }
            WarmupStep::Pass { size, tokens, measure } => {
                return self.passes(&resolve(networks, *size)?, tokens, *measure).map(Some);
            }
            WarmupStep::Preview => {
                let latents = networks.zero_latents((8, 8))?;
                networks.decoder.ask(move |vae| vae.preview(&latents).map(drop)).wait()?;
            }
        }
        Ok(None)
    }

    /// A pass for each number of tokens, then the measurement.
    fn passes(
        &mut self,
        params: &ResolvedParams,
        tokens: &[usize],
        measure: Measure,
    ) -> Result<WarmupTimings> {
        let begun = Instant::now();
        let mut timings = WarmupTimings::default();
        for &tokens in tokens {
            let started = self.started.take().filter(|(size, _)| size == params);
            match pass(self.engine, params, tokens, started.map(|(_, answer)| answer)) {
                // Step and decoding run side by side; one after the other they may fit.
                Err(error) if measure == Measure::Always && error.kind() == ErrorKind::Memory => {}
                other => timings = other?,
            }
        }
        let due = match measure {
            Measure::Always => true,
            Measure::IfUnknown => self.engine.memory.is_unknown(),
            Measure::Never => false,
        };
        if let (true, Some(&tokens)) = (due, tokens.first()) {
            measure_memory(self.engine, params, tokens)?;
        }
        Ok(WarmupTimings { total: begun.elapsed(), ..timings })
    }
}

/// Runs steps that need no kernels, before those are there.
pub(in crate::pipeline) fn build_first_plans(
    networks: &Networks,
    steps: &[WarmupStep],
) -> Result<()> {
    for step in steps.iter().filter(|step| is_known(networks, step)) {
        if let WarmupStep::Attention { size, tokens } = step {
            build_attention(networks, &resolve(networks, *size)?, *tokens)?;
        }
    }
    Ok(())
}

/// Initializes cuBLAS, which takes some 0.1 s and needs none of our kernels. It belongs to the
/// process, unlike cuDNN's plans, so any thread can do it.
pub(in crate::pipeline) fn initialize_cublas(kind: Kind, device: Device) -> Result<()> {
    let Device::Cuda(_) = device else { return Ok(()) };
    let x = Tensor::f_zeros([64, 64], (kind, device))?;
    x.f_mm(&x).map(drop)?;
    Ok(())
}

/// Starts a decoding whose result is discarded, beside what this thread runs; the answer is how
/// long it took. None on a CPU, for a size that the decoder is warm for, and where memory for both
/// at once is not certain.
pub(in crate::pipeline) fn start_decode(
    engine: &Engine,
    params: &ResolvedParams,
) -> Result<Option<Answer<Duration>>> {
    let networks = &engine.networks;
    let Device::Cuda(_) = networks.device else { return Ok(None) };
    let size = networks.latent_size(params);
    if engine.caches.borrow().decoded.contains(&size)
        || !engine.memory.fits_concurrently(networks.device, params)?
    {
        return Ok(None);
    }
    Ok(Some(decode(engine, params, networks.zero_latents(size)?)))
}

/// One pass, beside a decoding of this size that may have been started already.
fn pass(
    engine: &Engine,
    params: &ResolvedParams,
    tokens: usize,
    started: Option<Answer<Duration>>,
) -> Result<WarmupTimings> {
    let networks = &engine.networks;
    let mut last = Instant::now();
    let mut lap = || {
        let took = last.elapsed();
        last = Instant::now();
        took
    };
    let fit = engine.memory.fit(networks, params)?;
    let noise = Generation::new(networks, params, 0, None)?;
    let latents = noise.latents().shallow_clone();
    let decoded = match (started, fit) {
        (Some(started), _) => started,
        (None, Fit::Whole) => decode(engine, params, latents),
        // After the step, as memory for both is not certain.
        (None, Fit::Strips) => Answer::Ready(Ok(Duration::ZERO)),
    };
    let context = engine.context(&prompt(networks, tokens), params)?;
    let text = lap();
    networks.transformer.warm_up(&engine.ops, noise.latents(), &context)?;
    let step = lap();
    let decode = decoded.wait()?;
    networks.synchronize()?;
    Ok(WarmupTimings { total: Duration::ZERO, text, step, decode })
}

/// Decodes and discards the image; the answer is how long it took. Not checked as an image is:
/// without the weights it need not be finite.
fn decode(engine: &Engine, params: &ResolvedParams, latents: Tensor) -> Answer<Duration> {
    engine.caches.borrow_mut().decoded.insert(engine.networks.latent_size(params));
    engine.networks.decoder.ask(move |vae| {
        let begun = Instant::now();
        vae.bytes(&latents).map(drop)?;
        Ok(begun.elapsed())
    })
}

/// See [`Measure`].
fn measure_memory(engine: &Engine, params: &ResolvedParams, tokens: usize) -> Result<()> {
    let networks = &engine.networks;
    let device = networks.device;
    let Device::Cuda(_) = device else { return Ok(()) };
    zimage_cuda::empty_cache()?;
    engine.memory.model_is_as_allocated(device)?;
    let noise = Generation::new(networks, params, 0, None)?;
    let context = engine.context(&prompt(networks, tokens), params)?;
    let ((), step) = peak_of(device, || {
        networks.transformer.warm_up(&engine.ops, noise.latents(), &context)?;
        networks.synchronize()
    })?;
    let latents = noise.latents().shallow_clone();
    drop(noise);
    if engine.memory.fit(networks, params)? == Fit::Strips {
        // A plan has no room for it.
        engine.memory.record(params, step, u64::MAX);
        return Ok(());
    }
    let decoded = peak_of(device, || {
        networks.decoder.ask(move |vae| vae.bytes(&latents).map(drop)).wait()?;
        networks.synchronize()
    });
    let decode = match decoded {
        Ok(((), bytes)) => bytes,
        // There are strips.
        Err(error) if error.kind() == ErrorKind::Memory => u64::MAX,
        Err(error) => return Err(error),
    };
    engine.memory.record(params, step, decode);
    Ok(())
}

/// Builds the plan of attention over an image, or over an image and a prompt, and the prompt's
/// rotations.
fn build_attention(
    networks: &Networks,
    params: &ResolvedParams,
    tokens: Option<usize>,
) -> Result<()> {
    let Device::Cuda(_) = networks.device else { return Ok(()) };
    let grid = networks.grid(params);
    match tokens {
        None => networks.transformer.plan_refiner_attention(grid),
        Some(tokens) => {
            let padded = tokens.next_multiple_of(SEQUENCE_MULTIPLE as usize) as i64;
            networks.transformer.plan_joint_attention(padded, grid)
        }
    }
}

/// A prompt of so many tokens, as far as the model takes them.
fn prompt(networks: &Networks, tokens: usize) -> Vec<i64> {
    vec![0; tokens.min(networks.limits.tokens_max)]
}

fn resolve(networks: &Networks, size: WarmupSize) -> Result<ResolvedParams> {
    networks.resolve(&size.params(), InputImages::NONE)
}

/// Whether the model takes the step's size.
fn is_known(networks: &Networks, step: &WarmupStep) -> bool {
    match step {
        WarmupStep::Attention { size, .. }
        | WarmupStep::StartDecode(size)
        | WarmupStep::Pass { size, .. } => resolve(networks, *size).is_ok(),
        WarmupStep::Preview => true,
    }
}
