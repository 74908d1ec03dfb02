//! Images in host memory.

use tch::{Device, Tensor};

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
    /// From bytes `[height, width, 3]` on any device.
    pub(crate) fn from_bytes(bytes: &Tensor) -> Result<Self> {
        let (height, width, channels) = bytes.size3()?;
        let mut rgb = vec![0; (height * width * channels) as usize];
        let count = rgb.len();
        bytes.f_to_device(Device::Cpu)?.f_copy_data_u8(&mut rgb, count)?;
        Ok(Self { width: width as u32, height: height as u32, rgb })
    }

    /// The image, if its pixels differ.
    ///
    /// # Errors
    /// [`Error::OneColour`] for an image that is all black or of another colour: a GPU that failed
    /// without an error generates such.
    pub fn checked(self) -> Result<Self> {
        let (pixels, _) = self.rgb.as_chunks::<3>();
        match pixels {
            [first, rest @ ..] if rest.iter().all(|pixel| pixel == first) => {
                Err(Error::OneColour(*first))
            }
            _ => Ok(self),
        }
    }
}

/// Whether `x` holds neither NaN nor infinity.
pub(crate) fn all_finite(x: &Tensor) -> Result<bool> {
    Ok(x.f_isfinite()?.f_all()?.f_int64_value(&[])? == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_one_colour_is_refused() {
        let image = |rgb: &[u8]| Image { width: 2, height: 1, rgb: rgb.to_vec() }.checked();
        let black = image(&[0; 6]).unwrap_err();
        assert_eq!(black.to_string(), "all of the image has one colour, #000000");
        assert!(matches!(image(&[1, 2, 3, 1, 2, 3]), Err(Error::OneColour([1, 2, 3]))));
        assert!(image(&[0, 0, 0, 0, 0, 1]).is_ok());
        assert!(image(&[1, 1, 1, 2, 2, 2]).is_ok());
    }
}
