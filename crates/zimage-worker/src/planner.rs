//! The planner: makes the worker's memory plan before anything is loaded, and a smaller one when memory
//! turns out to be too small.

use tch::Device;
use zimage::checkpoint::{
    CONTEXT_BYTES, Decode, DeviceRates, Forms, MemoryBudget, MemoryPlan, ModelFootprint, Residency,
    TooSmall, gibibytes,
};
use zimage::{Checkpoint, DType, Error, ErrorKind, ImageRoom, Options};
use zimage_ipc::{PlanBasis, Report};
use zimg_protocol::messages::PlannedMemory;
use zimg_protocol::{Failure, Kind};

use crate::args::{Args, Size};
use crate::{log, rates};

/// A plan, and what it was made of.
#[derive(Debug)]
pub(crate) struct Planner {
    model: ModelFootprint,
    device: Device,
    dtype: DType,
    /// Pixels of the largest image that it has room for.
    pixels: u64,
    /// Those of the device, or those that are assumed.
    rates: DeviceRates,
    /// Whether they were measured.
    is_measured: bool,
    /// Whether streamed weights are copied from pinned memory.
    pinned: bool,
    /// The device's free bytes, if this process had none.
    free: u64,
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
        let refused = |error| {
            let set = matches!(args.memory, MemoryBudget::Bytes(bytes) if bytes <= free);
            refusal(error, set)
        };
        let made = |rates| {
            let planner = Self::made(checkpoint, options, rates, (budget, pixels));
            planner.map(|planner| Self { free, ..planner }).map_err(refused)
        };
        let assumed = made(DeviceRates::ASSUMED)?;
        let is_whole =
            assumed.plan.residency == Residency::All && assumed.plan.decode == Decode::Whole;
        // Where everything fits there is nothing to choose, and a start does not wait for it.
        if is_whole || !matches!(options.device, Device::Cuda(_)) {
            return Ok(Some(assumed));
        }
        let Some(measured) = rates::of(args.rates.as_deref(), options, checkpoint) else {
            return Ok(Some(assumed));
        };
        let planner = made(measured.rates(false))?;
        let streamed = planner.plan.streamed + planner.plan.streamed_text;
        let pinned = streamed <= args.pinned_memory.0;
        let planner = if pinned { made(measured.rates(true))? } else { planner };
        Ok(Some(Self { is_measured: true, pinned, ..planner }))
    }

    /// The plan for a budget. Quantised weights are expanded once if all of them fit so, else before
    /// each product.
    fn made(
        checkpoint: &Checkpoint,
        &Options { device, dtype, .. }: &Options,
        rates: DeviceRates,
        (budget, pixels): (u64, u64),
    ) -> Result<Self, PlanError> {
        let on_gpu = matches!(device, Device::Cuda(_));
        let (is_measured, pinned, free) = (false, false, 0);
        let planned = |packed| {
            let forms = Forms::of(&dtype.to_string(), packed).unwrap_or(Forms::SINGLE);
            let model = ModelFootprint::new(checkpoint, forms, on_gpu)?;
            let plan = MemoryPlan::new(&model, &rates, budget, pixels)?;
            let made =
                Self { model, device, dtype, pixels, rates, is_measured, pinned, free, plan };
            Ok::<_, PlanError>(made)
        };
        match planned(false) {
            Ok(planner) if planner.plan.residency == Residency::All => Ok(planner),
            expanded if !ModelFootprint::is_quantised(checkpoint)? => expanded,
            _ => planned(true),
        }
    }

    /// The options with what the plan decides.
    pub(crate) fn decide(&self, options: Options) -> Options {
        let MemoryPlan { residency, packed, .. } = self.plan;
        Options { residency, packed, pinned: self.pinned, ..options }
    }

    /// Keeps libtorch's allocator to what the budget leaves beside all else that this process has on the
    /// device, now that the model is there: the budget is a bound.
    pub(crate) fn limit(&self) {
        let Device::Cuda(ordinal) = self.device else { return };
        let (free, own) = (zimage_cuda::free_memory(ordinal), zimage_cuda::allocated(ordinal));
        let (Ok(now), Ok(own)) = (free, own) else { return };
        let MemoryPlan { held, budget, .. } = self.plan;
        // What others took since counts as well, so it is not believed beyond a quarter of a GiB.
        let beside = self.free.saturating_sub(now.free + own.held).min(held + (256 << 20));
        let most = budget.saturating_sub(beside).max(own.now);
        if let Err(error) = zimage_cuda::limit_allocator(ordinal, most) {
            log::line(format_args!("the memory budget is an estimate and no bound: {error}"));
        }
    }

    /// What the plan leaves to images.
    pub(crate) fn room(&self) -> ImageRoom {
        ImageRoom { bytes: self.plan.room(), step: self.model.activations.step }
    }

    /// The plan, as it is reported.
    pub(crate) fn report(&self) -> Report {
        let MemoryPlan { budget, peak, blocks, resident_blocks, packed, .. } = self.plan;
        let seconds = self.is_measured.then_some(self.plan.seconds);
        let plan = PlannedMemory {
            sentence: self.plan.sentence(&self.dtype.to_string(), self.is_measured),
            budget,
            peak,
            blocks,
            resident_blocks,
            text_encoder: self.plan.streamed_text == 0,
            strips: self.plan.decode == Decode::Strips,
            packed,
            image_s: seconds.map(|seconds| seconds.seen as f32),
            new_prompt_s: seconds.map(|seconds| seconds.new_prompt as f32),
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
        let basis = self.basis(available, pixels)?;
        Some(End::Replan { basis, reason: error.to_string() })
    }

    /// The basis of the first smaller plan: for what is available; where that would give the same plan
    /// again, for a quarter less than it takes; at last the least that works.
    fn basis(&self, available: u64, pixels: u64) -> Option<PlanBasis> {
        let Self { model, rates, plan, .. } = self;
        let least = MemoryPlan::least(model, rates, pixels).peak;
        let budgets = [available, available.min(plan.peak / 4 * 3), available.min(least)];
        let found = budgets.into_iter().find(|budget| {
            let other = MemoryPlan::new(model, rates, *budget, pixels);
            other.is_ok_and(|other| other.is_smaller_than(plan))
        });
        Some(PlanBasis { budget: found?, pixels })
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

/// Why there is no plan.
enum PlanError {
    TooSmall(TooSmall),
    Checkpoint(zimage::checkpoint::Error),
}

impl From<zimage::checkpoint::Error> for PlanError {
    fn from(error: zimage::checkpoint::Error) -> Self {
        Self::Checkpoint(error)
    }
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
        let planner = planned("--memory 1GiB").unwrap().unwrap();
        let least = MemoryPlan::least(&planner.model, &planner.rates, 1 << 16);
        let line = format!("--memory 1GiB --plan-budget {}", least.peak);
        assert_eq!(plan(&line).residency, least.residency);
        let small = plan(&format!("--memory {}MiB", first.peak / MIB + 1));
        let large = plan(&format!("--memory {}MiB --plan-pixels 73728", first.peak / MIB + 1));
        assert!(large.is_smaller_than(&small), "{large:?} {small:?}");
    }

    #[test]
    fn smaller_plans_follow_each_other_to_the_least() {
        let mut planner = planned("--memory 1GiB").unwrap().unwrap();
        // Less is free: one step suffices.
        let free = planner.plan.peak - 1;
        assert_eq!(planner.basis(free, planner.pixels).unwrap().budget, free);
        assert_eq!(planner.basis(MIB, planner.pixels), None);
        let mut count = 0;
        while let Some(PlanBasis { budget, pixels }) =
            planner.basis(planner.plan.budget, planner.pixels)
        {
            let next = MemoryPlan::new(&planner.model, &planner.rates, budget, pixels).unwrap();
            assert!(next.is_smaller_than(&planner.plan));
            (planner.plan, count) = (next, count + 1);
        }
        let least = MemoryPlan::least(&planner.model, &planner.rates, planner.pixels);
        assert!(count >= 1 && planner.plan.residency == least.residency);
    }
}
