//! Startup: from nothing to a model that is ready. Device, weights, warm-up.
//!
//! On a GPU the warm-up, which takes a second, runs while the weights load, which takes half of
//! that. Which steps it has is `warmup`'s choice.

use std::panic::resume_unwind;
use std::thread;
use std::time::Instant;

use zimage::weights::{LoadedFrom, Loader};
use zimage::{
    Checkpoint, Error, ImageRoom, LoadingPipeline, LoadingWarmup, Options, Pipeline, Progress,
    WarmupEvent, WarmupPlan, WarmupStep, WarmupTimings, WeightDescriptors,
};
use zimage_ipc::Report;
use zimg_protocol::messages::{Capabilities, ModelInfo, Weights};

use crate::args::Args;
use crate::failure::{at_start, from_model};
use crate::planner::{End, Planner};
use crate::reports::Reports;
use crate::weights_channel::WeightsChannel;
use crate::{builtin, device, log, warmup};

/// What a worker that is ready has.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) pipeline: Pipeline,
    pub(crate) info: ModelInfo,
    /// What made the memory plan, if there is one.
    pub(crate) planner: Option<Planner>,
    /// Warm-up that is left for idle time.
    pub(crate) when_idle: Vec<WarmupStep>,
}

/// Loads the model and warms it up.
///
/// # Errors
/// When this process cannot, or the next one can with a smaller memory plan.
pub(crate) fn start(args: &Args, reports: &Reports) -> Result<Ready, End> {
    let begun = Instant::now();
    let channel = WeightsChannel::new(args.weights_fd);
    let choice = device::choose(args.device, args.dtype, args.eager)?;
    let files = args.model_files();
    let checkpoint = files.as_ref().map_or_else(builtin::checkpoint, Checkpoint::open_files);
    let checkpoint = checkpoint.map_err(|e| from_model(&e.into()))?;
    if files.is_some() {
        let inventory = checkpoint.inventory().map_err(|e| from_model(&e.into()))?;
        inventory.lines().into_iter().for_each(|line| log::line(format_args!("{line}")));
    }
    let retained = channel.retained();
    let held = retained.as_ref().map_or(0, WeightDescriptors::bytes);
    let planner = Planner::new(args, &checkpoint, &choice.options, held)?;
    let options = match &planner {
        Some(planner) => {
            reports.send(planner.report());
            planner.decide(choice.options)
        }
        None => choice.options,
    };
    let plan = warmup::plan(args, &options);
    let job_waits = args.awaited.is_some();
    let room = planner.as_ref().map(Planner::room);
    let start = Start { checkpoint: &checkpoint, options: &options, room, job_waits, reports };
    let loaded = match retained {
        Some(retained) => start.load(Some(retained), &plan).or_else(|error| match error {
            Error::NotRetained(why) => {
                log::line(format_args!("the retained weights are not used: {why}"));
                channel.refuse();
                start.load(None, &plan)
            }
            error => Err(error),
        }),
        None => start.load(None, &plan),
    };
    let (pipeline, arrival) = loaded.map_err(|error| {
        let smaller = planner.as_ref().and_then(|planner| planner.smaller(&error, None));
        smaller.unwrap_or_else(|| at_start(&error, options.device).into())
    })?;
    reports.send(Report::Weights(match arrival {
        LoadedFrom::Retained(bytes) => Weights::Retained { bytes },
        LoadedFrom::Files(bytes) => {
            channel.offer(pipeline.retain());
            Weights::Read { bytes }
        }
    }));
    if let Some(planner) = &planner {
        planner.limit();
    }
    for remark in pipeline.remarks() {
        log::line(format_args!("{remark}"));
    }
    log::line(format_args!("ready after {:.2} s", begun.elapsed().as_secs_f32()));
    let (defaults, limits) = (pipeline.defaults(), pipeline.limits());
    let info = ModelInfo {
        name: checkpoint.name.clone(),
        device: choice.name.clone(),
        dtype: options.dtype.to_string(),
        width: defaults.size,
        height: defaults.size,
        steps: defaults.steps,
        guidance: defaults.guidance,
        max_tokens: limits.tokens_max as u32,
        capabilities: Capabilities {
            lora: !args.lora_dir.is_empty(),
            initial_image: limits.initial_image,
            mask: limits.mask,
            control_image: limits.initial_image && !args.control_dir.is_empty(),
            ..Capabilities::text_to_image(limits.side_max, limits.multiple, defaults.guidance > 0.0)
        },
    };
    Ok(Ready { pipeline, info, planner, when_idle: plan.when_idle })
}

