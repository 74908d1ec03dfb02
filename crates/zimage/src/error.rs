//! Errors of the model: each has a kind, one sentence, and optionally a hint.

use std::borrow::Cow;

use tch::TchError;
use zimage_checkpoint::adapter::AdapterError;
use zimage_checkpoint::control::ControlError;
use zimage_params::ParamsError;
use zimage_params::limits::{SIZE_MIN, SIZE_MULTIPLE};

/// `CUDA_ERROR_OUT_OF_MEMORY`
const OUT_OF_MEMORY: i32 = 2;

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request cannot be served as it is: prompt, size, steps.
    Refused,
    /// The checkpoint's files are missing, damaged or of another model.
    Checkpoint,
    /// The device is absent or cannot be used.
    Device,
    /// The device's memory is too small, at least now.
    Memory,
    /// The GPU or libtorch failed. [`crate::Pipeline::probe`] tests whether they still work in this
    /// process.
    Fault,
    /// No call failed, but the result is not an image.
    Silent,
    /// A fault of the program.
    Internal,
}

/// A failure; its display is one sentence without a full stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A parameter is out of its range; the sentence names it and the range.
    #[error("{0}")]
    Refused(String),
    /// A generation parameter is out of its range.
    #[error(transparent)]
    Parameter(#[from] ParamsError),
    /// The prompt is too long; it is never truncated.
    #[error("the prompt has {tokens} tokens, but at most {limit} are possible")]
    PromptTooLong {
        /// How many tokens the prompt has, with the chat template's.
        tokens: usize,
        /// How many the model can take.
        limit: usize,
    },

    /// The GPU's memory does not hold an image of this size beside the model.
    #[error(
        "an image of {width}x{height} needs about {:.1} GB of the GPU's memory beside the model, \
         and {:.1} GB are free",
        *needed as f64 / 1e9, *free as f64 / 1e9
    )]
    TooLarge {
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
        /// Bytes that a step takes.
        needed: u64,
        /// Bytes that are free.
        free: u64,
        /// The side in pixels of the largest square that fits.
        side: u32,
    },

    /// The checkpoint's files are missing, damaged or of another model.
    #[error(transparent)]
    Checkpoint(#[from] zimage_checkpoint::Error),
    /// An adapter cannot be used.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// A ControlNet cannot be used.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The tokenizer's file is damaged or not supported.
    #[error("the tokenizer cannot be used: {0}")]
    Tokenizer(String),

    /// Retained weights are not certain to be the checkpoint's, or weights cannot be retained.
    #[error("the weights are not retained: {0}")]
    NotRetained(String),

    /// The device is absent or cannot be used.
    #[error("{0}")]
    Device(String),

    /// NaN or infinity where numbers should be, so there is no image.
    #[error("{0} are not finite numbers, so there is no image")]
    NotFinite(&'static str),
    /// All pixels are the same, which no prompt asks for.
    #[error("all of the image has one colour, #{:02x}{:02x}{:02x}", .0[0], .0[1], .0[2])]
    OneColour([u8; 3]),
    /// What was saved of an image does not fit it.
    #[error("the generation cannot be resumed: {0}")]
    NotResumable(String),
    /// The fused kernels or the driver failed.
    #[error("the GPU failed: {0}")]
    Gpu(zimage_cuda::Error),
    /// libtorch failed.
    #[error("libtorch failed: {}", first_line(.0))]
    Torch(#[from] TchError),
    /// A violated invariant of the program.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Its kind.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused(_)
            | Self::Adapter(_)
            | Self::Control(_)
            | Self::Parameter(_)
            | Self::PromptTooLong { .. }
            | Self::TooLarge { .. } => ErrorKind::Refused,
            Self::Torch(error) if is_out_of_memory(error) => ErrorKind::Memory,
            Self::Gpu(zimage_cuda::Error::OutOfMemory { .. }) => ErrorKind::Memory,
            Self::Gpu(zimage_cuda::Error::Driver { code: OUT_OF_MEMORY, .. }) => ErrorKind::Memory,
            Self::Torch(_)
            | Self::Gpu(
                zimage_cuda::Error::Driver { .. }
                | zimage_cuda::Error::Graph(_)
                | zimage_cuda::Error::SelfTest { .. },
            ) => ErrorKind::Fault,
            Self::Device(_) | Self::Gpu(_) => ErrorKind::Device,
            Self::NotFinite(_) | Self::OneColour(_) => ErrorKind::Silent,
            Self::NotResumable(_) | Self::NotRetained(_) | Self::Internal(_) => ErrorKind::Internal,
            Self::Checkpoint(_) | Self::Tokenizer(_) => ErrorKind::Checkpoint,
        }
    }

    /// The size of the allocation that failed, if it is known.
    pub fn bytes_needed(&self) -> Option<u64> {
        match self {
            Self::Gpu(zimage_cuda::Error::OutOfMemory { bytes, .. }) => Some(*bytes as u64),
            Self::Torch(error) => tried_to_allocate(&error.to_string()),
            _ => None,
        }
    }

    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Parameter(error) => return error.hint(),
            Self::PromptTooLong { .. } => "shorten the prompt",
            Self::TooLarge { side, .. } => {
                let side = side - side % SIZE_MULTIPLE;
                if side < SIZE_MIN {
                    "free some of the GPU's memory"
                } else {
                    return Some(format!("{side}x{side} would fit"));
                }
            }
            Self::Checkpoint(error) => return error.hint().map(Cow::into_owned),
            Self::Adapter(error) => return error.hint().map(Cow::into_owned),
            Self::Control(error) => return error.hint().map(Cow::into_owned),
            _ if self.kind() == ErrorKind::Memory => {
                "ask for a smaller image, or free some of the memory"
            }
            Self::NotFinite(_) => "try --dtype bfloat16 or float32 at the daemon",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl From<zimage_cuda::Error> for Error {
    fn from(error: zimage_cuda::Error) -> Self {
        match error {
            // So that out-of-memory errors have their kind.
            zimage_cuda::Error::Tch(error) => Self::Torch(error),
            zimage_cuda::Error::InvalidArguments(_) => Self::Internal(error.to_string()),
            error => Self::Gpu(error),
        }
    }
}

/// libtorch's messages go on with a C++ stack trace.
fn first_line(error: &TchError) -> String {
    let text = match error {
        TchError::Torch(text) => text.clone(),
        error => error.to_string(),
    };
    text.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}

fn is_out_of_memory(error: &TchError) -> bool {
    let text = error.to_string();
    ["out of memory", "not enough memory", "can't allocate memory", "STATUS_ALLOC_FAILED"]
        .iter()
        .any(|words| text.contains(words))
}

/// The number in libtorch's "Tried to allocate 20.00 MiB."
fn tried_to_allocate(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("ried to allocate ")?;
    let mut words = rest.split_whitespace();
    let number: f64 = words.next()?.parse().ok()?;
    let unit = match words.next()?.trim_end_matches('.') {
        "bytes" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    Some((number * f64::from(1 << unit)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn torch(text: &str) -> Error {
        TchError::Torch(text.to_owned()).into()
    }

    fn driver(code: i32) -> Error {
        zimage_cuda::Error::Driver { call: "cuLaunchKernel", code }.into()
    }

    #[test]
    fn libtorch_errors_are_one_line() {
        let error = torch("CUDA out of memory.\nframe #0: c10");
        assert_eq!(error.to_string(), "libtorch failed: CUDA out of memory");
        assert!(error.hint().is_some());
    }

    #[test]
    fn the_size_of_the_allocation_is_read_from_the_message() {
        for (text, bytes) in [
            ("CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has", Some(1_610_612_736)),
            ("Tried to allocate 512 bytes.", Some(512)),
            ("Tried to allocate 2.00 KiB", Some(2048)),
            ("you tried to allocate 12345 bytes. Error code 12", Some(12345)),
            ("Tried to allocate more parsecs", None),
            ("Tried to allocate", None),
            ("out of memory", None),
        ] {
            assert_eq!(torch(text).bytes_needed(), bytes, "{text}");
        }
        let no_room = zimage_cuda::Error::OutOfMemory { bytes: 7, free: 1 };
        assert_eq!(Error::from(no_room).bytes_needed(), Some(7));
    }

    #[test]
    fn unknown_errors_of_the_gpu_are_faults() {
        let tch = |text: &str| zimage_cuda::Error::Tch(TchError::Torch(text.into())).into();
        for (error, kind) in [
            (torch("CUDA out of memory. Tried to allocate 20.00 MiB"), ErrorKind::Memory),
            (torch("CUDA error: out of memory"), ErrorKind::Memory),
            (torch("DefaultCPUAllocator: can't allocate memory: you tried"), ErrorKind::Memory),
            (torch("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), ErrorKind::Memory),
            (tch("CUDA out of memory."), ErrorKind::Memory),
            (driver(2), ErrorKind::Memory),
            (zimage_cuda::Error::OutOfMemory { bytes: 2, free: 1 }.into(), ErrorKind::Memory),
            (torch("CUDA error: an illegal memory access was encountered"), ErrorKind::Fault),
            (torch("CUBLAS_STATUS_EXECUTION_FAILED"), ErrorKind::Fault),
            (torch("something that is not known"), ErrorKind::Fault),
            (driver(700), ErrorKind::Fault),
            (zimage_cuda::Error::SelfTest { found: 1.0, expected: 2 }.into(), ErrorKind::Fault),
            (zimage_cuda::Error::NoDriver("no".into()).into(), ErrorKind::Device),
            (zimage_cuda::Error::InvalidArguments("so").into(), ErrorKind::Internal),
            (Error::NotFinite("the latents"), ErrorKind::Silent),
            (Error::OneColour([0; 3]), ErrorKind::Silent),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}
