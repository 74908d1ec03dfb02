//! What can be wrong with a checkpoint: each error names the file, what was found and what was
//! expected.

use std::borrow::Cow;
use std::io;

use zimg_text::shell_word;

use crate::component::Component;
use crate::content::Content;
use crate::layout::identify::Foreign;
use crate::meant;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// A fault of a checkpoint; its display is one sentence without a full stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    /// One of a checkpoint's files in the place of its folder.
    #[error("{file} is one file of a checkpoint, expected the folder of all")]
    OneOfMany {
        /// Its path.
        file: String,
        /// Where the folder is.
        hint: String,
    },
    /// A repository that is not in the Hugging Face cache.
    #[error("{repository} is neither a path nor in the Hugging Face cache{}", places(.caches))]
    NotInCache {
        /// The repository.
        repository: String,
        /// The caches that were searched.
        caches: Vec<String>,
    },
    /// A file of weights that is something else than this model.
    #[error("{file} is {}", .foreign.what)]
    Foreign {
        /// Its path.
        file: String,
        /// What it is.
        foreign: Foreign,
    },
    /// A file of weights in which nothing is known.
    #[error("{file} holds no transformer, text encoder or VAE of Z-Image")]
    UnknownWeights {
        /// Its path.
        file: String,
    },
    /// A component that was given as the model.
    #[error("{file} is the {what} alone, and the model is named by its transformer")]
    NotTheTransformer {
        /// Its path.
        file: String,
        /// What it is.
        what: &'static str,
    },
    /// A file that was named for a component and lacks it.
    #[error("{file} holds no {component}")]
    NotTheComponent {
        /// Its path.
        file: String,
        /// The component.
        component: Component,
    },
    /// A folder of weights without this model.
    #[error("{folder} holds no transformer of Z-Image{}", reasons(.others))]
    NoModel {
        /// Its path.
        folder: String,
        /// What is said of the files in it.
        others: Vec<String>,
    },
    /// A folder with several transformers.
    #[error("{folder} holds several transformers of Z-Image: {}", listed(.files))]
    SeveralModels {
        /// Its path.
        folder: String,
        /// Their files.
        files: Vec<String>,
    },
    /// A component that is in no file and beside none.
    #[error("there is no {component} for {file}")]
    MissingComponent {
        /// The transformer's file.
        file: String,
        /// The component.
        component: Component,
    },
    /// A text encoder with another vocabulary than the tokenizer that comes with the program.
    #[error("there is no tokenizer for the {size} tokens of {file}")]
    NoTokenizer {
        /// The text encoder's file.
        file: String,
        /// Its vocabulary.
        size: i64,
    },
    /// A file is absent.
    #[error("{file} is missing")]
    MissingFile {
        /// Its path.
        file: String,
    },
    /// A file is absent, and there is one of nearly its name.
    #[error("{file} is missing, but there is {found}")]
    Misnamed {
        /// Its path.
        file: String,
        /// What is there.
        found: String,
        /// The path that it should have: that of the file, or of its folder.
        expected: String,
        /// It is a download that was not finished.
        is_unfinished: bool,
    },
    /// Weights are there in a form that is not read, and in no other.
    #[error("{file} is missing: {found} beside it is {content}")]
    OtherForm {
        /// The path of the file that is read.
        file: String,
        /// The name of the file that is there.
        found: String,
        /// What that is.
        content: Content,
    },
    /// A file is not what its name says.
    #[error("{file} is {content}")]
    Content {
        /// Its path.
        file: String,
        /// What it is.
        content: Content,
    },
    /// `tokenizer.json` is none that the text encoder can use.
    #[error("{file} is not a tokenizer of this model: {reason}")]
    Tokenizer {
        /// Its path.
        file: String,
        /// What is wrong with it.
        reason: String,
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
    #[error("{file} is not a valid {format} file: {reason}")]
    Header {
        /// Its path.
        file: String,
        /// The format that it should have.
        format: &'static str,
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
    /// A tensor's encoding is recognised but not read.
    #[error("the tensor {name} in {file} has the type {encoding}, which is not read")]
    Encoding {
        /// Its name.
        name: String,
        /// The file that has it.
        file: String,
        /// Its encoding, in the words of the program that wrote it.
        encoding: String,
    },
    /// A tensor's quantisation is unknown, or its scales do not fit it.
    #[error("the quantised tensor {name} in {file} cannot be read: {reason}")]
    Quantization {
        /// Its name.
        name: String,
        /// The file that has it.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Rows of a tensor that are not there, or no whole blocks.
    #[error(
        "rows {first} to {end} of a tensor of shape {shape:?} and type {encoding} are no whole part of it"
    )]
    Rows {
        /// The first row.
        first: i64,
        /// The row after the last one.
        end: i64,
        /// The tensor's shape.
        shape: Vec<i64>,
        /// The tensor's encoding.
        encoding: String,
    },
}

