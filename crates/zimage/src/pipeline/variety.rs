//! Variety: seeded noise in a prompt's features, for images that differ more from seed to seed.
//!
//! Sources: InvokeAI's `z_image_seed_variance_enhancer.py` (uniform noise by the deviation of the features,
//! in a share of their values); ComfyUI's node SeedVarianceEnhancer 2.2 (in the first steps alone, and
//! with noise that does not depend on the prompt's length). Numbers come from SplitMix64 (Steele, Lea,
//! Flood 2014, "Fast splittable pseudorandom number generators") by the place of a value, on the CPU:
//! they are the same on every machine.

use tch::{Device, Kind, Tensor};

use super::engine::Engine;
use super::prompt_cache;
use crate::error::{Error, Result};
use crate::params::{ResolvedParams, Variety};
use crate::transformer::Context;

/// SplitMix64's step: 2^64 by the golden ratio.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
/// Bits of a number.
const BITS: u32 = 24;

/// The text encoder's features of a prompt, in host memory.
#[derive(Debug)]
pub(super) struct Features {
    /// `[tokens, width]`, row by row.
    values: Vec<f32>,
    width: usize,
    /// The standard deviation of all values.
    deviation: f64,
    /// The kind of the features on the device.
    kind: Kind,
}

impl Features {
    /// Of a prompt's tokens, in the values that its embeddings are computed from.
    pub(super) fn new(engine: &Engine, tokens: &[i64]) -> Result<Self> {
        let features = prompt_cache::padded_features(&engine.networks, &engine.ops, tokens)?;
        let (rows, width) = features.size2()?;
        let mut values = vec![0.0; (rows * width) as usize];
        let count = values.len();
        let host = features.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?;
        host.f_contiguous()?.f_copy_data(&mut values, count)?;
        let deviation = deviation(&values);
        Ok(Self { values, width: width as usize, deviation, kind: features.f_kind()? })
    }

    /// The prompt with noise, as the transformer's layers see it beside an image.
    pub(super) fn context(
        &self,
        engine: &Engine,
        params: &ResolvedParams,
        (variety, seed): (Variety, u64),
    ) -> Result<Context> {
        let networks = &engine.networks;
        let strength = f64::from(variety.strength) * self.deviation;
        let noise = Noise::new(variety.seed.unwrap_or(seed), variety.share);
        let noised = self.values.iter().zip(0..).map(|(&value, place)| match noise.at(place) {
            Some(noise) => (f64::from(value) + strength * noise) as f32,
            None => value,
        });
        let noised: Vec<f32> = noised.collect();
        let noised = Tensor::f_from_slice(&noised)?.f_view([-1, self.width as i64])?;
        let noised = noised.f_to_device(networks.device)?.f_to_kind(self.kind)?;
        let rotation = prompt_cache::rotation(networks, self.values.len() / self.width)?;
        let embeddings =
            networks.transformer.refine_prompt(&engine.ops, &noised, None, &rotation)?;
        networks.transformer.context(embeddings, networks.grid(params))
    }
}

impl Variety {
    /// Whether the step that follows `step` steps has the noise; the image began with `first`.
    pub(super) fn applies(&self, step: usize, first: u32) -> bool {
        step < (first + self.steps) as usize
    }
}

/// The features of a request with variety; none is a fault of the caller.
pub(super) fn expect(features: Option<&Features>) -> Result<&Features> {
    features.ok_or_else(|| Error::Internal("a prompt was encoded without its features".to_owned()))
}

/// Noise by place.
struct Noise {
    base: u64,
    /// Values whose number is below this have noise.
    below: u64,
}

impl Noise {
    fn new(seed: u64, share: f32) -> Self {
        let below = (zimage_params::decimal(share) * f64::from(1 << BITS)).round() as u64;
        Self { base: mixed(seed.wrapping_add(STEP)), below }
    }

    /// From −1 to below 1, if the value in this place has noise.
    fn at(&self, place: u64) -> Option<f64> {
        let number = mixed(self.base.wrapping_add((place + 1).wrapping_mul(STEP)));
        // The highest bits decide whether, the lowest how much.
        let is_chosen = number >> (u64::BITS - BITS) < self.below;
        let low = number & ((1 << BITS) - 1);
        is_chosen.then(|| 2.0 * low as f64 / f64::from(1 << BITS) - 1.0)
    }
}

/// SplitMix64's output function.
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The standard deviation as torch.std has it, by n − 1.
fn deviation(values: &[f32]) -> f64 {
    let count = values.len().max(2) as f64;
    let mean = values.iter().copied().map(f64::from).sum::<f64>() / count;
    let squares = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>();
    (squares / (count - 1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs of the reference implementation of SplitMix64 for these seeds
    /// (<https://prng.di.unimi.it/splitmix64.c>).
    #[test]
    fn the_generator_is_splitmix64() {
        for (seed, first) in [(0, 0xE220_A839_7B1D_CDAF), (1_234_567, 0x599E_D017_FB08_FC85)] {
            assert_eq!(mixed(STEP.wrapping_add(seed)), first, "{seed}");
        }
    }

    #[test]
    fn noise_is_uniform_in_its_share_and_of_its_seed() {
        let all = |seed, share| {
            let noise = Noise::new(seed, share);
            (0..100_000).map(|place| noise.at(place)).collect::<Vec<_>>()
        };
        for (seed, share) in [(0, 0.5), (u64::MAX, 0.1), (7, 1.0)] {
            let found: Vec<f64> = all(seed, share).into_iter().flatten().collect();
            let count = found.len() as f64;
            assert!((count / 100_000.0 - f64::from(share)).abs() < 0.01, "{share}: {count}");
            assert!(found.iter().all(|noise| (-1.0..1.0).contains(noise)));
            let mean = found.iter().sum::<f64>() / count;
            let square = found.iter().map(|noise| noise * noise).sum::<f64>() / count;
            assert!(mean.abs() < 0.02 && (square - 1.0 / 3.0).abs() < 0.02, "{mean} {square}");
        }
        assert_eq!(all(3, 0.5), all(3, 0.5));
        let equal = all(3, 0.5).iter().zip(all(4, 0.5)).filter(|(a, b)| **a == *b).count();
        assert!(equal < 30_000, "a quarter has none in both: {equal}");
        // A larger share adds values and leaves those of a smaller one.
        let grown = all(3, 0.2).into_iter().zip(all(3, 0.6));
        assert!(grown.into_iter().all(|(little, much)| little.is_none() || little == much));
    }

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        assert_eq!(deviation(&[1.0, 2.0, 3.0, 4.0]), (5.0_f64 / 3.0).sqrt());
        assert_eq!(deviation(&[5.0; 7]), 0.0);
    }
}
