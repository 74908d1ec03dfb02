//! The plan for a budget: what is given away, in which order, and what it takes.

use super::footprint::ModelFootprint;
use super::gibibytes;
use super::rates::{DeviceRates, ImageSeconds};
use super::residency::{Decode, LEAST_SLOTS, Residency};

/// Slots of the ring that streamed blocks are copied to.
const SLOTS: u64 = LEAST_SLOTS as u64;

/// What stays on the device, and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Which weights stay.
    pub residency: Residency,
    /// Whether quantised matrices stay as the file encodes them.
    pub packed: bool,
    /// How images of the planned size are decoded.
    pub decode: Decode,
    /// Blocks of a denoising step.
    pub blocks: u32,
    /// Those of them that stay.
    pub resident_blocks: u32,
    /// Bytes that are copied in each denoising step.
    pub streamed: u64,
    /// Bytes that are copied for a new prompt.
    pub streamed_text: u64,
    /// The most that it takes, by the driver's view.
    pub peak: u64,
    /// Weights, slots, context and libraries: all of it that does not depend on images.
    pub held: u64,
    /// What it was made for.
    pub budget: u64,
}

/// The budget holds no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the memory budget is {}, and the least that works is {} with images of {pixels} pixels",
    gibibytes(*budget), gibibytes(*least)
)]
pub struct TooSmall {
    /// The budget.
    pub budget: u64,
    /// The peak of the smallest plan.
    pub least: u64,
    /// Pixels of the largest image.
    pub pixels: u64,
}

impl MemoryPlan {
    /// The first plan that fits. Given away are: the text encoder, which costs a copy for a new
    /// prompt; decoding at once; then one denoising block after the other, which cost a copy in each
    /// step that arithmetic hides for a while.
    ///
    /// # Errors
    /// When the smallest does not fit.
    pub fn new(model: &ModelFootprint, budget: u64, pixels: u64) -> Result<Self, TooSmall> {
        let plans = Self::all(model, budget, pixels);
        let least = plans.last().map_or(0, |plan| plan.peak);
        let fits = plans.into_iter().find(|plan| plan.peak <= budget);
        fits.ok_or(TooSmall { budget, least, pixels })
    }

    /// The smallest.
    pub fn least(model: &ModelFootprint, pixels: u64) -> Self {
        let part = Residency::part(0, false);
        Self::of(model, part, Decode::Strips, (u64::MAX, pixels))
    }

    /// All plans, from the largest to the smallest.
    fn all(model: &ModelFootprint, budget: u64, pixels: u64) -> Vec<Self> {
        let part = |denoising_blocks| Residency::part(denoising_blocks, false);
        let all = model.denoising_blocks;
        let whole = [Residency::All, part(all)].map(|residency| (residency, Decode::Whole));
        let strips = (0..=all).rev().map(|blocks| (part(blocks), Decode::Strips));
        let plans = whole.into_iter().chain(strips);
        plans
            .map(|(residency, decode)| Self::of(model, residency, decode, (budget, pixels)))
            .collect()
    }

    /// The plan of these decisions, whether or not it fits.
    fn of(
        model: &ModelFootprint,
        residency: Residency,
        decode: Decode,
        (budget, pixels): (u64, u64),
    ) -> Self {
        let all = model.denoising_blocks;
        let (resident_blocks, text) = match residency {
            Residency::All => (all, true),
            Residency::Part { denoising_blocks, text_encoder, .. } => {
                (denoising_blocks.min(all), text_encoder)
            }
        };
        let streamed_blocks = u64::from(all - resident_blocks);
        let slot = match (streamed_blocks, text) {
            (0, true) => 0,
            (0, false) => model.text_block,
            (_, true) => model.denoising_block,
            (_, false) => model.denoising_block.max(model.text_block),
        };
        let text_bytes = if text { model.text_encoder + model.embeddings } else { 0 };
        let weights = model.rest + text_bytes + u64::from(resident_blocks) * model.denoising_block;
        let held = weights + SLOTS * slot + model.fixed;
        let image = model.activations.image(decode, pixels);
        Self {
            residency,
            packed: false,
            decode,
            blocks: all,
            resident_blocks,
            streamed: streamed_blocks * model.denoising_block,
            streamed_text: if text { 0 } else { model.text_encoder },
            peak: held.saturating_add(image),
            held,
            budget,
        }
    }

    /// What the budget leaves to an image.
    pub fn room(&self) -> u64 {
        self.budget.saturating_sub(self.held)
    }

    /// Whether it takes less than another: it streams more, or leaves more room to an image.
    pub fn is_smaller_than(&self, other: &Self) -> bool {
        let given = |plan: &Self| {
            let strips = plan.decode == Decode::Strips;
            (plan.streamed_text > 0, strips, plan.streamed)
        };
        given(self) > given(other)
    }

    /// Seconds of an image in so many steps, on a device with these rates.
    pub fn seconds(&self, rates: &DeviceRates, steps: u32) -> ImageSeconds {
        rates.image(self.streamed, self.streamed_text, steps)
    }

