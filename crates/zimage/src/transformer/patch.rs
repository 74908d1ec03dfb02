//! Latents to tokens and back: a token is a square of `patch` × `patch` latents.
//!
//! Source: diffusers `_patchify_image`, `unpatchify`, `create_coordinate_grid` for one frame.

use tch::Tensor;

use super::SEQUENCE_MULTIPLE;
use crate::error::Result;

/// The grid of an image's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    channels: i64,
    rows: i64,
    columns: i64,
    patch: i64,
}

impl Grid {
    /// For latents of `height` × `width`, both multiples of `patch`.
    pub(super) fn new(channels: i64, height: i64, width: i64, patch: i64) -> Self {
        Self { channels, rows: height / patch, columns: width / patch, patch }
    }

    /// The same grid of latents with other channels.
    pub(super) fn of_channels(self, channels: i64) -> Self {
        Self { channels, ..self }
    }

    /// The number of tokens without padding.
    pub(crate) fn tokens(&self) -> i64 {
        self.rows * self.columns
    }

    /// The position of each token: (first, row, column); padding is at the origin.
    pub(super) fn positions(&self, first: i64) -> Vec<[i64; 3]> {
        let mut at: Vec<[i64; 3]> =
            (0..self.tokens()).map(|i| [first, i / self.columns, i % self.columns]).collect();
        let padded = (self.tokens() as usize).next_multiple_of(SEQUENCE_MULTIPLE as usize);
        at.resize(padded, [0, 0, 0]);
        at
    }

    /// `[1, channels, height, width]` to `[tokens, patch · patch · channels]`, channels fastest.
    pub(super) fn patchify(&self, latents: &Tensor) -> Result<Tensor> {
        let Self { channels, rows, columns, patch } = *self;
        let split = latents.f_view([channels, rows, patch, columns, patch])?;
        let tokens = split.f_permute([1, 3, 2, 4, 0])?;
        Ok(tokens.f_reshape([rows * columns, patch * patch * channels])?)
    }

    /// The inverse of `patchify`.
    pub(super) fn unpatchify(&self, tokens: &Tensor) -> Result<Tensor> {
        let Self { channels, rows, columns, patch } = *self;
        let split = tokens.f_view([rows, columns, patch, patch, channels])?;
        let latents = split.f_permute([4, 0, 2, 1, 3])?;
        Ok(latents.f_reshape([1, channels, rows * patch, columns * patch])?)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn there_and_back() {
        let grid = Grid::new(3, 4, 6, 2);
        let latents = Tensor::arange(72, (Kind::Float, Device::Cpu)).view([1, 3, 4, 6]);
        let tokens = grid.patchify(&latents).unwrap();
        assert_eq!(tokens.size(), [6, 12]);
        // Channel is the fastest: the first two values are channels 0 and 1 of the corner.
        assert_eq!(tokens.double_value(&[0, 1]), latents.double_value(&[0, 1, 0, 0]));
        assert_eq!(grid.unpatchify(&tokens).unwrap(), latents);
    }

    #[test]
    fn padding_is_at_the_origin() {
        let at = Grid::new(16, 4, 6, 2).positions(33);
        assert_eq!(at.len(), 32);
        assert_eq!(at[5], [33, 1, 2]);
        assert_eq!(at[6], [0, 0, 0]);
    }
}
