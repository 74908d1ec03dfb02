//! `group_norm.cu`: group norm of feature maps, and the residual sum before it.
//!
//! A map here is `[positions, channels]` in bfloat16: NHWC of one image. A bias is `[channels]` in
//! float32: the bias of the convolution before the map, which is still to be added.

#![expect(unsafe_code, reason = "launches kernels")]

use tch::{Kind, Tensor};

use super::launch::expect;
use super::{Kernel, Kernels, compile};
use crate::driver::Gpu;
use crate::error::Error;

/// The most threads of a block; each processes eight channels.
const THREADS: i64 = 256;
/// The most blocks that compute moments. It does not depend on the GPU, so neither does the order of
/// summation.
const BLOCKS_MAX: i64 = 2048;
/// The least positions of a thread that computes moments.
const EACH: i64 = 16;
/// Positions of a thread that norms: the loads that it has in flight. More was slower.
const NORMED_EACH: i64 = 4;

#[derive(Debug)]
pub(super) struct Functions {
    moments: Kernel,
    add: Kernel,
    coefficients: Kernel,
    norm: Kernel,
    norm_silu: Kernel,
}

/// Mean and sum of squared distances of each channel in each piece of a map.
#[derive(Debug)]
pub struct Moments {
    /// `[blocks, channels, 2]` in float32.
    values: Tensor,
    /// Positions of a piece; the last may have fewer.
    per_block: i64,
}

/// The weights of a group norm, and its constants.
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm<'a> {
    /// The factor, `[channels]` in float32.
    pub weight: &'a Tensor,
    /// Added afterwards, `[channels]` in float32.
    pub offset: &'a Tensor,
    /// How many groups the channels form.
    pub groups: i64,
    /// Added to the variance.
    pub eps: f64,
}

impl Functions {
    pub(super) fn load(gpu: &Gpu) -> Result<Self, Error> {
        let names = [
            "channel_moments",
            "add_moments",
            "norm_coefficients",
            "group_norm",
            "group_norm_silu",
        ];
        let [moments, add, coefficients, norm, norm_silu] =
            compile::load(gpu, "group_norm.cu", names)?;
        Ok(Self { moments, add, coefficients, norm, norm_silu })
    }
}

impl Kernels {
    /// Whether maps of `channels` channels can be normed, added and upsampled.
    pub fn takes_channels(channels: i64) -> bool {
        channels > 0 && channels % 8 == 0 && channels <= 8 * THREADS
    }

    /// The moments of a map.
    ///
    /// # Errors
    /// When the tensor does not fit, or the driver fails.
    pub fn moments(&self, x: &Tensor) -> Result<Moments, Error> {
        let map = Map::of(x)?;
        let moments = map.moments(x)?;
        let arguments = [
            x.into(),
            map.positions.into(),
            map.channels.into(),
            moments.per_block.into(),
            (&moments.values).into(),
        ];
        let grid = (moments.blocks(), 1);
        // SAFETY: the types are those of `channel_moments`; there is a pair of moments for each
        // block and channel.
        unsafe {
            self.0.stream.launch(self.0.group_norm.moments, grid, map.threads(), &arguments)
        }?;
        Ok(moments)
    }

