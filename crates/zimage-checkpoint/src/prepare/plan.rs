//! The plan of a prepared file: its tensors, where each lies, and what it is made of.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::PrepareError;
use super::header::{self, Entry, ZEROS};
use super::names::{APART, is_pixel_convolution, stored_name};
use super::options::{PrepareOptions, PreparedType};
use super::record::{self, Origin, OriginFile, Texts};
use crate::checkpoint::Checkpoint;
use crate::component::Component;
use crate::config::Configurations;
use crate::encoding::Rotation;
use crate::error::Result;
use crate::int8::rotation_of;
use crate::source::DataFile;
use crate::stored_tensor::StoredTensor;
use crate::tensor_index::TensorIndex;

/// The order in which components are loaded, which is their order in the file.
const ORDER: [Component; 3] = [Component::Vae, Component::TextEncoder, Component::Transformer];

/// A file that can be written.
#[derive(Debug)]
pub struct PreparePlan {
    pub(super) entries: Vec<Entry>,
    pub(super) tasks: Vec<Task>,
    pub(super) texts: Texts,
    /// The length of all before the data.
    pub(super) begin: u64,
    end: u64,
}

/// What is written at once: a tensor, and the scales that are computed with it.
#[derive(Debug)]
pub(super) struct Task {
    /// The number of its entry.
    pub(super) entry: usize,
    pub(super) content: Content,
}

/// What a tensor is made of.
#[derive(Debug)]
pub(super) enum Content {
    /// The tensors of the checkpoint whose rows it has, one after the other.
    Rows { parts: Vec<(Arc<DataFile>, StoredTensor)>, form: Form },
    /// Bytes as they are.
    Bytes(Vec<u8>),
}

/// The form of a tensor's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    BFloat16,
    /// With the number of the scales' entry.
    Float8(usize),
    /// With the number of the scales' entry.
    Int8(Option<Rotation>, usize),
}

/// A tensor without its place.
struct Draft {
    name: String,
    dtype: &'static str,
    shape: Vec<i64>,
    bytes: u64,
    /// Not loaded by this program, and last in the file.
    is_unused: bool,
    content: DraftContent,
}

enum DraftContent {
    Rows(Vec<(Arc<DataFile>, StoredTensor)>, PreparedType),
    /// Scales of the tensor of this name.
    Scales,
    Bytes(Vec<u8>),
}

impl PreparePlan {
    /// Plans the prepared form of a checkpoint. Reads headers, no tensors.
    ///
    /// # Errors
    /// When a file is missing or damaged, or tensors are missing or surplus.
    pub fn new(
        checkpoint: &Checkpoint,
        options: &PrepareOptions,
    ) -> std::result::Result<Self, PrepareError> {
        let mut drafts = Vec::new();
        let mut files = Vec::new();
        for component in ORDER {
            let mut index = checkpoint.tensor_index(component)?;
            files.extend(origin_files(&index));
            add_component(&mut drafts, checkpoint, &mut index, options)?;
        }
        if let Some(tokenizer) = checkpoint.own_tokenizer()? {
            drafts.push(Draft::of_bytes(record::TOKENIZER.to_owned(), tokenizer));
        }
        files.dedup();
        let origin = Origin { name: checkpoint.name.clone(), files };
        let json = |result: serde_json::Result<String>| {
            result.map_err(|error| PrepareError::Internal(error.to_string()))
        };
        let mut texts = Texts::from([
            ("format", "pt".to_owned()),
            (record::TITLE, checkpoint.name.clone()),
            (record::PREPARED, record::VERSION.to_owned()),
            (record::DTYPE, options.dtype.to_string()),
            (record::TEXT_ENCODER_DTYPE, options.text_encoder.to_string()),
            (record::ORIGIN, json(serde_json::to_string(&origin))?),
        ]);
        let config = Configurations {
            transformer: checkpoint.transformer.clone(),
            text_encoder: checkpoint.text_encoder.clone(),
            vae: checkpoint.vae.clone(),
            scheduler: checkpoint.scheduler.clone(),
        };
        record::with_config(&mut texts, json(serde_json::to_string(&config))?);
        let (entries, tasks) = placed(drafts);
        let end = entries.last().map_or(0, |entry| entry.data_offsets.1);
        let sums = entries.iter().map(|entry| (entry.name.as_str(), ZEROS.to_owned())).collect();
        let header = header::bytes(&texts, &entries, &sums);
        let (header, _) = header.map_err(|error| PrepareError::Internal(error.to_string()))?;
        let begin = header.len() as u64;
        Ok(Self { entries, tasks, texts, begin, end })
    }

