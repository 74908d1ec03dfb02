//! A checkpoint, opened and described; its weights are not read.

use std::path::Path;

use crate::component::Component;
use crate::config::{Check, SchedulerConfig, TextEncoderConfig, TransformerConfig, VaeConfig};
use crate::error::Result;
use crate::expected_tensors::Architecture;
use crate::kind::{KindFinding, ModelKind};
use crate::layout::{Layout, LayoutKind, Part, diffusers};
use crate::location::ModelFiles;
use crate::source::Source;
use crate::tensor_index::TensorIndex;
use crate::tokenizer::TokenizerSource;

/// A checkpoint whose configurations are known and fit each other.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Its name: the repository of a Hugging Face cache, else the folder's or the file's name.
    pub name: String,
    /// The transformer's dimensions.
    pub transformer: TransformerConfig,
    /// The text encoder's dimensions.
    pub text_encoder: TextEncoderConfig,
    /// The autoencoder's dimensions.
    pub vae: VaeConfig,
    /// The schedule's parameters.
    pub scheduler: SchedulerConfig,
    /// Turbo or the base model, and what tells it.
    pub kind: KindFinding,
    layout: Layout,
    tokenizer: TokenizerSource,
}

impl Checkpoint {
    /// Opens a folder, a file of weights, or a repository of a Hugging Face cache.
    ///
    /// # Errors
    /// When files or configurations are missing, damaged, of another model, or contradict each other.
    pub fn open(model: &Path) -> Result<Self> {
        Self::open_files(&ModelFiles::at(model))
    }

