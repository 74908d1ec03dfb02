//! Residual blocks in strips.

use super::in_place::InPlace;
use super::rows::{Convolved, Rows};
use crate::error::Result;
use crate::ops::{Map, Ops};
use crate::vae::cut::Cut;
use crate::vae::layers::Resnet;

impl Resnet {
    /// As [`Resnet::forward`] of a map that may be virtual: it is computed three times, and what lies
    /// between the convolutions is stored, where the output then replaces it.
    pub(super) fn forward_in_strips(&self, ops: &Ops, input: &dyn Rows, cut: Cut) -> Result<Map> {
        let norm = self.norm1.coefficients(ops, &input.moments(ops, cut)?, input.bias())?;
        let hidden = Convolved { input, norm: &norm, conv: &self.conv1 }.stored(ops, cut)?;
        let norm = self.norm2.coefficients(ops, &ops.moments(&hidden)?, hidden.bias())?;
        InPlace::new(hidden, 1).write_sum(ops, cut, |hidden, rows| {
            let y = Convolved { input: hidden, norm: &norm, conv: &self.conv2 }.rows(ops, rows)?;
            let x = input.rows(ops, rows)?;
            let x = self
                .shortcut
                .as_ref()
                .map_or(Ok(None), |conv| conv.project(&x).map(Some))?
                .unwrap_or(x);
            Ok((x, y))
        })
    }

    /// As [`Resnet::forward`] of a stored map.
    pub(super) fn forward_of_stored(&self, ops: &Ops, input: Map, cut: Cut) -> Result<Map> {
        match &self.shortcut {
            Some(_) => self.forward_in_strips(ops, &input, cut),
            None => self.forward_in_place(ops, input, cut),
        }
    }

    /// As [`Resnet::forward`] without a shortcut of its own: the output replaces the input, and what
    /// lies between the convolutions is computed twice.
    pub(super) fn forward_in_place(&self, ops: &Ops, input: Map, cut: Cut) -> Result<Map> {
        let first = self.norm1.coefficients(ops, &ops.moments(&input)?, input.bias())?;
        let hidden = Convolved { input: &input, norm: &first, conv: &self.conv1 };
        let second = self.norm2.coefficients(ops, &hidden.moments(ops, cut)?, hidden.bias())?;
        InPlace::new(input, 2).write_sum(ops, cut, |input, rows| {
            let hidden = Convolved { input, norm: &first, conv: &self.conv1 };
            let y =
                Convolved { input: &hidden, norm: &second, conv: &self.conv2 }.rows(ops, rows)?;
            Ok((input.rows(ops, rows)?, y))
        })
    }
}