    /// The length of the file.
    pub fn bytes(&self) -> u64 {
        self.begin + self.end
    }

    /// Tensors of the file.
    pub fn tensors(&self) -> usize {
        self.entries.len()
    }
}

impl Draft {
    fn of_bytes(name: String, bytes: Vec<u8>) -> Self {
        let length = bytes.len() as u64;
        let content = DraftContent::Bytes(bytes);
        let shape = vec![length as i64];
        Self { name, dtype: "U8", shape, bytes: length, is_unused: false, content }
    }
}

/// The identity of a component's files, without the folders that they lie in.
fn origin_files(index: &TensorIndex) -> Vec<OriginFile> {
    let name = |label: &str| label.rsplit('/').next().unwrap_or(label).to_owned();
    let files = index.files.iter().zip(&index.header_digests);
    files
        .map(|(file, digest)| OriginFile {
            name: name(&file.label),
            bytes: file.len,
            header_sha256: digest.clone(),
        })
        .collect()
}

fn add_component(
    drafts: &mut Vec<Draft>,
    checkpoint: &Checkpoint,
    index: &mut TensorIndex,
    options: &PrepareOptions,
) -> Result<()> {
    let component = index.component;
    let architecture = checkpoint.architecture(component);
    let levels = checkpoint.vae.block_out_channels.len();
    let mut add = |name: &str, parts: Vec<(Arc<DataFile>, StoredTensor)>, is_unused: bool| {
        let mut shape = parts.first().map_or(Vec::new(), |(_, stored)| stored.shape.clone());
        if let Some(rows) = shape.first_mut() {
            *rows = parts.iter().map(|(_, stored)| stored.shape[0]).sum();
        }
        if is_pixel_convolution(component, name) {
            shape.extend([1, 1]);
        }
        let name_of = stored_name(component, name, levels);
        add_tensor(drafts, &name_of, (parts, shape), options.type_of(component, name), is_unused);
    };
    let mut queries = None;
    for expected in &architecture.tensors {
        let (file, stored) = index.take(&expected.name, &expected.shape)?;
        let found = (Arc::clone(&index.files[file]), stored);
        // Queries, keys and values follow one another.
        if expected.name.ends_with(APART[0]) && component == Component::Transformer {
            queries = Some((expected.name.clone(), vec![found]));
        } else if let Some((name, parts)) =
            queries.as_mut().filter(|_| APART[1..].iter().any(|end| expected.name.ends_with(end)))
        {
            parts.push(found);
            if parts.len() == APART.len() {
                add(name, std::mem::take(parts), false);
            }
        } else {
            add(&expected.name, vec![found], false);
        }
    }
    // The language head is the table of embeddings once more, and no program needs it here. Other
    // programs look for the last layer and the norm.
    index.skip("lm_head.");
    let is_unused = |name: &str| architecture.unused.iter().any(|begin| name.starts_with(begin));
    let names: Vec<String> = index.tensors.keys().filter(|name| is_unused(name)).cloned().collect();
    for name in names {
        let shape = index.tensors.get(&name).map(|(_, stored)| stored.shape.clone());
        let (file, stored) = index.take(&name, &shape.unwrap_or_default())?;
        add(&name, vec![(Arc::clone(&index.files[file]), stored)], true);
    }
    index.check_empty()
}

