//! Decoding in strips: the same picture to the bit as decoding whole, in a fraction of the memory. The
//! encoder's levels are computed likewise.
//!
//! The small maps are computed whole. Of each large level one map is stored: what lies between two
//! stored maps is computed for some rows at a time, and computed again where it is needed again. A
//! group norm needs the moments of all of its map, so there is a pass for the moments before the pass
//! that norms. A residual block writes its output over its input, and keeps the few rows that the next
//! strip still reads.
//!
//! ```text
//! level 2   stored ──────────────────────────────┐ doubled, convolved: never whole
//! level 3   moments of it │ h = conv1(norm1(it)) │ h := it + conv2(norm2(h))    first block: 3 passes
//!           moments of conv1(norm1(x)) │ x := x + conv2(norm2(conv1(norm1(x))))  others: 2 passes
//!           bytes of conv_out(norm_out(x))                                       1 pass
//! ```

mod in_place;
mod resnet;
mod rows;

use std::ops::Range;

use tch::{Kind, Tensor};

use super::cut::Cut;
use super::decoder::{Decoder, Up, colours, double};
use super::encoder::Down;
use super::layers::Conv;
use crate::error::Result;
use crate::ops::{Map, Ops, stack_images};

use rows::{Convolved, Doubled, Rows};

impl Decoder {
    /// As [`Decoder::forward`], to the bit.
    pub(super) fn forward_in_strips(&self, z: &Tensor, cut: Cut) -> Result<Tensor> {
        let mut strips = Vec::new();
        self.for_each_strip(z, cut, |_, strip| {
            strips.push(colours(&strip)?);
            Ok(())
        })?;
        stack_images(&strips)
    }

    /// As [`Decoder::bytes`], to the bit.
    pub(super) fn bytes_in_strips(&self, z: &Tensor, cut: Cut) -> Result<Tensor> {
        let (_, _, h, w) = z.size4()?;
        let scale = 1 << (self.up.len() - 1);
        let bytes = Tensor::f_empty([h * scale, w * scale, 3], (Kind::Uint8, z.device()))?;
        self.for_each_strip(z, cut, |rows, strip| {
            let place = bytes.f_narrow(0, rows.start, rows.end - rows.start);
            Ok(place?.f_copy_(&self.ops.to_bytes(&strip)?)?)
        })?;
        Ok(bytes)
    }

    /// Hands the output of the last convolution to `receive`, rows after rows from the top.
    fn for_each_strip(
        &self,
        z: &Tensor,
        cut: Cut,
        mut receive: impl FnMut(Range<i64>, Map) -> Result<()>,
    ) -> Result<()> {
        let ops = &self.ops;
        let mut x = self.first_map(z)?;
        let mut upsampler = None;
        for up in &self.up {
            x = up.forward_level(ops, x, upsampler, cut)?;
            upsampler = up.upsampler.as_ref();
        }
        let shape = x.shape()?;
        if !cut.is_in_strips(shape) {
            let normed = self.norm_out.forward_silu(ops, &x)?;
            return receive(0..shape.h, self.conv_out.forward(&normed)?);
        }
        let norm = self.norm_out.coefficients(ops, &ops.moments(&x)?, x.bias())?;
        let last = Convolved { input: &x, norm: &norm, conv: &self.conv_out };
        cut.strips(shape).try_for_each(|rows| {
            let strip = last.rows(ops, &rows)?;
            receive(rows, strip)
        })
    }
}

impl Up {
    /// A level: `x` is the stored map before it, of half the size if there is an upsampler in between.
    fn forward_level(
        &self,
        ops: &Ops,
        mut x: Map,
        upsampler: Option<&Conv>,
        cut: Cut,
    ) -> Result<Map> {
        let mut resnets = self.resnets.iter();
        if let Some(conv) = upsampler {
            let doubled = Doubled { input: &x, conv };
            if !cut.is_in_strips(doubled.shape()?) {
                return self.forward(ops, double(ops, x, conv)?);
            }
            if let Some(first) = resnets.next() {
                x = first.forward_in_strips(ops, &doubled, cut)?;
            }
        } else if !cut.is_in_strips(x.shape()?) {
            return self.forward(ops, x);
        }
        for resnet in resnets {
            x = resnet.forward_of_stored(ops, x, cut)?;
        }
        Ok(x)
    }
}

impl Down {
    /// The residual blocks of the encoder's level.
    pub(super) fn resnets_in_strips(&self, ops: &Ops, mut x: Map, cut: Cut) -> Result<Map> {
        for resnet in &self.resnets {
            x = if cut.is_in_strips(x.shape()?) {
                resnet.forward_of_stored(ops, x, cut)?
            } else {
                resnet.forward(ops, &x)?
            };
        }
        Ok(x)
    }
}

#[cfg(test)]
mod tests;
