//! Parsers of configuration values: image sizes, numbers, switches, byte sizes, times.

use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use zimg_protocol::home;
use zimg_protocol::limits::{SIZE_MAX, SIZE_MIN, SIZE_MULTIPLE, side_fits};

/// The most warm-up images.
const WARMUP_MAX: usize = 16;
/// The shortest idle time that may unload the model: less would unload it between two prompts.
const IDLE_MIN: Duration = Duration::from_secs(1);
/// The longest idle time.
const IDLE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// The shortest and the longest retention of an ended job.
const RETENTION_MIN: Duration = Duration::from_secs(1);
const RETENTION_MAX: Duration = Duration::from_secs(3650 * 24 * 3600);
/// The least and the most bytes of all detached jobs.
const RETENTION_BYTES_MIN: u64 = 1 << 20;
const RETENTION_BYTES_MAX: u64 = 1000 << 40;

/// "1024x1024,512x512" or a list of such sizes.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "must be a list of sizes like [\"1024x1024\"]")]
pub(super) enum SizeList {
    Line(String),
    List(Vec<String>),
}

/// Paths; one text with `:` between them if it comes from the environment.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "must be a list of paths like [\"/srv/loras\"]")]
pub(super) enum PathList {
    List(Vec<PathBuf>),
    Line(PathBuf),
}

/// A number; text if it comes from the environment.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "must be a whole number")]
pub(super) enum Number {
    Whole(i64),
    Text(String),
}

/// A boolean; text if it comes from the environment.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "must be true or false")]
pub(super) enum Switch {
    Bool(bool),
    Text(String),
}

/// A number of bytes, or text like "4G".
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "must be a number of bytes like \"4G\"")]
pub(super) enum ByteSize {
    Whole(u64),
    Text(String),
}

impl PathList {
    /// The paths; `~/` at the beginning of each is the home folder.
    pub(super) fn parse(&self, home: Option<&OsStr>) -> Result<Vec<PathBuf>, String> {
        let paths: Vec<PathBuf> = match self {
            Self::List(list) => list.clone(),
            Self::Line(line) => std::env::split_paths(line).collect(),
        };
        let expanded = |path: &PathBuf| match path.as_os_str() {
            path if path.is_empty() => Err("has an empty path".to_owned()),
            path => home::expanded(path, home).map(PathBuf::from),
        };
        paths.iter().map(expanded).collect()
    }
}

impl SizeList {
    pub(super) fn parse(&self) -> Result<Vec<(u32, u32)>, String> {
        let texts: Vec<&str> = match self {
            Self::Line(line) => line.split(',').map(str::trim).collect(),
            Self::List(list) => list.iter().map(String::as_str).collect(),
        };
        if texts.len() > WARMUP_MAX {
            return Err(format!("has {} sizes, but at most {WARMUP_MAX} are allowed", texts.len()));
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
                "has {text:?}, which is not a size like 1024x1024 with sides that are multiples \
                 of {SIZE_MULTIPLE} from {SIZE_MIN} to {SIZE_MAX}"
            )
        })
}

impl Number {
    /// The number, if it is in the range.
    pub(super) fn within(&self, range: &RangeInclusive<u32>) -> Result<u32, String> {
        let (shown, number) = match self {
            Self::Whole(number) => (number.to_string(), u32::try_from(*number).ok()),
            Self::Text(text) => (text.clone(), text.parse().ok()),
        };
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            format!("is {shown:?}, but must be a number from {} to {}", range.start(), range.end())
        })
    }
}

impl Switch {
    pub(super) fn is_on(&self) -> Result<bool, String> {
        match self {
            Self::Bool(on) => Ok(*on),
            Self::Text(text) => match text.as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(format!("is {text:?}, but must be true or false")),
            },
        }
    }
}

impl ByteSize {
    /// The number of bytes; K, M, G and T are powers of 1024.
    pub(super) fn bytes(&self) -> Result<u64, String> {
        let (shown, bytes) = match self {
            Self::Whole(bytes) => (bytes.to_string(), Some(*bytes)),
            Self::Text(text) => (text.clone(), bytes(text)),
        };
        bytes
            .filter(|bytes| (RETENTION_BYTES_MIN..=RETENTION_BYTES_MAX).contains(bytes))
            .ok_or_else(|| {
                format!("is {shown:?}, but must be a size like 500M or 4G, from 1M to 1000T")
            })
    }
}

fn bytes(text: &str) -> Option<u64> {
    let (number, power) = match text.char_indices().next_back()? {
        (at, suffix) if suffix.is_ascii_alphabetic() => {
            let power = "KMGT".find(suffix.to_ascii_uppercase())?;
            (&text[..at], 10 * (power + 1))
        }
        _ => (text, 0),
    };
    number.parse::<u64>().ok()?.checked_mul(1 << power)
}

/// The retention of ended jobs, like "7d".
pub(super) fn retention(text: &str) -> Result<Duration, String> {
    let wrong = || format!("is {text:?}, but must be a time like 7d or 12h, from 1s to 3650d");
    let time = humantime::parse_duration(text).map_err(|_| wrong())?;
    Some(time).filter(|time| (RETENTION_MIN..=RETENTION_MAX).contains(time)).ok_or_else(wrong)
}

/// An idle time like "30m" or "1h 30m"; "off" is none.
pub(super) fn idle_unload(text: &str) -> Result<Option<Duration>, String> {
    if text == "off" {
        return Ok(None);
    }
    let wrong = || format!("is {text:?}, but must be a time like 30m or 1h 30m, or off");
    let time = humantime::parse_duration(text).map_err(|_| wrong())?;
    if !(IDLE_MIN..=IDLE_MAX).contains(&time) {
        return Err(format!("is {text:?}, but must be from 1s to 366d, or off"));
    }
    Ok(Some(time))
}
