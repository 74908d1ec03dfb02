//! The diffusers layout: `model_index.json`, a folder for each component, safetensors with an index
//! where a component has several files.
//!
//! Its tensor names are the canonical ones, except for a prefix that some text encoders have.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

use crate::component::Component;
use crate::config::{
    Check, SchedulerConfig, TextEncoderConfig, TransformerConfig, VaeConfig, parse,
};
use crate::error::{Error, Result};
use crate::source::Source;
use crate::tensor_index::TensorIndex;

/// The file that names the pipeline, and by which the layout is recognised.
const MODEL_INDEX: &str = "model_index.json";
/// The transformer's configuration.
pub(crate) const TRANSFORMER_CONFIG: &str = "transformer/config.json";
/// The text encoder's configuration.
const TEXT_ENCODER_CONFIG: &str = "text_encoder/config.json";
/// The autoencoder's configuration.
const VAE_CONFIG: &str = "vae/config.json";
/// The schedule's configuration.
const SCHEDULER_CONFIG: &str = "scheduler/scheduler_config.json";
/// The tokenizer.
const TOKENIZER: &str = "tokenizer/tokenizer.json";

/// The largest configuration file that is read.
const CONFIG_LIMIT: u64 = 1 << 20;
/// The largest list of shards that is read.
const SHARD_INDEX_LIMIT: u64 = 16 << 20;
/// The largest `tokenizer.json` that is read; Qwen's has 11 MB.
const TOKENIZER_LIMIT: u64 = 128 << 20;

/// The key by which diffusers names what a file configures.
const CLASS_NAME: &str = "_class_name";
/// The key by which transformers does.
const MODEL_TYPE: &str = "model_type";
/// What whole language models put before their tensors' names, and encoders do not.
const LANGUAGE_MODEL_PREFIX: &str = "model.";

/// The configurations of all components.
#[derive(Clone, Debug)]
pub(crate) struct Configurations {
    pub(crate) transformer: TransformerConfig,
    pub(crate) text_encoder: TextEncoderConfig,
    pub(crate) vae: VaeConfig,
    pub(crate) scheduler: SchedulerConfig,
}

/// What a file configures.
#[derive(Deserialize)]
struct Class {
    #[serde(rename = "_class_name")]
    class_name: Option<String>,
    model_type: Option<String>,
}

/// `*.safetensors.index.json`.
#[derive(Deserialize)]
struct ShardIndex {
    /// Tensor to file name.
    weight_map: BTreeMap<String, String>,
}

/// The folder `path`, if it is in this layout.
///
/// A folder without permission is not called absent: a service's user often has fewer permissions
/// than its administrator.
pub(crate) fn open(path: &Path) -> Result<Source> {
    let folder = path.display().to_string();
    let is_folder = match fs::metadata(path) {
        Ok(found) => found.is_dir(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NoFolder { folder });
        }
        Err(source) => return Err(Error::Io { file: folder, source }),
    };
    let hint = match fs::symlink_metadata(path.join(MODEL_INDEX)) {
        Ok(_) => return Ok(Source::Folder(path.to_owned())),
        Err(_) if !is_folder => {
            Some("it is a file: give the folder of a checkpoint in the diffusers layout")
        }
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(Error::Io { file: folder, source });
        }
        Err(_) => path.join("snapshots").is_dir().then_some(
            "this is a repository of the Hugging Face cache: give a folder under its snapshots/",
        ),
    };
    Err(Error::NotACheckpoint { folder, hint: hint.map(str::to_owned) })
}

/// Reads and checks all configurations.
pub(crate) fn configurations(source: &Source) -> Result<Configurations> {
    read_class(source, MODEL_INDEX, CLASS_NAME, "ZImagePipeline")?;
    let (file, bytes) =
        read_class(source, TRANSFORMER_CONFIG, CLASS_NAME, "ZImageTransformer2DModel")?;
    let transformer = TransformerConfig::parse(&file, &bytes)?;
    let (file, bytes) = read_class(source, TEXT_ENCODER_CONFIG, MODEL_TYPE, "qwen3")?;
    let text_encoder = TextEncoderConfig::parse(&file, &bytes)?;
    let (file, bytes) = read_class(source, VAE_CONFIG, CLASS_NAME, "AutoencoderKL")?;
    let vae = VaeConfig::parse(&file, &bytes)?;
    let (file, bytes) =
        read_class(source, SCHEDULER_CONFIG, CLASS_NAME, "FlowMatchEulerDiscreteScheduler")?;
    let scheduler = SchedulerConfig::parse(&file, &bytes)?;
    Ok(Configurations { transformer, text_encoder, vae, scheduler })
}

