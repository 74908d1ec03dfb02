//! From nothing to a model that is ready: the device, the weights, a rehearsal.
//!
//! On a GPU the rehearsal, which takes a second, runs while the weights arrive, which takes half.

use std::panic::resume_unwind;
use std::thread;
use std::time::Instant;

use tch::Device;
use zimage::checkpoint::Loader;
use zimage::{Arriving, Checkpoint, DType, Params, Pipeline, Progress, Rehearsal};
use zimg_protocol::Failure;
use zimg_protocol::messages::{ModelInfo, Report};

use crate::args::{Args, Model, Size};
use crate::failure::from_model;
use crate::reports::Reports;
use crate::{builtin, device, log};

/// Tokens of the caption that is drawn with before the worker is ready.
const CAPTION: usize = 64;
/// Tokens of the captions that are planned for before it is ready.
const SHORT: usize = 32;
/// Tokens of the captions that are planned for when nothing else is to do, likely ones first.
const LATER: [usize; 9] = [96, 128, 160, 192, 224, 256, 320, 384, 512];
/// Sides of pictures that people draw besides the size that is rehearsed at the start.
const USUAL: [u32; 2] = [512, 768];

/// Loads the model and rehearses each warm-up size.
pub(crate) fn prepare(args: &Args, reports: &Reports) -> Result<(Pipeline, ModelInfo), Failure> {
    let begun = Instant::now();
    let choice = device::choose(args.device, args.dtype, args.plain)?;
    let checkpoint = match &args.model {
        Model::Tiny => builtin::checkpoint(),
        Model::Folder(folder) => Checkpoint::open(folder),
    };
    let checkpoint = checkpoint.map_err(|e| from_model(&e))?;
    let (arriving, loader) =
        Arriving::new(&checkpoint, &choice.options).map_err(|e| from_model(&e))?;
    log::line(format_args!("{:.2} s until reading", begun.elapsed().as_secs_f32()));
    let pipeline = match choice.options.device {
        // float8 is made of weights that are there, and has kernels of its own to rehearse.
        Device::Cuda(_) if choice.options.dtype != DType::Float8 => {
            while_rehearsing(arriving, loader, args, reports)
        }
        _ => then_rehearsing(arriving, loader, args, reports),
    };
    let pipeline = pipeline.map_err(|e| from_model(&e))?;
    for params in warmup(args) {
        pipeline.plan_attention(&params, SHORT).map_err(|e| from_model(&e))?;
    }
    for remark in pipeline.remarks() {
        log::line(format_args!("{remark}"));
    }
    log::line(format_args!("ready after {:.2} s", begun.elapsed().as_secs_f32()));
    let (defaults, limits) = (pipeline.defaults(), pipeline.limits());
    let info = ModelInfo {
        name: checkpoint.name.clone(),
        device: choice.name,
        dtype: choice.options.dtype.to_string(),
        width: defaults.size,
        height: defaults.size,
        steps: defaults.steps,
        guidance: defaults.guidance,
        max_tokens: limits.tokens_max as u32,
    };
    Ok((pipeline, info))
}

/// What to do when nothing else is to do: usual sizes, then plans for long prompts.
pub(crate) fn later(args: &Args) -> impl Iterator<Item = Later> {
    let usual = USUAL.map(|side| Later::Size(square(side)));
    let plans = warmup(args).into_iter().flat_map(|params| {
        LATER.into_iter().map(move |tokens| Later::Plan(params.clone(), tokens))
    });
    usual.into_iter().chain(plans)
}

/// Something that a first picture would else wait for.
#[derive(Clone, Debug)]
pub(crate) enum Later {
    /// A rehearsal of this size.
    Size(Params),
    /// Attention for prompts of so many tokens.
    Plan(Params, usize),
}

impl Later {
    /// Does it, where it saves anything.
    pub(crate) fn run(&self, pipeline: &Pipeline) -> zimage::Result<()> {
        match self {
            Self::Size(params) if params.width > Some(pipeline.limits().side_max) => Ok(()),
            Self::Size(params) => pipeline.rehearse_later(params, &[CAPTION, SHORT]),
            Self::Plan(params, tokens) => pipeline.plan_attention(params, *tokens),
        }
    }
}

/// Reads, and rehearses on this thread meanwhile: cuDNN keeps its plans for each thread.
fn while_rehearsing(
    mut arriving: Arriving,
    mut loader: Loader,
    args: &Args,
    reports: &Reports,
) -> zimage::Result<Pipeline> {
    let (read, rehearsed) = thread::scope(|scope| {
        let reading = scope.spawn(|| read(&mut loader, reports));
        let rehearsed = rehearse(args, |params| arriving.rehearse(params, CAPTION));
        (reading.join().unwrap_or_else(|panic| resume_unwind(panic)), rehearsed)
    });
    read?;
    rehearsed?;
    arriving.complete(loader)
}

/// Reads, then rehearses: on a CPU both want all cores.
fn then_rehearsing(
    arriving: Arriving,
    mut loader: Loader,
    args: &Args,
    reports: &Reports,
) -> zimage::Result<Pipeline> {
    read(&mut loader, reports)?;
    let pipeline = arriving.complete(loader)?;
    rehearse(args, |params| pipeline.rehearse(params, CAPTION))?;
    Ok(pipeline)
}

/// Rehearses each warm-up size and says how long it took.
fn rehearse(
    args: &Args,
    mut work: impl FnMut(&Params) -> zimage::Result<Rehearsal>,
) -> zimage::Result<()> {
    for params in warmup(args) {
        let begun = Instant::now();
        let Rehearsal { kernels, text, step, decode } = work(&params)?;
        let [all, kernels, text, step, decode] =
            [begun.elapsed(), kernels, text, step, decode].map(|part| part.as_secs_f32());
        log::line(format_args!(
            "rehearsed in {all:.2} s: kernels {kernels:.2}, text {text:.2}, step {step:.2}; beside it decoding {decode:.2}"
        ));
    }
    Ok(())
}

/// Reads all weights and says how far it is.
fn read(loader: &mut Loader, reports: &Reports) -> zimage::Result<()> {
    let mut bytes = 0;
    let begun = Instant::now();
    loader.run(&mut |Progress { done, total }| {
        bytes = total;
        reports.send(Report::Loading { done, total });
    })?;
    let (gigabytes, seconds) = (bytes as f64 / 1e9, begun.elapsed().as_secs_f64());
    log::line(format_args!(
        "{gigabytes:.1} GB read in {seconds:.2} s ({:.1} GB/s)",
        gigabytes / seconds
    ));
    reports.send(Report::Warming);
    Ok(())
}

/// Sizes to rehearse, with the default number of steps; the model's default size if none is said.
fn warmup(args: &Args) -> Vec<Params> {
    let sized = |size: Option<&Size>| Params {
        width: size.map(|size| size.width),
        height: size.map(|size| size.height),
        ..Params::default()
    };
    if args.warmup.is_empty() {
        return vec![sized(None)];
    }
    args.warmup.iter().map(|size| sized(Some(size))).collect()
}

fn square(side: u32) -> Params {
    Params { width: Some(side), height: Some(side), ..Params::default() }
}
