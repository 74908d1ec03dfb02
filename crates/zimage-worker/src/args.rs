//! The worker's command line, written by the supervisor.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;
use clap::builder::{OsStringValueParser, TypedValueParser};
use zimage::checkpoint::{MemoryBudget, ModelFiles, ModelKind, PinnedMemory};

/// The names of the options that are read before `main`, too: see `preinit`.
pub(crate) mod flag {
    pub(crate) const PARENT_PID: &str = "parent-pid";
    pub(crate) const DEVICE: &str = "device";
    pub(crate) const EAGER: &str = "eager";
}

/// Runs the model for zimaged.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// The supervisor's process: the worker ends with it.
    #[arg(long = flag::PARENT_PID)]
    pub(crate) parent_pid: i32,
    /// A checkpoint's folder, file or repository, or `tiny` for the built-in model.
    #[arg(long, default_value = "tiny", value_parser = OsStringValueParser::new().map(Model::from))]
    pub(crate) model: Model,
    /// The text encoder's file or folder, if it is not the model's.
    #[arg(long, value_name = "PATH")]
    pub(crate) text_encoder: Option<PathBuf>,
    /// The VAE's file or folder, likewise.
    #[arg(long, value_name = "PATH")]
    pub(crate) vae: Option<PathBuf>,
    /// The tokenizer's file or folder, likewise.
    #[arg(long, value_name = "PATH")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// `turbo` or `base`, if the files do not tell it.
    #[arg(long, value_name = "KIND")]
    pub(crate) model_kind: Option<ModelKind>,
    /// `auto`, `cpu` or `cuda:N`.
    #[arg(long = flag::DEVICE, default_value = "auto")]
    pub(crate) device: DeviceChoice,
    /// `auto`, `bfloat16`, `float16`, `float32`, `float8` or `int8`.
    #[arg(long, default_value = "auto")]
    pub(crate) dtype: DTypeChoice,
    /// What it may take of the device's memory: `auto`, or a size like `8GiB`.
    #[arg(long, default_value = "auto")]
    pub(crate) memory: MemoryBudget,
    /// The host's memory that it may pin: `off`, or a size like `16GiB`.
    #[arg(long, default_value = "512MiB")]
    pub(crate) pinned_memory: PinnedMemory,
    /// The folder that keeps what was measured of devices.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) rates: Option<PathBuf>,
    /// The bytes that an earlier process planned with, or those of a smaller plan.
    #[arg(long, value_name = "BYTES")]
    pub(crate) plan_budget: Option<u64>,
    /// Pixels of an image that an earlier process had no room for.
    #[arg(long, value_name = "PIXELS")]
    pub(crate) plan_pixels: Option<u64>,
    /// Sizes to warm up before the worker reports ready; the model's default size if none.
    #[arg(long, value_delimiter = ',', value_name = "WIDTHxHEIGHT")]
    pub(crate) warmup: Vec<Size>,
    /// A job waits for an image of this size: reports ready without a warm-up pass.
    #[arg(long, value_name = "WIDTHxHEIGHT")]
    pub(crate) awaited: Option<Size>,
    /// The socket to the supervisor that retains weights beyond this process.
    #[arg(long, value_name = "DESCRIPTOR", value_parser = clap::value_parser!(RawFd).range(3..))]
    pub(crate) weights_fd: Option<RawFd>,
    /// libtorch's operations alone, none of our kernels.
    #[arg(long = flag::EAGER)]
    pub(crate) eager: bool,
    /// A directory of LoRAs; of several, the first that has a name.
    #[arg(long, value_name = "DIR")]
    pub(crate) lora_dir: Vec<PathBuf>,
    /// A directory of ControlNets; of several, the first that has a name.
    #[arg(long, value_name = "DIR")]
    pub(crate) control_dir: Vec<PathBuf>,
    /// Threads of libtorch on the CPU; one per core by default, or fewer if a CPU quota allows fewer.
    #[arg(long)]
    pub(crate) threads: Option<u16>,
}

/// Which model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// The one inside this program.
    Tiny,
    /// A folder, a file or a repository.
    Path(PathBuf),
}

impl Args {
    /// The model's files, unless it is the built-in one.
    pub(crate) fn model_files(&self) -> Option<ModelFiles> {
        let Model::Path(model) = &self.model else { return None };
        Some(ModelFiles {
            model: model.clone(),
            text_encoder: self.text_encoder.clone(),
            vae: self.vae.clone(),
            tokenizer: self.tokenizer.clone(),
            kind: self.model_kind,
        })
    }
}

impl From<OsString> for Model {
    fn from(path: OsString) -> Self {
        if path == "tiny" { Self::Tiny } else { Self::Path(path.into()) }
    }
}

/// The device that computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceChoice {
    /// The first GPU, or the CPU without one.
    Auto,
    /// The CPU.
    Cpu,
    /// This GPU.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("the device is '{text}': use auto, cpu or cuda:N")),
        }
    }
}

/// The number type that is computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DTypeChoice {
    /// What suits the device.
    Auto,
    /// This.
    Is(zimage::DType),
}

impl FromStr for DTypeChoice {
    type Err = zimage::Error;

    fn from_str(text: &str) -> Result<Self, zimage::Error> {
        if text == "auto" { Ok(Self::Auto) } else { text.parse().map(Self::Is) }
    }
}

/// A size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('x')
            .and_then(|(w, h)| Some(Self { width: w.parse().ok()?, height: h.parse().ok()? }))
            .ok_or_else(|| format!("the size is '{text}': use WIDTHxHEIGHT, as in 1024x768"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(format!("zimage-worker --parent-pid 1 {line}").split_whitespace())
    }

    #[test]
    fn the_supervisors_line_is_understood() {
        let args = parse(
            "--model /srv/turbo --device cuda:1 --dtype bfloat16 --warmup 1024x1024,512x768 --threads 4 --weights-fd 7 --awaited 512x512 --memory 8GiB --plan-budget 5 --plan-pixels 6",
        )
        .unwrap();
        assert_eq!(args.model, Model::Path("/srv/turbo".into()));
        assert_eq!(args.device, DeviceChoice::Cuda(1));
        assert_eq!(args.dtype, DTypeChoice::Is(zimage::DType::BFloat16));
        assert_eq!(args.warmup[1], Size { width: 512, height: 768 });
        assert_eq!(args.threads, Some(4));
        assert_eq!(args.weights_fd, Some(7));
        assert_eq!(args.memory, MemoryBudget::Bytes(8 << 30));
        assert_eq!((args.plan_budget, args.plan_pixels), (Some(5), Some(6)));
        assert_eq!(args.awaited, Some(Size { width: 512, height: 512 }));
        let args = parse("--model t.gguf --text-encoder e --vae v --tokenizer k --model-kind base");
        let files = args.unwrap().model_files().unwrap();
        let path = |name: &str| Some(PathBuf::from(name));
        assert_eq!(
            (files.text_encoder, files.vae, files.tokenizer),
            (path("e"), path("v"), path("k"))
        );
        assert_eq!((files.model, files.kind), ("t.gguf".into(), Some(ModelKind::Base)));
        assert_eq!(parse("").unwrap().model_files(), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "--device gpu",
            "--device cuda:x",
            "--dtype int4",
            "--model-kind edit",
            "--memory much",
            "--warmup 1024",
            "--weights-fd 0",
            "--weights-fd x",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