impl Error {
    /// What to do about it, if that is known.
    pub fn hint(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Content { file, content } | Self::OtherForm { file, content, .. } => {
                content.hint(file)
            }
            Self::NotInCache { repository, .. } => {
                Cow::Owned(format!("`zimg pull {}` fetches it", shell_word(repository)))
            }
            Self::Misnamed { is_unfinished: true, .. } => {
                "its download was not finished: fetch the checkpoint again".into()
            }
            Self::Misnamed { found, expected, .. } => {
                format!("rename it: `mv {} {}`", shell_word(found), shell_word(expected)).into()
            }
            Self::NoFolder { folder } => meant::instead_of(folder),
            _ => Cow::Borrowed(self.fixed_hint()?),
        })
    }

    /// A hint that names no file.
    fn fixed_hint(&self) -> Option<&str> {
        match self {
            Self::NotACheckpoint { hint, .. } => hint.as_deref(),
            Self::OneOfMany { hint, .. } => Some(hint),
            Self::Foreign { foreign, .. } => Some(foreign.instead),
            Self::NotTheTransformer { .. } => {
                Some("give the transformer's file, and this one with --text-encoder or --vae")
            }
            Self::NotTheComponent { .. } => {
                Some("--text-encoder names a file of Qwen3-4B, --vae one of FLUX.1's autoencoder")
            }
            Self::NoModel { .. } | Self::UnknownWeights { .. } => {
                Some("`zimg pull Tongyi-MAI/Z-Image-Turbo` fetches the model")
            }
            Self::SeveralModels { .. } => Some("give the file of one of them"),
            Self::MissingComponent { component: Component::Vae, .. } => Some(
                "name one with --vae: ae.safetensors of https://huggingface.co/Comfy-Org/z_image_turbo",
            ),
            Self::MissingComponent { .. } => Some(
                "name one with --text-encoder: qwen_3_4b.safetensors of https://huggingface.co/Comfy-Org/z_image_turbo",
            ),
            Self::NoTokenizer { .. } => Some("name its tokenizer.json with --tokenizer"),
            Self::Tokenizer { .. } => {
                Some("fetch the tokenizer's folder again from the model's repository")
            }
            Self::MissingFile { .. } | Self::DanglingLink { .. } => {
                Some("fetch the checkpoint again, it is not complete")
            }
            Self::Header { .. } | Self::Truncated { .. } | Self::Json { .. } => {
                Some("fetch this file again")
            }
            _ => None,
        }
    }

    /// Whether the file exists, but the system's permissions do not allow to read it.
    pub fn is_permission_denied(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// Where something was looked for.
fn places(places: &[String]) -> String {
    if places.is_empty() { String::new() } else { format!(" ({})", places.join(", ")) }
}

/// What is said of files that are none of this model.
fn reasons(others: &[String]) -> String {
    if others.is_empty() { String::new() } else { format!(": {}", listed(others)) }
}

/// The first three names, and the number of the others.
pub(crate) fn listed(names: &[String]) -> String {
    let shown = names.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0..=3 => shown,
        all => format!("{shown} and {} more", all - 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        let names = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        assert_eq!(listed(&names), "a, b, c and 2 more");
        assert_eq!(listed(&names[..1]), "a");
    }
}
