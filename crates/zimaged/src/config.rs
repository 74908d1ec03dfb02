//! The settings: flags over `ZIMAGED_*` over one file over defaults, each checked, each error
//! naming the place that it came from.

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zimg_protocol::limits::{SIZE_MAX, SIZE_MIN, SIZE_MULTIPLE, side_fits};
use zimg_protocol::{Failure, Kind};

use crate::args::Args;

const SYSTEM_FILE: &str = "/etc/zimaged/zimaged.toml";
const PREFIX: &str = "ZIMAGED_";
const THREADS_MAX: u32 = 1024;
/// More warm-up pictures than this is a mistake.
const WARMUP_MAX: usize = 16;

/// What the daemon does, complete and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen, if not at the usual place.
    pub socket: Option<PathBuf>,
    /// A folder or "tiny".
    pub model: String,
    /// Where to draw.
    pub device: Device,
    /// "auto", "bfloat16", "float16" or "float32".
    pub dtype: String,
    /// Width and height in pixels of each warm-up picture; `None`: as the model likes.
    pub warmup: Option<Vec<(u32, u32)>>,
    /// The worker program, if not at the usual place.
    pub worker: Option<PathBuf>,
    /// CPU threads of the worker.
    pub threads: Option<u32>,
    /// Whether the worker uses libtorch's operations alone.
    pub plain: bool,
    /// `PYTORCH_CUDA_ALLOC_CONF` for the worker.
    pub cuda_alloc_conf: Option<String>,
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

/// One layer of settings, nothing checked yet but the names.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layer {
    socket: Option<String>,
    model: Option<String>,
    device: Option<String>,
    dtype: Option<String>,
    warmup: Option<Sizes>,
    worker: Option<String>,
    threads: Option<Number>,
    plain: Option<Switch>,
    cuda_alloc_conf: Option<String>,
}

/// "1024x1024,512x512" or a list of such sizes.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "warmup must be a list of sizes like [\"1024x1024\"]")]
enum Sizes {
    Line(String),
    List(Vec<String>),
}

/// A number, from the environment as text.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "threads must be a whole number")]
enum Number {
    Whole(i64),
    Text(String),
}

/// Yes or no, from the environment as text.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "plain must be true or false")]
enum Switch {
    Bool(bool),
    Text(String),
}

/// A layer's name in errors: the kind of mistake, and where it is.
#[derive(Clone, Debug)]
enum Origin {
    Flags,
    Environment,
    File(PathBuf),
}

impl Origin {
    fn wrong(&self, key: &str, what: impl Display) -> Failure {
        match self {
            Self::Flags => Failure::new(Kind::Usage, format!("--{key} {what}")),
            Self::Environment => Failure::new(Kind::Config, format!("{} {what}", variable(key))),
            Self::File(file) => {
                Failure::new(Kind::Config, format!("`{key}` in {} {what}", file.display()))
            }
        }
    }
}

/// The environment variable of a key.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase())
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
    let flags = Layer {
        socket: args.socket.clone(),
        model: args.model.clone(),
        device: args.device.clone(),
        dtype: args.dtype.clone(),
        warmup: args.warmup.clone().map(Sizes::Line),
        worker: args.worker.clone(),
        threads: args.threads.clone().map(Number::Text),
        plain: args.plain.then_some(Switch::Bool(true)),
        cuda_alloc_conf: None,
    };
    let (variables, named) = read_environment(environment)?;
    let mut layers = vec![(Origin::Flags, flags), (Origin::Environment, variables)];
    let given = args.config.clone().or(named);
    let file = match &given {
        Some(file) => Some(file),
        None => usual_files.iter().find(|file| file.exists()),
    };
    if let Some(file) = file {
        layers.push((Origin::File(file.clone()), read_file(file)?));
    }
    settle(&layers)
}

/// What a file with this text would come to, without flags and variables.
///
/// # Errors
///
/// `Kind::Config` with the place in the file.
pub fn from_text(text: &str, file: &Path) -> Result<Settings, Failure> {
    settle(&[(Origin::File(file.to_owned()), parse(text, file)?)])
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

fn read_environment(
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(Layer, Option<PathBuf>), Failure> {
    let mut layer = Layer::default();
    let mut file = None;
    for (name, value) in environment {
        let Some(key) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let key = key.to_lowercase();
        let value =
            value.into_string().map_err(|_| Origin::Environment.wrong(&key, "is not UTF-8"))?;
        let slot = match key.as_str() {
            "config" => {
                file = Some(PathBuf::from(value));
                continue;
            }
            "warmup" => {
                layer.warmup = Some(Sizes::Line(value));
                continue;
            }
            "threads" => {
                layer.threads = Some(Number::Text(value));
                continue;
            }
            "plain" => {
                layer.plain = Some(Switch::Text(value));
                continue;
            }
            "socket" => &mut layer.socket,
            "model" => &mut layer.model,
            "device" => &mut layer.device,
            "dtype" => &mut layer.dtype,
            "worker" => &mut layer.worker,
            "cuda_alloc_conf" => &mut layer.cuda_alloc_conf,
            _ => return Err(Origin::Environment.wrong(&key, "is not a setting of zimaged")),
        };
        *slot = Some(value);
    }
    Ok((layer, file))
}

fn read_file(file: &Path) -> Result<Layer, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| wrong_file(file, &error))?;
    parse(&text, file)
}

