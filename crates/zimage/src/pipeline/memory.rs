//! Memory estimate: how much of a GPU's memory an image takes beside the model. Warm-up measures
//! it at one size; for other sizes it is scaled, before the GPU is asked for anything.

use std::cell::Cell;

use tch::Device;
use zimage_checkpoint::DecoderFootprint;
use zimage_cuda::{allocated, free_memory, reset_peak};

use super::networks::Networks;
use crate::error::{Error, Result};
use crate::params::ResolvedParams;

/// How an image can be decoded in the memory that is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// At once.
    Whole,
    /// Only in strips: the same image in more time.
    Strips,
}

/// The most bytes that an image of so many pixels took. All of it grows with the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Footprint {
    pixels: u64,
    step: u64,
    decode: u64,
}

/// The fewest bytes that these take, in strips.
#[derive(Clone, Copy, Debug)]
struct Least {
    decode: u64,
    /// 0 without an initial image and a control image.
    encode: u64,
    /// What a step takes for a control image; 0 without one.
    control: u64,
}

/// More than any image takes for a step and its decoding at once, for models that were not
/// measured: bytes per pixel. A bfloat16 image of 1024² takes 1,800.
const UNMEASURED: u64 = 6 << 10;

/// Latents, prompts' embeddings and rotations, which are allocated before an image is fitted: the plan
/// counts them in what an image takes.
const SMALL: u64 = 32 << 20;

/// What a memory plan leaves to images, beside the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageRoom {
    /// The most bytes.
    pub bytes: u64,
    /// Bytes per pixel that a denoising step takes where nothing was measured.
    pub step: u64,
}

/// What images take, and what they may take.
#[derive(Debug, Default)]
pub(super) struct MemoryEstimate {
    /// The footprint of the largest image that was measured, if any was. A cell, as warm-up in idle
    /// time measures on a pipeline that requests share.
    measured: Cell<Option<Footprint>>,
    /// Of a memory plan; without one an image may take what is free.
    room: Option<ImageRoom>,
    /// What libtorch's allocator holds for the model itself: a plan counts it beside the room.
    model: Cell<u64>,
    /// What a ControlNet holds, which a plan did not count.
    control: Cell<u64>,
}

impl MemoryEstimate {
    /// An estimate with the room that a memory plan leaves.
    pub(super) fn with_room(room: Option<ImageRoom>) -> Self {
        Self { room, ..Self::default() }
    }

    /// Whether an image fits the memory that is free now, and how it can be decoded there. Where
    /// nothing was measured, as on a CPU, it fits.
    ///
    /// # Errors
    /// [`Error::TooLarge`], which says what would fit; or when the GPU fails.
    pub(super) fn fit(&self, networks: &Networks, params: &ResolvedParams) -> Result<Fit> {
        let decoder = networks.decoder_footprint(params);
        let encodes = params.strength.is_some() || params.is_controlled;
        let least = Least {
            decode: decoder.in_strips,
            encode: if encodes { networks.encoder_footprint(params).in_strips } else { 0 },
            control: networks.control_bytes(params),
        };
        let expected = self.room.map(|room| Footprint::expected(room.step, params, decoder));
        match (self.measured.get().or(expected), self.available(networks.device)?) {
            (Some(footprint), Some(available)) => footprint.fit(params, least, available),
            _ => Ok(Fit::Whole),
        }
    }

    /// Whether an initial image can be encoded at once, and not only in strips.
    pub(super) fn encodes_at_once(
        &self,
        networks: &Networks,
        params: &ResolvedParams,
    ) -> Result<bool> {
        let needed = networks.encoder_footprint(params).with_libraries().whole;
        Ok(self.available(networks.device)?.is_none_or(|available| needed <= available))
    }

    /// The bytes that an image may take now: what is free, and what a plan leaves of it. Unknown on a
    /// CPU without a plan.
    fn available(&self, device: Device) -> Result<Option<u64>> {
        let room = self.room.map(|room| room.bytes.saturating_sub(self.control.get()));
        let Device::Cuda(ordinal) = device else { return Ok(room) };
        let left = match room {
            Some(room) => {
                let images = allocated(ordinal)?.now.saturating_sub(self.model.get());
                let images = images.saturating_sub(SMALL);
                room.saturating_sub(images)
            }
            None => u64::MAX,
        };
        Ok(Some(free(ordinal)?.min(left)))
    }

    /// A ControlNet holds so many bytes from now on.
    pub(super) fn set_control(&self, bytes: u64) {
        self.control.set(bytes);
    }

