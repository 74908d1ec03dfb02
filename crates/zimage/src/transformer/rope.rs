//! Rotary position embedding over three axes (prompt position, row, column).
//!
//! Source: diffusers `RopeEmbedder` and `apply_rotary_emb`: pairs are neighbours, angles are
//! made in float64, rounded to float32, and applied in float32.

use tch::{Device, Kind, Tensor};

use crate::error::Result;
use crate::ops::Rotation;

/// The parameters of the angles.
#[derive(Debug)]
pub(super) struct RopeTables {
    theta: f64,
    axes_dims: Vec<i64>,
}

impl RopeTables {
    pub(super) fn new(theta: f64, axes_dims: &[i64]) -> Self {
        Self { theta, axes_dims: axes_dims.to_vec() }
    }

    /// The width of one token's rotation.
    pub(super) fn width(&self) -> usize {
        self.axes_dims.iter().sum::<i64>() as usize
    }

    /// The rotation of tokens at these positions.
    pub(super) fn rotation(&self, positions: &[[i64; 3]], device: Device) -> Result<Rotation> {
        let mut angles = Vec::with_capacity(positions.len());
        for (axis, &dim) in self.axes_dims.iter().enumerate() {
            let at: Vec<f64> = positions.iter().map(|p| p[axis] as f64).collect();
            let frequencies: Vec<f64> =
                (0..dim).step_by(2).map(|i| 1.0 / self.theta.powf(i as f64 / dim as f64)).collect();
            angles.push(Tensor::f_from_slice(&at)?.f_outer(&Tensor::f_from_slice(&frequencies)?)?);
        }
        let angles = Tensor::f_cat(&angles, 1)?.f_to_kind(Kind::Float)?.f_unsqueeze(1)?;
        let rotations = Tensor::f_polar(&angles.f_ones_like()?, &angles)?;
        Ok(Rotation::Neighbours(rotations.f_to_device(device)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_zero_turns_nothing_and_lengths_are_kept() {
        let tables = RopeTables::new(256.0, &[4, 2, 2]);
        let rotation = tables.rotation(&[[0, 0, 0], [7, 3, 5]], Device::Cpu).unwrap();
        let x = Tensor::arange(16, (Kind::Float, Device::Cpu)).view([2, 1, 8]);
        let y = rotation.apply(&x).unwrap();
        assert_eq!(y.get(0), x.get(0));
        let length = |t: &Tensor| t.get(1).square().sum(Kind::Float).double_value(&[]);
        assert!((length(&x) - length(&y)).abs() < 1e-3);
        assert_ne!(y.get(1), x.get(1));
    }

    #[test]
    fn a_pair_turns_by_its_position() {
        let rotation = RopeTables::new(256.0, &[2]).rotation(&[[1, 0, 0]], Device::Cpu).unwrap();
        let y = rotation.apply(&Tensor::from_slice(&[1f32, 0.0]).view([1, 1, 2])).unwrap();
        assert!((y.double_value(&[0, 0, 0]) - 1f64.cos()).abs() < 1e-6);
        assert!((y.double_value(&[0, 0, 1]) - 1f64.sin()).abs() < 1e-6);
    }
}
