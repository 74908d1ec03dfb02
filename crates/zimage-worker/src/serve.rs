//! The worker's life: load, warm up, draw until the supervisor goes away.

use std::process::ExitCode;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};
use zimage::{Checkpoint, Params, Pipeline};
use zimg_protocol::messages::{ModelInfo, Report};
use zimg_protocol::{Failure, Kind};

use crate::args::{Args, Model};
use crate::failure::from_model;
use crate::link::{self, Reports};
use crate::{builtin, device, job, log};

/// Runs until the supervisor closes the socket; says why if it cannot.
pub(crate) fn run(args: &Args) -> ExitCode {
    if let Err(e) = die_with(Pid::from_raw(args.parent_pid)) {
        log::line(format_args!("zimage-worker is started by zimaged, not by hand: {e}"));
        return ExitCode::from(Kind::Usage.exit_code());
    }
    let (jobs, cancelled, reports) = match link::open() {
        Ok(link) => link,
        Err(e) => {
            log::line(format_args!("file descriptor 0 is not zimaged's socket: {e}"));
            return ExitCode::from(Kind::Usage.exit_code());
        }
    };
    if let Some(threads) = args.threads {
        tch::set_num_threads(i32::from(threads));
    }
    let (pipeline, info) = match prepare(args, &reports) {
        Ok(prepared) => prepared,
        Err(failure) => {
            let status = failure.kind.exit_code();
            reports.send(Report::Fatal(failure));
            reports.finish();
            return ExitCode::from(status);
        }
    };
    let model = info.name.clone();
    reports.send(Report::Ready(info));
    while let Ok(next) = jobs.recv() {
        job::run(&pipeline, &model, &next, &reports, &cancelled);
    }
    ExitCode::SUCCESS
}

/// Has the kernel kill this process when its parent dies, and checks that it has not yet.
fn die_with(parent: Pid) -> Result<(), String> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|e| e.to_string())?;
    if getppid() == parent { Ok(()) } else { Err("the parent process is another".to_owned()) }
}

/// Loads the model and draws one picture of each warm-up size.
fn prepare(args: &Args, reports: &Reports) -> Result<(Pipeline, ModelInfo), Failure> {
    let choice = device::choose(args.device, args.dtype, args.plain)?;
    let checkpoint = match &args.model {
        Model::Tiny => builtin::checkpoint(),
        Model::Folder(folder) => Checkpoint::open(folder),
    };
    let checkpoint = checkpoint.map_err(|e| from_model(&e))?;
    let pipeline = Pipeline::load(&checkpoint, &choice.options, &mut |progress| {
        reports.send(Report::Loading { done: progress.done, total: progress.total });
    })
    .map_err(|e| from_model(&e))?;
    for remark in pipeline.remarks() {
        log::line(format_args!("{remark}"));
    }
    reports.send(Report::Warming);
    for params in warmup(args) {
        draw_once(&pipeline, &params).map_err(|e| from_model(&e))?;
    }
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

/// What to draw first. One step would do to make each kernel and its plan; two also go from one step to the next.
fn warmup(args: &Args) -> Vec<Params> {
    let two_steps = Params { prompt: "warm-up".into(), steps: Some(2), ..Params::default() };
    if args.warmup.is_empty() {
        return vec![two_steps];
    }
    let sized = |size: &crate::args::Size| Params {
        width: Some(size.width),
        height: Some(size.height),
        ..two_steps.clone()
    };
    args.warmup.iter().map(sized).collect()
}

fn draw_once(pipeline: &Pipeline, params: &Params) -> zimage::Result<()> {
    let plan = pipeline.plan(params)?;
    let conditioning = pipeline.encode(&plan)?;
    let mut drawing = pipeline.start(&plan, 0)?;
    while !drawing.is_done() {
        pipeline.step(&mut drawing, &conditioning)?;
    }
    pipeline.decode(&drawing).map(drop)
}
