//! The plan for a budget: of all that fit it, the one whose images take the least time.

use super::footprint::{ModelFootprint, PartBytes};
use super::gibibytes;
use super::part::{BlockPart, is_streamed};
use super::rates::{DeviceRates, ImageSeconds};
use super::residency::{Decode, LEAST_SLOTS, Residency};

/// Of two images, one has a new prompt: what its wait counts where a plan weighs it against all
/// images' steps.
const NEW_PROMPTS: f64 = 0.5;
/// Parts of a block.
const PARTS: u32 = BlockPart::ALL.len() as u32;

/// What stays on the device, and what it takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryPlan {
    /// Which weights stay.
    pub residency: Residency,
    /// Whether quantised matrices stay as the file encodes them.
    pub packed: bool,
    /// How images of the planned size are decoded.
    pub decode: Decode,
    /// Blocks of a denoising step.
    pub blocks: u32,
    /// So many of them stay; parts of blocks count together.
    pub resident_blocks: u32,
    /// Blocks that a new prompt needs.
    pub text_blocks: u32,
    /// So many of them stay; parts count as well.
    pub resident_text_blocks: u32,
    /// Bytes of a slot of the ring.
    pub slot: u64,
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
    /// Seconds of an image of the planned size, by the rates that it was made with.
    pub seconds: ImageSeconds,
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

/// What follows from how many parts of a sequence of blocks stay.
#[derive(Clone, Copy, Debug)]
struct Stay {
    resident: u32,
    held: u64,
    streamed: u64,
    /// The largest that is streamed.
    slot: u64,
}

impl MemoryPlan {
    /// The plan whose images of so many pixels take the least time on a device with these rates: half
    /// of them with a new prompt. Of equal ones it is the one with most of the transformer.
    ///
    /// # Errors
    /// When the smallest does not fit.
    pub fn new(
        model: &ModelFootprint,
        rates: &DeviceRates,
        budget: u64,
        pixels: u64,
    ) -> Result<Self, TooSmall> {
        let cost = |plan: &Self| {
            let ImageSeconds { seen, new_prompt } = plan.seconds;
            seen + NEW_PROMPTS * (new_prompt - seen)
        };
        let mut best: Option<Self> = None;
        for plan in Self::all(model, rates, budget, pixels) {
            let is_better = best.is_none_or(|best| cost(&plan) < cost(&best) - 1e-9);
            if plan.peak <= budget && is_better {
                best = Some(plan);
            }
        }
        let least = || Self::least(model, rates, pixels).peak;
        best.ok_or_else(|| TooSmall { budget, least: least(), pixels })
    }

    /// The smallest.
    pub fn least(model: &ModelFootprint, rates: &DeviceRates, pixels: u64) -> Self {
        let [denoising, text] = [&model.denoising, &model.text].map(|blocks| stay(blocks, 0));
        Self::of(model, rates, (denoising, text), Decode::Strips, (u64::MAX, pixels))
    }

