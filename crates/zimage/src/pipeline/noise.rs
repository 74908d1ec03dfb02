//! Noise: normal numbers from a seed, those of diffusers' `torch.Generator("cpu")`.

use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

use crate::error::Result;

/// Normal numbers in float32 on the CPU, as many tensors as are asked for one after the other.
pub(super) fn normal<const N: usize>(seed: u64, shape: &[i64]) -> Result<[Tensor; N]> {
    /// The generator belongs to the process: seeding it and taking numbers from it are one act.
    static GENERATOR: Mutex<()> = Mutex::new(());
    let _lock = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed.cast_signed());
    let mut tensors = [(); N].map(|()| Tensor::new());
    for tensor in &mut tensors {
        *tensor = Tensor::f_randn(shape, (Kind::Float, Device::Cpu))?;
    }
    Ok(tensors)
}
