//! The configuration: command line over `ZIMAGED_*` over one file over defaults. Each value is
//! checked, and each error names the source of the value.

mod error;
mod layer;
mod shown;
mod value;

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zimage_checkpoint::{MemoryBudget, ModelFiles, ModelKind, ModelLocation, PinnedMemory};
use zimg_protocol::home;
use zimg_protocol::messages::DaemonLimits;

use self::error::Source;
pub use self::error::{ConfigError, renamed};
use self::layer::{ConfigLayer, parse, read_environment, read_file};
pub(crate) use self::shown::Resolved;
use self::value::{ByteSize, Number, SizeList, Switch, idle_unload, retention};
use crate::args::Args;
use crate::retention::Retention;
use crate::timeouts::Timeouts;

const SYSTEM_FILE: &str = "/etc/zimaged/zimaged.toml";
const THREADS: RangeInclusive<u32> = 1..=1024;
/// Unfinished jobs: with more, the answer to a list of jobs would exceed a frame.
const JOBS: RangeInclusive<u32> = 1..=1000;
/// Connections: each takes a descriptor, of which a process usually has 1024.
const CONNECTIONS: RangeInclusive<u32> = 1..=900;

/// The daemon's configuration, complete and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonConfig {
    /// The configuration file that was read.
    pub file: Option<PathBuf>,
    /// Where to listen, if not at the default path.
    pub socket: Option<PathBuf>,
    /// The model to load.
    pub model: ModelLocation,
    /// The text encoder, if it is named by itself.
    pub text_encoder: Option<PathBuf>,
    /// The VAE, likewise.
    pub vae: Option<PathBuf>,
    /// The tokenizer, likewise.
    pub tokenizer: Option<PathBuf>,
    /// The model's kind, if the files do not tell it.
    pub model_kind: Option<ModelKind>,
    /// The directories of LoRAs.
    pub lora_dirs: Vec<PathBuf>,
    /// The directories of ControlNets.
    pub control_dirs: Vec<PathBuf>,
    /// The device of each worker. The documented setting is one device; a list of them, separated by
    /// commas, starts a worker for each.
    pub devices: Vec<Device>,
    /// "auto", "bfloat16", "float16", "float32", "float8" or "int8".
    pub dtype: String,
    /// The device's memory that each worker may take.
    pub memory: MemoryBudget,
    /// The host's memory that each worker may pin.
    pub pinned_memory: PinnedMemory,
    /// Width and height in pixels of each warm-up image; `None`: the model's default.
    pub warmup: Option<Vec<(u32, u32)>>,
    /// The worker program, if not at the default path.
    pub worker: Option<PathBuf>,
    /// CPU threads of the worker.
    pub threads: Option<u32>,
    /// Whether the worker uses libtorch's operations instead of fused kernels.
    pub eager: bool,
    /// `PYTORCH_CUDA_ALLOC_CONF` for the worker.
    pub cuda_alloc_conf: Option<String>,
    /// Limits of jobs and connections.
    pub limits: DaemonLimits,
    /// The name of the group whose processes may ask on behalf of others.
    pub trusted_group: Option<String>,
    /// The worker is stopped after this time without requests.
    pub idle_unload: Option<Duration>,
    /// Where detached jobs are stored.
    pub(crate) state_dir: StateDir,
    /// How long detached jobs are retained, and how much space they may take.
    pub(crate) retention: Retention,
    /// Timeouts; only tests change them.
    pub(crate) timeouts: Timeouts,
}

/// Where detached jobs are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum StateDir {
    /// In the default directory.
    #[default]
    Default,
    /// In this directory.
    Path(PathBuf),
    /// Nowhere: detached jobs are refused.
    Off,
}

/// Where the model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The first GPU if there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU with this index.
    Cuda(u32),
}

