//! The command line, as typed; `config` checks the values.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

/// Keeps Z-Image-Turbo loaded and generates images for `zimg`.
///
/// Runs in the foreground and logs to standard error. Every option but --config and --check can also be set
/// as ZIMAGED_<NAME> in the environment, or in the configuration file; the command line comes
/// first, then the environment, then the file.
#[derive(Debug, Default, Parser)]
#[command(name = "zimaged", version, max_term_width = 100)]
pub struct Args {
    /// Configuration file [default: ~/.config/zimaged/zimaged.toml, else
    /// /etc/zimaged/zimaged.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen [default: $XDG_RUNTIME_DIR/zimaged/zimaged.sock, for root
    /// /run/zimaged/zimaged.sock]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<OsString>,
    /// A diffusers or ComfyUI directory, a file of weights (safetensors, GGUF), a repository in the
    /// Hugging Face cache, or "tiny" for the built-in model [default: tiny]
    #[arg(long, value_name = "PATH|REPO|tiny")]
    pub model: Option<OsString>,
    /// The text encoder's file or directory, if --model has none [default: the one in ComfyUI's
    /// directories around --model]
    #[arg(long, value_name = "PATH")]
    pub text_encoder: Option<OsString>,
    /// The VAE's file or directory, likewise
    #[arg(long, value_name = "PATH")]
    pub vae: Option<OsString>,
    /// The tokenizer's file or directory [default: the model's, else Qwen3's]
    #[arg(long, value_name = "PATH")]
    pub tokenizer: Option<OsString>,
    /// turbo or base, for files that do not tell it
    #[arg(long, value_name = "KIND")]
    pub model_kind: Option<String>,
    /// A directory of LoRAs, which requests name by their files' names; repeatable, and of two files of
    /// a name the first directory's counts [default: none]
    #[arg(long, value_name = "DIR")]
    pub lora_dir: Vec<OsString>,
    /// A directory of ControlNets, which requests with a control image name by their files' names;
    /// repeatable, as --lora-dir.
    #[arg(long, value_name = "DIR")]
    pub control_dir: Vec<OsString>,
    /// auto, cpu, or one GPU such as cuda:0 [default: auto]
    #[arg(long)]
    pub device: Option<String>,
    /// auto, bfloat16, float16, float32, float8 or int8 [default: auto]
    #[arg(long)]
    pub dtype: Option<String>,
    /// GPU memory that the worker may take: auto (what is free, with headroom), or a size such as
    /// 8GiB. What does not fit is streamed [default: auto]
    #[arg(long, value_name = "auto|SIZE")]
    pub memory: Option<String>,
    /// Host memory that may be pinned, for faster copies of what is streamed: off, or a size such as
    /// 16GiB; weights that do not fit are copied through the page cache [default: 512MiB]
    #[arg(long, value_name = "off|SIZE")]
    pub pinned_memory: Option<String>,
    /// Sizes to warm up before the first job, such as 1024x1024,512x512 [default: the model's
    /// own size]
    #[arg(long, value_name = "WxH,…")]
    pub warmup: Option<String>,
    /// The worker program [default: beside zimaged, or in ../libexec/zimaged]
    #[arg(long, value_name = "PATH")]
    pub worker: Option<OsString>,
    /// Use libtorch's operations instead of zimg's fused kernels: slower, for comparison
    #[arg(long)]
    pub eager: bool,
    /// CPU threads of the worker [default: one a core, and no more than the CPU quota allows]
    #[arg(long, value_name = "N")]
    pub threads: Option<String>,
    /// Unfinished jobs at a time, waiting and running [default: 64]
    #[arg(long, value_name = "N")]
    pub jobs: Option<String>,
    /// Unfinished jobs of one user [default: 8]
    #[arg(long, value_name = "N")]
    pub jobs_per_user: Option<String>,
    /// Connections at a time, of which one user may have three quarters [default: 32]
    #[arg(long, value_name = "N")]
    pub connections: Option<String>,
    /// A group whose processes may ask on behalf of other users, as a web front end does [default:
    /// none]
    #[arg(long, value_name = "GROUP")]
    pub trusted_group: Option<String>,
    /// Free the GPU after this time without requests, until the next prompt: a time like 30m
    /// [default: off]
    #[arg(long, value_name = "TIME")]
    pub idle_unload: Option<String>,
    /// Where detached jobs are stored, or off [default: $STATE_DIRECTORY, for root /var/lib/zimaged,
    /// else ~/.local/state/zimaged]
    #[arg(long, value_name = "DIR|off")]
    pub state_dir: Option<OsString>,
    /// How long a detached job is retained after its end, counted while zimaged runs: a time like
    /// 7d [default: 7d]
    #[arg(long, value_name = "TIME")]
    pub retention: Option<String>,
    /// How much all detached jobs may take on the disk, such as 500M or 4G [default: 4G]
    #[arg(long, value_name = "SIZE")]
    pub retention_bytes: Option<String>,
    /// How much the detached jobs of one user may take [default: half of it]
    #[arg(long, value_name = "SIZE")]
    pub retention_bytes_per_user: Option<String>,
    /// Check the configuration, print it in the form of the file, and exit
    #[arg(long)]
    pub check: bool,
}
