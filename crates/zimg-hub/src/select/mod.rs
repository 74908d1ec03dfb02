//! Which files of a repository make a checkpoint: by their names, since nothing is fetched yet.

mod diffusers;
mod lora;
mod split;
#[cfg(test)]
mod tests;
mod variant;

pub use lora::choose_lora;

use crate::error::{Error, Result};
use crate::listing::{Listing, RemoteFile};
use crate::names::{FilePath, ModelRequest};

/// The files of a checkpoint and how to name it to the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// All files to fetch.
    pub files: Vec<RemoteFile>,
    /// What the daemon is given.
    pub parts: Parts,
}

/// What a checkpoint consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parts {
    /// A folder in diffusers' layout: the snapshot itself.
    Folder,
    /// Files for the components.
    Files {
        /// The transformer, or all in one.
        transformer: FilePath,
        /// The text encoder, if the repository has one.
        text_encoder: Option<FilePath>,
        /// The VAE, if the repository has one.
        vae: Option<FilePath>,
        /// Where the missing ones come from.
        missing: Option<Companion>,
    },
}

/// The repository and the variant from which a text encoder and a VAE are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Companion {
    /// The repository.
    pub repository: &'static str,
    /// How exact the text encoder is: `bf16`, `fp8_mixed`, `fp4_mixed`.
    pub encoder: &'static str,
}

/// The repository with a text encoder and a VAE in files of their own.
const COMPANION: &str = "Comfy-Org/z_image_turbo";

/// The checkpoint that is asked for.
///
/// # Errors
/// `NoVariant`, `SeveralVariants`, `NoCheckpoint`, or `Incomplete`.
pub fn choose(request: &ModelRequest, listing: &Listing) -> Result<Choice> {
    let repository = request.repository.as_str();
    let variant = request.variant.as_deref();
    if let Some(file) = variant.and_then(|variant| listing.find(variant))
        && split::is_weights(&file.path)
    {
        return Ok(split::single(file, listing));
    }
    if let Some(choice) = diffusers::choose(repository, variant, listing)? {
        return Ok(choice);
    }
    split::choose(repository, variant, listing)
}

impl Companion {
    /// The text encoder and the VAE of the companion's files.
    ///
    /// # Errors
    /// `Incomplete`: the repository has changed.
    pub fn choose(&self, listing: &Listing) -> Result<[RemoteFile; 2]> {
        let lacks = |file: &str| Error::Incomplete {
            repository: self.repository.to_owned(),
            file: file.to_owned(),
        };
        let encoder = split::encoder(listing, self.encoder).ok_or_else(|| lacks("text encoder"))?;
        let vae = split::vae(listing).ok_or_else(|| lacks("VAE"))?;
        Ok([encoder.clone(), vae.clone()])
    }
}