/// The bytes of `tokenizer.json`.
pub(crate) fn tokenizer(source: &Source) -> Result<Vec<u8>> {
    source.read(TOKENIZER, TOKENIZER_LIMIT)
}

/// Reads and checks the headers of a component's files.
pub(crate) fn tensor_index(source: &Source, component: Component) -> Result<TensorIndex> {
    let (folder, stem) = names(component);
    let single = format!("{folder}/{stem}.safetensors");
    let shards = format!("{single}.index.json");
    let mut index = TensorIndex::new(source.label(folder));
    if source.has(&shards) {
        add_shards(&mut index, source, folder, &shards)?;
    } else {
        index.add(source.open(&single)?)?;
    }
    if component == Component::TextEncoder {
        index.strip_prefix(LANGUAGE_MODEL_PREFIX)?;
    }
    Ok(index)
}

/// A component's folder, and the name of its weights files without `.safetensors`.
const fn names(component: Component) -> (&'static str, &'static str) {
    match component {
        Component::Transformer => ("transformer", "diffusion_pytorch_model"),
        Component::TextEncoder => ("text_encoder", "model"),
        Component::Vae => ("vae", "diffusion_pytorch_model"),
    }
}

/// A configuration's label and bytes, if it is of the class `expected`.
fn read_class(
    source: &Source,
    file: &str,
    key: &'static str,
    expected: &'static str,
) -> Result<(String, Vec<u8>)> {
    let bytes = source.read(file, CONFIG_LIMIT)?;
    let file = source.label(file);
    let Class { class_name, model_type } = parse(&file, &bytes)?;
    match if key == CLASS_NAME { class_name } else { model_type } {
        Some(found) if found == expected => Ok((file, bytes)),
        Some(found) => Err(Error::Architecture { file, key, found, expected }),
        None => {
            let check = Check { file: &file };
            Err(check.error(format!("it has no {key}, which must be {expected}")))
        }
    }
}

fn add_shards(index: &mut TensorIndex, source: &Source, folder: &str, file: &str) -> Result<()> {
    let label = source.label(file);
    let bad = |reason: String| Error::Index { file: label.clone(), reason };
    let ShardIndex { weight_map } = parse(&label, &source.read(file, SHARD_INDEX_LIMIT)?)?;

    let mut shards: Vec<&String> = weight_map.values().collect();
    shards.sort_unstable();
    shards.dedup();
    if shards.is_empty() {
        return Err(bad("it names no file".to_owned()));
    }
    if let Some(name) = shards.iter().find(|name| !is_file_name(name)) {
        return Err(bad(format!("it names the file {name:?}, which is not in its folder")));
    }
    for shard in &shards {
        index.add(source.open(&format!("{folder}/{shard}"))?)?;
    }

    for (name, shard) in &weight_map {
        let found = index.tensors.get(name).map(|&(number, _)| shards[number]);
        if found != Some(shard) {
            return Err(bad(format!("it places the tensor {name} in {shard}, which lacks it")));
        }
    }
    // Each listed one was found in its file, so there are more only if some are not listed.
    match index.tensors.iter().find(|(name, _)| !weight_map.contains_key(*name)) {
        Some((name, &(number, _))) => {
            Err(bad(format!("it does not list the tensor {name} of {}", shards[number])))
        }
        None => Ok(()),
    }
}

/// Whether it names a weights file in the same folder. It may be a link: caches have those.
fn is_file_name(name: &str) -> bool {
    name.ends_with(".safetensors") && !name.contains(['/', '\\', '\0'])
}
