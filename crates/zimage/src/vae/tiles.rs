//! Tiled decoding, for images whose decoding does not fit in memory.
//!
//! As diffusers' `enable_vae_tiling`: tiles overlap, and are blended there.

use tch::{Device, IndexOp, Kind, Tensor};

use super::Vae;
use crate::error::{Error, Result};
use crate::image::{Image, all_finite};

/// Latents a side of a tile: 512 pixels, which take a sixteenth of a 2048² image's memory.
const TILE: i64 = 64;
/// Latents that neighbouring tiles share.
const OVERLAP: i64 = 16;

impl Vae {
    /// Latents `[1, channels, h, w]` to an image in host memory, tile by tile.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for NaN or infinity; or when libtorch fails (out of memory).
    pub fn image_in_tiles(&self, latents: &Tensor) -> Result<Image> {
        self.tiled(latents, TILE, OVERLAP)
    }

    fn tiled(&self, latents: &Tensor, tile: i64, overlap: i64) -> Result<Image> {
        let (_, _, h, w) = latents.size4()?;
        let (rows, columns, scale) = (tile.min(h), tile.min(w), self.scale);
        let weights = fade(rows * scale, overlap * scale)?
            .f_unsqueeze(1)?
            .f_mul(&fade(columns * scale, overlap * scale)?)?;
        // The sum of the tiles, each with its weights, and the sum of the weights; in host memory.
        let float = (Kind::Float, Device::Cpu);
        let sum = Tensor::f_zeros([3, h * scale, w * scale], float)?;
        let weight = Tensor::f_zeros([h * scale, w * scale], float)?;
        for top in starts(h, tile, overlap) {
            for left in starts(w, tile, overlap) {
                let part = latents.i((.., .., top..top + rows, left..left + columns));
                let pixels = self.decode(&part.f_contiguous()?)?.f_squeeze_dim(0)?;
                let pixels = pixels.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?;
                let down = top * scale..(top + rows) * scale;
                let along = left * scale..(left + columns) * scale;
                let mut place = sum.i((.., down.clone(), along.clone()));
                let _ = place.f_add_(&pixels.f_mul(&weights)?)?;
                let _ = weight.i((down, along)).f_add_(&weights)?;
            }
        }
        let unit = sum.f_div(&weight)?.f_mul_scalar(0.5)?.f_add_scalar(0.5)?;
        if !all_finite(&unit)? {
            return Err(Error::NotFinite("the decoded pixels"));
        }
        let bytes = unit.f_clamp(0.0, 1.0)?.f_mul_scalar(255.0)?.f_round()?;
        Image::from_bytes(&bytes.f_to_kind(Kind::Uint8)?.f_permute([1, 2, 0])?.f_contiguous()?)
    }
}

/// The starts of tiles: each has its full length, if the image is as long, and shares at least
/// `overlap` with the one before.
fn starts(length: i64, tile: i64, overlap: i64) -> impl Iterator<Item = i64> {
    let last = (length - tile).max(0);
    let stride = (tile - overlap).max(1);
    (0..=last).step_by(stride as usize).chain((last % stride != 0).then_some(last))
}

/// Weights along a side: rising from its ends, 1 in the middle. At the image's own
/// edge there is no other tile, and the weighted sum is divided by the weight again.
fn fade(length: i64, ramp: i64) -> Result<Tensor> {
    let ramp = ramp.min(length / 2).max(1);
    let places = Tensor::f_arange(length, (Kind::Float, Device::Cpu))?;
    let from_end = places.f_neg()?.f_add_scalar(length as f64)?;
    let from_begin = places.f_add_scalar(1.0)?;
    Ok(from_begin.f_minimum(&from_end)?.f_div_scalar(ramp as f64)?.f_clamp_max(1.0)?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::checkpoint::{Checkpoint, Component};
    use crate::weights::{Loader, Target};

    fn vae() -> (Vae, i64) {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/reference");
        let checkpoint = Checkpoint::open(&fixtures.join("plain")).unwrap();
        let target = Target { device: Device::Cpu, kind: Kind::Float };
        let mut loader = Loader::new();
        let weights = loader.weights(&checkpoint, Component::Vae, target).unwrap();
        let vae = Vae::load(weights, &checkpoint.vae).unwrap();
        loader.run(&mut |_| {}).unwrap();
        (vae, checkpoint.vae.latent_channels)
    }

    #[test]
    fn tiles_cover_every_place_and_share_what_they_should() {
        for (length, tile, overlap, expected) in [
            (64, 64, 16, vec![0]),
            (8, 64, 16, vec![0]),
            (65, 64, 16, vec![0, 1]),
            (112, 64, 16, vec![0, 48]),
            (113, 64, 16, vec![0, 48, 49]),
            (256, 64, 16, vec![0, 48, 96, 144, 192]),
        ] {
            assert_eq!(starts(length, tile, overlap).collect::<Vec<_>>(), expected, "{length}");
        }
    }

    #[test]
    fn weights_rise_from_the_ends() {
        let weights: Vec<f32> = fade(8, 3).unwrap().try_into().unwrap();
        assert_eq!(weights, [1.0 / 3.0, 2.0 / 3.0, 1.0, 1.0, 1.0, 1.0, 2.0 / 3.0, 1.0 / 3.0]);
        assert!(fade(1, 16).unwrap().double_value(&[0]) > 0.0);
    }

    #[test]
    fn one_tile_is_the_whole_and_several_are_near_it() {
        let (vae, channels) = vae();
        let latents = Tensor::randn([1, channels, 12, 20], (Kind::Float, Device::Cpu));
        let whole = vae.image(&latents).unwrap();
        let differences = |image: &Image| -> Vec<i32> {
            assert_eq!((image.width, image.height), (whole.width, whole.height));
            let pairs = image.rgb.iter().zip(&whole.rgb);
            pairs.map(|(a, b)| (i32::from(*a) - i32::from(*b)).abs()).collect()
        };
        let one = differences(&vae.tiled(&latents, 20, 4).unwrap());
        assert!(one.iter().all(|&d| d <= 1), "weights are divided by themselves");
        let tiles = differences(&vae.tiled(&latents, 8, 4).unwrap());
        assert!(tiles.iter().any(|&d| d > 1), "each tile is normed by itself");
        let mean = f64::from(tiles.iter().sum::<i32>()) / tiles.len() as f64;
        assert!(mean < 16.0, "off by {mean} of 255 on average");
    }

    #[test]
    fn nan_is_an_error_in_tiles_too() {
        let (vae, channels) = vae();
        let latents = Tensor::full([1, channels, 8, 8], f64::NAN, (Kind::Float, Device::Cpu));
        assert!(matches!(vae.image_in_tiles(&latents), Err(Error::NotFinite(_))));
    }
}
