//! Weights that outlive their process: descriptors of memory, and what must be known to trust it.
//!
//! The manifest says which files the weights were read from, how they lie in memory, on which
//! device, and what the memory adds up to. A later process uses the memory only if all of that is
//! what it would make itself; anything doubtful is read anew.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};
use tch::Device;

use super::host::{read_sealed, write_sealed};
use super::stamp::Stamp;
use super::{Checkpoint, digest};
use crate::error::{Error, Result};

/// Another number for each way in which weights lie in memory, besides what a [`Part`] says.
const LAYOUT: u32 = 1;
/// The longest manifest that is read; one of three components has some 3 KiB.
const MANIFEST_BYTES: u64 = 256 << 10;

/// Weights in memory that a process left, or leaves, to later ones.
///
/// The first descriptor is that of the manifest, the others are those of memory. Whoever holds
/// them holds the memory; nothing else needs to be understood for that.
#[derive(Debug)]
pub struct Kept(Vec<OwnedFd>);

/// What is known of the weights of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) origin: Origin,
    /// One for each component, in the order in which they are loaded.
    pub(super) parts: Vec<Part>,
}

/// Of what and where weights are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    layout: u32,
    /// The version of this program: another one may cast or join otherwise.
    version: String,
    /// "cpu", or the GPU's own number.
    device: String,
    /// A digest of the dimensions that the configurations come to.
    configuration: String,
}

/// A component's weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// The files.
    pub(super) files: Vec<Stamp>,
    /// Digests of their headers.
    pub(super) headers: Vec<String>,
    /// A digest of names, places, kinds and shapes.
    pub(super) layout: String,
    /// Bytes of memory.
    pub(super) bytes: usize,
    /// What the memory adds up to, once it is complete.
    pub(super) sum: String,
}

impl Kept {
    /// What another process handed over.
    pub fn new(descriptors: Vec<OwnedFd>) -> Self {
        Self(descriptors)
    }

    /// To be handed over.
    pub fn into_descriptors(self) -> Vec<OwnedFd> {
        self.0
    }

    /// Puts a manifest before the memory.
    pub(super) fn of(manifest: &Manifest, memory: Vec<OwnedFd>) -> Result<Self> {
        let text = serde_json::to_vec(manifest).map_err(|e| Error::NotKept(e.to_string()))?;
        let manifest = write_sealed(&text).map_err(|e| Error::NotKept(e.to_string()))?;
        Ok(Self(std::iter::once(manifest).chain(memory).collect()))
    }

    /// The manifest, and the memory of each of its parts.
    pub(super) fn open(self) -> Result<(Manifest, Vec<OwnedFd>)> {
        let doubt = |what: &str| Error::NotKept(what.to_owned());
        let mut descriptors = self.0.into_iter();
        let manifest = descriptors.next().ok_or_else(|| doubt("there is no manifest"))?;
        let text = read_sealed(manifest, MANIFEST_BYTES)
            .map_err(|e| doubt(&format!("the manifest cannot be read: {e}")))?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|e| doubt(&format!("the manifest is damaged: {e}")))?;
        let memory: Vec<_> = descriptors.collect();
        if memory.len() != manifest.parts.len() {
            return Err(doubt("the manifest and the memory differ in number"));
        }
        Ok((manifest, memory))
    }
}

impl Origin {
    /// That of a checkpoint's weights on a device, by this program.
    ///
    /// # Errors
    /// When the driver does not say which GPU it is.
    pub(super) fn new(checkpoint: &Checkpoint, device: Device) -> Result<Self> {
        let device = match device {
            Device::Cuda(ordinal) => zimage_cuda::Gpu::find(ordinal)?.uuid,
            other => format!("{other:?}").to_lowercase(),
        };
        let Checkpoint { transformer, text_encoder, vae, scheduler, .. } = checkpoint;
        let dimensions = format!("{transformer:?} {text_encoder:?} {vae:?} {scheduler:?}");
        Ok(Self {
            layout: LAYOUT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device,
            configuration: digest::of(dimensions.as_bytes()),
        })
    }

    /// That kept weights are of this origin.
    pub(super) fn check(&self, kept: &Self) -> Result<()> {
        let what = if (kept.layout, &kept.version) != (self.layout, &self.version) {
            "another version of zimg made them"
        } else if kept.device != self.device {
            "they lie on another device"
        } else if kept.configuration != self.configuration {
            "the model's configuration is another"
        } else {
            return Ok(());
        };
        Err(Error::NotKept(what.to_owned()))
    }
}

impl Part {
    /// That kept weights are these, but for their sum.
    pub(super) fn check(&self, kept: &Self) -> Result<()> {
        let what = if !self.files.iter().all(Stamp::is_known) {
            "the files cannot be told from others"
        } else if kept.files != self.files || kept.headers != self.headers {
            "the checkpoint's files have changed"
        } else if kept.layout != self.layout || kept.bytes != self.bytes {
            "they lie in memory otherwise"
        } else {
            return Ok(());
        };
        Err(Error::NotKept(what.to_owned()))
    }

    /// That the memory still is what it was.
    pub(super) fn check_sum(&self, sum: &str) -> Result<()> {
        if self.sum == sum {
            return Ok(());
        }
        Err(Error::NotKept("their checksum is wrong".to_owned()))
    }
}
