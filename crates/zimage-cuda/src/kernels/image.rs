//! `image.cu`: upsampling of feature maps, and conversion of the last map to bytes.

#![expect(unsafe_code, reason = "launches kernels")]

use tch::{Kind, Tensor};

use super::group_norm::{Map, pieces};
use super::launch::expect;
use super::{Kernel, Kernels, compile};
use crate::driver::Gpu;
use crate::error::Error;

/// Threads of a block.
const THREADS: i64 = 256;

#[derive(Debug)]
pub(super) struct Functions {
    upsample: Kernel,
    bytes: Kernel,
}

impl Functions {
    pub(super) fn load(gpu: &Gpu) -> Result<Self, Error> {
        let names = ["upsample", "to_bytes"];
        let [upsample, bytes] = compile::load(gpu, "image.cu", names)?;
        Ok(Self { upsample, bytes })
    }
}

impl Kernels {
    /// `x + bias`, upsampled by two (nearest): `[positions, channels]` in rows of `width` positions to
    /// `[4 · positions, channels]` in rows of twice the width.
    ///
    /// # Errors
    /// When a tensor does not fit, or the driver fails.
    pub fn upsample(&self, x: &Tensor, bias: Option<&Tensor>, width: i64) -> Result<Tensor, Error> {
        let map = Map::of(x)?;
        map.expect_bias(bias)?;
        if width <= 0 || map.positions % width != 0 {
            return Err(Error::InvalidArguments("the positions are not whole rows"));
        }
        let out = Tensor::f_empty([4 * map.positions, map.channels], (Kind::BFloat16, x.device()))?;
        let arguments = [
            x.into(),
            bias.into(),
            map.positions.into(),
            width.into(),
            map.channels.into(),
            (&out).into(),
        ];
        let grid = (pieces(map.positions * map.channels / 8, THREADS), 1);
        // SAFETY: the types are those of `upsample`; the result has four times the positions.
        unsafe { self.0.stream.launch(self.0.image.upsample, grid, THREADS, &arguments) }?;
        Ok(out)
    }

    /// Colours of about −1 to 1, the first three of eight channels of `x` `[positions, 8]`
    /// plus `bias` `[3]`, as bytes `[positions, 3]`; and `[1]` in int32, which is 1 if a colour is
    /// not finite, else 0.
    ///
    /// # Errors
    /// When a tensor does not fit, or the driver fails.
    pub fn to_bytes(&self, x: &Tensor, bias: &Tensor) -> Result<(Tensor, Tensor), Error> {
        let map = Map::of(x)?;
        expect(x, Kind::BFloat16, &[map.positions, 8])?;
        expect(bias, Kind::Float, &[3])?;
        let rgb = Tensor::f_empty([map.positions, 3], (Kind::Uint8, x.device()))?;
        let not_finite = Tensor::f_zeros([1], (Kind::Int, x.device()))?;
        let arguments =
            [x.into(), bias.into(), map.positions.into(), (&rgb).into(), (&not_finite).into()];
        let grid = (pieces(map.positions, THREADS), 1);
        // SAFETY: the types are those of `to_bytes`; there are three bytes for each position.
        unsafe { self.0.stream.launch(self.0.image.bytes, grid, THREADS, &arguments) }?;
        Ok((rgb, not_finite))
    }
}
