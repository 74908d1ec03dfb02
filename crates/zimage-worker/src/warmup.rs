//! The worker's warm-up plan: which sizes and prompt lengths are run before they are asked for.
//!
//! Policy alone; `zimage::WarmupStep` says what each step does, and `startup` and `serve` run them.

use tch::Device;
use zimage::{DType, LoadingWarmup, Measure, Options, WarmupPlan, WarmupSize, WarmupStep};

use crate::args::{Args, Size};

/// Tokens of the prompt that a pass is run with: with the chat template, a short sentence.
const PASS: usize = 64;
/// Tokens of the shortest prompts, whose attention is planned too.
const SHORT: usize = 32;
/// Tokens of longer prompts, whose attention is planned in idle time, likely ones first.
const LONG: [usize; 9] = [96, 128, 160, 192, 224, 256, 320, 384, 512];
/// Sides of squares that are asked for often besides the configured sizes, run in idle time.
const USUAL: [u32; 2] = [512, 768];

/// The plan of a worker with these arguments on this device.
///
/// * Configured sizes are run before the worker is ready; the model's default size if none is.
/// * A worker that is started because a job waits is ready without a pass: the job's own first step
///   does what a pass would. Only the plans of the job's size are built while the weights load,
///   without a prompt, whose length is known when the job comes. The configured sizes follow in
///   idle time.
/// * On a GPU all of that runs while the weights load, except for float8, which is made of weights
///   that are there and has kernels of its own.
/// * On a CPU nothing is planned or compiled for a size, so idle time has the preview alone.
pub(crate) fn plan(args: &Args, options: &Options) -> WarmupPlan {
    let on_gpu = matches!(options.device, Device::Cuda(_));
    let configured = configured(args);
    let first = if args.awaited.is_some() { &[] } else { configured.as_slice() };
    let short = first.iter().map(|&size| attention(size, SHORT));
    let mut plan = WarmupPlan { when_idle: when_idle(args, &configured), ..WarmupPlan::default() };
    if on_gpu && options.dtype != DType::Float8 {
        plan.while_loading = Some(match &args.awaited {
            Some(size) => LoadingWarmup { plans: plans(&[pixels(size)], &[]), passes: Vec::new() },
            None => LoadingWarmup {
                plans: plans(first, &[PASS, SHORT]),
                passes: first.iter().map(|&size| pass(size, &[PASS], Measure::Always)).collect(),
            },
        });
        plan.when_loaded = short.collect();
    } else {
        let passes = first.iter().map(|&size| pass(size, &[PASS], Measure::Never));
        plan.when_loaded = passes.chain(short).collect();
    }
    if !on_gpu {
        plan.when_idle.retain(|step| *step == WarmupStep::Preview);
    }
    plan
}

/// For each size the refiner's attention and that beside each prompt; the decoder starts as soon as
/// the kernels are there, which is by the time that the first plan is built.
fn plans(sizes: &[WarmupSize], prompts: &[usize]) -> Vec<WarmupStep> {
    let of_size = |(at, &size): (usize, &WarmupSize)| {
        let refiner = WarmupStep::Attention { size, tokens: None };
        let decode = (at == 0).then_some(WarmupStep::StartDecode(size));
        let prompts = prompts.iter().map(move |&tokens| attention(size, tokens));
        [refiner].into_iter().chain(decode).chain(prompts)
    };
    sizes.iter().enumerate().flat_map(of_size).collect()
}

/// Sizes that would have been first, a preview, usual sizes, then the attention of long prompts.
fn when_idle(args: &Args, configured: &[WarmupSize]) -> Vec<WarmupStep> {
    let left = if args.awaited.is_some() { configured } else { &[] };
    let usual = USUAL.map(|side| WarmupSize::Pixels { width: side, height: side });
    let size = |size| pass(size, &[PASS, SHORT], Measure::IfUnknown);
    let long = configured.iter().flat_map(|&size| LONG.map(|tokens| attention(size, tokens)));
    let left = left.iter().map(|&left| size(left));
    left.chain([WarmupStep::Preview]).chain(usual.map(size)).chain(long).collect()
}

