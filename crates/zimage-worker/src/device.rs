//! Which device and which kind of number.

use tch::Device;
use zimage::{DType, Options};
use zimg_protocol::{Failure, Kind};

use crate::args::{Place, Precision};
use crate::log;

/// The choice, and how to name it to people.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) options: Options,
    pub(crate) name: String,
}

/// Decides; `auto` is the first GPU if there is a usable one, and the kind of number that
/// suits the device: bfloat16 where its hardware has it, safe float16 on older GPUs, float32 on
/// a CPU.
pub(crate) fn choose(place: Place, precision: Precision, plain: bool) -> Result<Choice, Failure> {
    let gpu = match place {
        Place::Cpu => None,
        Place::Cuda(ordinal) => {
            Some(zimage_cuda::bring_up_timed(ordinal, !plain).map_err(|e| refusal(&e))?)
        }
        Place::Auto => match zimage_cuda::bring_up_timed(0, !plain) {
            Ok(found) => Some(found),
            Err(zimage_cuda::Error::NoDriver(_)) => None,
            Err(e) => {
                // A GPU that cannot be used is worth a line in the log; the CPU still works.
                log::line(format_args!("using the CPU: {e}"));
                None
            }
        },
    };
    let (device, name, suits) = match gpu {
        Some(found) => {
            let (context, libtorch) = (found.context.as_secs_f32(), found.libtorch.as_secs_f32());
            log::line(format_args!(
                "libtorch_cuda {libtorch:.2} s, then {context:.2} s until the driver's context"
            ));
            let gpu = found.gpu;
            let suits = if gpu.has_bfloat16() { DType::BFloat16 } else { DType::Float16 };
            (Device::Cuda(gpu.ordinal), format!("cuda:{} ({})", gpu.ordinal, gpu.name), suits)
        }
        None => (Device::Cpu, "cpu".to_owned(), DType::Float32),
    };
    let dtype = match precision {
        Precision::Auto => suits,
        Precision::Is(dtype) => dtype,
    };
    Ok(Choice { options: Options { device, dtype, plain }, name })
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
        let choice = choose(Place::Cpu, Precision::Auto, false).unwrap();
        let expected = Options { device: Device::Cpu, dtype: DType::Float32, plain: false };
        assert_eq!(choice.options, expected);
        let choice = choose(Place::Cpu, Precision::Is(DType::BFloat16), false).unwrap();
        assert_eq!(choice.options.dtype, DType::BFloat16);
    }
}
