//! How much of a GPU's memory an image takes beside the model: measured while rehearsing, and
//! reckoned from that for other sizes, before anything is asked of the GPU.

use tch::Device;
use zimage_cuda::{allocated, room, watch_peak};

use super::Pipeline;
use crate::error::{Error, Result};
use crate::params::Plan;

/// The most that an image of so many pixels took, in bytes. All of it grows with the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footprint {
    pixels: u64,
    step: u64,
    decode: u64,
}

/// How an image can be decoded in the memory that is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// At once.
    Whole,
    /// Only in tiles.
    Tiles,
}

/// More than any image takes for a step and its decoding at once, for those whose footprint has
/// not been measured: bytes a pixel. That of a bfloat16 one of 1024² is 1,800.
const AMPLE: u64 = 6 << 10;

impl Footprint {
    /// Whether a step and the decoding of an image of another size fit `free` bytes at once.
    fn fits_at_once(known: Option<Self>, plan: &Plan, free: u64) -> bool {
        let pixels = u64::from(plan.width) * u64::from(plan.height);
        let needed = known.map_or(pixels.saturating_mul(AMPLE), |known| {
            let bytes = u128::from(known.step) + u128::from(known.decode);
            let scaled = bytes * u128::from(pixels) / u128::from(known.pixels.max(1));
            u64::try_from(scaled).unwrap_or(u64::MAX)
        });
        needed <= free
    }

    /// Whether an image fits `free` bytes.
    fn fits(self, plan: &Plan, free: u64) -> Result<Fit> {
        let pixels = u64::from(plan.width) * u64::from(plan.height);
        let scaled = |bytes: u64| {
            let bytes = u128::from(bytes) * u128::from(pixels) / u128::from(self.pixels.max(1));
            u64::try_from(bytes).unwrap_or(u64::MAX)
        };
        let (step, decode) = (scaled(self.step), scaled(self.decode));
        if step > free {
            let (width, height) = (plan.width, plan.height);
            let side = (free as f64 / step as f64 * pixels as f64).sqrt() as u32;
            return Err(Error::TooLarge { width, height, needed: step, free, side });
        }
        Ok(if decode > free { Fit::Tiles } else { Fit::Whole })
    }
}

impl Pipeline {
    /// Whether an image fits the memory that is free now, and how it can be decoded there. Where
    /// nothing was measured, as on a CPU, it does.
    ///
    /// # Errors
    /// [`Error::TooLarge`], which says what would fit; or when the GPU fails.
    pub fn room_for(&self, plan: &Plan) -> Result<Fit> {
        let (Device::Cuda(ordinal), Some(footprint)) = (self.device, self.footprint.get()) else {
            return Ok(Fit::Whole);
        };
        footprint.fits(plan, free(ordinal)?)
    }

    /// Whether an image's step and its decoding fit the memory that is free now side by side; on a
    /// CPU they are never that.
    pub(super) fn has_room_for_both(&self, plan: &Plan) -> Result<bool> {
        let Device::Cuda(ordinal) = self.device else { return Ok(false) };
        Ok(Footprint::fits_at_once(self.footprint.get(), plan, free(ordinal)?))
    }

    /// What `work` takes at most, beside what there is before it; 0 where it cannot be measured.
    pub(super) fn measured<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, u64)> {
        let Device::Cuda(ordinal) = self.device else { return Ok((work()?, 0)) };
        watch_peak(ordinal)?;
        let before = allocated(ordinal)?.now;
        let done = work()?;
        Ok((done, allocated(ordinal)?.peak.saturating_sub(before)))
    }

    /// Keeps what an image took; that of the largest counts.
    pub(super) fn remember(&self, plan: &Plan, step: u64, decode: u64) {
        let pixels = u64::from(plan.width) * u64::from(plan.height);
        let known = self.footprint.get();
        if step > 0 && known.is_none_or(|known| known.pixels <= pixels) {
            self.footprint.set(Some(Footprint { pixels, step, decode }));
        }
    }
}

/// Bytes that are free on a GPU, what libtorch keeps for later among them.
fn free(ordinal: usize) -> Result<u64> {
    let (room, ours) = (room(ordinal)?, allocated(ordinal)?);
    Ok(room.free + ours.held.saturating_sub(ours.now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::params::{Defaults, Limits, Params};

    fn plan(width: u32, height: u32) -> Plan {
        let defaults = Defaults { size: 1024, steps: 8, guidance: 0.0 };
        let limits = Limits { multiple: 16, side_min: 64, side_max: 2048, tokens_max: 8 };
        let params = Params { width: Some(width), height: Some(height), ..Params::default() };
        Plan::new(&params, defaults, limits).unwrap()
    }

    #[test]
    fn what_fits_is_known_from_one_size() {
        let footprint = Footprint { pixels: 1 << 20, step: 300_000_000, decode: 1_500_000_000 };
        let fits = |(width, height), free| footprint.fits(&plan(width, height), free);
        assert_eq!(fits((1024, 1024), 1_500_000_000).unwrap(), Fit::Whole);
        assert_eq!(fits((1024, 1024), 1_499_999_999).unwrap(), Fit::Tiles);
        let unknown = Footprint { decode: u64::MAX, ..footprint };
        assert_eq!(unknown.fits(&plan(2048, 2048), 2_000_000_000).unwrap(), Fit::Tiles);
        assert_eq!(fits((512, 512), 375_000_000).unwrap(), Fit::Whole);
        assert_eq!(fits((2048, 2048), 1_200_000_000).unwrap(), Fit::Tiles);
        let error = fits((2048, 1024), 300_000_000).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert_eq!(
            error.to_string(),
            "an image of 2048x1024 needs about 0.6 GB of the GPU's memory beside the model, and \
             0.3 GB are free"
        );
        assert_eq!(error.hint().unwrap(), "1024x1024 would fit");
        let error = fits((2048, 2048), 100_000).unwrap_err();
        assert_eq!(error.hint().unwrap(), "free some of the GPU's memory");
    }

    #[test]
    fn step_and_decoding_at_once_need_room_for_both() {
        let known = Footprint { pixels: 1 << 20, step: 300_000_000, decode: 1_500_000_000 };
        let fits = |known, (width, height), free| {
            Footprint::fits_at_once(known, &plan(width, height), free)
        };
        assert!(fits(Some(known), (1024, 1024), 1_800_000_000));
        assert!(!fits(Some(known), (1024, 1024), 1_799_999_999));
        assert!(!fits(Some(Footprint { decode: u64::MAX, ..known }), (64, 64), 1 << 40));
        // Unmeasured, it wants several times as much.
        assert!(!fits(None, (1024, 1024), 6_000_000_000));
        assert!(fits(None, (1024, 1024), 6_500_000_000));
    }
}
