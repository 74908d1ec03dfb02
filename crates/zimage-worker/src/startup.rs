//! From nothing to a model that is ready: the device, the weights, a rehearsal.
//!
//! On a GPU the rehearsal, which takes a second, runs while the weights arrive, which takes half.

use std::panic::resume_unwind;
use std::thread;
use std::time::Instant;

use tch::Device;
use zimage::weights::{LoadedFrom, Loader};
use zimage::{
    Checkpoint, DType, Error, LoadingPipeline, Options, Params, Pipeline, Progress,
    RetainedWeights, WarmupTimings,
};
use zimg_protocol::Failure;
use zimg_protocol::messages::{Capabilities, ModelInfo, Report, Weights};

use crate::args::{Args, Model, Size};
use crate::failure::{at_start, from_model};
use crate::reports::Reports;
use crate::weights_channel::WeightsChannel;
use crate::{builtin, device, log};

/// Tokens of the caption that is drawn with before the worker is ready.
const CAPTION: usize = 64;
/// Tokens of the captions that are planned for before it is ready.
const SHORT: usize = 32;
/// Tokens of the captions that are planned for when nothing else is to do, likely ones first.
const LATER: [usize; 9] = [96, 128, 160, 192, 224, 256, 320, 384, 512];
/// Sides of images that people draw besides the size that is rehearsed at the start.
const USUAL: [u32; 2] = [512, 768];

/// Loads the model and rehearses each warm-up size.
pub(crate) fn prepare(args: &Args, reports: &Reports) -> Result<(Pipeline, ModelInfo), Failure> {
    let begun = Instant::now();
    let channel = WeightsChannel::new(args.weights_fd);
    let choice = device::choose(args.device, args.dtype, args.plain)?;
    let checkpoint = match &args.model {
        Model::Tiny => builtin::checkpoint(),
        Model::Folder(folder) => Checkpoint::open(folder),
    };
    let checkpoint = checkpoint.map_err(|e| from_model(&e.into()))?;
    let load = |kept| load(&checkpoint, &choice.options, kept, args, reports);
    let loaded = match channel.given() {
        Some(kept) => load(Some(kept)).or_else(|error| match error {
            Error::NotRetained(why) => {
                log::line(format_args!("the kept weights are not used, for {why}"));
                channel.refuse();
                load(None)
            }
            error => Err(error),
        }),
        None => load(None),
    };
    let (pipeline, arrival) = loaded.map_err(|e| at_start(&e, choice.options.device))?;
    reports.send(Report::Weights(match arrival {
        LoadedFrom::Retained(bytes) => Weights::Kept { bytes },
        LoadedFrom::Files(bytes) => {
            channel.offer(pipeline.retain());
            Weights::Read { bytes }
        }
    }));
    for remark in pipeline.remarks() {
        log::line(format_args!("{remark}"));
    }
    log::line(format_args!("ready after {:.2} s", begun.elapsed().as_secs_f32()));
    let (defaults, limits) = (pipeline.defaults(), pipeline.limits());
    let info = ModelInfo {
        name: checkpoint.name.clone(),
        device: choice.name.clone(),
        dtype: choice.options.dtype.to_string(),
        width: defaults.size,
        height: defaults.size,
        steps: defaults.steps,
        guidance: defaults.guidance,
        max_tokens: limits.tokens_max as u32,
        capabilities: Capabilities::text_to_image(
            limits.side_max,
            limits.multiple,
            defaults.guidance > 0.0,
        ),
    };
    Ok((pipeline, info))
}

/// Brings the weights, and rehearses. [`Error::NotRetained`] says that they must be read.
fn load(
    checkpoint: &Checkpoint,
    options: &Options,
    kept: Option<RetainedWeights>,
    args: &Args,
    reports: &Reports,
) -> zimage::Result<(Pipeline, LoadedFrom)> {
    let begun = Instant::now();
    let (loading, loader) = match kept {
        Some(kept) => LoadingPipeline::from_retained(checkpoint, options, kept).map_err(doubted)?,
        None => LoadingPipeline::new(checkpoint, options)?,
    };
    log::line(format_args!("{:.2} s for places and what is small", begun.elapsed().as_secs_f32()));
    let (pipeline, arrival) = match options.device {
        // float8 is made of weights that are there, and has kernels of its own to rehearse.
        Device::Cuda(_) if options.dtype != DType::Float8 => {
            while_rehearsing(loader, loading, args, reports)?
        }
        _ => then_rehearsing(loader, loading, args, reports)?,
    };
    for params in first(args) {
        pipeline.plan_attention(&params, SHORT)?;
    }
    Ok((pipeline, arrival))
}

/// Whatever is wrong with kept weights: they are read anew.
fn doubted(error: Error) -> Error {
    match error {
        Error::NotRetained(_) => error,
        error => Error::NotRetained(error.to_string()),
    }
}

