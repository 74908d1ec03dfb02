//! The rates of a device, and the time of an image that follows from them.

/// What a device was measured to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceRates {
    /// Bytes a second from the checkpoint's files in the page cache to the device, beside
    /// arithmetic.
    pub copy: f64,
    /// Seconds of a denoising step with all weights resident.
    pub step: f64,
    /// Seconds of what is done once an image: decoding, and the pixels' way out.
    pub once: f64,
}

/// Seconds of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageSeconds {
    /// With a prompt whose embeddings are cached.
    pub seen: f64,
    /// With a new prompt.
    pub new_prompt: f64,
}

impl DeviceRates {
    /// The time of an image: copies run beside arithmetic, so the longer of both counts.
    pub(super) fn image(&self, streamed: u64, streamed_text: u64, steps: u32) -> ImageSeconds {
        let copied = |bytes: u64| bytes as f64 / self.copy.max(1.0);
        let seen = f64::from(steps) * self.step.max(copied(streamed)) + self.once;
        ImageSeconds { seen, new_prompt: seen + copied(streamed_text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 353_894_400;

    #[test]
    fn times_are_those_that_were_measured() {
        // One H200, 1024², bfloat16, 8 steps; seconds with all blocks and with so many.
        let h200 = DeviceRates { copy: 50e9, step: 0.0797, once: 0.09 };
        for (resident, measured) in [(32, 0.727), (24, 0.734), (16, 0.975), (8, 1.485), (0, 1.834)]
        {
            let seconds = h200.image((32 - resident) * BLOCK, 0, 8).seen;
            assert!(
                (seconds / measured - 1.0).abs() < 0.05,
                "{resident}: {seconds}, not {measured}"
            );
        }
        let ImageSeconds { seen, new_prompt } = h200.image(0, 7_772_569_600, 8);
        assert!((new_prompt - seen - 0.2).abs() < 0.05, "{new_prompt}");
    }
}
