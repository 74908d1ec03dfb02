//! A finished picture in host memory.

use tch::{Kind, Tensor};

use crate::error::{Error, Result};

/// 8-bit RGB, rows from the top, no padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `3 · width · height` bytes.
    pub rgb: Vec<u8>,
}

impl Image {
    /// From pixels `[1, 3, height, width]` of about −1 to 1.
    ///
    /// The steps and their rounding are diffusers' `VaeImageProcessor.postprocess`: halved and
    /// clamped in the pixels' own kind, then float32, then half-to-even.
    pub(crate) fn from_pixels(pixels: &Tensor) -> Result<Self> {
        let unit = pixels.f_mul_scalar(0.5)?.f_add_scalar(0.5)?;
        if !all_finite(&unit)? {
            return Err(Error::NotFinite("the decoded pixels"));
        }
        let bytes = unit
            .f_clamp(0.0, 1.0)?
            .f_to_kind(Kind::Float)?
            .f_mul_scalar(255.0)?
            .f_round()?
            .f_to_kind(Kind::Uint8)?
            .f_squeeze_dim(0)?
            .f_permute([1, 2, 0])?
            .f_contiguous()?
            .f_to_device(tch::Device::Cpu)?;
        let (height, width, channels) = bytes.size3()?;
        let mut rgb = vec![0; (height * width * channels) as usize];
        let count = rgb.len();
        bytes.f_copy_data_u8(&mut rgb, count)?;
        Ok(Self { width: width as u32, height: height as u32, rgb })
    }
}

/// Whether there is neither NaN nor infinity in `x`.
pub(crate) fn all_finite(x: &Tensor) -> Result<bool> {
    Ok(x.f_isfinite()?.f_all()?.f_int64_value(&[])? == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_become_bytes() {
        let pixels = Tensor::from_slice(&[-1f32, 0.0, 2.0, 1.0, -3.0, 0.5]).view([1, 3, 1, 2]);
        let image = Image::from_pixels(&pixels).unwrap();
        assert_eq!((image.width, image.height), (2, 1));
        // 0 → 127.5 → 128 and 0.5 → 191.25 → 191.
        assert_eq!(image.rgb, [0, 255, 0, 128, 255, 191]);
    }

    #[test]
    fn nan_is_an_error_not_a_black_picture() {
        let pixels = Tensor::from_slice(&[f32::NAN, 0.0, 0.0]).view([1, 3, 1, 1]);
        assert!(matches!(Image::from_pixels(&pixels), Err(Error::NotFinite(_))));
    }
}
