//! The tokenizer's file, checked without running it: `zimage` runs it, with more memory and time.

pub(crate) mod qwen3;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::config::TextEncoderConfig;
use crate::content_check::check_json;
use crate::error::{Error, Result};
use crate::json;
use crate::layout::{Layout, Part, diffusers};
use crate::location::ModelFiles;
use crate::source::{DataFile, Source};

/// Tokens that the prompt's template is made of.
const TEMPLATE: [&str; 2] = ["<|im_start|>", "<|im_end|>"];

/// The largest `tokenizer.json` that is read; Qwen's has 11 MB.
const LIMIT: u64 = 128 << 20;
/// Its name.
const NAME: &str = "tokenizer.json";

/// Where the tokenizer is.
#[derive(Clone, Debug)]
pub(crate) enum TokenizerSource {
    /// A file.
    File(Source, String),
    /// A part of a prepared file: its place and length.
    Part(Arc<DataFile>, u64, u64),
    /// The one that comes with the program.
    Qwen3,
}

impl TokenizerSource {
    /// The tokenizer as it is named, else the pipeline's, else a prepared file's, else that in the text encoder's folder, else
    /// Qwen3's if the text encoder has its vocabulary, else one beside the text encoder's file.
    pub(crate) fn find(
        files: &ModelFiles,
        layout: &Layout,
        text_encoder: &TextEncoderConfig,
    ) -> Result<Self> {
        if let Some(path) = &files.tokenizer {
            return Ok(Self::named(path));
        }
        let own = match (&layout.pipeline, &layout.text_encoder) {
            (Some(source), _) => Some((source.clone(), diffusers::TOKENIZER.to_owned())),
            (None, Part::Folder(folder)) => folder.tokenizer(),
            (None, Part::File(_)) => None,
        };
        if let Some((source, file)) = own {
            return Ok(Self::File(source, file));
        }
        if let Part::File(file) = &layout.text_encoder
            && let Some((file, offset, bytes)) = file.tokenizer()
        {
            return Ok(Self::Part(file, offset, bytes));
        }
        if text_encoder.vocab_size >= qwen3::SIZE {
            return Ok(Self::Qwen3);
        }
        if let Part::File(file) = &layout.text_encoder
            && let Some(folder) = file.path.parent()
        {
            let source = Source::Folder(folder.to_owned());
            let names = [NAME, diffusers::TOKENIZER];
            if let Some(name) = names.into_iter().find(|name| source.has(name)) {
                return Ok(Self::File(source, name.to_owned()));
            }
        }
        Err(Error::NoTokenizer { file: layout.text_encoder.label(), size: text_encoder.vocab_size })
    }

    /// A tokenizer's file, or the folder of one.
    fn named(path: &Path) -> Self {
        if path.is_dir() {
            let source = Source::Folder(path.to_owned());
            let inside = [NAME, diffusers::TOKENIZER].into_iter().find(|name| source.has(name));
            return Self::File(source, inside.unwrap_or(NAME).to_owned());
        }
        // A path without a folder is a name in the working folder.
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        Self::File(Source::Folder(folder), name.unwrap_or_default())
    }

    /// What messages call it.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::File(source, file) => source.label(file),
            Self::Part(file, ..) => file.label.clone(),
            Self::Qwen3 => "Qwen3's, which comes with the program".to_owned(),
        }
    }

    /// The bytes of `tokenizer.json`.
    pub(crate) fn read(&self) -> Result<Vec<u8>> {
        match self {
            Self::File(source, file) => {
                let bytes = source.read(file, LIMIT)?;
                check_json(&source.label(file), &bytes)?;
                Ok(bytes)
            }
            Self::Part(file, offset, bytes) => {
                let label = file.label.clone();
                if *bytes > LIMIT {
                    return Err(Error::FileTooLarge { file: label, bytes: *bytes, limit: LIMIT });
                }
                let mut text = vec![0; *bytes as usize];
                file.read_exact_at(&mut text, *offset)?;
                check_json(&label, &text)?;
                Ok(text)
            }
            Self::Qwen3 => Ok(qwen3::json()),
        }
    }

    /// Checks it against the text encoder.
    pub(crate) fn check(&self, text_encoder: &TextEncoderConfig) -> Result<()> {
        match self {
            Self::File(..) | Self::Part(..) => check(&self.label(), &self.read()?, text_encoder),
            Self::Qwen3 => Ok(()),
        }
    }
}

/// `tokenizer.json`; what is not here is not checked.
#[derive(Deserialize)]
struct File {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: BTreeMap<String, i64>,
    merges: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct AddedToken {
    id: i64,
    content: String,
}

/// Checks that the bytes of the file `label` are a tokenizer whose ids the text encoder has.
pub(crate) fn check(label: &str, bytes: &[u8], text_encoder: &TextEncoderConfig) -> Result<()> {
    check_json(label, bytes)?;
    let bad = |reason: String| Err(Error::Tokenizer { file: label.to_owned(), reason });
    let File { model, added_tokens } = match json::object(bytes) {
        Ok(file) => file,
        Err(reason) => return bad(reason),
    };
    if model.kind.as_deref().is_some_and(|kind| kind != "BPE") {
        return bad(format!("its type is {:?} and not BPE", model.kind.unwrap_or_default()));
    }
    if model.vocab.is_empty() || model.merges.is_empty() {
        return bad("it has no vocabulary or no merges".to_owned());
    }
    let known = |token: &str| {
        model.vocab.contains_key(token) || added_tokens.iter().any(|added| added.content == token)
    };
    if let Some(token) = TEMPLATE.iter().find(|token| !known(token)) {
        return bad(format!("it has no token {token}, with which prompts begin or end"));
    }
    let ids = model.vocab.values().copied().chain(added_tokens.iter().map(|added| added.id));
    let (least, most) = ids.fold((0, 0), |(least, most), id| (id.min(least), id.max(most)));
    if least < 0 || most >= text_encoder.vocab_size {
        let size = text_encoder.vocab_size;
        return bad(format!("it has the id {most}, and the text encoder has {size} embeddings"));
    }
    Ok(())
}
