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

/// The pieces of a map: runs of consecutive positions whose moments are computed each by itself.
///
/// Moments of a part that begins where a piece does are those of the whole map, to the bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pieces {
    positions: i64,
    per_piece: i64,
}

/// Mean and sum of squared distances of each channel in each piece of a map.
#[derive(Debug)]
pub struct Moments {
    /// `[pieces, channels, 2]` in float32.
    values: Tensor,
    pieces: Pieces,
}

/// A group norm with its moments: a factor and an offset of each channel, `[2, channels]` in float32.
#[derive(Debug)]
pub struct NormCoefficients(pub Tensor);

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

    /// The moments of `x`: of a map, or of a part that begins where a piece of it does.
    ///
    /// # Errors
    /// When the tensor does not fit, or the driver fails.
    pub fn moments(&self, x: &Tensor, pieces: Pieces) -> Result<Moments, Error> {
        let map = Map::of(x)?;
        let moments = map.moments(x, pieces)?;
        let arguments = [
            x.into(),
            map.positions.into(),
            map.channels.into(),
            pieces.per_piece.into(),
            (&moments.values).into(),
        ];
        let grid = (moments.pieces.count(), 1);
        // SAFETY: the types are those of `channel_moments`; there is a pair of moments for each
        // block and channel.
        unsafe {
            self.0.stream.launch(self.0.group_norm.moments, grid, map.threads(), &arguments)
        }?;
        Ok(moments)
    }

    /// `x + y + bias`, and its moments before it is rounded; of maps, or of parts as for
    /// [`Kernels::moments`].
    ///
    /// # Errors
    /// When a tensor does not fit, or the driver fails.
    pub fn add(
        &self,
        x: &Tensor,
        y: &Tensor,
        bias: Option<&Tensor>,
        pieces: Pieces,
    ) -> Result<(Tensor, Moments), Error> {
        let map = Map::of(x)?;
        expect(y, Kind::BFloat16, &[map.positions, map.channels])?;
        map.expect_bias(bias)?;
        let (sum, moments) = (x.f_empty_like()?, map.moments(x, pieces)?);
        let arguments = [
            x.into(),
            y.into(),
            bias.into(),
            (&sum).into(),
            map.positions.into(),
            map.channels.into(),
            pieces.per_piece.into(),
            (&moments.values).into(),
        ];
        let grid = (moments.pieces.count(), 1);
        // SAFETY: the types are those of `add_moments`; both maps and the sum are of one shape.
        unsafe { self.0.stream.launch(self.0.group_norm.add, grid, map.threads(), &arguments) }?;
        Ok((sum, moments))
    }

    /// The coefficients of the norm of `x + bias`. `moments` are those of all of `x` without the bias.
    ///
    /// # Errors
    /// When a tensor does not fit, or the driver fails.
    pub fn norm_coefficients(
        &self,
        moments: &Moments,
        bias: Option<&Tensor>,
        norm: GroupNorm<'_>,
    ) -> Result<NormCoefficients, Error> {
        let Moments { values, pieces } = moments;
        let &[count, channels, 2] = &values.size()[..] else {
            return Err(Error::InvalidArguments("moments are [pieces, channels, 2]"));
        };
        expect(values, Kind::Float, &[pieces.count(), channels, 2])?;
        for tensor in [bias, Some(norm.weight), Some(norm.offset)].into_iter().flatten() {
            expect(tensor, Kind::Float, &[channels])?;
        }
        if norm.groups <= 0 || channels % norm.groups != 0 {
            return Err(Error::InvalidArguments("the groups do not divide the channels"));
        }
        let coefficients = Tensor::f_empty([2, channels], (Kind::Float, values.device()))?;
        let arguments = [
            values.into(),
            count.into(),
            pieces.per_piece.into(),
            pieces.positions.into(),
            channels.into(),
            norm.groups.into(),
            bias.into(),
            norm.weight.into(),
            norm.offset.into(),
            norm.eps.into(),
            (&coefficients).into(),
        ];
        // SAFETY: the types are those of `norm_coefficients`; there are moments for each piece.
        unsafe {
            self.0.stream.launch(self.0.group_norm.coefficients, (norm.groups, 1), 512, &arguments)
        }?;
        Ok(NormCoefficients(coefficients))
    }

    /// The norm of a map or of any part of it, and its SiLU if `silu`.
    ///
    /// # Errors
    /// When a tensor does not fit, or the driver fails.
    pub fn group_norm(
        &self,
        x: &Tensor,
        coefficients: &NormCoefficients,
        silu: bool,
    ) -> Result<Tensor, Error> {
        let map = Map::of(x)?;
        expect(&coefficients.0, Kind::Float, &[2, map.channels])?;
        let out = x.f_empty_like()?;
        let per_block = map.lanes() * NORMED_EACH;
        let arguments = [
            x.into(),
            (&coefficients.0).into(),
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

impl Pieces {
    /// Pieces of `per_piece` positions; the last may have fewer.
    pub fn new(positions: i64, per_piece: i64) -> Self {
        Self { positions, per_piece: per_piece.max(1) }
    }

    /// The pieces that suit the kernels: the same on every GPU.
    pub fn of_map(positions: i64, channels: i64) -> Self {
        let lanes = Map { positions, channels }.lanes();
        Self::new(positions, pieces(positions, BLOCKS_MAX).max(lanes * EACH))
    }

    /// The pieces of a part of so many positions, which begins where a piece does.
    pub fn of_part(self, positions: i64) -> Self {
        Self { positions, ..self }
    }

    /// How many there are.
    pub fn count(self) -> i64 {
        pieces(self.positions, self.per_piece)
    }

    /// Positions in all of them.
    pub fn positions(self) -> i64 {
        self.positions
    }

    /// Positions of each but the last.
    pub fn per_piece(self) -> i64 {
        self.per_piece
    }
}

impl Moments {
    /// `values` `[pieces, channels, 2]` in float32.
    pub fn new(values: Tensor, pieces: Pieces) -> Self {
        Self { values, pieces }
    }

    /// The moments of a map from those of its parts in order.
    ///
    /// # Errors
    /// When the parts are not whole pieces of one map, or libtorch fails (out of memory).
    pub fn join(parts: &[Self]) -> Result<Self, Error> {
        let [before @ .., last] = parts else {
            return Err(Error::InvalidArguments("a map has at least one part"));
        };
        let per_piece = last.pieces.per_piece;
        let whole = |part: &Self| {
            part.pieces.per_piece == per_piece && part.pieces.positions % per_piece == 0
        };
        if !before.iter().all(whole) {
            return Err(Error::InvalidArguments("the parts are not whole pieces of one map"));
        }
        let positions = parts.iter().map(|part| part.pieces.positions).sum();
        let values: Vec<&Tensor> = parts.iter().map(|part| &part.values).collect();
        Ok(Self::new(Tensor::f_cat(&values, 0)?, Pieces { positions, per_piece }))
    }

    /// `[pieces, channels, 2]` in float32: means, and sums of squared distances.
    pub fn values(&self) -> &Tensor {
        &self.values
    }

    /// The pieces that they are of.
    pub fn pieces(&self) -> Pieces {
        self.pieces
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

    /// Uninitialised moments of `x`.
    fn moments(self, x: &Tensor, pieces: Pieces) -> Result<Moments, Error> {
        let pieces = pieces.of_part(self.positions);
        let shape = [pieces.count(), self.channels, 2];
        let values = Tensor::f_empty(shape, (Kind::Float, x.device()))?;
        Ok(Moments { values, pieces })
    }
}

/// The number of pieces of at most `size` in `count`.
pub(super) fn pieces(count: i64, size: i64) -> i64 {
    (count + size - 1) / size
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn pieces_cover_a_map_and_its_parts() {
        // Maps of an image of 1024², of 1536x1024, and small or odd ones.
        for (positions, channels, per_piece, count) in [
            (512 * 512, 512, 128, 2048),
            (1024 * 1024, 128, 512, 2048),
            (1536 * 1024, 128, 768, 2048),
            (1072 * 1040, 128, 545, 2046),
            (35, 40, 816, 1),
            (1, 8, 4096, 1),
        ] {
            let pieces = Pieces::of_map(positions, channels);
            assert_eq!((pieces.per_piece(), pieces.count()), (per_piece, count));
            let part = pieces.of_part(per_piece + 1);
            assert_eq!((part.per_piece(), part.count()), (per_piece, 2));
        }
    }

    #[test]
    fn moments_are_joined_from_whole_pieces() {
        let moments = |positions, per_piece| {
            let pieces = Pieces::new(positions, per_piece);
            let shape = [pieces.count(), 8, 2];
            Moments::new(Tensor::rand(shape, (Kind::Float, Device::Cpu)), pieces)
        };
        let joined = Moments::join(&[moments(12, 4), moments(4, 4), moments(3, 4)]).unwrap();
        assert_eq!(joined.pieces(), Pieces::new(19, 4));
        assert_eq!(joined.values().size(), [5, 8, 2]);
        for parts in
            [vec![], vec![moments(3, 4), moments(4, 4)], vec![moments(4, 4), moments(3, 3)]]
        {
            assert!(matches!(Moments::join(&parts), Err(Error::InvalidArguments(_))));
        }
    }
}
