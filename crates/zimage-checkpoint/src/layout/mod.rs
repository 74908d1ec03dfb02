//! Layouts of checkpoints: which files there are, and what their tensors are called.
//!
//! A layout gives each component's configuration and its tensor index under canonical names. Folders
//! of diffusers have both; from a file of weights the dimensions are inferred, and what it lacks
//! comes with the program.

pub(crate) mod diffusers;
pub(crate) mod hub;
pub(crate) mod identify;
pub(crate) mod names;
mod search;
mod weight_files;
mod weights_file;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::diffusers::ComponentFolder;
use self::search::Found;
use self::weights_file::WeightsFile;
use crate::component::Component;
use crate::error::{Error, Result};
use crate::hugging_face;
use crate::kind::{KindFinding, ModelKind};
use crate::location::ModelFiles;
use crate::source::{self, Source};
use crate::tensor_index::TensorIndex;

/// A form in which checkpoints are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutKind {
    /// A folder with `model_index.json`.
    Diffusers,
    /// Folders of ComfyUI: `diffusion_models`, `text_encoders`, `vae`.
    ComfyUi,
    /// Files that are named one by one.
    Files,
    /// All components in one file.
    AllInOne,
}

/// Where one component is.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// A folder with a configuration and weights in the names of diffusers.
    Folder(ComponentFolder),
    /// A file of weights alone.
    File(Arc<WeightsFile>),
}

/// Where everything of a checkpoint is.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) name: String,
    pub(crate) kind: LayoutKind,
    pub(crate) transformer: Part,
    pub(crate) text_encoder: Part,
    pub(crate) vae: Part,
    /// The diffusers folder with the scheduler and the tokenizer, if there is one.
    pub(crate) pipeline: Option<Source>,
    /// The kind as the files or the repository tell it.
    pub(crate) told: Option<KindFinding>,
    /// What was chosen among several.
    pub(crate) remarks: Vec<String>,
}

impl Part {
    /// The component's tensors under canonical names.
    pub(crate) fn index(&self, component: Component) -> Result<TensorIndex> {
        match self {
            Self::Folder(folder) => folder.tensor_index(),
            Self::File(file) => file.index(component),
        }
    }

    /// What messages call it.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Folder(folder) => folder.label(),
            Self::File(file) => file.label().to_owned(),
        }
    }
}

impl Layout {
    /// Finds the components of the model that `files` names.
    ///
    /// # Errors
    /// When it is absent, no model of this kind, or one of several.
    pub(crate) fn open(files: &ModelFiles) -> Result<Self> {
        let path = resolve(&files.model)?;
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoFolder { folder: path.display().to_string() });
            }
            Err(source) => return Err(Error::Io { file: path.display().to_string(), source }),
        };
        let mut layout = if !metadata.is_dir() {
            diffusers::refuse_one_of_many(&path)?;
            Self::of_file(WeightsFile::open(&path)?, files)?
        } else if diffusers::is_checkpoint(&path)? {
            Self::of_diffusers(Source::Folder(path.clone()), source::name_of(&path))
        } else if diffusers::is_inside(&path) {
            return Err(diffusers::no_checkpoint(&path));
        } else if let Some(models) = search::models_folder(&path) {
            Self::of_models_folder(&path, &models, files)?
        } else {
            Self::of_loose_files(&path, files)?
        };
        layout.replace(files)?;
        let repository = source::repository_of(&path);
        if let Some(repository) = repository.filter(|_| layout.told.is_none()) {
            let because = format!("by the repository's name, {repository}");
            layout.told = ModelKind::told_by(&repository).map(|kind| KindFinding { kind, because });
            layout.name = repository;
        }
        Ok(layout)
    }

    /// A folder in the layout of diffusers, or files inside the program.
    pub(crate) fn of_diffusers(source: Source, name: String) -> Self {
        let part = |component| Part::Folder(ComponentFolder::of(&source, component));
        let because = format!("by its name, {name}");
        Self {
            told: ModelKind::told_by(&name).map(|kind| KindFinding { kind, because }),
            name,
            kind: LayoutKind::Diffusers,
            transformer: part(Component::Transformer),
            text_encoder: part(Component::TextEncoder),
            vae: part(Component::Vae),
            pipeline: Some(source),
            remarks: Vec::new(),
        }
    }

    /// A file of the transformer or of everything; what it lacks is named or lies where ComfyUI
    /// keeps it.
    fn of_file(file: WeightsFile, files: &ModelFiles) -> Result<Self> {
        if !file.has(Component::Transformer) {
            let what = if file.has(Component::TextEncoder) { "text encoder" } else { "VAE" };
            return Err(Error::NotTheTransformer { file: file.label().to_owned(), what });
        }
        let models = search::models_folder_of(&file.path);
        Self::around(file, models.as_deref(), files)
    }

    /// ComfyUI's folders: the transformer is the one file of this model.
    fn of_models_folder(given: &Path, models: &Path, files: &ModelFiles) -> Result<Self> {
        let found = search::component_files(models, Component::Transformer);
        let file = only(given, found)?;
        let mut layout = Self::around(file, Some(models), files)?;
        if layout.kind == LayoutKind::Files {
            layout.kind = LayoutKind::ComfyUi;
        }
        Ok(layout)
    }

    /// A folder of files, as repositories of GGUF files are.
    fn of_loose_files(folder: &Path, files: &ModelFiles) -> Result<Self> {
        let found = search::files_in(folder, false);
        let is_empty = found.files.is_empty() && found.others.is_empty();
        if is_empty || found.files.is_empty() && diffusers::neighbour(folder).is_some() {
            return Err(diffusers::no_checkpoint(folder));
        }
        Self::around(only(folder, found)?, None, files)
    }

    /// The layout of a transformer's file with what is around it.
    fn around(file: WeightsFile, models: Option<&Path>, files: &ModelFiles) -> Result<Self> {
        let file = Arc::new(file);
        let mut remarks = Vec::new();
        let mut part = |component: Component, named: &Option<PathBuf>| -> Result<Part> {
            if let Some(path) = named {
                return part_at(path, component);
            }
            if file.has(component) {
                return Ok(Part::File(Arc::clone(&file)));
            }
            let (chosen, remark) = beside(&file, models, component)?;
            remarks.extend(remark);
            Ok(Part::File(Arc::new(chosen)))
        };
        let text_encoder = part(Component::TextEncoder, &files.text_encoder)?;
        let vae = part(Component::Vae, &files.vae)?;
        let kind = match Component::ALL.iter().all(|component| file.has(*component)) {
            true => LayoutKind::AllInOne,
            false => LayoutKind::Files,
        };
        let stem = || file.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = file.origin_name().map(str::to_owned).or_else(stem);
        Ok(Self {
            name: name.unwrap_or_else(|| file.label().to_owned()),
            kind,
            told: file.kind(),
            transformer: Part::File(file),
            text_encoder,
            vae,
            pipeline: None,
            remarks,
        })
    }

    /// Takes the components that are named by themselves.
    fn replace(&mut self, files: &ModelFiles) -> Result<()> {
        if self.pipeline.is_none() {
            return Ok(());
        }
        if let Some(path) = &files.text_encoder {
            self.text_encoder = part_at(path, Component::TextEncoder)?;
        }
        if let Some(path) = &files.vae {
            self.vae = part_at(path, Component::Vae)?;
        }
        Ok(())
    }
}