    /// The bytes that a ControlNet may take beside an image, which may be decoded in strips: unknown where
    /// nothing is known of the memory.
    pub(super) fn free_beside(
        &self,
        networks: &Networks,
        params: &ResolvedParams,
    ) -> Result<Option<u64>> {
        let decoder = networks.decoder_footprint(params);
        let expected = self.room.map(|room| Footprint::expected(room.step, params, decoder));
        let footprint = self.measured.get().or(expected);
        let step = footprint.map_or(pixels(params).saturating_mul(UNMEASURED), |footprint| {
            footprint.step_of(params)
        });
        let step = step.saturating_add(networks.control_bytes(params));
        let encode = networks.encoder_footprint(params).in_strips;
        let needed = step.max(decoder.in_strips).max(encode);
        let available = self.available(networks.device)?;
        Ok(available.map(|available| available.saturating_sub(needed)))
    }

    /// What is allocated now is the model's: images take what comes beside it.
    pub(super) fn model_is_as_allocated(&self, device: Device) -> Result<()> {
        if let Device::Cuda(ordinal) = device {
            self.model.set(allocated(ordinal)?.now);
        }
        Ok(())
    }

    /// Whether a step and the decoding of an image fit the memory that is free now side by side;
    /// on a CPU they never run side by side.
    pub(super) fn fits_concurrently(
        &self,
        device: Device,
        params: &ResolvedParams,
    ) -> Result<bool> {
        let (Device::Cuda(_), Some(available)) = (device, self.available(device)?) else {
            return Ok(false);
        };
        Ok(Footprint::fits_concurrently(self.measured.get(), params, available))
    }

    /// Whether no image was measured yet.
    pub(super) fn is_unknown(&self) -> bool {
        self.measured.get().is_none()
    }

    /// Records what an image took, unless a larger one was measured.
    pub(super) fn record(&self, params: &ResolvedParams, step: u64, decode: u64) {
        let pixels = pixels(params);
        let known = self.measured.get();
        if step > 0 && known.is_none_or(|known| known.pixels <= pixels) {
            self.measured.set(Some(Footprint { pixels, step, decode }));
        }
    }
}

/// What `work` allocates at its peak, beside what was allocated before it; 0 where it cannot be
/// measured.
pub(super) fn peak_of<T>(device: Device, work: impl FnOnce() -> Result<T>) -> Result<(T, u64)> {
    let Device::Cuda(ordinal) = device else { return Ok((work()?, 0)) };
    reset_peak(ordinal)?;
    let before = allocated(ordinal)?.now;
    let done = work()?;
    Ok((done, allocated(ordinal)?.peak.saturating_sub(before)))
}

impl Footprint {
    /// What a plan expects.
    fn expected(step: u64, params: &ResolvedParams, decoder: DecoderFootprint) -> Self {
        let pixels = pixels(params);
        let step = step.saturating_mul(pixels);
        let decode = step.max(decoder.with_libraries().whole);
        Self { pixels, step, decode }
    }

    /// Whether a step and the decoding of an image fit `free` bytes at once.
    fn fits_concurrently(known: Option<Self>, params: &ResolvedParams, free: u64) -> bool {
        let pixels = pixels(params);
        let needed = known.map_or(pixels.saturating_mul(UNMEASURED), |known| {
            let bytes = u128::from(known.step) + u128::from(known.decode);
            let scaled = bytes * u128::from(pixels) / u128::from(known.pixels.max(1));
            u64::try_from(scaled).unwrap_or(u64::MAX)
        });
        needed <= free
    }

    /// Bytes that a step of an image takes.
    fn step_of(self, params: &ResolvedParams) -> u64 {
        let bytes = u128::from(self.step) * u128::from(pixels(params));
        u64::try_from(bytes / u128::from(self.pixels.max(1))).unwrap_or(u64::MAX)
    }

    /// Whether an image fits `free` bytes.
    fn fit(self, params: &ResolvedParams, least: Least, free: u64) -> Result<Fit> {
        let pixels = pixels(params);
        let scaled = |bytes: u64| {
            let bytes = u128::from(bytes) * u128::from(pixels) / u128::from(self.pixels.max(1));
            u64::try_from(bytes).unwrap_or(u64::MAX)
        };
        let step = scaled(self.step).saturating_add(least.control);
        let decode = scaled(self.decode);
        let needed = step.max(decode.min(least.decode)).max(least.encode);
        if needed > free {
            let (width, height) = (params.width, params.height);
            let side = (free as f64 / needed as f64 * pixels as f64).sqrt() as u32;
            return Err(Error::TooLarge { width, height, needed, free, side });
        }
        Ok(if decode > free { Fit::Strips } else { Fit::Whole })
    }
}

fn pixels(params: &ResolvedParams) -> u64 {
    u64::from(params.width) * u64::from(params.height)
}