/// What loading depends on, with retained weights or without.
struct Start<'a> {
    checkpoint: &'a Checkpoint,
    options: &'a Options,
    /// What a memory plan leaves to images.
    room: Option<ImageRoom>,
    /// Whether a job waits for this worker: then no pass comes before it is ready.
    job_waits: bool,
    reports: &'a Reports,
}

impl Start<'_> {
    /// Loads the weights, and warms up. [`Error::NotRetained`] says that they must be read.
    fn load(
        &self,
        retained: Option<WeightDescriptors>,
        plan: &WarmupPlan,
    ) -> zimage::Result<(Pipeline, LoadedFrom)> {
        let begun = Instant::now();
        let (loading, loader) = match retained {
            Some(retained) => {
                LoadingPipeline::from_retained(self.checkpoint, self.options, retained)
                    .map_err(doubted)?
            }
            None => LoadingPipeline::new(self.checkpoint, self.options)?,
        };
        let loading = loading.with_room(self.room);
        let allocated = begun.elapsed().as_secs_f32();
        log::line(format_args!("memory allocated and small files read in {allocated:.2} s"));
        let (pipeline, arrival) = match &plan.while_loading {
            Some(warmup) => self.read_and_warm_up(loader, loading, warmup)?,
            None => self.read_all(loader, loading)?,
        };
        for step in &plan.when_loaded {
            if let Some(timings) = pipeline.warm_up(step)? {
                log_pass(timings);
            }
        }
        Ok((pipeline, arrival))
    }

    /// Reads on another thread, and warms up on this one, which will generate: cuDNN keeps its
    /// plans for each thread.
    ///
    /// On an error the pipeline is dropped before the loader, which owns its memory.
    fn read_and_warm_up(
        &self,
        mut loader: Loader,
        loading: LoadingPipeline,
        warmup: &LoadingWarmup,
    ) -> zimage::Result<(Pipeline, LoadedFrom)> {
        let (read, warm) = thread::scope(|scope| {
            let reading = scope.spawn(|| self.read(&mut loader));
            let warm = loading.warm_up(warmup, &mut |event| match event {
                WarmupEvent::Plans(took) => {
                    let seconds = took.as_secs_f32();
                    log::line(format_args!("cuBLAS, kernels and plans after {seconds:.2} s"));
                }
                WarmupEvent::Pass(timings) => log_pass(timings),
            });
            (reading.join().unwrap_or_else(|panic| resume_unwind(panic)), warm)
        });
        read?;
        let warm = warm?;
        let arrival = loader.loaded_from();
        Ok((warm.complete(loader)?, arrival))
    }

    /// Reads on this thread. On an error as above.
    fn read_all(
        &self,
        mut loader: Loader,
        loading: LoadingPipeline,
    ) -> zimage::Result<(Pipeline, LoadedFrom)> {
        self.read(&mut loader)?;
        let arrival = loader.loaded_from();
        Ok((loading.complete(loader)?, arrival))
    }

    /// Reads all weights and reports the progress; or checks them, if they were retained.
    fn read(&self, loader: &mut Loader) -> zimage::Result<()> {
        let begun = Instant::now();
        let done = loader.run(&mut |Progress { done, total }| {
            self.reports.send(Report::Loading { done, total });
        });
        let (what, bytes) = match loader.loaded_from() {
            LoadedFrom::Files(bytes) => (done.map(|()| "read")?, bytes),
            LoadedFrom::Retained(bytes) => {
                (done.map(|()| "retained, checked").map_err(doubted)?, bytes)
            }
        };
        let (gigabytes, seconds) = (bytes as f64 / 1e9, begun.elapsed().as_secs_f64());
        log::line(format_args!(
            "{gigabytes:.2} GB {what} in {seconds:.2} s ({:.1} GB/s)",
            gigabytes / seconds
        ));
        if !self.job_waits {
            self.reports.send(Report::Warming);
        }
        Ok(())
    }
}

/// Whatever fails with retained weights, they are read from the files instead.
fn doubted(error: Error) -> Error {
    match error {
        Error::NotRetained(_) => error,
        error => Error::NotRetained(error.to_string()),
    }
}

fn log_pass(WarmupTimings { total, text, step, decode }: WarmupTimings) {
    let [total, text, step, decode] = [total, text, step, decode].map(|part| part.as_secs_f32());
    log::line(format_args!(
        "warm-up took {total:.2} s: text {text:.2}, step {step:.2}, concurrent decode {decode:.2}"
    ));
}
