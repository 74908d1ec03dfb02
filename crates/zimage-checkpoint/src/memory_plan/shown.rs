//! Memory plans in words where no worker was asked: for `zimaged --check` and `zimg doctor`.

use super::budget::MemoryBudget;
use super::footprint::{Forms, ModelFootprint};
use super::measured::MeasuredRates;
use super::plan::{MemoryPlan, TooSmall};
use super::rates::DeviceRates;
use super::residency::{Decode, Residency};
use crate::checkpoint::Checkpoint;
use crate::error::Result;

/// The memory of GPUs that are common, in GiB.
const COMMON: [u64; 6] = [24, 16, 12, 8, 6, 4];

/// What a worker would plan on a GPU.
#[derive(Debug)]
pub struct PlanPreview {
    /// With matrices expanded, and as the files encode them if any is quantised.
    models: Vec<ModelFootprint>,
    dtype: String,
    pixels: u64,
    rates: Option<DeviceRates>,
}

impl PlanPreview {
    /// For a checkpoint, a dtype by its name (`auto` is bfloat16), the pixels of the largest image (none:
    /// the model's own size), and rates that a worker measured.
    ///
    /// # Errors
    /// When a file is missing, truncated or damaged.
    pub fn new(
        checkpoint: &Checkpoint,
        dtype: &str,
        pixels: Option<u64>,
        measured: Option<&MeasuredRates>,
    ) -> Result<Self> {
        let dtype = if dtype == "auto" { "bfloat16" } else { dtype };
        let is_quantised = ModelFootprint::is_quantised(checkpoint)?;
        let forms = [false, true].map(|packed| Forms::of(dtype, packed).unwrap_or(Forms::SINGLE));
        let forms = &forms[..if is_quantised { 2 } else { 1 }];
        let models = forms.iter().map(|forms| ModelFootprint::new(checkpoint, *forms, true));
        Ok(Self {
            models: models.collect::<Result<_>>()?,
            dtype: dtype.to_owned(),
            pixels: pixels.unwrap_or_else(|| checkpoint.vae.sample_size.unsigned_abs().pow(2)),
            rates: measured.map(|measured| measured.rates(false)),
        })
    }

    /// The plan for so many bytes.
    ///
    /// # Errors
    /// When the smallest does not fit.
    fn plan(&self, budget: u64) -> std::result::Result<MemoryPlan, TooSmall> {
        let rates = self.rates.unwrap_or(DeviceRates::ASSUMED);
        let plan = |model| MemoryPlan::new(model, &rates, budget, self.pixels);
        let is_whole =
            |plan: &MemoryPlan| plan.residency == Residency::All && plan.decode == Decode::Whole;
        match &self.models[..] {
            [expanded, packed] => match plan(expanded) {
                Ok(expanded) if is_whole(&expanded) => Ok(expanded),
                _ => plan(packed),
            },
            [model, ..] => plan(model),
            [] => Err(TooSmall { budget, least: 0, pixels: self.pixels }),
        }
    }

    /// The plan for so many bytes, in one line.
    pub fn line(&self, budget: u64) -> String {
        match self.plan(budget) {
            Ok(plan) => plan.sentence(&self.dtype, self.rates.is_some()),
            Err(error) => error.to_string(),
        }
    }

    /// What stays of the transformer on common GPUs, in one line.
    pub fn table(&self) -> String {
        let entry = |gib: u64| match self.plan(gib << 30) {
            Ok(plan) if plan.residency == Residency::All => format!("{gib} GiB: all resident"),
            Ok(plan) => format!("{gib} GiB: {} of {} blocks", plan.resident_blocks, plan.blocks),
            Err(_) => format!("{gib} GiB: too small"),
        };
        format!("{}, if so much is free: {}", self.dtype, COMMON.map(entry).join(", "))
    }

    /// Lines for a setting: its plan, or for `auto`, where it is not known what is free, plans for common
    /// GPUs.
    pub fn lines(&self, memory: MemoryBudget) -> Vec<String> {
        match memory {
            MemoryBudget::Bytes(bytes) => {
                vec![format!("memory plan for {memory}: {}", self.line(bytes))]
            }
            MemoryBudget::Auto => {
                let line = |gib: u64| {
                    format!("memory plan if {gib} GiB are free: {}", self.line(gib << 30))
                };
                COMMON.map(line).into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::footprint::tests::turbo;
    use super::*;

    fn preview(rates: Option<DeviceRates>) -> PlanPreview {
        let models = vec![turbo("bfloat16")];
        PlanPreview { models, dtype: "bfloat16".to_owned(), pixels: 1 << 20, rates }
    }

    #[test]
    fn a_size_is_one_line_and_auto_is_a_line_for_each_common_gpu() {
        let [line] = &preview(None).lines(MemoryBudget::Bytes(8 << 30))[..] else { panic!() };
        assert!(
            line.starts_with("memory plan for 8GiB: bfloat16, 18 of 32 blocks resident"),
            "{line}"
        );
        assert!(!line.contains(" s an image"), "{line}");
        let measured = preview(Some(DeviceRates::ASSUMED));
        let lines = measured.lines(MemoryBudget::Auto);
        assert_eq!(lines.len(), 6);
        assert!(lines[0].starts_with("memory plan if 24 GiB are free: bfloat16, all weights"));
        assert!(lines.iter().all(|line| line.contains("about ")), "{lines:?}");
        let table = preview(None).table();
        assert!(table.starts_with("bfloat16, if so much is free: 24 GiB: all resident, 16 GiB: "));
        assert!(table.contains(", 8 GiB: 18 of 32 blocks"), "{table}");
        let line = preview(None).line(1 << 30);
        assert!(line.starts_with("the memory budget is 1.0 GiB, and the least that works is"));
    }
}
