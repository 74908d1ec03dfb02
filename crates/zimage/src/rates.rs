//! The rates of a device, measured in a tenth of a second: copies, reads of a checkpoint's files, and
//! products of a block's shape.

use std::time::Instant;

use tch::{Device, Kind, Tensor};
use zimage_checkpoint::{Component, DataFile, MeasuredRates};
use zimage_cuda::{Memory, Uploader};

use crate::checkpoint::Checkpoint;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::float8;
use crate::weights::reader_threads;

/// Bytes of a copy, and of a read.
const COPY: usize = 16 << 20;
/// Copies: 0.25 GB.
const COPIES: u32 = 16;
/// Bytes that one thread reads.
const READ: u64 = 64 << 20;
/// Rows, inputs and outputs of a product: a feed-forward of Z-Image at 1024².
const PRODUCT: [i64; 3] = [4160, 3840, 10240];
/// Products that are timed.
const PRODUCTS: u32 = 8;

/// Measures a GPU and its host, for weights of this dtype.
///
/// # Errors
/// When the GPU fails or has too little memory (0.3 GB), or a file cannot be read; or for a CPU.
pub fn measure(device: Device, dtype: DType, checkpoint: &Checkpoint) -> Result<MeasuredRates> {
    let Device::Cuda(ordinal) = device else {
        return Err(Error::Device("only GPUs are measured".to_owned()));
    };
    let dense = products(device, dtype.kind(), None)?;
    let product = match dtype {
        DType::Float8 => products(device, dtype.kind(), Some(float8::rows))?,
        _ => dense,
    };
    zimage_cuda::empty_cache()?;
    Ok(MeasuredRates { link: link(ordinal)?, read: read(checkpoint)?, product, dense })
}

/// Bytes a second from pinned memory to the GPU.
fn link(ordinal: usize) -> Result<f64> {
    let memory = Memory::new(ordinal, COPY)?;
    let mut uploader = Uploader::new(ordinal, 2, COPY)?;
    let copy = |uploader: &mut Uploader, count| -> Result<()> {
        for _ in 0..count {
            uploader.slot()?;
            uploader.send(COPY, &memory, 0)?;
        }
        // All but the last have arrived.
        uploader.slot().map(drop)?;
        Ok(())
    };
    copy(&mut uploader, 2)?;
    let begun = Instant::now();
    copy(&mut uploader, COPIES)?;
    let rate = f64::from(COPIES - 1) * COPY as f64 / begun.elapsed().as_secs_f64();
    uploader.finish()?;
    Ok(rate)
}

/// Bytes a second that all reader threads together read of a checkpoint's files in the page cache.
fn read(checkpoint: &Checkpoint) -> Result<f64> {
    let index = checkpoint.tensor_index(Component::Transformer)?;
    let largest = index.files.iter().max_by_key(|file| file.len);
    let Some(file) = largest else { return Err(Error::Internal("there is no file".to_owned())) };
    one_thread(file).map(|rate| rate * reader_threads() as f64)
}

fn one_thread(file: &DataFile) -> Result<f64> {
    let bytes = READ.min(file.len);
    let mut buffer = vec![0; (2 << 20).min(bytes as usize).max(1)];
    let mut pass = || -> Result<f64> {
        let begun = Instant::now();
        let mut at = 0;
        while at + buffer.len() as u64 <= bytes {
            file.read_exact_at(&mut buffer, at)?;
            at += buffer.len() as u64;
        }
        Ok(at.max(1) as f64 / begun.elapsed().as_secs_f64().max(1e-9))
    };
    // The first pass brings it into the page cache.
    pass()?;
    pass()
}

/// Operations a second of a product, in float8 if `rows` makes that of a matrix.
fn products(
    device: Device,
    kind: Kind,
    rows: Option<fn(&Tensor) -> Result<zimage_cuda::Float8Rows>>,
) -> Result<f64> {
    let [tokens, inputs, outputs] = PRODUCT;
    // Numbers as they are: products of zeros take less power, and so less time.
    let x = Tensor::f_randn([tokens, inputs], (kind, device))?;
    let weight = Tensor::f_randn([outputs, inputs], (kind, device))?;
    let packed = rows.map(|rows| Ok::<_, Error>((rows(&x)?, rows(&weight)?))).transpose()?;
    let multiply = || match &packed {
        Some((x, weight)) => float8::product(x, weight),
        None => Ok(x.f_linear(&weight, None::<&Tensor>)?),
    };
    for _ in 0..3 {
        multiply().map(drop)?;
    }
    synchronize(device)?;
    let begun = Instant::now();
    for _ in 0..PRODUCTS {
        multiply().map(drop)?;
    }
    synchronize(device)?;
    let operations = 2.0 * (tokens * inputs * outputs) as f64 * f64::from(PRODUCTS);
    Ok(operations / begun.elapsed().as_secs_f64().max(1e-9))
}

fn synchronize(device: Device) -> Result<()> {
    match device {
        Device::Cuda(ordinal) => Ok(zimage_cuda::synchronize_compute(ordinal)?),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_cpu_is_not_measured_and_its_parts_can_be() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR"));
        let fixture = fixture.join("../../tests/fixtures/reference/plain");
        let checkpoint = Checkpoint::open(&fixture).unwrap();
        assert!(measure(Device::Cpu, DType::Float32, &checkpoint).is_err());
        let rate = read(&checkpoint).unwrap();
        assert!(rate > 1e6 && rate.is_finite(), "{rate}");
    }
}
