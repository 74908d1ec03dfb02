//! A finished picture in host memory.

use tch::{Device, Tensor};

use crate::error::Result;

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
}

/// Whether there is neither NaN nor infinity in `x`.
pub(crate) fn all_finite(x: &Tensor) -> Result<bool> {
    Ok(x.f_isfinite()?.f_all()?.f_int64_value(&[])? == 1)
}
