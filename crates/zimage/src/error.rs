//! What can go wrong in the model: each error has a kind, one sentence, and perhaps a hint.

use std::io;

use tch::TchError;

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// Whose business an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request cannot be served as it is: prompt, size, steps.
    Refused,
    /// The checkpoint's files are missing, damaged or of another model.
    Checkpoint,
    /// The device is absent, or its memory is too small.
    Device,
    /// A fault of the program or of libtorch.
    Internal,
}

/// A failure; its display is one sentence without a full stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A parameter is out of its range; the sentence names it and the range.
    #[error("{0}")]
    Refused(String),
    /// The prompt does not fit; it is never cut.
    #[error("the prompt has {tokens} tokens, but at most {limit} are possible")]
    PromptTooLong {
        /// How many tokens the prompt has, with the chat template's.
        tokens: usize,
        /// How many the model can take.
        limit: usize,
    },

    /// The folder that should hold the checkpoint is absent.
    #[error("the checkpoint folder {folder} does not exist")]
    NoFolder {
        /// The folder as given.
        folder: String,
    },
    /// The folder is there, but holds something else.
    #[error("{folder} holds no model_index.json, so it is not a diffusers checkpoint")]
    NotACheckpoint {
        /// The folder as given.
        folder: String,
        /// Where the checkpoint may be instead.
        hint: Option<String>,
    },
    /// A file is absent.
    #[error("{file} is missing")]
    MissingFile {
        /// Its path.
        file: String,
    },
    /// A file of the Hugging Face cache whose blob was never fetched, or was removed.
    #[error("{file} is a link to a file that is not there")]
    DanglingLink {
        /// Its path.
        file: String,
    },
    /// A directory, pipe or device lies where a file is expected.
    #[error("{file} is not a regular file")]
    NotAFile {
        /// Its path.
        file: String,
    },
    /// A file is larger than anything it could hold.
    #[error("{file} has {bytes} bytes, but such a file may have at most {limit}")]
    FileTooLarge {
        /// Its path.
        file: String,
        /// Its length.
        bytes: u64,
        /// The most that is read.
        limit: u64,
    },
    /// The operating system could not read a file.
    #[error("{file} cannot be read: {source}")]
    Io {
        /// Its path.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A JSON file is no JSON, or lacks a value, or has one of another type.
    #[error("{file} is not valid: {reason}")]
    Json {
        /// Its path.
        file: String,
        /// What the parser said, with line and column.
        reason: String,
    },
    /// A configuration value is impossible or does not fit the others.
    #[error("{file}: {reason}")]
    Config {
        /// Its path.
        file: String,
        /// Which value, and what it must be.
        reason: String,
    },
    /// The checkpoint is of another model.
    #[error("{file} has the {key} {found}, but this program needs {expected}")]
    Architecture {
        /// The configuration file.
        file: String,
        /// The key that names the architecture.
        key: &'static str,
        /// Its value.
        found: String,
        /// The value that is understood.
        expected: &'static str,
    },
    /// The list of shards is wrong or does not fit the shards.
    #[error("{file}: {reason}")]
    Index {
        /// Its path.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A weights file's header is damaged.
    #[error("{file} is not a valid safetensors file: {reason}")]
    Header {
        /// Its path.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A weights file ends before its last tensor.
    #[error("{file} is cut short: it should have {expected} bytes and has {found}")]
    Truncated {
        /// Its path.
        file: String,
        /// Its length by its header.
        expected: u64,
        /// Its length.
        found: u64,
    },
    /// A weights file lost its end after its header had been checked.
    #[error("{file} became shorter while it was read")]
    Shrunk {
        /// Its path.
        file: String,
    },
    /// Two files hold a tensor of the same name.
    #[error("the tensor {name} is in {first} and again in {second}")]
    DuplicateTensor {
        /// Its name.
        name: String,
        /// The file that has it.
        first: String,
        /// The file that has it too.
        second: String,
    },
    /// A tensor that the model needs is absent.
    #[error("{place} lacks the tensor {name}")]
    MissingTensor {
        /// The component's folder.
        place: String,
        /// Its name.
        name: String,
    },
    /// Tensors are left over, so the checkpoint is of another model.
    #[error("{place} has tensors that the model does not: {}", listed(.names))]
    SurplusTensors {
        /// The component's folder.
        place: String,
        /// Their names.
        names: Vec<String>,
    },
    /// A tensor has other dimensions than the configuration asks for.
    #[error("the tensor {name} in {file} has the shape {found:?} instead of {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// The file that has it.
        file: String,
        /// Its shape.
        found: Vec<i64>,
        /// The shape by the configuration.
        expected: Vec<i64>,
    },
    /// A tensor's numbers are of a type that is not read.
    #[error("the tensor {name} in {file} has the type {dtype}; only F32, BF16 and F16 are read")]
    Dtype {
        /// Its name.
        name: String,
        /// The file that has it.
        file: String,
        /// Its type, in safetensors' words.
        dtype: String,
    },
    /// The tokenizer's file is damaged or of a kind that is not understood.
    #[error("the tokenizer cannot be used: {0}")]
    Tokenizer(String),

    /// The device is not there or cannot be used.
    #[error("{0}")]
    Device(String),

    /// NaN or infinity where numbers should be, so there is no picture.
    #[error("{0} are not finite numbers, so there is no picture")]
    NotFinite(&'static str),
    /// What was saved of a picture does not fit it.
    #[error("the picture cannot be gone on with: {0}")]
    NotResumable(String),
    /// Our kernels or the driver failed.
    #[error("the GPU failed: {0}")]
    Gpu(zimage_cuda::Error),
    /// libtorch failed.
    #[error("libtorch failed: {}", first_line(.0))]
    Torch(#[from] TchError),
    /// Something that cannot be, was.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Whose business it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused(_) | Self::PromptTooLong { .. } => ErrorKind::Refused,
            Self::Device(_) => ErrorKind::Device,
            Self::Torch(error) if is_out_of_memory(error) => ErrorKind::Device,
            Self::Gpu(_) => ErrorKind::Device,
            Self::Torch(_) | Self::NotFinite(_) | Self::NotResumable(_) | Self::Internal(_) => {
                ErrorKind::Internal
            }
            _ => ErrorKind::Checkpoint,
        }
    }

    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::PromptTooLong { .. } => "shorten the prompt",
            Self::NotACheckpoint { hint, .. } => return hint.clone(),
            Self::MissingFile { .. } | Self::DanglingLink { .. } => {
                "fetch the checkpoint again, it is not complete"
            }
            Self::Header { .. } | Self::Truncated { .. } => "fetch this file again",
            Self::Torch(error) if is_out_of_memory(error) => {
                "ask for a smaller picture or fewer at once"
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
            // So that running out of memory is told as such.
            zimage_cuda::Error::Tch(error) => Self::Torch(error),
            zimage_cuda::Error::Misuse(_) => Self::Internal(error.to_string()),
            error => Self::Gpu(error),
        }
    }
}

/// Up to three names, and how many more there are.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0..=3 => shown,
        all => format!("{shown} and {} more", all - 3),
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
    ["out of memory", "not enough memory", "can't allocate memory"].iter().any(|s| text.contains(s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtorch_errors_are_one_line() {
        let error = Error::from(TchError::Torch("CUDA out of memory.\nframe #0: c10".into()));
        assert_eq!(error.to_string(), "libtorch failed: CUDA out of memory");
        assert_eq!(error.kind(), ErrorKind::Device);
        assert!(error.hint().is_some());
    }

    #[test]
    fn long_lists_are_cut() {
        let names = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        assert_eq!(listed(&names), "a, b, c and 2 more");
        assert_eq!(listed(&names[..1]), "a");
    }
}
