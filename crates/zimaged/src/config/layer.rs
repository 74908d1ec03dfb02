//! One layer of settings: what the command line, the environment or the file says, nothing
//! checked yet but the names.

use std::ffi::OsString;
use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zimg_protocol::{Failure, Kind};

use super::value::{Number, Size, Sizes, Switch};
use crate::args::Args;

const PREFIX: &str = "ZIMAGED_";

/// What one place says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Layer {
    pub socket: Option<String>,
    pub model: Option<String>,
    pub device: Option<String>,
    pub dtype: Option<String>,
    pub warmup: Option<Sizes>,
    pub worker: Option<String>,
    pub threads: Option<Number>,
    pub plain: Option<Switch>,
    pub cuda_alloc_conf: Option<String>,
    pub jobs: Option<Number>,
    pub jobs_per_user: Option<Number>,
    pub connections: Option<Number>,
    pub idle_unload: Option<String>,
    pub state_dir: Option<String>,
    pub keep: Option<String>,
    pub keep_bytes: Option<Size>,
    pub keep_bytes_per_user: Option<Size>,
    /// For tests: only in the environment.
    #[serde(skip)]
    pub timeouts: Option<String>,
}

/// A layer's name in errors: the kind of mistake, and where it is.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Flags,
    Environment,
    File(PathBuf),
}

impl Origin {
    pub(super) fn wrong(&self, key: &str, what: impl Display) -> Failure {
        match self {
            Self::Flags => Failure::new(Kind::Usage, format!("--{} {what}", key.replace('_', "-"))),
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

impl From<&Args> for Layer {
    fn from(args: &Args) -> Self {
        let number = |text: &Option<String>| text.clone().map(Number::Text);
        Self {
            socket: args.socket.clone(),
            model: args.model.clone(),
            device: args.device.clone(),
            dtype: args.dtype.clone(),
            warmup: args.warmup.clone().map(Sizes::Line),
            worker: args.worker.clone(),
            threads: number(&args.threads),
            plain: args.plain.then_some(Switch::Bool(true)),
            cuda_alloc_conf: None,
            jobs: number(&args.jobs),
            jobs_per_user: number(&args.jobs_per_user),
            connections: number(&args.connections),
            idle_unload: args.idle_unload.clone(),
            state_dir: args.state_dir.clone(),
            keep: args.keep.clone(),
            keep_bytes: args.keep_bytes.clone().map(Size::Text),
            keep_bytes_per_user: args.keep_bytes_per_user.clone().map(Size::Text),
            timeouts: None,
        }
    }
}

/// What the environment says, and which file it names.
pub(super) fn read_environment(
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(Layer, Option<PathBuf>), Failure> {
    let mut layer = Layer::default();
    let mut file = None;
    for (name, value) in environment {
        let Some(key) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let key = key.to_lowercase();
        let value =
            value.into_string().map_err(|_| Origin::Environment.wrong(&key, "is not UTF-8"))?;
        match key.as_str() {
            "config" => file = Some(PathBuf::from(value)),
            "warmup" => layer.warmup = Some(Sizes::Line(value)),
            "threads" => layer.threads = Some(Number::Text(value)),
            "jobs" => layer.jobs = Some(Number::Text(value)),
            "jobs_per_user" => layer.jobs_per_user = Some(Number::Text(value)),
            "connections" => layer.connections = Some(Number::Text(value)),
            "plain" => layer.plain = Some(Switch::Text(value)),
            "socket" => layer.socket = Some(value),
            "model" => layer.model = Some(value),
            "device" => layer.device = Some(value),
            "dtype" => layer.dtype = Some(value),
            "worker" => layer.worker = Some(value),
            "cuda_alloc_conf" => layer.cuda_alloc_conf = Some(value),
            "idle_unload" => layer.idle_unload = Some(value),
            "state_dir" => layer.state_dir = Some(value),
            "keep" => layer.keep = Some(value),
            "keep_bytes" => layer.keep_bytes = Some(Size::Text(value)),
            "keep_bytes_per_user" => layer.keep_bytes_per_user = Some(Size::Text(value)),
            "timeouts" => layer.timeouts = Some(value),
            _ => return Err(Origin::Environment.wrong(&key, "is not a setting of zimaged")),
        }
    }
    Ok((layer, file))
}

/// What a file says.
pub(super) fn read_file(file: &Path) -> Result<Layer, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| wrong_file(file, &error))?;
    parse(&text, file)
}

/// What a file with this text says.
pub(super) fn parse(text: &str, file: &Path) -> Result<Layer, Failure> {
    toml::from_str(text).map_err(|error| {
        let what = error.message().trim_end().replace('\n', " ");
        let Some(span) = error.span() else { return wrong_file(file, &what) };
        let line = text[..span.start].matches('\n').count() + 1;
        // What is wrong with a value does not say which.
        let key = if what.starts_with("must ") { key_at(text, &span) } else { "" };
        let space = if key.is_empty() { "" } else { " " };
        wrong_file(file, &format_args!("line {line}: {key}{space}{what}"))
    })
}

fn wrong_file(file: &Path, what: &dyn Display) -> Failure {
    Failure::new(Kind::Config, format!("{}: {what}", file.display()))
}

/// The key of the value at this place in a file.
fn key_at<'a>(text: &'a str, value: &Range<usize>) -> &'a str {
    let before = &text[..value.start];
    let line = before.rfind('\n').map_or(before, |end| &before[end + 1..]);
    line.split('=').next().unwrap_or_default().trim()
}
