//! The diffusers layout: `model_index.json`, a folder for each component, safetensors with an index
//! where a component has several files.
//!
//! Its tensor names are the canonical ones, except for a prefix that some text encoders have.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::component::Component;
use crate::config::{
    Check, SchedulerConfig, TextEncoderConfig, TransformerConfig, VaeConfig, parse,
};
use crate::error::{Error, Result};
use crate::misnamed::missing;
use crate::source::Source;
use crate::tensor_index::TensorIndex;

use super::names::text_encoder;
use super::weight_files::{self, WeightFiles};

/// The file that names the pipeline, and by which the layout is recognised.
const MODEL_INDEX: &str = "model_index.json";
/// A component's configuration, in its folder.
const CONFIG: &str = "config.json";
/// The schedule's configuration.
const SCHEDULER_CONFIG: &str = "scheduler/scheduler_config.json";
/// The tokenizer.
pub(crate) const TOKENIZER: &str = "tokenizer/tokenizer.json";

/// The largest configuration file that is read.
const CONFIG_LIMIT: u64 = 1 << 20;
/// The largest list of shards that is read.
const SHARD_INDEX_LIMIT: u64 = 16 << 20;

/// The key by which diffusers names what a file configures.
const CLASS_NAME: &str = "_class_name";
/// The key by which transformers does.
const MODEL_TYPE: &str = "model_type";
/// Pipelines with this model's parts. Those for image inputs and ControlNets add parts of their own,
/// which are not read.
const PIPELINES: [&str; 6] = [
    "ZImagePipeline",
    "ZImageImg2ImgPipeline",
    "ZImageInpaintPipeline",
    "ZImageControlNetPipeline",
    "ZImageControlNetInpaintPipeline",
    "ZImageOmniPipeline",
];

/// A component's folder.
#[derive(Clone, Debug)]
pub(crate) struct ComponentFolder {
    source: Source,
    /// Its name in the source.
    folder: String,
    component: Component,
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

/// Whether the folder `path` is in this layout.
///
/// # Errors
/// When permissions do not allow to see it: a service's user often has fewer than its administrator,
/// and a folder without permission is not called absent.
pub(crate) fn is_checkpoint(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path.join(MODEL_INDEX)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::Io { file: path.display().to_string(), source }),
    }
}

/// Whether the folder `path` is inside a checkpoint: a component's folder was given.
pub(crate) fn is_inside(path: &Path) -> bool {
    fs::canonicalize(path.join("..")).is_ok_and(|above| above.join(MODEL_INDEX).is_file())
}

/// Refuses a configuration, an index or a shard of a checkpoint: its folder is the model.
///
/// # Errors
/// When the file at `path` is one of these.
pub(crate) fn refuse_one_of_many(path: &Path) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_one = Path::new(&*name).extension().is_some_and(|end| end == "json")
        || name.contains("-of-") && name.ends_with(".safetensors");
    // Links of the Hugging Face cache are not followed: their targets are in no checkpoint.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.ancestors().skip(1).take(2).find(|folder| folder.join(MODEL_INDEX).is_file());
    match folder.filter(|_| is_one) {
        Some(folder) => Err(Error::OneOfMany {
            file: path.display().to_string(),
            hint: format!("give the folder {}", folder.display()),
        }),
        None => Ok(()),
    }
}

/// What is said of a folder in which nothing is recognised.
pub(crate) fn no_checkpoint(path: &Path) -> Error {
    let hint = if path.join("snapshots").is_dir() {
        Some("it is a repository of the Hugging Face cache without a folder in snapshots/: fetch it again".to_owned())
    } else {
        neighbour(path).map(|other| format!("{} has one: give that folder", other.display()))
    };
    Error::NotACheckpoint { folder: path.display().to_string(), hint }
}

/// A checkpoint one folder higher or deeper.
pub(crate) fn neighbour(path: &Path) -> Option<PathBuf> {
    let is_checkpoint = |folder: &PathBuf| folder.join(MODEL_INDEX).is_file();
    let above = fs::canonicalize(path).ok().and_then(|path| path.parent().map(Path::to_owned));
    let inside = || {
        let entries = fs::read_dir(path).ok()?;
        let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
        folders.filter(is_checkpoint).min()
    };
    above.filter(is_checkpoint).or_else(inside)
}

impl ComponentFolder {
    /// A component's folder in a pipeline's.
    pub(crate) fn of(source: &Source, component: Component) -> Self {
        Self { source: source.clone(), folder: names(component).0.to_owned(), component }
    }

    /// The component in the folder `path`, or in a pipeline's folder `path`.
    ///
    /// # Errors
    /// When neither has its configuration.
    pub(crate) fn at(path: &Path, component: Component) -> Result<Self> {
        let inside = Self::of(&Source::Folder(path.to_owned()), component);
        if inside.source.has(&inside.file(CONFIG)) {
            return Ok(inside);
        }
        // The name of the folder is not used in paths: it may be a link or a dot.
        let folder = Self { source: inside.source, folder: ".".to_owned(), component };
        if folder.source.has(&folder.file(CONFIG)) {
            return Ok(folder);
        }
        Err(missing(path.join(CONFIG).display().to_string()))
    }

