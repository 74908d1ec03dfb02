//! The rates of a device, and the time of an image that follows from them.

/// What a device was measured to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceRates {
    /// Bytes a second from the host to the device.
    pub copy: f64,
    /// Operations a second of a product of a block's shape, in the dtype of the main layers.
    pub product: f64,
    /// The same in the dtype of all else, bfloat16 or float16.
    pub dense: f64,
}

/// Seconds of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageSeconds {
    /// With a prompt whose embeddings are cached.
    pub seen: f64,
    /// With a new prompt.
    pub new_prompt: f64,
}

/// What images ask of a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelWork {
    /// Numbers of the matrices of a denoising step.
    pub numbers: u64,
    /// Blocks of a denoising step.
    pub blocks: u32,
    /// Numbers of a token.
    pub width: u64,
    /// Pixels of a token.
    pub token_pixels: u64,
    /// Operations of the decoder for a pixel.
    pub decoder: u64,
    /// Denoising steps of an image.
    pub steps: u32,
    /// Whether matrices are expanded before each product.
    pub expands: bool,
}

/// Tokens of a prompt, with its padding.
const PROMPT: f64 = 64.0;
/// Attention reaches so much less than products: 597 TFLOP/s where products have 761 (H100).
const ATTENTION: f64 = 1.3;
/// All else of a step, as a part of the products' time in bfloat16: norms, gates, rotation.
const REST: f64 = 0.06;
/// Expanding packed matrices, likewise: 5.5 ms beside 64 (Q4_K, H200).
const EXPANSION: f64 = 0.085;
/// The decoder's convolutions reach so much less than products: 436 TFLOP/s of 737 (H200).
const CONVOLUTIONS: f64 = 1.7;
/// Strips take so much longer than decoding at once: 41.2 ms of 20.6 at 1024², 189 of 110 at 2048².
const STRIPS: f64 = 1.9;
/// Seconds of an image that no rate tells: launches, the noise, the pixels' way out.
const FIXED: f64 = 0.03;
/// Copies beside arithmetic take so much longer than alone, where both take about as long.
const BESIDE: f64 = 1.04;

impl DeviceRates {
    /// What is assumed of a device that was not measured: an H200's, with files in the page cache.
    pub const ASSUMED: Self = Self { copy: 53e9, product: 737e12, dense: 737e12 };
}

impl ModelWork {
    /// Seconds of a denoising step with all weights resident.
    pub fn step(&self, rates: &DeviceRates, pixels: u64) -> f64 {
        let tokens = pixels as f64 / self.token_pixels.max(1) as f64 + PROMPT;
        let products = 2.0 * self.numbers as f64 * tokens;
        let attention = 4.0 * tokens * tokens * self.width as f64 * f64::from(self.blocks);
        let expansion = if self.expands {
            // As much at any size; the prompt and 4,096 tokens were measured.
            EXPANSION * 2.0 * self.numbers as f64 * (4096.0 + PROMPT) / rates.dense
        } else {
            0.0
        };
        products / rates.product
            + (ATTENTION * attention + REST * products) / rates.dense
            + expansion
    }

    /// Seconds of decoding an image.
    pub fn decode(&self, rates: &DeviceRates, pixels: u64, in_strips: bool) -> f64 {
        let whole = CONVOLUTIONS * self.decoder as f64 * pixels as f64 / rates.dense;
        if in_strips { STRIPS * whole } else { whole }
    }

    /// The time of an image for which `streamed` bytes are copied in each step and `streamed_text` for
    /// a new prompt: copies run beside a step's arithmetic, so the longer of both counts.
    pub fn image(
        &self,
        rates: &DeviceRates,
        (pixels, in_strips): (u64, bool),
        (streamed, streamed_text): (u64, u64),
    ) -> ImageSeconds {
        let copied = |bytes: u64| bytes as f64 / rates.copy.max(1.0);
        let step = self.step(rates, pixels).max(BESIDE * copied(streamed));
        let once = self.decode(rates, pixels, in_strips) + FIXED;
        let seen = f64::from(self.steps) * step + once;
        ImageSeconds { seen, new_prompt: seen + copied(streamed_text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 353_894_400;
    const SQUARE: u64 = 1 << 20;

    /// Z-Image-Turbo.
    const TURBO: ModelWork = ModelWork {
        numbers: 32 * BLOCK / 2,
        blocks: 32,
        width: 3840,
        token_pixels: 256,
        decoder: 10_000_000,
        steps: 8,
        expands: false,
    };
    /// One H200 on PCIe 5 x16, in bfloat16.
    const H200: DeviceRates = DeviceRates { copy: 55e9, product: 737e12, dense: 737e12 };

    /// Seconds of an image of 1024² where `bytes` are copied in each step.
    fn seen(work: &ModelWork, rates: &DeviceRates, bytes: u64) -> f64 {
        work.image(rates, (SQUARE, false), (bytes, 0)).seen
    }

    #[test]
    fn times_are_those_that_were_measured() {
        let float8 = DeviceRates { product: 1200e12, ..H200 };
        let packed = ModelWork { expands: true, ..TURBO };
        // One H200, 1024², 8 steps, from pinned files; resident blocks and seconds. Where blocks were
        // streamed, each step's end still waited for the copy of one block, which is taken off here.
        let waited = |bytes: u64| 8.0 * bytes as f64 / 55e9;
        for (work, rates, block, resident, measured) in [
            (TURBO, H200, BLOCK, 32, 0.711),
            (TURBO, H200, BLOCK, 24, 0.752 - waited(BLOCK)),
            (TURBO, H200, BLOCK, 17, 0.859 - waited(BLOCK)),
            (TURBO, H200, BLOCK, 10, 1.200),
            (TURBO, H200, BLOCK, 5, 1.457),
            (TURBO, float8, BLOCK / 2, 32, 0.519),
            (TURBO, float8, BLOCK / 2, 20, 0.544 - waited(BLOCK / 2)),
            (TURBO, float8, BLOCK / 2, 8, 0.695),
            (TURBO, float8, BLOCK / 2, 0, 0.882),
            (packed, H200, BLOCK / 4, 0, 0.699),
        ] {
            let found = seen(&work, &rates, (32 - resident) * block);
            let ratio = found / measured;
            assert!((ratio - 1.0).abs() < 0.09, "{resident}, {block}: {found}, not {measured}");
        }
        let times = TURBO.image(&H200, (SQUARE, false), (0, 7_772_569_600));
        assert!((times.new_prompt - times.seen - 0.15).abs() < 0.02, "{times:?}");
    }

    #[test]
    fn a_slower_link_costs_what_it_copies_beyond_the_arithmetic() {
        let step = TURBO.step(&H200, SQUARE);
        for copy in [55e9, 25e9, 12e9, 6e9] {
            let rates = DeviceRates { copy, ..H200 };
            for resident in [32, 24, 16, 8, 0] {
                let bytes = (32 - resident) * BLOCK;
                let more = seen(&TURBO, &rates, bytes) - seen(&TURBO, &rates, 0);
                let copied = BESIDE * bytes as f64 / copy;
                assert!((more - 8.0 * (copied - step).max(0.0)).abs() < 1e-9, "{copy} {resident}");
            }
        }
        // Larger images hide more.
        let slow = DeviceRates { copy: 12e9, ..H200 };
        let ratio = |pixels| {
            let seconds = |bytes| TURBO.image(&slow, (pixels, false), (bytes, 0)).seen;
            seconds(16 * BLOCK) / seconds(0)
        };
        assert!(ratio(SQUARE / 4) > ratio(SQUARE) && ratio(SQUARE) > ratio(4 * SQUARE));
    }
}