    /// The plan in one line, as `zimg status` shows it.
    pub fn sentence(&self, dtype: &str, seconds: Option<ImageSeconds>) -> String {
        let mut text = dtype.to_owned();
        if self.packed {
            text += ", weights packed";
        }
        match self.residency {
            Residency::All => text += ", all weights resident",
            Residency::Part { text_encoder, .. } => {
                text += &format!(", {} of {} blocks resident", self.resident_blocks, self.blocks);
                text += if text_encoder { "" } else { ", text encoder streamed" };
            }
        }
        if self.decode == Decode::Strips {
            text += ", decoded in strips";
        }
        text += ": ";
        if let Some(ImageSeconds { seen, .. }) = seconds {
            text += &format!("about {seen:.2} s an image, ");
        }
        text + &gibibytes(self.peak)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_plan::footprint::ActivationBytes;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    const SQUARE: u64 = 1 << 20;

    /// Z-Image-Turbo in bfloat16 on a GPU; as its dimensions give, see `footprint`.
    const TURBO: ModelFootprint = ModelFootprint {
        denoising_blocks: 32,
        denoising_block: 353_894_400,
        text_encoder: 7_772_569_600,
        text_block: 353_894_400,
        embeddings: 777_912_320,
        rest: 445_400_000,
        fixed: 897 * MIB,
        activations: ActivationBytes {
            step: 280,
            whole: 2340,
            strips: 792,
            strips_least: 320 << 20,
        },
    };

    #[test]
    fn peaks_are_those_that_were_measured() {
        let part = |denoising_blocks| Residency::part(denoising_blocks, false);
        // One H200, the driver's view from outside, before there were strips; MiB.
        for (residency, pixels, measured) in [
            (Residency::All, SQUARE, 22_661),
            (part(32), SQUARE, 15_133),
            (part(24), SQUARE, 12_433),
            (part(16), SQUARE, 9_733),
            (part(8), SQUARE, 7_033),
            (part(0), SQUARE, 4_333),
            (part(0), SQUARE / 4, 2_581),
        ] {
            let peak =
                MemoryPlan::of(&TURBO, residency, Decode::Whole, (24 * GIB, pixels)).peak / MIB;
            assert!(peak.abs_diff(measured) < 60, "{residency:?}: {peak} MiB, not {measured}");
        }
    }

    #[test]
    fn what_costs_least_is_given_away_first() {
        // GiB; text encoder resident, blocks, whole.
        for (budget, text, blocks, decode) in [
            (24.0, true, 32, Decode::Whole),
            (22.0, false, 32, Decode::Whole),
            (16.0, false, 32, Decode::Whole),
            (14.0, false, 32, Decode::Strips),
            (12.0, false, 28, Decode::Strips),
            (8.0, false, 16, Decode::Strips),
            (6.0, false, 9, Decode::Strips),
            (4.0, false, 3, Decode::Strips),
            (3.0, false, 0, Decode::Strips),
        ] {
            let budget = (budget * GIB as f64) as u64;
            let plan = MemoryPlan::new(&TURBO, budget, SQUARE).unwrap();
            let found = (plan.streamed_text == 0, plan.resident_blocks, plan.decode);
            assert_eq!(found, (text, blocks, decode), "{}", gibibytes(budget));
            assert!(plan.peak <= budget && plan.budget == budget);
        }
    }

    #[test]
    fn plans_get_smaller_one_after_the_other_and_leave_room_for_an_image() {
        for pixels in [SQUARE / 4, SQUARE, 4 * SQUARE] {
            let plans = MemoryPlan::all(&TURBO, 30 * GIB, pixels);
            for pair in plans.windows(2) {
                assert!(pair[1].peak < pair[0].peak, "{pair:?}");
                assert!(pair[1].is_smaller_than(&pair[0]) && !pair[0].is_smaller_than(&pair[1]));
            }
            let least = MemoryPlan::least(&TURBO, pixels).peak;
            assert_eq!(plans.last().map(|plan| plan.peak), Some(least));
            for budget in (least..30 * GIB).step_by(300 << 20) {
                let plan = MemoryPlan::new(&TURBO, budget, pixels).unwrap();
                let image = TURBO.activations.image(plan.decode, pixels);
                assert!(plan.room() >= image);
                assert_eq!(plan.room(), budget - (plan.peak - image));
            }
        }
    }

    #[test]
    fn a_budget_that_holds_no_plan_is_one_sentence() {
        let error = MemoryPlan::new(&TURBO, 2 * GIB, SQUARE).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the memory budget is 2.0 GiB, and the least that works is 2.7 GiB with images of \
             1048576 pixels"
        );
        assert!(MemoryPlan::new(&TURBO, error.least, SQUARE).is_ok());
        assert!(MemoryPlan::new(&TURBO, error.least - 1, SQUARE).is_err());
        assert!(MemoryPlan::new(&TURBO, u64::MAX, u64::MAX).is_ok());
    }

    #[test]
    fn a_plan_is_one_line() {
        let plan = |gib| MemoryPlan::new(&TURBO, gib * GIB, SQUARE).unwrap();
        let seconds = Some(ImageSeconds { seen: 0.98, new_prompt: 1.2 });
        assert_eq!(
            plan(8).sentence("bfloat16", seconds),
            "bfloat16, 16 of 32 blocks resident, text encoder streamed, decoded in strips: about \
             0.98 s an image, 8.0 GiB"
        );
        assert_eq!(plan(24).sentence("bfloat16", None), "bfloat16, all weights resident: 22.1 GiB");
    }
}
