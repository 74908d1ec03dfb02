//! `image.cu`: doubling a map's sides, and the last map's way to bytes.

#![expect(unsafe_code, reason = "launches kernels")]

use tch::{Kind, Tensor};

use super::group_norm::{Map, pieces};
use super::launch::expect;
use super::{Kernel, Kernels, compile};
use crate::{Error, Gpu};

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
    /// `x + bias` with each place made four: `[places, channels]` in rows of `width` places to
    /// `[4 · places, channels]` in rows of twice as many.
    ///
    /// # Errors
    /// When a tensor is not as said, or the driver refuses.
    pub fn upsample(&self, x: &Tensor, bias: Option<&Tensor>, width: i64) -> Result<Tensor, Error> {
        let map = Map::of(x)?;
        map.expect_bias(bias)?;
        if width <= 0 || map.places % width != 0 {
            return Err(Error::Misuse("the places are not whole rows"));
        }
        let out = Tensor::f_empty([4 * map.places, map.channels], (Kind::BFloat16, x.device()))?;
        let arguments = [
            x.into(),
            bias.into(),
            map.places.into(),
            width.into(),
            map.channels.into(),
            (&out).into(),
        ];
        let grid = (pieces(map.places * map.channels / 8, THREADS), 1);
        // SAFETY: the types are those of `upsample`; the result has four times the places.
        unsafe { self.0.stream.launch(self.0.image.upsample, grid, THREADS, &arguments) }?;
        Ok(out)
    }

    /// Colours of about −1 to 1, the first three of eight channels of `x` `[places, 8]` plus
    /// `bias` `[3]`, as bytes `[places, 3]`; and `[1]` in int32, which is 1 where a colour was
    /// not finite, else 0.
    ///
    /// # Errors
    /// When a tensor is not as said, or the driver refuses.
    pub fn to_bytes(&self, x: &Tensor, bias: &Tensor) -> Result<(Tensor, Tensor), Error> {
        let map = Map::of(x)?;
        expect(x, Kind::BFloat16, &[map.places, 8])?;
        expect(bias, Kind::Float, &[3])?;
        let rgb = Tensor::f_empty([map.places, 3], (Kind::Uint8, x.device()))?;
        let strange = Tensor::f_zeros([1], (Kind::Int, x.device()))?;
        let arguments =
            [x.into(), bias.into(), map.places.into(), (&rgb).into(), (&strange).into()];
        let grid = (pieces(map.places, THREADS), 1);
        // SAFETY: the types are those of `to_bytes`; there are three bytes for each place.
        unsafe { self.0.stream.launch(self.0.image.bytes, grid, THREADS, &arguments) }?;
        Ok((rgb, strange))
    }
}
