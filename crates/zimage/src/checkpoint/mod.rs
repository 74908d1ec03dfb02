//! A checkpoint: where its files lie, what its configurations say, and its weights as tensors.
//!
//! Three things are kept apart: a `Source` knows where bytes come from, a `Catalogue` says
//! which tensor lies where, and `Weights` gives each a place on the device, to which the `Loader`
//! then brings its bytes. Other layouts of files need another catalogue.

mod cast;
mod catalogue;
mod config;
mod digest;
mod header;
mod host;
mod kept;
mod loader;
mod reading;
mod slab;
mod source;
mod stamp;
mod weights;

use std::path::Path;

pub use self::config::{SchedulerConfig, TextEncoderConfig, TransformerConfig, VaeConfig};
pub use self::kept::Kept;
pub use self::loader::{Arrival, LoadedMemory, Loader, Progress};
pub use self::weights::{Target, Weights};

use self::catalogue::Catalogue;
use self::config::Check;
use self::source::Source;
use crate::error::{Error, Result};

/// The largest `tokenizer.json` that is read; Qwen's has 11 MB.
const TOKENIZER_LIMIT: u64 = 128 << 20;

/// A part of the checkpoint that has weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// The diffusion transformer.
    Transformer,
    /// The Qwen3 text encoder.
    TextEncoder,
    /// The autoencoder between latents and images.
    Vae,
}

impl Component {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Transformer, Self::TextEncoder, Self::Vae];

    /// Its folder in the checkpoint.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Transformer => "transformer",
            Self::TextEncoder => "text_encoder",
            Self::Vae => "vae",
        }
    }

    /// What its weights' files are called, without `.safetensors`.
    const fn stem(self) -> &'static str {
        match self {
            Self::Transformer | Self::Vae => "diffusion_pytorch_model",
            Self::TextEncoder => "model",
        }
    }
}

/// A checkpoint in the diffusers layout, opened and understood; its weights are not yet read.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// What it is called: the repository of a Hugging Face cache, else the folder's name.
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
        let source = Source::folder(folder)?;
        Self::read(source::name_of(folder), source)
    }

    /// Opens files that lie in memory: pairs of a name relative to the checkpoint and its bytes.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn embedded(name: &str, files: &'static [(&'static str, &'static [u8])]) -> Result<Self> {
        Self::read(name.to_owned(), Source::memory(name, files))
    }

    fn read(name: String, source: Source) -> Result<Self> {
        config::check_pipeline(&source)?;
        let checkpoint = Self {
            name,
            transformer: TransformerConfig::read(&source)?,
            text_encoder: TextEncoderConfig::read(&source)?,
            vae: VaeConfig::read(&source)?,
            scheduler: SchedulerConfig::read(&source)?,
            source,
        };
        checkpoint.check_fit()?;
        Ok(checkpoint)
    }

    /// The parts must fit each other.
    fn check_fit(&self) -> Result<()> {
        let file = self.source.label(TransformerConfig::FILE);
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

    /// The bytes of `tokenizer/tokenizer.json`.
    ///
    /// # Errors
    /// When the file is missing, too large or unreadable.
    pub fn tokenizer(&self) -> Result<Vec<u8>> {
        self.source.read("tokenizer/tokenizer.json", TOKENIZER_LIMIT)
    }

    /// The tensors of a component, to be taken one by one.
    ///
    /// Reads and checks the files' headers only. The `loader` reads the tensors once all are taken.
    ///
    /// # Errors
    /// When a file is missing, truncated or damaged.
    pub fn weights<'a>(
        &self,
        component: Component,
        target: Target,
        loader: &'a mut Loader,
    ) -> Result<Weights<'a>> {
        let catalogue = Catalogue::read(&self.source, component)?;
        Ok(Weights::new(catalogue, target, loader))
    }
}

/// A configuration that cannot be.
fn bad_config(file: &str, reason: impl Into<String>) -> Error {
    Error::Config { file: file.to_owned(), reason: reason.into() }
}