    /// `x + y + bias`, and its moments.
    ///
    /// # Errors
    /// When a tensor does not fit, or the driver fails.
    pub fn add(
        &self,
        x: &Tensor,
        y: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<(Tensor, Moments), Error> {
        let map = Map::of(x)?;
        expect(y, Kind::BFloat16, &[map.positions, map.channels])?;
        map.expect_bias(bias)?;
        let (sum, moments) = (x.f_empty_like()?, map.moments(x)?);
        let arguments = [
            x.into(),
            y.into(),
            bias.into(),
            (&sum).into(),
            map.positions.into(),
            map.channels.into(),
            moments.per_block.into(),
            (&moments.values).into(),
        ];
        let grid = (moments.blocks(), 1);
        // SAFETY: the types are those of `add_moments`; both maps and the sum are of one shape.
        unsafe { self.0.stream.launch(self.0.group_norm.add, grid, map.threads(), &arguments) }?;
        Ok((sum, moments))
    }

    /// The norm of `x + bias`, and its SiLU if `silu`. `moments` are those of `x` without the bias.
    ///
    /// # Errors
    /// When a tensor does not fit, or the driver fails.
    pub fn group_norm(
        &self,
        x: &Tensor,
        moments: &Moments,
        bias: Option<&Tensor>,
        norm: GroupNorm<'_>,
        silu: bool,
    ) -> Result<Tensor, Error> {
        let map = Map::of(x)?;
        map.expect_bias(bias)?;
        map.expect_bias(Some(norm.weight))?;
        map.expect_bias(Some(norm.offset))?;
        if norm.groups <= 0 || map.channels % norm.groups != 0 {
            return Err(Error::InvalidArguments("the groups do not divide the channels"));
        }
        if moments.per_block != map.per_block()
            || moments.values.size() != [map.blocks(), map.channels, 2]
        {
            return Err(Error::InvalidArguments("the moments are of another map"));
        }
        let device = x.device();
        let coefficients = Tensor::f_empty([2, map.channels], (Kind::Float, device))?;
        let arguments = [
            (&moments.values).into(),
            moments.blocks().into(),
            moments.per_block.into(),
            map.positions.into(),
            map.channels.into(),
            norm.groups.into(),
            bias.into(),
            norm.weight.into(),
            norm.offset.into(),
            norm.eps.into(),
            (&coefficients).into(),
        ];
        // SAFETY: the types are those of `norm_coefficients`; the moments are of this map.
        unsafe {
            self.0.stream.launch(self.0.group_norm.coefficients, (norm.groups, 1), 512, &arguments)
        }?;
        let out = x.f_empty_like()?;
        let per_block = map.lanes() * NORMED_EACH;
        let arguments = [
            x.into(),
            (&coefficients).into(),
            map.positions.into(),
            map.channels.into(),
            per_block.into(),
            (&out).into(),
        ];
        let kernel = if silu { self.0.group_norm.norm_silu } else { self.0.group_norm.norm };
        let grid = (pieces(map.positions, per_block), 1);
        // SAFETY: the types are those of both kernels; map and result are of one shape.
        unsafe { self.0.stream.launch(kernel, grid, map.threads(), &arguments) }?;
        Ok(out)
    }
}

impl Moments {
    fn blocks(&self) -> i64 {
        self.values.size()[0]
    }
}

/// The distribution of a map over threads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map {
    pub(super) positions: i64,
    pub(super) channels: i64,
}

impl Map {
    /// The distribution of `x`, if the kernels support its shape.
    pub(super) fn of(x: &Tensor) -> Result<Self, Error> {
        let &[positions, channels] = &x.size()[..] else {
            return Err(Error::InvalidArguments("maps are [positions, channels]"));
        };
        expect(x, Kind::BFloat16, &[positions, channels])?;
        if positions > 0 && positions <= i64::from(i32::MAX) && Kernels::takes_channels(channels) {
            Ok(Self { positions, channels })
        } else {
            Err(Error::InvalidArguments(
                "a map is empty, too large, or its channels are not a multiple of 8",
            ))
        }
    }

    pub(super) fn expect_bias(self, bias: Option<&Tensor>) -> Result<(), Error> {
        bias.map_or(Ok(()), |bias| expect(bias, Kind::Float, &[self.channels]))
    }

    /// Positions that a block processes at a time.
    fn lanes(self) -> i64 {
        THREADS / (self.channels / 8)
    }

    fn threads(self) -> i64 {
        self.lanes() * self.channels / 8
    }

    fn per_block(self) -> i64 {
        pieces(self.positions, BLOCKS_MAX).max(self.lanes() * EACH)
    }

    fn blocks(self) -> i64 {
        pieces(self.positions, self.per_block())
    }

    /// Uninitialised moments of `x`.
    fn moments(self, x: &Tensor) -> Result<Moments, Error> {
        let shape = [self.blocks(), self.channels, 2];
        let values = Tensor::f_empty(shape, (Kind::Float, x.device()))?;
        Ok(Moments { values, per_block: self.per_block() })
    }
}

/// The number of pieces of at most `size` in `count`.
pub(super) fn pieces(count: i64, size: i64) -> i64 {
    (count + size - 1) / size
}
