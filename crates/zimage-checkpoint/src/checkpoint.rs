//! A checkpoint, opened and described; its weights are not read.

use std::path::Path;

use crate::component::Component;
use crate::config::{Check, SchedulerConfig, TextEncoderConfig, TransformerConfig, VaeConfig};
use crate::error::Result;
use crate::expected_tensors::Architecture;
use crate::layout::diffusers::{self, Configurations};
use crate::source::{self, Source};
use crate::tensor_index::TensorIndex;

/// A checkpoint whose configurations are read and fit each other.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Its name: the repository of a Hugging Face cache, else the folder's name.
    pub name: String,
    /// The transformer's dimensions.
    pub transformer: TransformerConfig,
    /// The text encoder's dimensions.
    pub text_encoder: TextEncoderConfig,
    /// The autoencoder's dimensions.
    pub vae: VaeConfig,
    /// The schedule's parameters.
    pub scheduler: SchedulerConfig,
    source: Source,
}

impl Checkpoint {
    /// Opens a diffusers folder, or a snapshot in a Hugging Face cache.
    ///
    /// # Errors
    /// When the folder or a configuration is missing, damaged, of another model, or contradicts
    /// itself.
    pub fn open(folder: &Path) -> Result<Self> {
        Self::read(source::name_of(folder), diffusers::open(folder)?)
    }

    /// Opens files inside the program: pairs of a name relative to the checkpoint, and bytes.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn embedded(name: &str, files: &'static [(&'static str, &'static [u8])]) -> Result<Self> {
        Self::read(name.to_owned(), Source::embedded(name, files))
    }

    fn read(name: String, source: Source) -> Result<Self> {
        let Configurations { transformer, text_encoder, vae, scheduler } =
            diffusers::configurations(&source)?;
        let checkpoint = Self { name, transformer, text_encoder, vae, scheduler, source };
        checkpoint.check_fit()?;
        Ok(checkpoint)
    }

    /// Checks that the components fit each other.
    fn check_fit(&self) -> Result<()> {
        let file = self.source.label(diffusers::TRANSFORMER_CONFIG);
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

    /// The bytes of `tokenizer.json`.
    ///
    /// # Errors
    /// When the file is missing, too large or unreadable.
    pub fn tokenizer(&self) -> Result<Vec<u8>> {
        diffusers::tokenizer(&self.source)
    }

    /// The tensors that a component's files hold, by canonical name. Reads only headers.
    ///
    /// # Errors
    /// When a file is missing, truncated or damaged.
    pub fn tensor_index(&self, component: Component) -> Result<TensorIndex> {
        diffusers::tensor_index(&self.source, component)
    }

    /// The tensors that the model needs of a component.
    pub fn architecture(&self, component: Component) -> Architecture {
        match component {
            Component::Transformer => Architecture::transformer(&self.transformer),
            Component::TextEncoder => Architecture::text_encoder(&self.text_encoder),
            Component::Vae => Architecture::vae(&self.vae),
        }
    }
}