    /// What messages call it.
    pub(crate) fn label(&self) -> String {
        self.source.label(&self.folder)
    }

    /// What messages call its configuration.
    pub(crate) fn config_label(&self) -> String {
        self.source.label(&self.file(CONFIG))
    }

    /// The transformer's configuration.
    pub(crate) fn transformer(&self) -> Result<TransformerConfig> {
        let class = "ZImageTransformer2DModel";
        let (file, bytes) = read_class(&self.source, &self.file(CONFIG), CLASS_NAME, class)?;
        TransformerConfig::parse(&file, &bytes)
    }

    /// The text encoder's configuration.
    pub(crate) fn text_encoder(&self) -> Result<TextEncoderConfig> {
        let (file, bytes) = read_class(&self.source, &self.file(CONFIG), MODEL_TYPE, "qwen3")?;
        TextEncoderConfig::parse(&file, &bytes)
    }

    /// The autoencoder's configuration.
    pub(crate) fn vae(&self) -> Result<VaeConfig> {
        let class = "AutoencoderKL";
        let (file, bytes) = read_class(&self.source, &self.file(CONFIG), CLASS_NAME, class)?;
        VaeConfig::parse(&file, &bytes)
    }

    /// Reads and checks the headers of its files.
    pub(crate) fn tensor_index(&self) -> Result<TensorIndex> {
        tensor_index(&self.source, &self.folder, self.component)
    }

    /// The tokenizer in the same folder, where language models have it.
    pub(crate) fn tokenizer(&self) -> Option<(Source, String)> {
        let file = self.file("tokenizer.json");
        self.source.has(&file).then(|| (self.source.clone(), file))
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }
}

/// The schedule's configuration.
pub(crate) fn scheduler(source: &Source) -> Result<SchedulerConfig> {
    let class = "FlowMatchEulerDiscreteScheduler";
    let (file, bytes) = read_class(source, SCHEDULER_CONFIG, CLASS_NAME, class)?;
    SchedulerConfig::parse(&file, &bytes)
}

/// Reads and checks the headers of a component's files.
fn tensor_index(source: &Source, folder: &str, component: Component) -> Result<TensorIndex> {
    let (_, stem) = names(component);
    let WeightFiles { file, is_index, variant } = weight_files::find(source, folder, stem)?;
    let mut index = TensorIndex::new(source.label(folder), component);
    index.remarks.extend(variant.map(|variant| {
        format!("{}: the variant {variant} is read, there is no other", source.label(folder))
    }));
    if is_index {
        add_shards(&mut index, source, folder, &file)?;
    } else {
        index.add(source.open(&file)?)?;
    }
    if component == Component::TextEncoder {
        index.strip_prefix(text_encoder::PREFIX)?;
    }
    index.skip_leftovers();
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

/// A configuration's label and bytes, if it is not of another class than `expected`.
///
/// The reference takes the class from the pipeline's file, so a configuration need not name it.
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
        Some(found) if found != expected => Err(Error::Architecture { file, key, found, expected }),
        _ => Ok((file, bytes)),
    }
}

/// Checks that the pipeline is one of this model.
pub(crate) fn check_pipeline(source: &Source) -> Result<()> {
    let bytes = source.read(MODEL_INDEX, CONFIG_LIMIT)?;
    let file = source.label(MODEL_INDEX);
    match parse::<Class>(&file, &bytes)?.class_name {
        Some(found) if PIPELINES.contains(&&*found) => Ok(()),
        Some(found) => {
            let (key, expected) = (CLASS_NAME, PIPELINES[0]);
            Err(Error::Architecture { file, key, found, expected })
        }
        None => {
            let check = Check { file: &file };
            Err(check.error(format!("it has no {CLASS_NAME}, which must be {}", PIPELINES[0])))
        }
    }
}

fn add_shards(index: &mut TensorIndex, source: &Source, folder: &str, file: &str) -> Result<()> {
    let label = source.label(file);
    let bad = |reason: String| Error::Index { file: label.clone(), reason };
    let ShardIndex { weight_map } = parse(&label, &source.read(file, SHARD_INDEX_LIMIT)?)?;

    let weight_map: BTreeMap<String, &str> = weight_map
        .iter()
        .map(|(name, shard)| (name.clone(), shard.strip_prefix("./").unwrap_or(shard)))
        .collect();
    let mut shards: Vec<&str> = weight_map.values().copied().collect();
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
        if found != Some(*shard) {
            return Err(bad(format!("it places the tensor {name} in {shard}, which lacks it")));
        }
    }
    // Each listed one was found in its file, so there are more only if some are not listed.
    let unlisted = |name: &str| !weight_map.contains_key(name) && !index.is_leftover(name);
    match index.tensors.iter().find(|(name, _)| unlisted(name)) {
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