/// Reads all layers.
///
/// # Errors
///
/// A value, a key or a file is invalid; as a `Failure` it is `Kind::Usage` for the command line and
/// `Kind::Config` for everything else.
pub fn load(
    args: &Args,
    environment: impl Iterator<Item = (OsString, OsString)>,
    default_files: &[PathBuf],
) -> Result<DaemonConfig, ConfigError> {
    let environment: Vec<_> = environment.collect();
    let home = environment.iter().find(|(name, _)| name == "HOME").map(|(_, home)| home.clone());
    let (variables, named) = read_environment(environment.into_iter())?;
    let mut layers =
        vec![(Source::CommandLine, ConfigLayer::from(args)), (Source::Environment, variables)];
    let given = args.config.clone().or(named);
    let file = match &given {
        Some(file) => Some(file),
        None => default_files.iter().find(|file| file.exists()),
    };
    if let Some(file) = file {
        layers.push((Source::File(file.clone()), read_file(file)?));
    }
    Layers { layers, home }.resolve()
}

/// The configuration of a file with this text, without command line and environment.
///
/// # Errors
///
/// As [`load`].
pub fn from_text(text: &str, file: &Path) -> Result<DaemonConfig, ConfigError> {
    let layers = vec![(Source::File(file.to_owned()), parse(text, file)?)];
    Layers { layers, home: std::env::var_os("HOME") }.resolve()
}

/// The default paths of the configuration file: the user's, then the system's.
pub(crate) fn default_files(config_home: Option<OsString>, home: Option<OsString>) -> Vec<PathBuf> {
    let own = config_home
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| home.map(|home| Path::new(&home).join(".config")));
    own.map(|own| own.join("zimaged/zimaged.toml"))
        .into_iter()
        .chain([SYSTEM_FILE.into()])
        .collect()
}

/// All layers; for each key the first layer that has it wins.
struct Layers {
    layers: Vec<(Source, ConfigLayer)>,
    /// The variable HOME.
    home: Option<OsString>,
}