fn add_tensor(
    drafts: &mut Vec<Draft>,
    name: &str,
    (parts, shape): (Vec<(Arc<DataFile>, StoredTensor)>, Vec<i64>),
    dtype: PreparedType,
    is_unused: bool,
) {
    let numbers: u64 = parts.iter().map(|(_, stored)| stored.numbers()).sum();
    let (rows, width) = match shape[..] {
        [rows, width] => (rows, width as u64),
        _ => (0, 0),
    };
    let (dtype, each, form, json) = match dtype {
        _ if rows == 0 || width == 0 => ("BF16", 2, PreparedType::BFloat16, String::new()),
        PreparedType::BFloat16 => ("BF16", 2, dtype, String::new()),
        PreparedType::Float8 => ("F8_E4M3", 1, dtype, r#"{"format": "float8_e4m3fn"}"#.to_owned()),
        PreparedType::Int8 => ("I8", 1, dtype, int8_json(rotation_of(width))),
    };
    let content = DraftContent::Rows(parts, form);
    drafts.push(Draft {
        name: name.to_owned(),
        dtype,
        shape,
        bytes: numbers * each,
        is_unused,
        content,
    });
    if form == PreparedType::BFloat16 {
        return;
    }
    let layer = name.strip_suffix(".weight").unwrap_or(name);
    drafts.push(Draft {
        name: scales_of(name),
        dtype: "F32",
        shape: vec![rows, 1],
        bytes: rows as u64 * 4,
        is_unused,
        content: DraftContent::Scales,
    });
    drafts.push(Draft::of_bytes(format!("{layer}.comfy_quant"), json.into_bytes()));
}

/// The name of the scales of a weight.
fn scales_of(name: &str) -> String {
    format!("{name}_scale")
}

fn int8_json(rotation: Option<Rotation>) -> String {
    match rotation {
        None => r#"{"format": "int8_tensorwise"}"#.to_owned(),
        Some(rotation) => format!(
            r#"{{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": {}}}"#,
            rotation.size()
        ),
    }
}

/// The drafts with their places.
///
/// The format allows no gaps, so tensors are sorted by the powers of two in their lengths: each then
/// begins at a multiple of its own, up to a page. All large ones do.
fn placed(mut drafts: Vec<Draft>) -> (Vec<Entry>, Vec<Task>) {
    let page = header::ALIGNMENT.trailing_zeros();
    drafts.sort_by_key(|draft| (Reverse(draft.bytes.trailing_zeros().min(page)), draft.is_unused));
    let numbers: BTreeMap<String, usize> =
        drafts.iter().enumerate().map(|(number, draft)| (draft.name.clone(), number)).collect();
    let mut end = 0;
    let mut entries = Vec::with_capacity(drafts.len());
    let mut tasks = Vec::with_capacity(drafts.len());
    for (entry, draft) in drafts.into_iter().enumerate() {
        let begin = end;
        end += draft.bytes;
        // Scales are drafted with each quantised tensor.
        let scales = numbers.get(&scales_of(&draft.name)).copied().unwrap_or_default();
        let content = match draft.content {
            DraftContent::Scales => None,
            DraftContent::Bytes(bytes) => Some(Content::Bytes(bytes)),
            DraftContent::Rows(parts, dtype) => {
                let width = draft.shape.last().map_or(0, |&width| width as u64);
                let form = match dtype {
                    PreparedType::BFloat16 => Form::BFloat16,
                    PreparedType::Float8 => Form::Float8(scales),
                    PreparedType::Int8 => Form::Int8(rotation_of(width), scales),
                };
                Some(Content::Rows { parts, form })
            }
        };
        tasks.extend(content.map(|content| Task { entry, content }));
        let (name, dtype, shape) = (draft.name, draft.dtype, draft.shape);
        entries.push(Entry { name, dtype, shape, data_offsets: (begin, end) });
    }
    (entries, tasks)
}