/// The configured sizes; the model's default size if there is none.
fn configured(args: &Args) -> Vec<WarmupSize> {
    if args.warmup.is_empty() {
        vec![WarmupSize::Default]
    } else {
        args.warmup.iter().map(pixels).collect()
    }
}

fn pixels(&Size { width, height }: &Size) -> WarmupSize {
    WarmupSize::Pixels { width, height }
}

fn attention(size: WarmupSize, tokens: usize) -> WarmupStep {
    WarmupStep::Attention { size, tokens: Some(tokens) }
}

fn pass(size: WarmupSize, tokens: &[usize], measure: Measure) -> WarmupStep {
    WarmupStep::Pass { size, tokens: tokens.to_vec(), measure }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const GPU: Options = Options {
        device: Device::Cuda(0),
        dtype: DType::BFloat16,
        eager: false,
        residency: zimage::Residency::All,
        packed: false,
        pinned: false,
    };

    fn planned(line: &str, options: &Options) -> WarmupPlan {
        let line = format!("zimage-worker --parent-pid 1 {line}");
        plan(&Args::try_parse_from(line.split_whitespace()).unwrap(), options)
    }

    fn square(side: u32) -> WarmupSize {
        WarmupSize::Pixels { width: side, height: side }
    }

    fn refiner(size: WarmupSize) -> WarmupStep {
        WarmupStep::Attention { size, tokens: None }
    }

    #[test]
    fn a_gpu_warms_up_while_the_weights_load_and_the_first_size_decodes_first() {
        let (a, b) = (square(1024), square(512));
        let plan = planned("--warmup 1024x1024,512x512", &GPU);
        let loading = plan.while_loading.unwrap();
        assert_eq!(
            loading.plans,
            [
                refiner(a),
                WarmupStep::StartDecode(a),
                attention(a, 64),
                attention(a, 32),
                refiner(b),
                attention(b, 64),
                attention(b, 32)
            ]
        );
        assert_eq!(loading.passes, [a, b].map(|size| pass(size, &[64], Measure::Always)));
        assert_eq!(plan.when_loaded, [a, b].map(|size| attention(size, 32)));
        let idle = &plan.when_idle;
        assert_eq!(idle[0], WarmupStep::Preview);
        let usual = [512, 768].map(|side| pass(square(side), &[64, 32], Measure::IfUnknown));
        assert_eq!(idle[1..3], usual);
        assert_eq!((&idle[3], &idle[11]), (&attention(a, 96), &attention(a, 512)));
        assert_eq!((&idle[12], idle.len()), (&attention(b, 96), 21));
    }

    #[test]
    fn a_worker_whose_job_waits_builds_its_plans_alone() {
        let plan = planned("--awaited 512x512", &GPU);
        let loading = plan.while_loading.unwrap();
        let awaited = square(512);
        assert_eq!(loading.plans, [refiner(awaited), WarmupStep::StartDecode(awaited)]);
        assert!(loading.passes.is_empty() && plan.when_loaded.is_empty());
        let first = pass(WarmupSize::Default, &[64, 32], Measure::IfUnknown);
        assert_eq!(plan.when_idle[..2], [first, WarmupStep::Preview]);
    }

    #[test]
    fn a_cpu_and_float8_warm_up_once_the_weights_are_there() {
        let cpu = Options {
            device: Device::Cpu,
            dtype: DType::Float32,
            eager: false,
            residency: zimage::Residency::All,
            packed: false,
            pinned: false,
        };
        let size = WarmupSize::Default;
        let loaded = [pass(size, &[64], Measure::Never), attention(size, 32)];
        for options in [cpu, Options { dtype: DType::Float8, ..GPU }] {
            let plan = planned("", &options);
            assert!(plan.while_loading.is_none());
            assert_eq!(plan.when_loaded, loaded);
            assert_eq!(plan.when_idle.len(), if options.device == Device::Cpu { 1 } else { 12 });
        }
        let awaited = planned("--awaited 512x512", &cpu);
        assert!(awaited.when_loaded.is_empty());
        assert_eq!(awaited.when_idle, [WarmupStep::Preview]);
    }
}
