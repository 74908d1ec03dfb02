//! One layer of the configuration: the keys that the command line, the environment or the file
//! sets. Only the names are checked here.

use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::{ConfigError, PREFIX, Source};
use super::value::{ByteSize, Number, PathList, SizeList, Switch};
use crate::args::Args;

/// The keys that one source sets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigLayer {
    pub socket: Option<PathBuf>,
    pub model: Option<PathBuf>,
    pub text_encoder: Option<PathBuf>,
    pub vae: Option<PathBuf>,
    pub tokenizer: Option<PathBuf>,
    pub model_kind: Option<String>,
    pub lora_dirs: Option<PathList>,
    pub control_dirs: Option<PathList>,
    pub device: Option<String>,
    pub dtype: Option<String>,
    pub memory: Option<String>,
    pub pinned_memory: Option<String>,
    pub warmup: Option<SizeList>,
    pub worker: Option<PathBuf>,
    pub threads: Option<Number>,
    pub eager: Option<Switch>,
    pub cuda_alloc_conf: Option<String>,
    pub jobs: Option<Number>,
    pub jobs_per_user: Option<Number>,
    pub connections: Option<Number>,
    pub trusted_group: Option<String>,
    pub idle_unload: Option<String>,
    pub state_dir: Option<PathBuf>,
    pub retention: Option<String>,
    pub retention_bytes: Option<ByteSize>,
    pub retention_bytes_per_user: Option<ByteSize>,
    /// For tests: only in the environment.
    #[serde(skip)]
    pub timeouts: Option<String>,
}

impl From<&Args> for ConfigLayer {
    fn from(args: &Args) -> Self {
        let number = |text: &Option<String>| text.clone().map(Number::Text);
        let path = |path: &Option<OsString>| path.clone().map(PathBuf::from);
        let size = |text: &Option<String>| text.clone().map(ByteSize::Text);
        Self {
            socket: path(&args.socket),
            model: path(&args.model),
            text_encoder: path(&args.text_encoder),
            vae: path(&args.vae),
            tokenizer: path(&args.tokenizer),
            model_kind: args.model_kind.clone(),
            lora_dirs: (!args.lora_dir.is_empty())
                .then(|| PathList::List(args.lora_dir.iter().map(PathBuf::from).collect())),
            control_dirs: (!args.control_dir.is_empty())
                .then(|| PathList::List(args.control_dir.iter().map(PathBuf::from).collect())),
            device: args.device.clone(),
            dtype: args.dtype.clone(),
            memory: args.memory.clone(),
            pinned_memory: args.pinned_memory.clone(),
            warmup: args.warmup.clone().map(SizeList::Line),
            worker: path(&args.worker),
            threads: number(&args.threads),
            eager: args.eager.then_some(Switch::Bool(true)),
            cuda_alloc_conf: None,
            jobs: number(&args.jobs),
            jobs_per_user: number(&args.jobs_per_user),
            connections: number(&args.connections),
            trusted_group: args.trusted_group.clone(),
            idle_unload: args.idle_unload.clone(),
            state_dir: path(&args.state_dir),
            retention: args.retention.clone(),
            retention_bytes: size(&args.retention_bytes),
            retention_bytes_per_user: size(&args.retention_bytes_per_user),
            timeouts: None,
        }
    }
}

/// The environment's layer, and the file that it names.
pub(super) fn read_environment(
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(ConfigLayer, Option<PathBuf>), ConfigError> {
    let mut layer = ConfigLayer::default();
    let mut file = None;
    for (name, value) in environment {
        let Some(key) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let key = key.to_lowercase();
        // Paths are bytes.
        match key.as_str() {
            "config" => file = Some(value.into()),
            "socket" => layer.socket = Some(value.into()),
            "model" => layer.model = Some(value.into()),
            "worker" => layer.worker = Some(value.into()),
            "state_dir" => layer.state_dir = Some(value.into()),
            "text_encoder" => layer.text_encoder = Some(value.into()),
            "vae" => layer.vae = Some(value.into()),
            "tokenizer" => layer.tokenizer = Some(value.into()),
            "lora_dirs" => layer.lora_dirs = Some(PathList::Line(value.into())),
            "control_dirs" => layer.control_dirs = Some(PathList::Line(value.into())),
            _ => {
                read_text(&mut layer, key, value)?;
            }
        }
    }
    Ok((layer, file))
}

/// Reads a variable that is text.
fn read_text(layer: &mut ConfigLayer, key: String, value: OsString) -> Result<(), ConfigError> {
    let value = value.into_string().map_err(|_| ConfigError::Value {
        source: Source::Environment,
        key: key.clone(),
        problem: "is not UTF-8".to_owned(),
    })?;
    match key.as_str() {
        "warmup" => layer.warmup = Some(SizeList::Line(value)),
        "threads" => layer.threads = Some(Number::Text(value)),
        "jobs" => layer.jobs = Some(Number::Text(value)),
        "jobs_per_user" => layer.jobs_per_user = Some(Number::Text(value)),
        "connections" => layer.connections = Some(Number::Text(value)),
        "eager" => layer.eager = Some(Switch::Text(value)),
        "model_kind" => layer.model_kind = Some(value),
        "device" => layer.device = Some(value),
        "dtype" => layer.dtype = Some(value),
        "memory" => layer.memory = Some(value),
        "pinned_memory" => layer.pinned_memory = Some(value),
        "cuda_alloc_conf" => layer.cuda_alloc_conf = Some(value),
        "trusted_group" => layer.trusted_group = Some(value),
        "idle_unload" => layer.idle_unload = Some(value),
        "retention" => layer.retention = Some(value),
        "retention_bytes" => layer.retention_bytes = Some(ByteSize::Text(value)),
        "retention_bytes_per_user" => {
            layer.retention_bytes_per_user = Some(ByteSize::Text(value));
        }
        "timeouts" => layer.timeouts = Some(value),
        _ => {
            return Err(ConfigError::renamed(Source::Environment, &key)
                .unwrap_or(ConfigError::UnknownVariable { key }));
        }
    }
    Ok(())
}

/// A file's layer.
pub(super) fn read_file(file: &Path) -> Result<ConfigLayer, ConfigError> {
    let bytes = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
    let text = zimg_text::decode(&bytes).map_err(|error| {
        let hint = error.hint(file);
        unreadable(file, &format!("{} ({hint})", error.describe("the file")))
    })?;
    parse(&text, file)
}

/// The layer of a file with this text.
pub(super) fn parse(text: &str, file: &Path) -> Result<ConfigLayer, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let message = error.message().trim_end().replace('\n', " ");
        let Some(span) = error.span() else { return unreadable(file, &message) };
        if let Some(rest) = message.strip_prefix("unknown field `")
            && let Some((key, _)) = rest.split_once('`')
            && let Some(error) = ConfigError::renamed(Source::File(file.to_owned()), key)
        {
            return error;
        }
        // A message about a value does not name its key.
        let key = if message.starts_with("must ") { key_at(text, &span) } else { "" };
        let space = if key.is_empty() { "" } else { " " };
        ConfigError::Syntax {
            file: file.to_owned(),
            line: text[..span.start].matches('\n').count() + 1,
            problem: format!("{key}{space}{message}"),
        }
    })
}

fn unreadable(file: &Path, problem: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::File { file: file.to_owned(), problem: problem.to_string() }
}

/// The key of the value at this place in a file.
fn key_at<'a>(text: &'a str, value: &Range<usize>) -> &'a str {
    let before = &text[..value.start];
    let line = before.rfind('\n').map_or(before, |end| &before[end + 1..]);
    line.split('=').next().unwrap_or_default().trim()
}
