//! The manifest of retained weights: what must be known of memory before it is trusted.
//!
//! It states which files the weights were read from, their layout in memory, the device, and the
//! checksum of the memory. A later process uses the memory only if all of that is what it would
//! produce itself; otherwise it reads the files again.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};
use tch::Device;
use zimage_checkpoint::digest::sha256;
use zimage_checkpoint::{Checkpoint, FileFingerprint};

use super::host_memory::{read_sealed, write_sealed};
use crate::error::{Error, Result};

/// The version of the layout in memory, apart from what a [`ComponentManifest`] states.
const LAYOUT_VERSION: u32 = 1;
/// The longest manifest that is read; one of three components has some 3 KiB.
const MANIFEST_BYTES: u64 = 256 << 10;

/// Descriptors of retained weights: memory that outlives the process that loaded them.
///
/// The first descriptor is the manifest's, the others are those of the components' memory. The memory
/// lives as long as its descriptor is open in some process; the holder need not understand it.
#[derive(Debug)]
pub struct WeightDescriptors(Vec<OwnedFd>);

/// The manifest of a model's weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) identity: Identity,
    /// In the order in which components are loaded.
    pub(crate) components: Vec<ComponentManifest>,
}

/// The identity of the model, the program and the device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    layout: u32,
    /// The version of zimg: another one may cast or join tensors in another way.
    version: String,
    /// "cpu", or the GPU's UUID.
    device: String,
    /// The digest of the configurations.
    configuration: String,
}

/// The manifest of a component's weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ComponentManifest {
    /// The files.
    pub(crate) files: Vec<FileFingerprint>,
    /// The digests of their headers.
    pub(crate) headers: Vec<String>,
    /// The digest of the tensors' names, addresses, kinds and shapes.
    pub(crate) layout: String,
    /// Bytes of memory.
    pub(crate) bytes: usize,
    /// The checksum of the memory, once it is complete.
    pub(crate) checksum: String,
}

impl WeightDescriptors {
    /// From the descriptors that another process handed over.
    pub fn new(descriptors: Vec<OwnedFd>) -> Self {
        Self(descriptors)
    }

    /// The descriptors, to be handed over.
    pub fn into_descriptors(self) -> Vec<OwnedFd> {
        self.0
    }

    /// Bytes of the memory, by the manifest; 0 if it cannot be read.
    pub fn bytes(&self) -> u64 {
        let manifest = self.0.first().and_then(|manifest| manifest.try_clone().ok());
        let text = manifest.and_then(|manifest| read_sealed(manifest, MANIFEST_BYTES).ok());
        let manifest = text.and_then(|text| serde_json::from_slice::<Manifest>(&text).ok());
        let components = manifest.map_or_else(Vec::new, |manifest| manifest.components);
        components.iter().map(|component| component.bytes as u64).sum()
    }

    /// The manifest and the memory of its components.
    pub(crate) fn of(manifest: &Manifest, memory: Vec<OwnedFd>) -> Result<Self> {
        let text = serde_json::to_vec(manifest).map_err(|e| Error::NotRetained(e.to_string()))?;
        let manifest = write_sealed(&text).map_err(|e| Error::NotRetained(e.to_string()))?;
        Ok(Self(std::iter::once(manifest).chain(memory).collect()))
    }

    /// Reads the manifest, and returns it with the memory of its components.
    pub(crate) fn open(self) -> Result<(Manifest, Vec<OwnedFd>)> {
        let refused = |what: &str| Error::NotRetained(what.to_owned());
        let mut descriptors = self.0.into_iter();
        let manifest = descriptors.next().ok_or_else(|| refused("there is no manifest"))?;
        let text = read_sealed(manifest, MANIFEST_BYTES)
            .map_err(|e| refused(&format!("the manifest cannot be read: {e}")))?;
        let manifest: Manifest = serde_json::from_slice(&text)
            .map_err(|e| refused(&format!("the manifest is damaged: {e}")))?;
        let memory: Vec<_> = descriptors.collect();
        if memory.len() != manifest.components.len() {
            return Err(refused(
                "the manifest and the memory differ in their number of components",
            ));
        }
        Ok((manifest, memory))
    }
}

impl Identity {
    /// The identity of a checkpoint's weights on a device, loaded by this program.
    ///
    /// # Errors
    /// When the driver does not report the GPU's UUID.
    pub(crate) fn new(checkpoint: &Checkpoint, device: Device) -> Result<Self> {
        let device = match device {
            Device::Cuda(ordinal) => zimage_cuda::Gpu::find(ordinal)?.uuid,
            other => format!("{other:?}").to_lowercase(),
        };
        let Checkpoint { transformer, text_encoder, vae, scheduler, .. } = checkpoint;
        let dimensions = format!("{transformer:?} {text_encoder:?} {vae:?} {scheduler:?}");
        Ok(Self {
            layout: LAYOUT_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device,
            configuration: sha256(dimensions.as_bytes()),
        })
    }

    /// Checks that retained weights have this identity.
    pub(crate) fn check(&self, retained: &Self) -> Result<()> {
        let what = if (retained.layout, &retained.version) != (self.layout, &self.version) {
            "another version of zimg loaded them"
        } else if retained.device != self.device {
            "they are on another device"
        } else if retained.configuration != self.configuration {
            "the model's configuration has changed"
        } else {
            return Ok(());
        };
        Err(Error::NotRetained(what.to_owned()))
    }
}

impl ComponentManifest {
    /// Checks that retained weights are these, apart from the checksum.
    pub(crate) fn check(&self, retained: &Self) -> Result<()> {
        let what = if !self.files.iter().all(FileFingerprint::is_known) {
            "the checkpoint's files have no stable identity (inode, times)"
        } else if retained.files != self.files || retained.headers != self.headers {
            "the checkpoint's files have changed"
        } else if retained.layout != self.layout || retained.bytes != self.bytes {
            "the memory layout differs"
        } else {
            return Ok(());
        };
        Err(Error::NotRetained(what.to_owned()))
    }

    /// Checks that the memory has not changed.
    pub(crate) fn check_checksum(&self, checksum: &str) -> Result<()> {
        if self.checksum == checksum {
            return Ok(());
        }
        Err(Error::NotRetained("their checksum is wrong".to_owned()))
    }
}