    /// All plans, those with most of the transformer first, and whether or not they fit.
    fn all<'a>(
        model: &'a ModelFootprint,
        rates: &'a DeviceRates,
        budget: u64,
        pixels: u64,
    ) -> impl Iterator<Item = Self> + 'a {
        let every = |parts: &[PartBytes]| -> Vec<Stay> {
            (0..=parts.len() as u32).rev().map(|resident| stay(parts, resident)).collect()
        };
        let text = every(&model.text);
        let pairs = every(&model.denoising)
            .into_iter()
            .flat_map(move |denoising| text.clone().into_iter().map(move |text| (denoising, text)));
        pairs.flat_map(move |pair| {
            [Decode::Whole, Decode::Strips]
                .map(|decode| Self::of(model, rates, pair, decode, (budget, pixels)))
        })
    }

    /// The plan of these decisions, whether or not it fits.
    fn of(
        model: &ModelFootprint,
        rates: &DeviceRates,
        (denoising, text): (Stay, Stay),
        decode: Decode,
        (budget, pixels): (u64, u64),
    ) -> Self {
        let slot = denoising.slot.max(text.slot);
        let (in_file, residency) = match slot {
            0 => (model.in_file, Residency::All),
            _ => (
                0,
                Residency::Part {
                    denoising_parts: denoising.resident,
                    text_parts: text.resident,
                    slots: LEAST_SLOTS,
                },
            ),
        };
        let held = model.rest
            + in_file
            + denoising.held
            + text.held
            + u64::from(LEAST_SLOTS) * slot
            + model.fixed;
        let image = model.activations.image(decode, pixels);
        let bytes = (denoising.streamed, text.streamed);
        let in_strips = decode == Decode::Strips;
        Self {
            residency,
            packed: model.work.expands,
            decode,
            blocks: model.denoising.len() as u32 / PARTS,
            resident_blocks: denoising.resident / PARTS,
            text_blocks: model.text.len() as u32 / PARTS,
            resident_text_blocks: text.resident / PARTS,
            slot,
            streamed: denoising.streamed,
            streamed_text: text.streamed,
            peak: held.saturating_add(image),
            held,
            budget,
            seconds: model.work.image(rates, (pixels, in_strips), bytes),
        }
    }

    /// What the budget leaves to an image.
    pub fn room(&self) -> u64 {
        self.budget.saturating_sub(self.held)
    }

    /// Whether it takes less than another, or leaves more room to an image.
    pub fn is_smaller_than(&self, other: &Self) -> bool {
        self.peak < other.peak || self.held < other.held
    }

    /// The plan in one line, as `zimg status` shows it; with its times if the device was measured.
    pub fn sentence(&self, dtype: &str, is_measured: bool) -> String {
        let mut text = dtype.to_owned();
        if self.packed {
            text += ", weights packed and expanded before each product";
        }
        if self.residency == Residency::All {
            text += ", all weights resident";
        } else {
            text += &format!(", {} of {} blocks resident", self.resident_blocks, self.blocks);
            if self.resident_text_blocks == 0 {
                text += ", text encoder streamed";
            } else if self.streamed_text > 0 {
                let (resident, all) = (self.resident_text_blocks, self.text_blocks);
                text += &format!(", {resident} of {all} blocks of the text encoder resident");
            }
        }
        if self.decode == Decode::Strips {
            text += ", decoded in strips";
        }
        text += ": ";
        if is_measured {
            text += &format!("about {:.2} s an image, ", self.seconds.seen);
        }
        text + &gibibytes(self.peak)
    }
}

/// What follows if so many of these parts stay.
fn stay(parts: &[PartBytes], resident: u32) -> Stay {
    let mut stay = Stay { resident, held: 0, streamed: 0, slot: 0 };
    for (number, part) in parts.iter().enumerate() {
        if is_streamed(number, parts.len(), resident) {
            stay.streamed += part.streamed;
            stay.slot = stay.slot.max(part.slot);
        } else {
            stay.held += part.held;
        }
    }
    stay
}

#[cfg(test)]
mod tests {
    use super::super::footprint::tests::turbo;
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    const SQUARE: u64 = 1 << 20;
    const RATES: DeviceRates = DeviceRates::ASSUMED;

    fn plan(gib: f64, pixels: u64) -> MemoryPlan {
        let model = turbo("bfloat16");
        MemoryPlan::new(&model, &RATES, (gib * GIB as f64) as u64, pixels).unwrap()
    }