impl Layers {
    /// The parsed first value of a key.
    fn value<'a, T: 'a, U>(
        &'a self,
        name: &'static str,
        key: impl Fn(&'a ConfigLayer) -> &'a Option<T>,
        parse: impl FnOnce(&'a T) -> Result<U, String>,
    ) -> Result<Option<U>, ConfigError> {
        let first =
            self.layers.iter().find_map(|(source, layer)| Some((source, key(layer).as_ref()?)));
        first
            .map(|(source, value)| {
                parse(value).map_err(|problem| ConfigError::Value {
                    source: source.clone(),
                    key: name.to_owned(),
                    problem,
                })
            })
            .transpose()
    }

    fn text<'a>(
        &'a self,
        name: &'static str,
        key: impl Fn(&'a ConfigLayer) -> &'a Option<String>,
    ) -> Result<Option<String>, ConfigError> {
        self.value(name, key, |text| match text.as_str() {
            "" => Err("is empty".to_owned()),
            text => Ok(text.to_owned()),
        })
    }

    /// A path of any bytes; `~/` at its beginning is the home folder.
    fn path<'a>(
        &'a self,
        name: &'static str,
        key: impl Fn(&'a ConfigLayer) -> &'a Option<PathBuf>,
    ) -> Result<Option<PathBuf>, ConfigError> {
        self.value(name, key, |path| match path.as_os_str() {
            path if path.is_empty() => Err("is empty".to_owned()),
            path => home::expanded(path, self.home.as_deref()).map(PathBuf::from),
        })
    }

    fn number<'a>(
        &'a self,
        name: &'static str,
        key: impl Fn(&'a ConfigLayer) -> &'a Option<Number>,
        range: &RangeInclusive<u32>,
    ) -> Result<Option<u32>, ConfigError> {
        self.value(name, key, |number| number.within(range))
    }

    /// The configuration that the layers add up to.
    fn resolve(&self) -> Result<DaemonConfig, ConfigError> {
        let default = DaemonLimits::default();
        let file = self.layers.iter().find_map(|(source, _)| match source {
            Source::File(file) => Some(file.clone()),
            Source::CommandLine | Source::Environment => None,
        });
        Ok(DaemonConfig {
            file,
            socket: self.path("socket", |l| &l.socket)?,
            model: self.path("model", |l| &l.model)?.map(model).unwrap_or_default(),
            text_encoder: self.path("text_encoder", |l| &l.text_encoder)?,
            vae: self.path("vae", |l| &l.vae)?,
            tokenizer: self.path("tokenizer", |l| &l.tokenizer)?,
            model_kind: self.value("model_kind", |l| &l.model_kind, |text| text.parse())?,
            lora_dirs: self
                .value("lora_dirs", |l| &l.lora_dirs, |list| list.parse(self.home.as_deref()))?
                .unwrap_or_default(),
            control_dirs: self
                .value("control_dirs", |l| &l.control_dirs, |l| l.parse(self.home.as_deref()))?
                .unwrap_or_default(),
            devices: self
                .value("device", |l| &l.device, |text| text.split(',').map(str::parse).collect())?
                .unwrap_or_else(|| vec![Device::Auto]),
            dtype: self
                .value("dtype", |l| &l.dtype, |text| dtype(text))?
                .unwrap_or("auto")
                .to_owned(),
            memory: self.value("memory", |l| &l.memory, |text| text.parse())?.unwrap_or_default(),
            pinned_memory: self
                .value("pinned_memory", |l| &l.pinned_memory, |text| text.parse())?
                .unwrap_or_default(),
            warmup: self.value("warmup", |l| &l.warmup, SizeList::parse)?,
            worker: self.path("worker", |l| &l.worker)?,
            threads: self.number("threads", |l| &l.threads, &THREADS)?,
            eager: self.value("eager", |l| &l.eager, Switch::is_on)?.unwrap_or(false),
            cuda_alloc_conf: self.text("cuda_alloc_conf", |l| &l.cuda_alloc_conf)?,
            limits: DaemonLimits {
                jobs: self.number("jobs", |l| &l.jobs, &JOBS)?.unwrap_or(default.jobs),
                jobs_per_user: self
                    .number("jobs_per_user", |l| &l.jobs_per_user, &JOBS)?
                    .unwrap_or(default.jobs_per_user),
                connections: self
                    .number("connections", |l| &l.connections, &CONNECTIONS)?
                    .unwrap_or(default.connections),
            },
            trusted_group: self.text("trusted_group", |l| &l.trusted_group)?,
            idle_unload: self
                .value("idle_unload", |l| &l.idle_unload, |text| idle_unload(text))?
                .flatten(),
            state_dir: match self.path("state_dir", |l| &l.state_dir)? {
                None => StateDir::Default,
                Some(path) if path == Path::new("off") => StateDir::Off,
                Some(path) => StateDir::Path(path),
            },
            retention: self.retention()?,
            timeouts: self
                .value("timeouts", |l| &l.timeouts, |text| text.parse())?
                .unwrap_or_default(),
        })
    }

    fn retention(&self) -> Result<Retention, ConfigError> {
        let default = Retention::default();
        let time = self.value("retention", |l| &l.retention, |text| retention(text))?;
        let bytes = self.value("retention_bytes", |l| &l.retention_bytes, ByteSize::bytes)?;
        let all = Retention::of(time.unwrap_or(default.time), bytes.unwrap_or(default.bytes));
        let per_user = self.value(
            "retention_bytes_per_user",
            |l| &l.retention_bytes_per_user,
            ByteSize::bytes,
        )?;
        Ok(Retention { bytes_per_user: per_user.unwrap_or(all.bytes_per_user), ..all })
    }
}

impl std::str::FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("is {text:?}, but must be auto, cpu or a GPU like cuda:0")),
        }
    }
}

