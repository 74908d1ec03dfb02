//! Device selection: which device computes, in which number type.

use tch::Device;
use zimage::{DType, Options};
use zimg_protocol::{Failure, Kind};

use crate::args::{DTypeChoice, DeviceChoice};
use crate::log;

/// The least compute capability with bfloat16, and with products in float8.
const BFLOAT16: (i32, i32) = (8, 0);
const FLOAT8: (i32, i32) = (8, 9);

/// The selection, and its name for users.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) options: Options,
    pub(crate) name: String,
}

/// Selects: `auto` is the first GPU if it can be used, and the number type that suits the device:
/// bfloat16 where its hardware has it, float16 with its overflow guards on older GPUs, float32 on a
/// CPU.
pub(crate) fn choose(
    device: DeviceChoice,
    dtype: DTypeChoice,
    eager: bool,
) -> Result<Choice, Failure> {
    let gpu = match device {
        DeviceChoice::Cpu => None,
        DeviceChoice::Cuda(ordinal) => {
            Some(zimage_cuda::init_timed(ordinal, !eager).map_err(|e| refusal(&e))?)
        }
        DeviceChoice::Auto => match zimage_cuda::init_timed(0, !eager) {
            Ok(found) => Some(found),
            Err(zimage_cuda::Error::NoDriver(_)) => None,
            Err(e) => {
                // A GPU that cannot be used is logged; the CPU still works.
                log::line(format_args!("using the CPU: {e}"));
                None
            }
        },
    };
    let (device, name, dtype) = match gpu {
        Some(found) => {
            let (context, libtorch) = (found.context.as_secs_f32(), found.libtorch.as_secs_f32());
            log::line(format_args!(
                "libtorch_cuda loaded in {libtorch:.2} s, driver's context {context:.2} s later"
            ));
            let gpu = found.gpu;
            let name = format!("cuda:{} ({})", gpu.ordinal, gpu.name);
            let dtype = dtype_on(gpu.capability, &name, dtype)?;
            if dtype == DType::BFloat16 && !gpu.has_bfloat16() {
                log::line(format_args!("{name} computes bfloat16 slowly: use dtype float16"));
            }
            (Device::Cuda(gpu.ordinal), name, dtype)
        }
        None => {
            let dtype = match dtype {
                DTypeChoice::Auto => DType::Float32,
                DTypeChoice::Is(dtype) => dtype,
            };
            (Device::Cpu, "cpu".to_owned(), dtype)
        }
    };
    Ok(Choice {
        options: Options {
            device,
            dtype,
            eager,
            residency: zimage::Residency::All,
            packed: false,
            pinned: false,
        },
        name,
    })
}

/// The number type on a GPU of this compute capability.
fn dtype_on(capability: (i32, i32), name: &str, choice: DTypeChoice) -> Result<DType, Failure> {
    let has_bfloat16 = capability >= BFLOAT16;
    match choice {
        DTypeChoice::Auto if has_bfloat16 => Ok(DType::BFloat16),
        DTypeChoice::Auto => Ok(DType::Float16),
        DTypeChoice::Is(DType::Int8) if !has_bfloat16 => Ok(DType::Int8Float16),
        DTypeChoice::Is(DType::Float8) if capability < FLOAT8 => {
            let ((major, minor), (least_major, least_minor)) = (capability, FLOAT8);
            let message = format!(
                "dtype is float8, and {name} has compute capability {major}.{minor}: products in \
                 float8 need {least_major}.{least_minor}"
            );
            Err(Failure::new(Kind::Config, message).hint("use dtype int8, or auto"))
        }
        DTypeChoice::Is(dtype) => Ok(dtype),
    }
}

fn refusal(error: &zimage_cuda::Error) -> Failure {
    let failure = Failure::new(Kind::Config, error.to_string());
    match error {
        zimage_cuda::Error::NoLibtorchCuda(_) => {
            failure.hint("build with the CUDA libtorch (make libtorch CUDA=1), or use --device cpu")
        }
        _ => failure.hint("check nvidia-smi, or use --device cpu"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_capability_has_its_number_type() {
        let auto = DTypeChoice::Auto;
        let is = DTypeChoice::Is;
        for (capability, choice, expected) in [
            ((7, 5), auto, Some(DType::Float16)),
            ((7, 5), is(DType::Int8), Some(DType::Int8Float16)),
            ((7, 5), is(DType::Float8), None),
            ((7, 5), is(DType::Float32), Some(DType::Float32)),
            ((8, 0), auto, Some(DType::BFloat16)),
            ((8, 0), is(DType::Int8), Some(DType::Int8)),
            ((8, 6), is(DType::Float8), None),
            ((8, 6), is(DType::Float16), Some(DType::Float16)),
            ((8, 9), is(DType::Float8), Some(DType::Float8)),
            ((9, 0), is(DType::Float8), Some(DType::Float8)),
            ((10, 0), auto, Some(DType::BFloat16)),
            ((12, 0), is(DType::Int8), Some(DType::Int8)),
            ((12, 0), is(DType::Float8), Some(DType::Float8)),
        ] {
            let found = dtype_on(capability, "cuda:0 (a GPU)", choice);
            assert_eq!(found.ok(), expected, "{capability:?} {choice:?}");
        }
        let failure = dtype_on((8, 6), "cuda:0 (a GPU)", is(DType::Float8)).unwrap_err();
        assert_eq!(
            failure.message,
            "dtype is float8, and cuda:0 (a GPU) has compute capability 8.6: products in float8 need 8.9"
        );
        assert_eq!(failure.kind, Kind::Config);
    }

    #[test]
    fn the_cpu_computes_in_float32_unless_told() {
        let choice = choose(DeviceChoice::Cpu, DTypeChoice::Auto, false).unwrap();
        let expected = Options {
            device: Device::Cpu,
            dtype: DType::Float32,
            eager: false,
            residency: zimage::Residency::All,
            packed: false,
            pinned: false,
        };
        assert_eq!(choice.options, expected);
        let choice = choose(DeviceChoice::Cpu, DTypeChoice::Is(DType::BFloat16), false).unwrap();
        assert_eq!(choice.options.dtype, DType::BFloat16);
    }
}
