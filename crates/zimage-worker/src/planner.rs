//! The planner: makes the worker's memory plan before anything is loaded, and a smaller one when memory
//! turns out to be too small.

use tch::Device;
use zimage::checkpoint::{
    CONTEXT_BYTES, Decode, MemoryBudget, MemoryPlan, ModelFootprint, NumberBytes, Residency,
    TooSmall, gibibytes,
};
use zimage::{Checkpoint, DType, Error, ErrorKind, ImageRoom, Options};
use zimage_ipc::{PlanBasis, Report};
use zimg_protocol::messages::PlannedMemory;
use zimg_protocol::{Failure, Kind};

use crate::args::{Args, Size};

/// A plan, and what it was made of.
#[derive(Debug)]
pub(crate) struct Planner {
    model: ModelFootprint,
    device: Device,
    dtype: DType,
    /// Pixels of the largest image that it has room for.
    pixels: u64,
    plan: MemoryPlan,
}

/// Why a worker ends.
#[derive(Debug)]
pub(crate) enum End {
    /// It can do no more.
    Failed(Failure),
    /// The next process makes a smaller plan.
    Replan { basis: PlanBasis, reason: String },
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Planner {
    /// The plan for this device, of whose memory weights that were retained already have a part. None
    /// on a CPU whose memory is not limited.
    ///
    /// # Errors
    /// When the least that works does not fit, or a file is damaged.
    pub(crate) fn new(
        args: &Args,
        checkpoint: &Checkpoint,
        options: &Options,
        retained: u64,
    ) -> Result<Option<Self>, Failure> {
        let free = match (options.device, args.memory) {
            (Device::Cuda(ordinal), _) => match zimage_cuda::free_memory(ordinal) {
                Ok(memory) => memory.free + CONTEXT_BYTES + retained,
                Err(error) => return Err(Failure::new(Kind::Internal, error.to_string())),
            },
            (_, MemoryBudget::Auto) => return Ok(None),
            (_, MemoryBudget::Bytes(bytes)) => bytes,
        };
        let budget = match args.plan_budget {
            Some(budget) => budget.min(free),
            None => args.memory.of_free(free),
        };
        let default = checkpoint.vae.sample_size.unsigned_abs().pow(2);
        let sizes = args.warmup.iter().chain(&args.awaited);
        let sizes = sizes.map(|Size { width, height }| u64::from(*width) * u64::from(*height));
        let pixels = sizes.chain(args.plan_pixels).max().unwrap_or(0);
        let pixels = if args.warmup.is_empty() { pixels.max(default) } else { pixels };
        Self::made(checkpoint, options, budget, pixels).map(Some).map_err(|error| {
            let set = matches!(args.memory, MemoryBudget::Bytes(bytes) if bytes <= free);
            refusal(error, set)
        })
    }

    /// The plan for a budget. Quantised weights are expanded once if all of them fit so, else before
    /// each product.
    fn made(
        checkpoint: &Checkpoint,
        &Options { device, dtype, .. }: &Options,
        budget: u64,
        pixels: u64,
    ) -> Result<Self, PlanError> {
        let on_gpu = matches!(device, Device::Cuda(_));
        let numbers = NumberBytes::of(&dtype.to_string()).unwrap_or(NumberBytes::SINGLE);
        let expanded = ModelFootprint::expanded(checkpoint, numbers, on_gpu);
        let packed = ModelFootprint::packed(checkpoint, numbers, on_gpu);
        let plan = MemoryPlan::new(&expanded, budget, pixels);
        let planner = |model, plan| Self { model, device, dtype, pixels, plan };
        match (packed.map_err(PlanError::Checkpoint)?, plan) {
            (_, Ok(plan)) if plan.residency == Residency::All => Ok(planner(expanded, plan)),
            (Some(packed), _) => {
                let plan = MemoryPlan::new(&packed, budget, pixels)?;
                Ok(planner(packed, MemoryPlan { packed: true, ..plan }))
            }
            (None, plan) => Ok(planner(expanded, plan?)),
        }
    }

    /// The options with what the plan decides.
    pub(crate) fn decide(&self, options: Options) -> Options {
        let MemoryPlan { residency, packed, .. } = self.plan;
        Options { residency, packed, ..options }
    }

    /// What the plan leaves to images.
    pub(crate) fn room(&self) -> ImageRoom {
        ImageRoom { bytes: self.plan.room(), expected: self.model.activations }
    }

    /// The plan, as it is reported.
    pub(crate) fn report(&self) -> Report {
        let MemoryPlan { budget, peak, blocks, resident_blocks, packed, .. } = self.plan;
        let plan = PlannedMemory {
            sentence: self.plan.sentence(&self.dtype.to_string(), None),
            budget,
            peak,
            blocks,
            resident_blocks,
            text_encoder: self.plan.streamed_text == 0,
            strips: self.plan.decode == Decode::Strips,
            packed,
            image_s: None,
            new_prompt_s: None,
        };
        Report::Planned { plan, basis: PlanBasis { budget, pixels: self.pixels } }
    }

    /// After an error for want of memory, with an image of so many pixels or while loading: what a
    /// smaller plan follows from, if there is one.
    pub(crate) fn smaller(&self, error: &Error, image: Option<u64>) -> Option<End> {
        if error.kind() != ErrorKind::Memory && !matches!(error, Error::TooLarge { .. }) {
            return None;
        }
        let pixels = image.unwrap_or(0).max(self.pixels);
        let available = self.available(image.is_some()).min(self.plan.budget);
        let basis = smaller(&self.model, &self.plan, available, pixels)?;
        Some(End::Replan { basis, reason: error.to_string() })
    }

    /// What this process would find free if it started now.
    fn available(&self, is_loaded: bool) -> u64 {
        let Device::Cuda(ordinal) = self.device else { return self.plan.budget };
        let own = if is_loaded { self.plan.held } else { CONTEXT_BYTES };
        let (free, cached) = (zimage_cuda::free_memory(ordinal), zimage_cuda::allocated(ordinal));
        match (free, cached) {
            (Ok(memory), Ok(cached)) => memory.free + own + cached.held,
            // The driver fails: no plan helps.
            _ => 0,
        }
    }
}

/// The basis of the first smaller plan: for what is available; where that would give the same plan
/// again, for a quarter less than it takes; at last the least that works.
fn smaller(
    model: &ModelFootprint,
    plan: &MemoryPlan,
    available: u64,
    pixels: u64,
) -> Option<PlanBasis> {
    let least = MemoryPlan::least(model, pixels).peak;
    let budgets = [available, available.min(plan.peak / 4 * 3), available.min(least)];
    let found = budgets.into_iter().find(|budget| {
        MemoryPlan::new(model, *budget, pixels).is_ok_and(|other| other.is_smaller_than(plan))
    });
    Some(PlanBasis { budget: found?, pixels })
}

/// Why there is no plan.
enum PlanError {
    TooSmall(TooSmall),
    Checkpoint(zimage::checkpoint::Error),
}

impl From<TooSmall> for PlanError {
    fn from(error: TooSmall) -> Self {
        Self::TooSmall(error)
    }
}

/// The failure; `set`: the budget is a setting, and not what is free now.
fn refusal(error: PlanError, set: bool) -> Failure {
    match error {
        PlanError::TooSmall(error) => {
            let kind = if set { Kind::Config } else { Kind::Internal };
            let least = gibibytes(error.least);
            Failure::new(kind, error.to_string()).hint(if set {
                format!("set `memory` to at least {least}, or `warmup` to smaller sizes")
            } else {
                format!("free {least} of the device's memory, or set `warmup` to smaller sizes")
            })
        }
        PlanError::Checkpoint(error) => Failure::new(Kind::Config, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{builtin, device};

    const MIB: u64 = 1 << 20;

    fn planned(line: &str) -> Result<Option<Planner>, Failure> {
        let line = format!("zimage-worker --parent-pid 1 --device cpu {line}");
        let args = Args::try_parse_from(line.split_whitespace()).unwrap();
        let options = device::choose(args.device, args.dtype, false).unwrap().options;
        Planner::new(&args, &builtin::checkpoint().unwrap(), &options, 0)
    }

    fn plan(line: &str) -> MemoryPlan {
        planned(line).unwrap().unwrap().plan
    }

    #[test]
    fn a_cpu_has_a_plan_if_its_memory_is_limited() {
        assert!(planned("").unwrap().is_none());
        assert_eq!(plan("--memory 1GiB").residency, Residency::All);
        let budgets = (40..=120).rev().map(|mib| planned(&format!("--memory {mib}MiB")));
        let mut plans: Vec<_> = budgets.filter_map(|plan| Some(plan.ok()??.plan)).collect();
        plans.dedup_by_key(|plan| (plan.residency, plan.decode));
        assert!(plans.len() > 4, "{plans:?}");
        assert!(plans.windows(2).all(|pair| pair[1].is_smaller_than(&pair[0])), "{plans:?}");
        assert!(plans.iter().all(|plan| plan.peak <= plan.budget));
    }

    #[test]
    fn a_budget_that_is_too_small_is_one_sentence_with_the_least() {
        let failure = planned("--memory 4MiB").unwrap_err();
        assert_eq!(failure.kind, Kind::Config);
        assert!(failure.message.starts_with("the memory budget is 4 MiB, and the least that"));
        assert!(failure.hint.unwrap().starts_with("set `memory` to at least "));
    }

    #[test]
    fn an_earlier_process_plan_is_made_again_and_larger_images_make_a_smaller_one() {
        let first = plan("--memory 1GiB");
        assert_eq!(plan("--memory 1GiB --plan-budget 1073741824"), first);
        let least = MemoryPlan::least(&planned("--memory 1GiB").unwrap().unwrap().model, 1 << 16);
        let line = format!("--memory 1GiB --plan-budget {}", least.peak);
        assert_eq!(plan(&line).residency, least.residency);
        let small = plan(&format!("--memory {}MiB", first.peak / MIB + 1));
        let large = plan(&format!("--memory {}MiB --plan-pixels 73728", first.peak / MIB + 1));
        assert!(large.is_smaller_than(&small), "{large:?} {small:?}");
    }

    #[test]
    fn smaller_plans_follow_each_other_to_the_least() {
        let planner = planned("--memory 1GiB").unwrap().unwrap();
        let (model, mut plan, mut count) = (planner.model, planner.plan, 0);
        while let Some(basis) = smaller(&model, &plan, plan.budget, planner.pixels) {
            let next = MemoryPlan::new(&model, basis.budget, basis.pixels).unwrap();
            assert!(next.is_smaller_than(&plan));
            (plan, count) = (next, count + 1);
        }
        assert!(
            count >= 1 && plan.residency == MemoryPlan::least(&model, planner.pixels).residency
        );
        // Less is free: one step suffices.
        let basis = smaller(&model, &planner.plan, 100 * MIB, planner.pixels).unwrap();
        assert_eq!(basis.budget, 100 * MIB);
        assert_eq!(smaller(&model, &planner.plan, MIB, planner.pixels), None);
    }
}
