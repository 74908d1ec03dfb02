//! `group_norm.cu`: group norm of feature maps, and the residual sum before it.
//!
//! A map here is `[places, channels]` in bfloat16: NHWC of one image. A bias is `[channels]` in
//! float32: that of the convolution which made the map, and not yet added to it.

#![expect(unsafe_code, reason = "launches kernels")]

use tch::{Kind, Tensor};

use super::launch::expect;
use super::{Kernel, Kernels, compile};
use crate::{Error, Gpu};

/// Threads of a block at most, each of which keeps to eight channels.
const THREADS: i64 = 256;
/// Blocks that take moments, at most. It does not depend on the GPU, so neither does the order in
/// which is summed.
const BLOCKS_MAX: i64 = 2048;
/// Places whose moments a thread takes at least.
const EACH: i64 = 16;
/// Places that a thread norms: as many as it has in flight. More was slower.
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
    /// Places of a piece; the last may have fewer.
    per_block: i64,
}

/// What a group norm has learnt, and its constants.
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm<'a> {
    /// Multiplied with, `[channels]` in float32.
    pub weight: &'a Tensor,
    /// Added then, `[channels]` in float32.
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
    /// Whether maps of so many channels can be normed, added and upsampled.
    pub fn takes_channels(channels: i64) -> bool {
        channels > 0 && channels % 8 == 0 && channels <= 8 * THREADS
    }

    /// The moments of a map.
    ///
    /// # Errors
    /// When the tensor is not as said, or the driver refuses.
    pub fn moments(&self, x: &Tensor) -> Result<Moments, Error> {
        let map = Map::of(x)?;
        let moments = map.moments(x)?;
        let arguments = [
            x.into(),
            map.places.into(),
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
    /// When a tensor is not as said, or the driver refuses.
    pub fn add(
        &self,
        x: &Tensor,
        y: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<(Tensor, Moments), Error> {
        let map = Map::of(x)?;
        expect(y, Kind::BFloat16, &[map.places, map.channels])?;
        map.expect_bias(bias)?;
        let (sum, moments) = (x.f_empty_like()?, map.moments(x)?);
        let arguments = [
            x.into(),
            y.into(),
            bias.into(),
            (&sum).into(),
            map.places.into(),
            map.channels.into(),
            moments.per_block.into(),
            (&moments.values).into(),
        ];
        let grid = (moments.blocks(), 1);
        // SAFETY: the types are those of `add_moments`; both maps and the sum are of one shape.
        unsafe { self.0.stream.launch(self.0.group_norm.add, grid, map.threads(), &arguments) }?;
        Ok((sum, moments))
    }

    /// The norm of `x + bias`, and then its silu if wished. `moments` are those of `x` alone.
    ///
    /// # Errors
    /// When a tensor is not as said, or the driver refuses.
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
            return Err(Error::Misuse("the groups do not divide the channels"));
        }
        if moments.per_block != map.per_block()
            || moments.values.size() != [map.blocks(), map.channels, 2]
        {
            return Err(Error::Misuse("the moments are of another map"));
        }
        let device = x.device();
        let coefficients = Tensor::f_empty([2, map.channels], (Kind::Float, device))?;
        let arguments = [
            (&moments.values).into(),
            moments.blocks().into(),
            moments.per_block.into(),
            map.places.into(),
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
            map.places.into(),
            map.channels.into(),
            per_block.into(),
            (&out).into(),
        ];
        let kernel = if silu { self.0.group_norm.norm_silu } else { self.0.group_norm.norm };
        let grid = (pieces(map.places, per_block), 1);
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

/// How a map is shared out among threads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map {
    pub(super) places: i64,
    pub(super) channels: i64,
}

impl Map {
    /// That of `x`, if the kernels take it.
    pub(super) fn of(x: &Tensor) -> Result<Self, Error> {
        let &[places, channels] = &x.size()[..] else {
            return Err(Error::Misuse("maps are [places, channels]"));
        };
        expect(x, Kind::BFloat16, &[places, channels])?;
        if places > 0 && places <= i64::from(i32::MAX) && Kernels::takes_channels(channels) {
            Ok(Self { places, channels })
        } else {
            Err(Error::Misuse("a map is empty, too large, or its channels no multiple of 8"))
        }
    }

    pub(super) fn expect_bias(self, bias: Option<&Tensor>) -> Result<(), Error> {
        bias.map_or(Ok(()), |bias| expect(bias, Kind::Float, &[self.channels]))
    }

    /// Places that a block works on at a time.
    fn lanes(self) -> i64 {
        THREADS / (self.channels / 8)
    }

    fn threads(self) -> i64 {
        self.lanes() * self.channels / 8
    }

    fn per_block(self) -> i64 {
        pieces(self.places, BLOCKS_MAX).max(self.lanes() * EACH)
    }

    fn blocks(self) -> i64 {
        pieces(self.places, self.per_block())
    }

    /// Memory for the moments of `x`.
    fn moments(self, x: &Tensor) -> Result<Moments, Error> {
        let shape = [self.blocks(), self.channels, 2];
        let values = Tensor::f_empty(shape, (Kind::Float, x.device()))?;
        Ok(Moments { values, per_block: self.per_block() })
    }
}

/// Into how many pieces of at most `size` the `count` fall.
pub(super) fn pieces(count: i64, size: i64) -> i64 {
    (count + size - 1) / size
}