fn parse(text: &str, file: &Path) -> Result<Layer, Failure> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        let what = error.message().trim_end().replace('\n', " ");
        match line {
            Some(line) => wrong_file(file, &format_args!("line {line}: {what}")),
            None => wrong_file(file, &what),
        }
    })
}

fn wrong_file(file: &Path, what: &dyn Display) -> Failure {
    Failure::new(Kind::Config, format!("{}: {what}", file.display()))
}

/// Takes each key from the first layer that has it.
fn settle(layers: &[(Origin, Layer)]) -> Result<Settings, Failure> {
    fn first<'a, T>(
        layers: &'a [(Origin, Layer)],
        key: impl Fn(&'a Layer) -> Option<&'a T>,
    ) -> Option<(&'a Origin, &'a T)> {
        layers.iter().find_map(|(origin, layer)| Some((origin, key(layer)?)))
    }
    fn text<'a>(
        layers: &'a [(Origin, Layer)],
        name: &str,
        key: impl Fn(&'a Layer) -> Option<&'a String>,
    ) -> Result<Option<(&'a Origin, &'a str)>, Failure> {
        match first(layers, key) {
            Some((origin, value)) if value.is_empty() => Err(origin.wrong(name, "is empty")),
            Some((origin, value)) => Ok(Some((origin, value))),
            None => Ok(None),
        }
    }

    let model = text(layers, "model", |l| l.model.as_ref())?.map_or("tiny", |(_, value)| value);
    let device = match text(layers, "device", |l| l.device.as_ref())? {
        Some((origin, value)) => {
            value.parse().map_err(|what: String| origin.wrong("device", what))?
        }
        None => Device::Auto,
    };
    let dtype = match text(layers, "dtype", |l| l.dtype.as_ref())? {
        Some((origin, value)) => dtype(value).map_err(|what| origin.wrong("dtype", what))?,
        None => "auto",
    };
    let warmup = match first(layers, |l| l.warmup.as_ref()) {
        Some((origin, sizes)) => Some(sizes.parse().map_err(|what| origin.wrong("warmup", what))?),
        None => None,
    };
    let threads = match first(layers, |l| l.threads.as_ref()) {
        Some((origin, number)) => {
            Some(number.threads().map_err(|what| origin.wrong("threads", what))?)
        }
        None => None,
    };
    let plain = match first(layers, |l| l.plain.as_ref()) {
        Some((origin, switch)) => switch.is_on().map_err(|what| origin.wrong("plain", what))?,
        None => false,
    };
    Ok(Settings {
        socket: text(layers, "socket", |l| l.socket.as_ref())?.map(|(_, path)| path.into()),
        model: model.to_owned(),
        device,
        dtype: dtype.to_owned(),
        warmup,
        worker: text(layers, "worker", |l| l.worker.as_ref())?.map(|(_, path)| path.into()),
        threads,
        plain,
        cuda_alloc_conf: text(layers, "cuda_alloc_conf", |l| l.cuda_alloc_conf.as_ref())?
            .map(|(_, value)| value.to_owned()),
    })
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
                .ok_or_else(|| {
                    format!("is \"{text}\", but must be auto, cpu or a GPU like cuda:0")
                }),
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
        _ => Err(format!("is \"{text}\", but must be auto, bfloat16, float16, float32 or float8")),
    }
}

impl Sizes {
    fn parse(&self) -> Result<Vec<(u32, u32)>, String> {
        let texts: Vec<&str> = match self {
            Self::Line(line) => line.split(',').map(str::trim).collect(),
            Self::List(list) => list.iter().map(String::as_str).collect(),
        };
        if texts.len() > WARMUP_MAX {
            return Err(format!("has {} sizes, but at most {WARMUP_MAX} make sense", texts.len()));
        }
        texts.into_iter().map(size).collect()
    }
}

fn size(text: &str) -> Result<(u32, u32), String> {
    text.split_once('x')
        .and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)))
        .filter(|(width, height)| side_fits(*width) && side_fits(*height))
        .ok_or_else(|| {
            format!(
                "has \"{text}\", which is not a size like 1024x1024 with sides that are multiples \
                 of {SIZE_MULTIPLE} from {SIZE_MIN} to {SIZE_MAX}"
            )
        })
}

impl Number {
    fn threads(&self) -> Result<u32, String> {
        let (shown, number) = match self {
            Self::Whole(number) => (number.to_string(), u32::try_from(*number).ok()),
            Self::Text(text) => (text.clone(), text.parse().ok()),
        };
        number
            .filter(|number| (1..=THREADS_MAX).contains(number))
            .ok_or_else(|| format!("is \"{shown}\", but must be a number from 1 to {THREADS_MAX}"))
    }
}

impl Switch {
    fn is_on(&self) -> Result<bool, String> {
        match self {
            Self::Bool(on) => Ok(*on),
            Self::Text(text) => match text.as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(format!("is \"{text}\", but must be true or false")),
            },
        }
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
            ("warmup = 64", "warmup must be a list of sizes like [\"1024x1024\"]"),
        ] {
            let (_folder, path) = file(line);
            let args = Args { config: Some(path.clone()), ..Args::default() };
            let said = format!("{}: line 1: {what}", path.display());
            assert_eq!(refused(&args, &[]), (78, said));
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
