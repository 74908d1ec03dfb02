//! The settings: flags over `ZIMAGED_*` over one file over defaults, each checked, each error
//! naming the place that it came from.

mod layer;
mod shown;
mod value;

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zimg_protocol::Failure;
use zimg_protocol::messages::Places;

use self::layer::{Layer, Origin, parse, read_environment, read_file};
pub(crate) use self::shown::Found;
use self::value::{Number, Size, Sizes, Switch, idle, keep};
use crate::args::Args;
use crate::jobs::detached::Retention;
use crate::timeouts::Timeouts;

const SYSTEM_FILE: &str = "/etc/zimaged/zimaged.toml";
const THREADS: RangeInclusive<u32> = 1..=1024;
/// Unfinished jobs: more would make the answers to a list of jobs too long.
const JOBS: RangeInclusive<u32> = 1..=1000;
/// Connections: each takes a descriptor, of which a process usually has 1024.
const CONNECTIONS: RangeInclusive<u32> = 1..=900;

/// What the daemon does, complete and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// Where to listen, if not at the usual place.
    pub socket: Option<PathBuf>,
    /// A folder or "tiny".
    pub model: String,
    /// Where to draw.
    pub device: Device,
    /// "auto", "bfloat16", "float16" or "float32".
    pub dtype: String,
    /// Width and height in pixels of each warm-up image; `None`: as the model likes.
    pub warmup: Option<Vec<(u32, u32)>>,
    /// The worker program, if not at the usual place.
    pub worker: Option<PathBuf>,
    /// CPU threads of the worker.
    pub threads: Option<u32>,
    /// Whether the worker uses libtorch's operations alone.
    pub plain: bool,
    /// `PYTORCH_CUDA_ALLOC_CONF` for the worker.
    pub cuda_alloc_conf: Option<String>,
    /// How much is taken at a time.
    pub places: Places,
    /// The worker is ended when nothing was asked for so long.
    pub idle_unload: Option<Duration>,
    /// Where detached jobs are kept.
    pub(crate) state: State,
    /// How much of them, and how long.
    pub(crate) terms: Retention,
    /// How long it waits for what; never but for tests other than usual.
    pub(crate) timeouts: Timeouts,
}

/// Where detached jobs are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// At the usual place.
    #[default]
    Usual,
    /// Here.
    Folder(PathBuf),
    /// Nowhere.
    Off,
}

/// Where the worker draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The first GPU if there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU with this number.
    Cuda(u32),
}

/// Reads all layers.
///
/// # Errors
///
/// `Kind::Usage` for a wrong flag, `Kind::Config` for a wrong variable or file.
pub fn load(
    args: &Args,
    environment: impl Iterator<Item = (OsString, OsString)>,
    usual_files: &[PathBuf],
) -> Result<Settings, Failure> {
    let (variables, named) = read_environment(environment)?;
    let mut layers = vec![(Origin::Flags, Layer::from(args)), (Origin::Environment, variables)];
    let given = args.config.clone().or(named);
    let file = match &given {
        Some(file) => Some(file),
        None => usual_files.iter().find(|file| file.exists()),
    };
    if let Some(file) = file {
        layers.push((Origin::File(file.clone()), read_file(file)?));
    }
    Layers(layers).settle()
}

/// What a file with this text would come to, without flags and variables.
///
/// # Errors
///
/// `Kind::Config` with the place in the file.
pub fn from_text(text: &str, file: &Path) -> Result<Settings, Failure> {
    Layers(vec![(Origin::File(file.to_owned()), parse(text, file)?)]).settle()
}

/// The places where a configuration file is looked for: the user's own, then the system's.
pub fn usual_files(config_home: Option<OsString>, home: Option<OsString>) -> Vec<PathBuf> {
    let own = config_home
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| home.map(|home| Path::new(&home).join(".config")));
    own.map(|own| own.join("zimaged/zimaged.toml"))
        .into_iter()
        .chain([SYSTEM_FILE.into()])
        .collect()
}

/// All layers, the first of which that has a key wins.
struct Layers(Vec<(Origin, Layer)>);