/// What to do when nothing else is to do: sizes that should have been first, a preview, usual
/// sizes, then plans for long prompts.
pub(crate) fn later(args: &Args) -> impl Iterator<Item = Later> {
    let left = if args.awaited.is_some() { warmup(args) } else { Vec::new() };
    let usual = USUAL.map(|side| Later::Size(square(side)));
    let plans = warmup(args).into_iter().flat_map(|params| {
        LATER.into_iter().map(move |tokens| Later::Plan(params.clone(), tokens))
    });
    left.into_iter().map(Later::Size).chain([Later::Preview]).chain(usual).chain(plans)
}

/// Something that a first image would else wait for.
#[derive(Clone, Debug)]
pub(crate) enum Later {
    /// A preview.
    Preview,
    /// A rehearsal of this size.
    Size(Params),
    /// Attention for prompts of so many tokens.
    Plan(Params, usize),
}

impl Later {
    /// Does it, where it saves anything.
    pub(crate) fn run(&self, pipeline: &Pipeline) -> zimage::Result<()> {
        match self {
            Self::Preview => pipeline.rehearse_preview(),
            Self::Size(params) if params.width > Some(pipeline.limits().side_max) => Ok(()),
            Self::Size(params) => pipeline.rehearse_later(params, &[CAPTION, SHORT]),
            Self::Plan(params, tokens) => pipeline.plan_attention(params, *tokens),
        }
    }
}

/// Reads, and rehearses on this thread meanwhile: cuDNN keeps its plans for each thread.
fn while_rehearsing(
    mut loader: Loader,
    mut loading: LoadingPipeline,
    args: &Args,
    reports: &Reports,
) -> zimage::Result<(Pipeline, LoadedFrom)> {
    let (read, rehearsed) = thread::scope(|scope| {
        let reading = scope.spawn(|| read(&mut loader, args, reports));
        let (sizes, captions) = match &args.awaited {
            // How long its prompt is will be known when it comes.
            Some(size) => (vec![sized(size)], Vec::new()),
            None => (warmup(args), vec![CAPTION, SHORT]),
        };
        let rehearsed = loading.bring_up(&sizes, &captions).and_then(|took| {
            log::line(format_args!("cuBLAS, kernels and plans after {:.2} s", took.as_secs_f32()));
            rehearse(args, |params| loading.rehearse(params, CAPTION))
        });
        (reading.join().unwrap_or_else(|panic| resume_unwind(panic)), rehearsed)
    });
    read?;
    rehearsed?;
    let arrival = loader.loaded_from();
    Ok((loading.complete(loader)?, arrival))
}

/// Reads, then rehearses: on a CPU both want all cores.
fn then_rehearsing(
    mut loader: Loader,
    loading: LoadingPipeline,
    args: &Args,
    reports: &Reports,
) -> zimage::Result<(Pipeline, LoadedFrom)> {
    read(&mut loader, args, reports)?;
    let arrival = loader.loaded_from();
    let pipeline = loading.complete(loader)?;
    rehearse(args, |params| pipeline.rehearse(params, CAPTION))?;
    Ok((pipeline, arrival))
}

/// Rehearses each warm-up size and says how long it took.
fn rehearse(
    args: &Args,
    mut work: impl FnMut(&Params) -> zimage::Result<WarmupTimings>,
) -> zimage::Result<()> {
    for params in first(args) {
        let begun = Instant::now();
        let WarmupTimings { text, step, decode } = work(&params)?;
        let [all, text, step, decode] =
            [begun.elapsed(), text, step, decode].map(|part| part.as_secs_f32());
        log::line(format_args!(
            "rehearsed in {all:.2} s: text {text:.2}, step {step:.2}; beside it decoding {decode:.2}"
        ));
    }
    Ok(())
}

/// Reads all weights and says how far it is; or checks them, if they were kept.
fn read(loader: &mut Loader, args: &Args, reports: &Reports) -> zimage::Result<()> {
    let begun = Instant::now();
    let done = loader.run(&mut |Progress { done, total }| {
        reports.send(Report::Loading { done, total });
    });
    let (what, bytes) = match loader.loaded_from() {
        LoadedFrom::Files(bytes) => (done.map(|()| "read")?, bytes),
        LoadedFrom::Retained(bytes) => (done.map(|()| "kept, checked").map_err(doubted)?, bytes),
    };
    let (gigabytes, seconds) = (bytes as f64 / 1e9, begun.elapsed().as_secs_f64());
    log::line(format_args!(
        "{gigabytes:.2} GB {what} in {seconds:.2} s ({:.1} GB/s)",
        gigabytes / seconds
    ));
    if !first(args).is_empty() {
        reports.send(Report::Warming);
    }
    Ok(())
}

/// Sizes to rehearse before it is ready: none if a job waits already, which does it by itself.
fn first(args: &Args) -> Vec<Params> {
    if args.awaited.is_some() { Vec::new() } else { warmup(args) }
}

/// Sizes to rehearse, with the default number of steps; the model's default size if none is said.
fn warmup(args: &Args) -> Vec<Params> {
    if args.warmup.is_empty() {
        vec![Params::default()]
    } else {
        args.warmup.iter().map(sized).collect()
    }
}

fn square(side: u32) -> Params {
    sized(&Size { width: side, height: side })
}

fn sized(&Size { width, height }: &Size) -> Params {
    Params { width: Some(width), height: Some(height), ..Params::default() }
}