/// The path that is meant: a repository's name or folder becomes its snapshot.
fn resolve(path: &Path) -> Result<PathBuf> {
    if fs::symlink_metadata(path).is_err() {
        return match path.to_str().filter(|text| hub::is_repository(text)) {
            Some(repository) => {
                let cache = hugging_face::cache(&|name: &str| env::var_os(name));
                hub::find(repository, cache.as_slice())
            }
            None => Ok(path.to_owned()),
        };
    }
    let is_repository = path.join("snapshots").is_dir() && !path.join("model_index.json").exists();
    Ok(is_repository.then(|| hub::snapshot(path)).flatten().unwrap_or_else(|| path.to_owned()))
}

/// A component at a path that names it.
fn part_at(path: &Path, component: Component) -> Result<Part> {
    let path = &resolve(path)?;
    if path.is_dir() {
        return ComponentFolder::at(path, component).map(Part::Folder);
    }
    let file = WeightsFile::open(path)?;
    if file.has(component) {
        return Ok(Part::File(Arc::new(file)));
    }
    Err(Error::NotTheComponent { file: file.label().to_owned(), component })
}

/// The one file with a transformer.
fn only(folder: &Path, found: Found) -> Result<WeightsFile> {
    let folder = folder.display().to_string();
    let named = |files: &[&WeightsFile]| {
        files.iter().map(|file| file.label().to_owned()).collect::<Vec<_>>()
    };
    let transformers = found.with(Component::Transformer);
    match transformers.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let others = found.others.iter().map(ToString::to_string).collect();
            Err(Error::NoModel { folder, others })
        }
        several => Err(Error::SeveralModels { folder, files: named(several) }),
    }
}

/// The file for a component that another file lacks: the largest that fits is the least quantised.
fn beside(
    file: &WeightsFile,
    models: Option<&Path>,
    component: Component,
) -> Result<(WeightsFile, Option<String>)> {
    let mut found = Found::default();
    if let Some(models) = models {
        found = search::component_files(models, component);
    }
    if found.with(component).is_empty()
        && let Some(folder) = file.path.parent()
    {
        found = search::files_in(folder, false);
    }
    let mut files: Vec<&WeightsFile> = found.with(component);
    files.retain(|other| fits(file, other, component));
    files.sort_by_key(|file| std::cmp::Reverse(file.bytes(component)));
    let Some(chosen) = files.first() else {
        return Err(Error::MissingComponent { file: file.label().to_owned(), component });
    };
    let differ = files.iter().filter(|other| other.digest() != chosen.digest()).count();
    let remark = (differ > 0).then(|| {
        format!(
            "{component}: {} is taken, the largest of {} that fit; another can be named with {}",
            chosen.label(),
            files.len(),
            component.option()
        )
    });
    Ok(((*chosen).clone(), remark))
}

/// Whether a text encoder's or a VAE's width is the one that the transformer needs.
fn fits(transformer: &WeightsFile, other: &WeightsFile, component: Component) -> bool {
    let width = |file: &WeightsFile, component, name: &str, dimension: usize| {
        let index = file.index(component).ok()?;
        index.tensors.get(name)?.1.shape.get(dimension).copied()
    };
    match component {
        Component::Transformer => true,
        Component::TextEncoder => {
            let needed = width(transformer, Component::Transformer, "cap_embedder.0.weight", 0);
            needed == width(other, component, "embed_tokens.weight", 1)
        }
        Component::Vae => {
            let needed = width(transformer, Component::Transformer, "all_x_embedder.2-1.weight", 1);
            let latents = width(other, component, "decoder.conv_in.weight", 1);
            needed == latents.map(|channels| channels.saturating_mul(4))
        }
    }
}