impl Layers {
    /// What a key's first value means, or what is wrong with it and where.
    fn value<'a, T: 'a, U>(
        &'a self,
        name: &str,
        key: impl Fn(&'a Layer) -> &'a Option<T>,
        meaning: impl FnOnce(&'a T) -> Result<U, String>,
    ) -> Result<Option<U>, Failure> {
        let first = self.0.iter().find_map(|(origin, layer)| Some((origin, key(layer).as_ref()?)));
        first
            .map(|(origin, value)| meaning(value).map_err(|what| origin.wrong(name, what)))
            .transpose()
    }

    fn text<'a>(
        &'a self,
        name: &str,
        key: impl Fn(&'a Layer) -> &'a Option<String>,
    ) -> Result<Option<String>, Failure> {
        self.value(name, key, |text| match text.as_str() {
            "" => Err("is empty".to_owned()),
            text => Ok(text.to_owned()),
        })
    }

    fn number<'a>(
        &'a self,
        name: &str,
        key: impl Fn(&'a Layer) -> &'a Option<Number>,
        range: &RangeInclusive<u32>,
    ) -> Result<Option<u32>, Failure> {
        self.value(name, key, |number| number.within(range))
    }

    /// The settings that they come to.
    fn settle(&self) -> Result<Settings, Failure> {
        let usual = Places::default();
        let file = self.0.iter().find_map(|(origin, _)| match origin {
            Origin::File(file) => Some(file.clone()),
            Origin::Flags | Origin::Environment => None,
        });
        Ok(Settings {
            file,
            socket: self.text("socket", |l| &l.socket)?.map(Into::into),
            model: self.text("model", |l| &l.model)?.unwrap_or_else(|| "tiny".to_owned()),
            device: self
                .value("device", |l| &l.device, |text| text.parse())?
                .unwrap_or(Device::Auto),
            dtype: self
                .value("dtype", |l| &l.dtype, |text| dtype(text))?
                .unwrap_or("auto")
                .to_owned(),
            warmup: self.value("warmup", |l| &l.warmup, Sizes::parse)?,
            worker: self.text("worker", |l| &l.worker)?.map(Into::into),
            threads: self.number("threads", |l| &l.threads, &THREADS)?,
            plain: self.value("plain", |l| &l.plain, Switch::is_on)?.unwrap_or(false),
            cuda_alloc_conf: self.text("cuda_alloc_conf", |l| &l.cuda_alloc_conf)?,
            places: Places {
                jobs: self.number("jobs", |l| &l.jobs, &JOBS)?.unwrap_or(usual.jobs),
                jobs_per_user: self
                    .number("jobs_per_user", |l| &l.jobs_per_user, &JOBS)?
                    .unwrap_or(usual.jobs_per_user),
                connections: self
                    .number("connections", |l| &l.connections, &CONNECTIONS)?
                    .unwrap_or(usual.connections),
            },
            idle_unload: self
                .value("idle_unload", |l| &l.idle_unload, |text| idle(text))?
                .flatten(),
            state: match self.text("state_dir", |l| &l.state_dir)?.as_deref() {
                None => State::Usual,
                Some("off") => State::Off,
                Some(folder) => State::Folder(folder.into()),
            },
            terms: {
                let usual = Retention::default();
                let time = self.value("keep", |l| &l.keep, |text| keep(text))?;
                let bytes = self.value("keep_bytes", |l| &l.keep_bytes, Size::bytes)?;
                let terms = Retention::of(time.unwrap_or(usual.time), bytes.unwrap_or(usual.bytes));
                let own =
                    self.value("keep_bytes_per_user", |l| &l.keep_bytes_per_user, Size::bytes)?;
                Retention { bytes_per_user: own.unwrap_or(terms.bytes_per_user), ..terms }
            },
            timeouts: self
                .value("timeouts", |l| &l.timeouts, |text| text.parse())?
                .unwrap_or_default(),
        })
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

fn dtype(text: &str) -> Result<&str, String> {
    match text {
        "auto" | "bfloat16" | "float16" | "float32" | "float8" => Ok(text),
        _ => Err(format!("is {text:?}, but must be auto, bfloat16, float16, float32 or float8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
        pairs.iter().map(|(k, v)| (k.into(), v.into())).collect::<Vec<_>>().into_iter()
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zimaged.toml");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn refused(args: &Args, variables: &[(&str, &str)]) -> (u8, String) {
        let failure = load(args, environment(variables), &[]).unwrap_err();
        (failure.kind.exit_code(), failure.message)
    }

    #[test]
    fn defaults_serve_the_built_in_model() {
        let settings = load(&Args::default(), environment(&[("HOME", "/x")]), &[]).unwrap();
        assert_eq!(settings.model, "tiny");
        assert_eq!(settings.device, Device::Auto);
        assert_eq!(settings.dtype, "auto");
        assert_eq!((settings.warmup, settings.threads, settings.socket), (None, None, None));
        assert_eq!(settings.places, Places { jobs: 64, jobs_per_user: 8, connections: 32 });
        assert_eq!(settings.idle_unload, None);
    }

    #[test]
    fn flags_over_environment_over_file() {
        let (_folder, path) = file(
            "model = '/file'\ndevice = 'cpu'\ndtype = 'float32'\nthreads = 3\n\
             warmup = ['64x128', '128x64']\ncuda_alloc_conf = 'expandable_segments:True'\nplain = true\n",
        );
        let args = Args { config: Some(path), model: Some("/flag".into()), ..Args::default() };
        let variables = [("ZIMAGED_MODEL", "/env"), ("ZIMAGED_DEVICE", "cuda:1")];
        let settings = load(&args, environment(&variables), &[]).unwrap();
        assert_eq!(settings.model, "/flag");
        assert_eq!(settings.device, Device::Cuda(1));
        assert_eq!(settings.dtype, "float32");
        assert_eq!((settings.threads, settings.plain), (Some(3), true));
        let off = [("ZIMAGED_PLAIN", "0")];
        assert!(!load(&args, environment(&off), &[]).unwrap().plain);
        let wrong = [("ZIMAGED_PLAIN", "perhaps")];
        assert!(
            load(&args, environment(&wrong), &[]).unwrap_err().message.contains("true or false")
        );
        assert_eq!(settings.warmup, Some(vec![(64, 128), (128, 64)]));
        assert_eq!(settings.cuda_alloc_conf.as_deref(), Some("expandable_segments:True"));
    }

    #[test]
    fn the_file_is_the_given_one_or_the_first_that_is_there() {
        let (_one, first) = file("model = '/first'");
        let (_two, second) = file("model = '/second'");
        let usual = ["/nowhere/zimaged.toml".into(), first, second.clone()];
        let model = |args: &Args, variables: &[(&str, &str)]| {
            load(args, environment(variables), &usual).unwrap().model
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
        assert_eq!(args(|a| a.model = Some(String::new())).1, "--model is empty");
        assert!(args(|a| a.warmup = Some("64x65".into())).1.contains("\"64x65\""));
        assert_eq!(args(|a| a.warmup = Some("64x64,".repeat(16))).0, 64);
        assert_eq!(
            refused(&Args::default(), &[("ZIMAGED_DTYPE", "int4")]),
            (
                78,
                "ZIMAGED_DTYPE is \"int4\", but must be auto, bfloat16, float16, float32 or float8"
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
            ("plain = 'x', y", "unexpected key or value, expected newline, `#`"),
            ("warmup = 64", "warmup must be a list of sizes like [\"1024x1024\"]"),
        ] {
            let (_folder, path) = file(line);
            let args = Args { config: Some(path.clone()), ..Args::default() };
            let said = format!("{}: line 1: {what}", path.display());
            assert_eq!(refused(&args, &[]), (78, said));
        }
    }

    #[test]
    fn places_and_times_are_set_as_all_else() {
        let (_folder, path) = file("jobs = 3\njobs_per_user = 2\nidle_unload = '1h 30m'\n");
        let args = Args { config: Some(path), jobs: Some("5".into()), ..Args::default() };
        let settings = load(&args, environment(&[("ZIMAGED_CONNECTIONS", "9")]), &[]).unwrap();
        assert_eq!(settings.places, Places { jobs: 5, jobs_per_user: 2, connections: 9 });
        assert_eq!(settings.idle_unload, Some(Duration::from_secs(5400)));
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
    fn what_is_kept_is_set_as_all_else() {
        let settings = |args: &Args, variables: &[(&str, &str)]| {
            let settings = load(args, environment(variables), &[])?;
            Ok::<_, Failure>((settings.state, settings.terms))
        };
        let (state, terms) = settings(&Args::default(), &[]).unwrap();
        assert_eq!((state, terms), (State::Usual, Retention::default()));
        assert_eq!((terms.bytes, terms.bytes_per_user), (4 << 30, 2 << 30));
        let (_folder, path) = file("keep = '12h'\nkeep_bytes = 3000000\nstate_dir = 'off'\n");
        let args = Args { config: Some(path), ..Args::default() };
        let (state, terms) = settings(&args, &[("ZIMAGED_KEEP_BYTES_PER_USER", "1m")]).unwrap();
        let time = Duration::from_secs(12 * 3600);
        assert_eq!(state, State::Off);
        assert_eq!(terms, Retention { time, bytes: 3_000_000, bytes_per_user: 1 << 20 });
        let args = Args { state_dir: Some("/s".into()), keep_bytes: Some("2T".into()), ..args };
        let (state, terms) = settings(&args, &[]).unwrap();
        assert_eq!((state, terms.bytes), (State::Folder("/s".into()), 2 << 40));
        for (name, value, said) in [
            ("KEEP", "never", "is \"never\", but must be a time like 7d or 12h, from 1s to 3650d"),
            ("KEEP", "1ms", "is \"1ms\", but must be a time like 7d or 12h, from 1s to 3650d"),
            ("KEEP", "1\n", "is \"1\\n\", but must be a time like 7d or 12h, from 1s to 3650d"),
            ("KEEP_BYTES", "4X", "is \"4X\", but must be a size like 500M or 4G, from 1M to 1000T"),
            ("KEEP_BYTES", "é", "is \"é\", but must be a size like 500M or 4G, from 1M to 1000T"),
            (
                "KEEP_BYTES",
                "99999999T",
                "is \"99999999T\", but must be a size like 500M or 4G, from 1M to 1000T",
            ),
            (
                "KEEP_BYTES",
                "1000",
                "is \"1000\", but must be a size like 500M or 4G, from 1M to 1000T",
            ),
            ("STATE_DIR", "", "is empty"),
        ] {
            let name = format!("ZIMAGED_{name}");
            let failure = settings(&Args::default(), &[(&name, value)]).unwrap_err();
            assert_eq!(failure.message, format!("{name} {said}"));
        }
    }

    #[test]
    fn the_users_file_comes_before_the_systems() {
        let files = |config: Option<&str>, home: Option<&str>| {
            usual_files(config.map(Into::into), home.map(Into::into))
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
}
