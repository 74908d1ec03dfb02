//! Previews: latents to a small image with one matrix product, between denoising steps.
//!
//! A latent's channels are, approximately, a linear code of the mean colour of its 8×8 pixels. For the
//! autoencoder of Z-Image the code is known; for others it is fitted to how they encode colours.

use tch::{Device, Kind, Tensor};

use super::Vae;
use crate::error::Result;

/// The linear code from channels to red, green and blue of −1 to 1, on the autoencoder's device.
#[derive(Debug)]
pub(super) struct Code {
    /// `[channels, 3]`, float32.
    factors: Tensor,
    /// `[3]`, float32.
    bias: Tensor,
}

/// The latents' channels, and the scaling and shift factor, of Flux's autoencoder, which is
/// Z-Image's.
const FLUX: (i64, f64, f64) = (16, 0.3611, 0.1159);
/// The code of that autoencoder; ComfyUI's `comfy/latent_formats.py`, class `Flux`, has these values for its previews.
const FLUX_FACTORS: [[f32; 3]; 16] = [
    [-0.0346, 0.0244, 0.0681],
    [0.0034, 0.0210, 0.0687],
    [0.0275, -0.0668, -0.0433],
    [-0.0174, 0.0160, 0.0617],
    [0.0859, 0.0721, 0.0329],
    [0.0004, 0.0383, 0.0115],
    [0.0405, 0.0861, 0.0915],
    [-0.0236, -0.0185, -0.0259],
    [-0.0245, 0.0250, 0.1180],
    [0.1008, 0.0755, -0.0421],
    [-0.0515, 0.0201, 0.0011],
    [0.0428, -0.0012, -0.0036],
    [0.0817, 0.0765, 0.0749],
    [-0.1264, -0.0522, -0.1103],
    [-0.0280, -0.0881, -0.0499],
    [-0.1262, -0.0982, -0.0778],
];
const FLUX_BIAS: [f32; 3] = [-0.0329, -0.0718, -0.0851];

/// Patches along a side of the palette: its colours are all of a red, green and blue of
/// [`LEVELS`] strengths.
const PATCHES: i64 = 8;
/// Strengths of a colour.
const LEVELS: i64 = 4;
/// Latents a side of a patch: the middle ones depend on their own colour alone.
const PATCH: i64 = 4;
/// Regularisation of what the palette does not determine, as a share of a channel's mean square.
const RIDGE: f64 = 1e-3;

impl Vae {
    /// Latents as the transformer has them, `[1, channels, h, w]`, to bytes `[h, w, 3]`: about
    /// what decoding gives, at an eighth of its size.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub fn preview(&self, latents: &Tensor) -> Result<Tensor> {
        let Code { factors, bias } = match self.code.get() {
            Some(code) => code,
            None => {
                let code = self.fit_code(latents.device())?;
                self.code.get_or_init(|| code)
            }
        };
        let channels = latents.f_to_kind(Kind::Float)?.f_squeeze_dim(0)?.f_permute([1, 2, 0])?;
        let colours = channels.f_matmul(factors)?.f_add(bias)?;
        let bytes = colours.f_mul_scalar(127.5)?.f_add_scalar(127.5)?.f_clamp(0.0, 255.0)?;
        Ok(bytes.f_round()?.f_to_kind(Kind::Uint8)?)
    }

    fn fit_code(&self, device: Device) -> Result<Code> {
        if (self.channels, self.scaling, self.shift) == FLUX {
            let factors = Tensor::f_from_slice(FLUX_FACTORS.as_flattened())?;
            let factors = factors.f_view([16, 3])?.f_to_device(device)?;
            return Ok(Code {
                factors,
                bias: Tensor::f_from_slice(&FLUX_BIAS)?.f_to_device(device)?,
            });
        }
        let (pixels, colours) = palette(PATCH * self.scale)?;
        let latents = self.encode(&pixels.f_to_device(device)?)?;
        let latents = latents.f_squeeze_dim(0)?.f_flatten(1, 2)?.f_transpose(0, 1)?;
        // Each latent's colour is its patch's.
        let colours = colours
            .f_repeat_interleave_self_int(PATCH, 1, None)?
            .f_repeat_interleave_self_int(PATCH, 2, None)?
            .f_flatten(1, 2)?
            .f_transpose(0, 1)?;
        fit(&latents.f_to_device(Device::Cpu)?, &colours, device)
    }
}