    /// Opens a model of which some parts are named by themselves.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_files(files: &ModelFiles) -> Result<Self> {
        Self::read(Layout::open(files)?, files)
    }

    /// Opens files inside the program: pairs of a name relative to the checkpoint, and bytes.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn embedded(name: &str, files: &'static [(&'static str, &'static [u8])]) -> Result<Self> {
        let layout = Layout::of_diffusers(Source::embedded(name, files), name.to_owned());
        Self::read(layout, &ModelFiles::default())
    }

    fn read(layout: Layout, files: &ModelFiles) -> Result<Self> {
        if let Some(source) = &layout.pipeline {
            diffusers::check_pipeline(source)?;
        }
        let transformer = match &layout.transformer {
            Part::Folder(folder) => Some(folder.transformer()?),
            Part::File(_) => None,
        };
        let text_encoder = match &layout.text_encoder {
            Part::Folder(folder) => folder.text_encoder()?,
            Part::File(file) => match file.configurations()? {
                Some(found) => found.text_encoder,
                None => {
                    let index = file.index(Component::TextEncoder)?;
                    file.shapes(&index).text_encoder(file.text_encoder_facts())?
                }
            },
        };
        let vae = match &layout.vae {
            Part::Folder(folder) => folder.vae()?,
            Part::File(file) => match file.configurations()? {
                Some(found) => found.vae,
                None => file.shapes(&file.index(Component::Vae)?).vae()?,
            },
        };
        let prepared = match &layout.transformer {
            Part::File(file) => file.configurations()?,
            Part::Folder(_) => None,
        };
        let transformer = transformer.or(prepared.as_ref().map(|found| found.transformer.clone()));
        let transformer = match (transformer, &layout.transformer) {
            (None, Part::File(file)) => {
                let index = file.index(Component::Transformer)?;
                file.shapes(&index).transformer(vae.latent_channels)?
            }
            (read, _) => read.unwrap_or_default(),
        };
        let scheduler = layout.pipeline.as_ref().map(diffusers::scheduler).transpose()?;
        let scheduler = scheduler.or(prepared.map(|found| found.scheduler));
        let kind = kind(files.kind, scheduler.as_ref(), &layout);
        let scheduler = scheduler.unwrap_or_else(|| SchedulerConfig::of(kind.kind));
        let tokenizer = TokenizerSource::find(files, &layout, &text_encoder)?;
        let name = layout.name.clone();
        let checkpoint =
            Self { name, transformer, text_encoder, vae, scheduler, kind, layout, tokenizer };
        checkpoint.check_fit()?;
        Ok(checkpoint)
    }

    /// Checks that the components fit each other.
    fn check_fit(&self) -> Result<()> {
        let file = match &self.layout.transformer {
            Part::Folder(folder) => folder.config_label(),
            Part::File(file) => file.label().to_owned(),
        };
        let check = Check { file: &file };
        check.same(
            ("cap_feat_dim", self.transformer.cap_feat_dim),
            ("the text encoder's hidden_size", self.text_encoder.hidden_size),
        )?;
        check.same(
            ("in_channels", self.transformer.in_channels),
            ("the VAE's latent_channels", self.vae.latent_channels),
        )
    }

    /// The form in which it was found.
    pub fn layout(&self) -> LayoutKind {
        self.layout.kind
    }

    /// What messages call the tokenizer's file.
    pub fn tokenizer_file(&self) -> String {
        self.tokenizer.label()
    }

    /// The bytes of `tokenizer.json`.
    ///
    /// # Errors
    /// When the file is missing, too large or unreadable.
    pub fn tokenizer(&self) -> Result<Vec<u8>> {
        self.tokenizer.read()
    }

    /// The bytes of `tokenizer.json`, if it is not the one that comes with the program.
    ///
    /// # Errors
    /// As [`Checkpoint::tokenizer`].
    pub fn own_tokenizer(&self) -> Result<Option<Vec<u8>>> {
        match &self.tokenizer {
            TokenizerSource::Qwen3 => Ok(None),
            own => own.read().map(Some),
        }
    }

    pub(crate) fn check_tokenizer(&self) -> Result<()> {
        self.tokenizer.check(&self.text_encoder)
    }

    /// The tensors that a component's files hold, by canonical name. Reads only headers.
    ///
    /// # Errors
    /// When a file is missing, truncated or damaged.
    pub fn tensor_index(&self, component: Component) -> Result<TensorIndex> {
        self.part(component).index(component)
    }

    /// The tensors that the model needs of a component.
    pub fn architecture(&self, component: Component) -> Architecture {
        match component {
            Component::Transformer => Architecture::transformer(&self.transformer),
            Component::TextEncoder => Architecture::text_encoder(&self.text_encoder),
            Component::Vae => Architecture::vae(&self.vae),
        }
    }

    /// What was chosen among several files.
    pub(crate) fn choices(&self) -> &[String] {
        &self.layout.remarks
    }

    /// A title that the text encoder's file has of itself.
    pub(crate) fn text_encoder_title(&self) -> Option<&str> {
        match &self.layout.text_encoder {
            Part::File(file) => file.titles().next(),
            Part::Folder(_) => None,
        }
    }

    fn part(&self, component: Component) -> &Part {
        match component {
            Component::Transformer => &self.layout.transformer,
            Component::TextEncoder => &self.layout.text_encoder,
            Component::Vae => &self.layout.vae,
        }
    }
}

/// The kind: as set, as the schedule tells it, as the files tell it, or Turbo.
///
/// Turbo is what nearly all downloads are, and its 8 steps make a recognisable image of either; the
/// assumption is said in the log and in the inventory.
fn kind(
    set: Option<ModelKind>,
    scheduler: Option<&SchedulerConfig>,
    layout: &Layout,
) -> KindFinding {
    let because = |because: &str| because.to_owned();
    if let Some(kind) = set {
        return KindFinding { kind, because: because("as model_kind is set") };
    }
    let shifted = scheduler.and_then(|scheduler| {
        let known = [ModelKind::Turbo, ModelKind::Base];
        let kind = known.into_iter().find(|kind| kind.shift() == scheduler.shift)?;
        Some(KindFinding { kind, because: format!("by the schedule's shift of {}", kind.shift()) })
    });
    shifted.or_else(|| layout.told.clone()).unwrap_or_else(|| KindFinding {
        kind: ModelKind::Turbo,
        because: because(
            "assumed, because nothing in the files tells it: set model_kind to turbo or base",
        ),
    })
}