impl Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl DaemonConfig {
    /// The model's files, unless it is the built-in one.
    pub(crate) fn model_files(&self) -> Option<ModelFiles> {
        let ModelLocation::Path(model) = &self.model else { return None };
        Some(ModelFiles {
            model: model.clone(),
            text_encoder: self.text_encoder.clone(),
            vae: self.vae.clone(),
            tokenizer: self.tokenizer.clone(),
            kind: self.model_kind,
        })
    }
}

/// The model that a path names; any path names one.
fn model(path: PathBuf) -> ModelLocation {
    match path.to_str() {
        Some(text) => text.parse().unwrap_or_default(),
        None => ModelLocation::Path(path),
    }
}

fn dtype(text: &str) -> Result<&str, String> {
    match text {
        "auto" | "bfloat16" | "float16" | "float32" | "float8" | "int8" => Ok(text),
        _ => Err(format!(
            "is {text:?}, but must be auto, bfloat16, float16, float32, float8 or int8"
        )),
    }
}

#[cfg(test)]
mod tests {
    use zimg_protocol::Failure;

    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
        pairs.iter().map(|(k, v)| (k.into(), v.into())).collect::<Vec<_>>().into_iter()
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("zimaged.toml");
        std::fs::write(&path, text).unwrap();
        (directory, path)
    }

    fn refused(args: &Args, variables: &[(&str, &str)]) -> (u8, String) {
        let failure = Failure::from(load(args, environment(variables), &[]).unwrap_err());
        (failure.kind.exit_code(), failure.message)
    }

    #[test]
    fn defaults_serve_the_built_in_model() {
        let config = load(&Args::default(), environment(&[("HOME", "/x")]), &[]).unwrap();
        assert_eq!(config.model, ModelLocation::BuiltIn);
        assert_eq!(config.devices, [Device::Auto]);
        assert_eq!(config.dtype, "auto");
        assert_eq!(config.memory, MemoryBudget::Auto);
        assert_eq!(config.pinned_memory, PinnedMemory::default());
        assert_eq!((config.warmup, config.threads, config.socket), (None, None, None));
        assert_eq!(config.limits, DaemonLimits { jobs: 64, jobs_per_user: 8, connections: 32 });
        assert_eq!(config.idle_unload, None);
    }

    #[test]
    fn flags_over_environment_over_file() {
        let (_folder, path) = file(
            "model = '/file'\ndevice = 'cpu'\ndtype = 'float32'\nthreads = 3\n\
             warmup = ['64x128', '128x64']\ncuda_alloc_conf = 'expandable_segments:True'\neager = true\n",
        );
        let args = Args { config: Some(path), model: Some("/flag".into()), ..Args::default() };
        let variables = [("ZIMAGED_MODEL", "/env"), ("ZIMAGED_DEVICE", "cuda:1")];
        let config = load(&args, environment(&variables), &[]).unwrap();
        assert_eq!(config.model, ModelLocation::Path("/flag".into()));
        assert_eq!(config.devices, [Device::Cuda(1)]);
        assert_eq!(config.dtype, "float32");
        assert_eq!((config.threads, config.eager), (Some(3), true));
        let off = [("ZIMAGED_EAGER", "0")];
        assert!(!load(&args, environment(&off), &[]).unwrap().eager);
        let wrong = [("ZIMAGED_EAGER", "perhaps")];
        assert!(
            load(&args, environment(&wrong), &[])
                .unwrap_err()
                .to_string()
                .contains("true or false")
        );
        assert_eq!(config.warmup, Some(vec![(64, 128), (128, 64)]));
        assert_eq!(config.cuda_alloc_conf.as_deref(), Some("expandable_segments:True"));
    }

    #[test]
    fn the_file_is_the_given_one_or_the_first_that_is_there() {
        let (_one, first) = file("model = '/first'");
        let (_two, second) = file("model = '/second'");
        let files = ["/nowhere/zimaged.toml".into(), first, second.clone()];
        let model = |args: &Args, variables: &[(&str, &str)]| {
            load(args, environment(variables), &files).unwrap().model.to_string()
        };
        assert_eq!(model(&Args::default(), &[]), "/first");
        assert_eq!(
            model(&Args::default(), &[("ZIMAGED_CONFIG", second.to_str().unwrap())]),
            "/second"
        );
        assert_eq!(model(&Args { config: Some(second), ..Args::default() }, &[]), "/second");
        let args = Args { config: Some("/nowhere/z.toml".into()), ..Args::default() };
        let (code, message) = refused(&args, &[]);
        assert_eq!(code, 78);
        assert!(message.starts_with("/nowhere/z.toml: No such file"), "{message}");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place() {
        let (_folder, path) = file("model = 'tiny'\nmodle = 'x'\n");
        let (code, message) = refused(&Args { config: Some(path.clone()), ..Args::default() }, &[]);
        assert_eq!(code, 78);
        let place = format!("{}: line 2: unknown field `modle`", path.display());
        assert!(message.starts_with(&place), "{message}");
        assert_eq!(
            refused(&Args::default(), &[("ZIMAGED_MODLE", "x")]),
            (78, "ZIMAGED_MODLE is not a setting of zimaged".into())
        );
    }

    #[test]
    fn wrong_values_are_named_with_their_place() {
        let args = |change: fn(&mut Args)| {
            let mut args = Args::default();
            change(&mut args);
            refused(&args, &[])
        };
        assert_eq!(
            args(|a| a.device = Some("gpu".into())),
            (64, "--device is \"gpu\", but must be auto, cpu or a GPU like cuda:0".into())
        );
        assert_eq!(args(|a| a.threads = Some("0".into())).0, 64);
        assert_eq!(args(|a| a.model = Some(OsString::new())).1, "--model is empty");
        assert!(args(|a| a.warmup = Some("64x65".into())).1.contains("\"64x65\""));
        assert_eq!(args(|a| a.warmup = Some("64x64,".repeat(16))).0, 64);
        assert_eq!(
            refused(&Args::default(), &[("ZIMAGED_DTYPE", "int4")]),
            (
                78,
                "ZIMAGED_DTYPE is \"int4\", but must be auto, bfloat16, float16, float32, float8 or int8"
                    .into()
            )
        );
        let (_folder, path) = file("threads = 2000");
        let (code, message) = refused(&Args { config: Some(path), ..Args::default() }, &[]);
        assert_eq!(code, 78);
        assert!(message.starts_with("`threads` in "), "{message}");
        for (line, what) in [
            ("threads = 1.5", "threads must be a whole number"),
            ("jobs_per_user=[1]", "jobs_per_user must be a whole number"),
            ("eager = 'x', y", "unexpected key or value, expected newline, `#`"),
            ("warmup = 64", "warmup must be a list of sizes like [\"1024x1024\"]"),
        ] {
            let (_folder, path) = file(line);
            let args = Args { config: Some(path.clone()), ..Args::default() };
            let said = format!("{}: line 1: {what}", path.display());
            assert_eq!(refused(&args, &[]), (78, said));
        }
    }

    #[test]
    fn limits_and_times_are_set_like_every_other_key() {
        let (_folder, path) = file("jobs = 3\njobs_per_user = 2\nidle_unload = '1h 30m'\n");
        let args = Args { config: Some(path), jobs: Some("5".into()), ..Args::default() };
        let config = load(&args, environment(&[("ZIMAGED_CONNECTIONS", "9")]), &[]).unwrap();
        assert_eq!(config.limits, DaemonLimits { jobs: 5, jobs_per_user: 2, connections: 9 });
        assert_eq!(config.idle_unload, Some(Duration::from_secs(5400)));
        let off = Args { idle_unload: Some("off".into()), ..args };
        assert_eq!(load(&off, environment(&[]), &[]).unwrap().idle_unload, None);
        assert_eq!(
            refused(&Args::default(), &[("ZIMAGED_IDLE_UNLOAD", "soon")]),
            (
                78,
                "ZIMAGED_IDLE_UNLOAD is \"soon\", but must be a time like 30m or 1h 30m, or off"
                    .into()
            )
        );
        let wrong = Args { jobs_per_user: Some("0".into()), ..Args::default() };
        let said = "--jobs-per-user is \"0\", but must be a number from 1 to 1000";
        assert_eq!(refused(&wrong, &[]), (64, said.into()));
        let (code, said) = refused(&Args::default(), &[("ZIMAGED_IDLE_UNLOAD", "0s")]);
        assert_eq!((code, said.contains("from 1s to 366d")), (78, true));
    }

    #[test]
    fn retention_is_set_like_every_other_key() {
        let config = |args: &Args, variables: &[(&str, &str)]| {
            let config = load(args, environment(variables), &[])?;
            Ok::<_, ConfigError>((config.state_dir, config.retention))
        };
        let (state, retention) = config(&Args::default(), &[]).unwrap();
        assert_eq!((state, retention), (StateDir::Default, Retention::default()));
        assert_eq!((retention.bytes, retention.bytes_per_user), (4 << 30, 2 << 30));
        let (_folder, path) =
            file("retention = '12h'\nretention_bytes = 3000000\nstate_dir = 'off'\n");
        let args = Args { config: Some(path), ..Args::default() };
        let (state, retention) =
            config(&args, &[("ZIMAGED_RETENTION_BYTES_PER_USER", "1m")]).unwrap();
        let time = Duration::from_secs(12 * 3600);
        assert_eq!(state, StateDir::Off);
        assert_eq!(retention, Retention { time, bytes: 3_000_000, bytes_per_user: 1 << 20 });
        let args =
            Args { state_dir: Some("/s".into()), retention_bytes: Some("2T".into()), ..args };
        let (state, retention) = config(&args, &[]).unwrap();
        assert_eq!((state, retention.bytes), (StateDir::Path("/s".into()), 2 << 40));
        for (name, value, said) in [
            (
                "RETENTION",
                "never",
                "is \"never\", but must be a time like 7d or 12h, from 1s to 3650d",
            ),
            ("RETENTION", "1ms", "is \"1ms\", but must be a time like 7d or 12h, from 1s to 3650d"),
            (
                "RETENTION",
                "1\n",
                "is \"1\\n\", but must be a time like 7d or 12h, from 1s to 3650d",
            ),
            (
                "RETENTION_BYTES",
                "4X",
                "is \"4X\", but must be a size like 500M or 4G, from 1M to 1000T",
            ),
            (
                "RETENTION_BYTES",
                "é",
                "is \"é\", but must be a size like 500M or 4G, from 1M to 1000T",
            ),
            (
                "RETENTION_BYTES",
                "99999999T",
                "is \"99999999T\", but must be a size like 500M or 4G, from 1M to 1000T",
            ),
            (
                "RETENTION_BYTES",
                "1000",
                "is \"1000\", but must be a size like 500M or 4G, from 1M to 1000T",
            ),
            ("STATE_DIR", "", "is empty"),
        ] {
            let name = format!("ZIMAGED_{name}");
            let failure = config(&Args::default(), &[(&name, value)]).unwrap_err();
            assert_eq!(failure.to_string(), format!("{name} {said}"));
        }
    }

    #[test]
    fn paths_are_bytes_and_begin_at_home() {
        use std::os::unix::ffi::OsStringExt;
        let (_folder, path) = file(
            "model = '~/models/z'\nsocket = '~/s'\nworker = '~/bin/w'\nstate_dir = '~/state'\n",
        );
        let args = Args { config: Some(path), ..Args::default() };
        let config = load(&args, environment(&[("HOME", "/home/u")]), &[]).unwrap();
        assert_eq!(config.model, ModelLocation::Path("/home/u/models/z".into()));
        assert_eq!(config.socket, Some("/home/u/s".into()));
        assert_eq!(config.worker, Some("/home/u/bin/w".into()));
        assert_eq!(config.state_dir, StateDir::Path("/home/u/state".into()));
        // Without HOME it is an error that names key and file.
        let (code, message) = refused(&args, &[]);
        assert_eq!(code, 78);
        assert!(
            message.starts_with("`socket` in ") && message.contains("HOME is not set"),
            "{message}"
        );
        for (source, code) in [("~/m", 64), ("~eve/m", 64)] {
            let args = Args { model: Some(source.into()), ..Args::default() };
            let (found, message) = refused(&args, &[]);
            assert!(found == code && message.starts_with("--model begins with ~"), "{message}");
        }
        let (code, message) = refused(&Args::default(), &[("ZIMAGED_STATE_DIR", "~eve/x")]);
        assert!(
            code == 78 && message.starts_with("ZIMAGED_STATE_DIR begins with ~eve/"),
            "{message}"
        );

        let odd = || OsString::from_vec(b"/m\xe9".to_vec());
        let args = Args { model: Some(odd()), state_dir: Some(odd()), ..Args::default() };
        let variables = ["SOCKET", "WORKER"].map(|name| (format!("ZIMAGED_{name}").into(), odd()));
        let config = load(&args, variables.into_iter(), &[]).unwrap();
        assert_eq!(config.model, ModelLocation::Path(odd().into()));
        assert_eq!(config.state_dir, StateDir::Path(odd().into()));
        assert_eq!((config.socket, config.worker), (Some(odd().into()), Some(odd().into())));
        let device = [("ZIMAGED_DEVICE".into(), odd())];
        let error = load(&Args::default(), device.into_iter(), &[]).unwrap_err();
        assert_eq!(error.to_string(), "ZIMAGED_DEVICE is not UTF-8");
    }

    #[test]
    fn the_users_file_comes_before_the_systems() {
        let files = |config: Option<&str>, home: Option<&str>| {
            default_files(config.map(Into::into), home.map(Into::into))
        };
        let system = PathBuf::from(SYSTEM_FILE);
        assert_eq!(files(None, None), std::slice::from_ref(&system));
        assert_eq!(
            files(None, Some("/h")),
            [PathBuf::from("/h/.config/zimaged/zimaged.toml"), system.clone()]
        );
        assert_eq!(
            files(Some("/c"), Some("/h")),
            [PathBuf::from("/c/zimaged/zimaged.toml"), system]
        );
    }

    #[test]
    fn a_key_of_an_earlier_version_names_the_new_one() {
        let path = Path::new("/z.toml");
        let old = |source, old, new| ConfigError::Renamed { source, old, new };
        let file = || Source::File(path.to_owned());
        let error = from_text("model = 'tiny'\nkeep = '7d'", path).unwrap_err();
        assert_eq!(error, old(file(), "keep", "retention"));
        let error = from_text("plain = true", path).unwrap_err();
        assert_eq!(error, old(file(), "plain", "eager"));
        assert_eq!(Failure::from(error).message, "`plain` in /z.toml is now called `eager`");
        let variables = environment(&[("ZIMAGED_KEEP_BYTES", "4G")]);
        let error = load(&Args::default(), variables, &[]).unwrap_err();
        assert_eq!(error, old(Source::Environment, "keep_bytes", "retention_bytes"));
        assert_eq!(error.to_string(), "ZIMAGED_KEEP_BYTES is now called ZIMAGED_RETENTION_BYTES");
        assert_eq!(renamed("keep-bytes-per-user"), Some("retention-bytes-per-user".to_owned()));
        assert_eq!(renamed("kepp"), None);
    }
}
