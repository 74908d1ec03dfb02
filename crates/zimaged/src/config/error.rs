//! Errors of the configuration, and the one place where they become sentences for the user.

use std::fmt::{self, Display};
use std::path::PathBuf;

use zimg_protocol::{Failure, Kind};

/// Prefix of the environment variables.
pub(super) const PREFIX: &str = "ZIMAGED_";

/// Keys of zimaged 0.1 with their present names.
const RENAMED: [(&str, &str); 4] = [
    ("keep", "retention"),
    ("keep_bytes", "retention_bytes"),
    ("keep_bytes_per_user", "retention_bytes_per_user"),
    ("plain", "eager"),
];

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An option.
    CommandLine,
    /// A variable.
    Environment,
    /// A configuration file.
    File(PathBuf),
}

/// Why there is no configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A value is invalid.
    Value {
        /// Where it was set.
        source: Source,
        /// Its key.
        key: String,
        /// What was found and what is expected.
        problem: String,
    },
    /// A variable has the prefix, but is no setting.
    UnknownVariable {
        /// Its name without the prefix, in lower case.
        key: String,
    },
    /// A key has another name now.
    Renamed {
        /// Where it was set.
        source: Source,
        /// The name in 0.1.
        old: &'static str,
        /// The present name.
        new: &'static str,
    },
    /// The file cannot be read.
    File {
        /// Its path.
        file: PathBuf,
        /// The system's error.
        problem: String,
    },
    /// The file is not valid TOML, or has an unknown key or a value of another type.
    Syntax {
        /// Its path.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
}

impl ConfigError {
    /// The error for a key that has another name now.
    pub(super) fn renamed(source: Source, key: &str) -> Option<Self> {
        let (old, new) = RENAMED.into_iter().find(|(old, _)| *old == key)?;
        Some(Self::Renamed { source, old, new })
    }
}

/// The present name of an option of zimaged 0.1, both without dashes in front.
pub fn renamed(option: &str) -> Option<String> {
    let (_, new) = RENAMED.into_iter().find(|(old, _)| old.replace('_', "-") == option)?;
    Some(new.replace('_', "-"))
}

/// A key as its source writes it.
struct Named<'a>(&'a Source, &'a str);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(source, key) = self;
        match source {
            Source::CommandLine => write!(f, "--{}", key.replace('_', "-")),
            Source::Environment => write!(f, "{PREFIX}{}", key.to_uppercase()),
            Source::File(_) => write!(f, "`{key}`"),
        }
    }
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { source, key, problem } => {
                write!(f, "{}{} {problem}", Named(source, key), location(source))
            }
            Self::UnknownVariable { key } => {
                write!(f, "{} is not a setting of zimaged", Named(&Source::Environment, key))
            }
            Self::Renamed { source, old, new } => {
                let (at, new) = (location(source), Named(source, new));
                write!(f, "{}{at} is now called {new}", Named(source, old))
            }
            Self::File { file, problem } => write!(f, "{}: {problem}", file.display()),
            Self::Syntax { file, line, problem } => {
                write!(f, "{}: line {line}: {problem}", file.display())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

fn location(source: &Source) -> String {
    match source {
        Source::File(file) => format!(" in {}", file.display()),
        Source::CommandLine | Source::Environment => String::new(),
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let kind = match &error {
            ConfigError::Value { source: Source::CommandLine, .. } => Kind::Usage,
            _ => Kind::Config,
        };
        Self::new(kind, error.to_string())
    }
}