/// An image `[1, 3, side, side]` of patches of `pixels` pixels a side, and their colours
/// `[3, PATCHES, PATCHES]`, both of −1 to 1.
fn palette(pixels: i64) -> Result<(Tensor, Tensor)> {
    let number = Tensor::f_arange(PATCHES * PATCHES, (Kind::Int64, Device::Cpu))?;
    let strength = |by: i64| -> Result<Tensor> {
        let level = number.f_floor_divide_scalar(by)?.f_remainder(LEVELS)?;
        Ok(level
            .f_to_kind(Kind::Float)?
            .f_mul_scalar(2.0 / (LEVELS - 1) as f64)?
            .f_sub_scalar(1.0)?)
    };
    let colours = [strength(1)?, strength(LEVELS)?, strength(LEVELS * LEVELS)?];
    let colours = Tensor::f_stack(&colours, 0)?.f_view([3, PATCHES, PATCHES])?;
    let side = PATCHES * pixels;
    let image = colours.f_unsqueeze(0)?.f_upsample_nearest2d([side, side], None, None)?;
    Ok((image, colours))
}

/// Least squares: the code by which `latents` `[n, channels]` give `colours` `[n, 3]` best.
fn fit(latents: &Tensor, colours: &Tensor, device: Device) -> Result<Code> {
    let latents = latents.f_to_kind(Kind::Double)?;
    let (count, channels) = latents.size2()?;
    let ones = Tensor::f_ones([count, 1], (Kind::Double, Device::Cpu))?;
    let inputs = Tensor::f_cat(&[latents, ones], 1)?;
    let transposed = inputs.f_transpose(0, 1)?;
    let squares = transposed.f_matmul(&inputs)?;
    // Also for channels that never differ.
    let ridge = squares.f_diagonal(0, 0, 1)?.f_mul_scalar(RIDGE)?.f_add_scalar(RIDGE)?.f_diag(0)?;
    let products = transposed.f_matmul(&colours.f_to_kind(Kind::Double)?)?;
    let solution = Tensor::f_linalg_solve(&squares.f_add(&ridge)?, &products, true)?;
    let solution = solution.f_to_kind(Kind::Float)?.f_to_device(device)?;
    Ok(Code {
        factors: solution.f_narrow(0, 0, channels)?.f_contiguous()?,
        bias: solution.f_select(0, channels)?.f_contiguous()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_palette_has_each_colour_once() {
        let (image, colours) = palette(8).unwrap();
        assert_eq!((image.size(), colours.size()), (vec![1, 3, 64, 64], vec![3, 8, 8]));
        let (distinct, _, _) = colours.flatten(1, 2).unique_dim(1, true, false, false);
        assert_eq!(distinct.size(), [3, 64]);
        let [least, most] = [colours.min(), colours.max()].map(|end| end.double_value(&[]));
        assert_eq!((least, most), (-1.0, 1.0));
        let last = image.select(0, 0).select(1, 63).select(1, 63);
        assert_eq!(Vec::<f32>::try_from(last).unwrap(), [1.0, 1.0, 1.0]);
    }

    #[test]
    fn a_linear_code_is_found() {
        let float = (Kind::Float, Device::Cpu);
        let (factors, bias) = (Tensor::randn([5, 3], float), Tensor::randn([3], float));
        let latents = Tensor::randn([1000, 5], float);
        let colours = latents.matmul(&factors) + &bias;
        let code = fit(&latents, &colours, Device::Cpu).unwrap();
        let off = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
        assert!(off(&code.factors, &factors) < 0.02 && off(&code.bias, &bias) < 0.02);
        // Constant channels have no effect.
        let dull = Tensor::cat(&[&latents, &Tensor::zeros([1000, 2], float)], 1);
        let squares = fit(&dull, &colours, Device::Cpu);
        assert!(
            squares.is_err() || squares.unwrap().factors.isfinite().all().int64_value(&[]) == 1
        );
    }
}
