//! Device selection: which device computes, in which number type.

use tch::Device;
use zimage::{DType, Options};
use zimg_protocol::{Failure, Kind};

use crate::args::{DTypeChoice, DeviceChoice};
use crate::log;

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
    let (device, name, suits) = match gpu {
        Some(found) => {
            let (context, libtorch) = (found.context.as_secs_f32(), found.libtorch.as_secs_f32());
            log::line(format_args!(
                "libtorch_cuda loaded in {libtorch:.2} s, driver's context {context:.2} s later"
            ));
            let gpu = found.gpu;
            let suits = if gpu.has_bfloat16() { DType::BFloat16 } else { DType::Float16 };
            (Device::Cuda(gpu.ordinal), format!("cuda:{} ({})", gpu.ordinal, gpu.name), suits)
        }
        None => (Device::Cpu, "cpu".to_owned(), DType::Float32),
    };
    let dtype = match dtype {
        DTypeChoice::Auto => suits,
        // What is not bfloat16's is float16's.
        DTypeChoice::Is(DType::Int8) if suits == DType::Float16 => DType::Int8Float16,
        DTypeChoice::Is(dtype) => dtype,
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