/// Bytes that are free on a GPU, those of libtorch's cache among them.
fn free(ordinal: usize) -> Result<u64> {
    let (room, ours) = (free_memory(ordinal)?, allocated(ordinal)?);
    Ok(room.free + ours.held.saturating_sub(ours.now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::params::{Defaults, InputImages, Limits, Params};

    fn params(width: u32, height: u32) -> ResolvedParams {
        let defaults = Defaults { size: 1024, steps: 8, guidance: 0.0 };
        let limits = Limits {
            multiple: 16,
            side_min: 64,
            side_max: 2048,
            tokens_max: 8,
            initial_image: true,
            mask: true,
        };
        let params = Params { width: Some(width), height: Some(height), ..Params::default() };
        ResolvedParams::new(&params, defaults, limits, InputImages::NONE).unwrap()
    }

    #[test]
    fn what_fits_is_scaled_from_one_size() {
        let footprint = Footprint { pixels: 1 << 20, step: 300_000_000, decode: 1_500_000_000 };
        let in_strips =
            |params: &ResolvedParams| Least { decode: 500 * pixels(params), encode: 0, control: 0 };
        let fits = |(width, height), free| {
            let params = params(width, height);
            footprint.fit(&params, in_strips(&params), free)
        };
        assert_eq!(fits((1024, 1024), 1_500_000_000).unwrap(), Fit::Whole);
        assert_eq!(fits((1024, 1024), 1_499_999_999).unwrap(), Fit::Strips);
        let unknown = Footprint { decode: u64::MAX, ..footprint };
        let large = params(2048, 2048);
        let fit = unknown.fit(&large, in_strips(&large), 2_100_000_000);
        assert_eq!(fit.unwrap(), Fit::Strips);
        assert_eq!(fits((512, 512), 375_000_000).unwrap(), Fit::Whole);
        assert_eq!(fits((2048, 2048), 2_100_000_000).unwrap(), Fit::Strips);
        // The step fits, and not even strips of the decoder do.
        let error = fits((2048, 2048), 2_000_000_000).unwrap_err();
        assert!(error.to_string().contains("needs about 2.1 GB"), "{error}");
        // An initial image needs the encoder, too.
        let encode = |bytes| Least { encode: bytes, ..in_strips(&large) };
        assert_eq!(
            footprint.fit(&large, encode(2_200_000_000), 2_200_000_000).unwrap(),
            Fit::Strips
        );
        let error = footprint.fit(&large, encode(2_200_000_001), 2_200_000_000).unwrap_err();
        assert!(matches!(error, Error::TooLarge { needed: 2_200_000_001, .. }), "{error}");
        let none = Least { decode: 0, encode: 0, control: 0 };
        let error = footprint.fit(&params(2048, 1024), none, 300_000_000).unwrap_err();
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
    fn a_plan_limits_what_an_image_takes_where_nothing_was_measured() {
        let fits = |bytes_free, (width, height)| {
            let (params, pixels) = (params(width, height), u64::from(width) * u64::from(height));
            let decoder = DecoderFootprint { whole: 1600 * pixels, in_strips: 512 * pixels };
            let least = Least { decode: decoder.in_strips, encode: 0, control: 0 };
            Footprint::expected(280, &params, decoder).fit(&params, least, bytes_free)
        };
        let pixels = 1 << 20;
        assert_eq!(fits(1800 * pixels, (1024, 1024)).unwrap(), Fit::Whole);
        assert_eq!(fits(1800 * pixels - 1, (1024, 1024)).unwrap(), Fit::Strips);
        assert_eq!(fits(1800 * pixels / 4, (512, 512)).unwrap(), Fit::Whole);
        let error = fits(512 * pixels - 1, (1024, 1024)).unwrap_err();
        assert!(matches!(error, Error::TooLarge { needed: 536_870_912, .. }), "{error}");
        let room = Some(ImageRoom { bytes: 7, step: 280 });
        assert_eq!(MemoryEstimate::with_room(room).available(Device::Cpu).unwrap(), Some(7));
        assert_eq!(MemoryEstimate::default().available(Device::Cpu).unwrap(), None);
    }

    #[test]
    fn step_and_decoding_side_by_side_need_memory_for_both() {
        let known = Footprint { pixels: 1 << 20, step: 300_000_000, decode: 1_500_000_000 };
        let fits = |known, (width, height), free| {
            Footprint::fits_concurrently(known, &params(width, height), free)
        };
        assert!(fits(Some(known), (1024, 1024), 1_800_000_000));
        assert!(!fits(Some(known), (1024, 1024), 1_799_999_999));
        assert!(!fits(Some(Footprint { decode: u64::MAX, ..known }), (64, 64), 1 << 40));
        // Without a measurement several times as much must be free.
        assert!(!fits(None, (1024, 1024), 6_000_000_000));
        assert!(fits(None, (1024, 1024), 6_500_000_000));
    }
}