    #[test]
    fn peaks_are_those_that_were_measured() {
        let model = turbo("bfloat16");
        // One H200, the driver's view from outside, MiB, by a program with libtorch's own allocator
        // settings, by which an image took 2,340 bytes per pixel at once; there were two slots of a
        // block, and the modulation layers did not stay in their file.
        let slots = 2 * (353_894_400 - 157_286_400) / MIB;
        let modulation = 32 * 2 * 256 * 4 * 3840 / MIB;
        for (resident, text, pixels, measured) in [
            (32, 37, SQUARE, 22_661),
            (32, 0, SQUARE, 15_133),
            (24, 0, SQUARE, 12_433),
            (16, 0, SQUARE, 9_733),
            (8, 0, SQUARE, 7_033),
            (0, 0, SQUARE, 4_333),
            (0, 0, SQUARE / 4, 2_581),
        ] {
            let pair = (stay(&model.denoising, 3 * resident), stay(&model.text, 3 * text));
            let found = MemoryPlan::of(&model, &RATES, pair, Decode::Whole, (24 * GIB, pixels));
            let since = if text == 37 { 0 } else { slots + modulation };
            let peak = (found.held + 2340 * pixels) / MIB + since;
            assert!(peak.abs_diff(measured) < 160, "{resident}: {peak} MiB, not {measured}");
        }
        // The daemon, whose allocator shares memory between steps and decoder.
        let all = plan(24.0, SQUARE).peak / MIB;
        assert!(all.abs_diff(21_740) < 120, "{all} MiB");
    }

    #[test]
    fn what_costs_least_is_given_away_first() {
        let all = plan(24.0, SQUARE);
        assert_eq!((all.residency, all.decode), (Residency::All, Decode::Whole));
        // Copies that arithmetic hides come first, then those for new prompts, then the others.
        let hidden =
            |found: &MemoryPlan| found.seconds.seen < plan(24.0, SQUARE).seconds.seen + 1e-6;
        let large = plan(18.0, SQUARE);
        assert!(hidden(&large) && large.streamed > 0 && large.streamed_text == 0, "{large:?}");
        let middle = plan(13.0, SQUARE);
        assert!(hidden(&middle) && middle.streamed_text > 0, "{middle:?}");
        let small = plan(7.0, SQUARE);
        assert!(!hidden(&small) && small.resident_text_blocks < 3, "{small:?}");
        assert_eq!(small.decode, Decode::Strips);
    }

    #[test]
    fn less_memory_takes_no_less_time_and_a_plan_fits_its_budget() {
        let model = turbo("bfloat16");
        for pixels in [SQUARE / 4, SQUARE, 4 * SQUARE] {
            let least = MemoryPlan::least(&model, &RATES, pixels).peak;
            let mut before = f64::MAX;
            for budget in (least..30 * GIB).step_by(300 << 20) {
                let found = MemoryPlan::new(&model, &RATES, budget, pixels).unwrap();
                assert!(found.peak <= budget && found.budget == budget);
                let image = model.activations.image(found.decode, pixels);
                assert!(found.room() >= image && found.peak == found.held + image);
                let ImageSeconds { seen, new_prompt } = found.seconds;
                let cost = seen + NEW_PROMPTS * (new_prompt - seen);
                assert!(cost <= before, "{budget}: {found:?}");
                before = cost;
            }
        }
    }

    #[test]
    fn a_budget_that_holds_no_plan_is_one_sentence() {
        let model = turbo("bfloat16");
        let new = |budget, pixels| MemoryPlan::new(&model, &RATES, budget, pixels);
        let error = new(GIB, SQUARE).unwrap_err();
        let least = gibibytes(error.least);
        assert_eq!(
            error.to_string(),
            format!(
                "the memory budget is 1.0 GiB, and the least that works is {least} with images of \
                 1048576 pixels"
            )
        );
        assert!(new(error.least, SQUARE).is_ok() && new(error.least - 1, SQUARE).is_err());
        assert!(new(u64::MAX, u64::MAX).is_ok());
    }

    #[test]
    fn a_plan_is_one_line() {
        let least = MemoryPlan::least(&turbo("bfloat16"), &RATES, SQUARE);
        let (seconds, peak) = (least.seconds.seen, gibibytes(least.peak));
        assert_eq!(
            least.sentence("bfloat16", true),
            format!(
                "bfloat16, 0 of 32 blocks resident, text encoder streamed, decoded in strips: about \
                 {seconds:.2} s an image, {peak}"
            )
        );
        let all = plan(24.0, SQUARE).sentence("bfloat16", false);
        assert!(all.starts_with("bfloat16, all weights resident: 21."), "{all}");
        let half = plan(13.0, SQUARE).sentence("bfloat16", false);
        assert!(half.contains(" of 37 blocks of the text encoder resident"), "{half}");
    }
}
