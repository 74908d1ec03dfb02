//! ControlNets on the device: the one that was asked for last stays there until another takes its place,
//! or its memory is needed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tch::Tensor;
use zimage_checkpoint::{BlockPart, FileFingerprint, LEAST_SLOTS, gibibytes};

use super::networks::Networks;
use super::streaming_plan::largest_part;
use crate::checkpoint::control::ControlNet as ControlFile;
use crate::error::{Error, Result};
use crate::transformer::{Control, ControlNet};
use crate::weights::streaming::Streamer;
use crate::weights::{LoadedWeights, Loader, PartName, Streaming, Target, bytes_on_device};

/// A ControlNet that a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlChoice {
    /// The name by which it is asked for.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// The factor of its hints (diffusers: `controlnet_conditioning_scale`).
    pub scale: f32,
}

/// The ControlNet that is on the device, if one is.
#[derive(Debug, Default)]
pub(super) struct Controls(Option<Rc<LoadedControl>>);

/// A ControlNet on the device.
#[derive(Debug)]
pub(super) struct LoadedControl {
    net: ControlNet,
    fingerprint: FileFingerprint,
    /// Bytes that it takes there.
    bytes: u64,
    /// Whether its blocks are streamed.
    streamed: bool,
    /// The arena that its tensors lie in; dropped after them.
    _weights: LoadedWeights,
}

/// The control image of a request: encoded once.
#[derive(Debug)]
pub(super) struct ControlInput {
    net: Rc<LoadedControl>,
    /// `[1, channels, height, width]`.
    latents: Tensor,
    /// Of no dimensions, in the kind of the residual stream.
    scale: Tensor,
}

impl Controls {
    /// The ControlNet of this file, read if it is not there; `free` says how many bytes it may take, where
    /// that is limited: beyond them its blocks are streamed.
    pub(super) fn get(
        &mut self,
        networks: &Networks,
        choice: &ControlChoice,
        free: impl Fn() -> Result<Option<u64>>,
    ) -> Result<Rc<LoadedControl>> {
        let fingerprint = fingerprint(&choice.path)?;
        if let Some(loaded) = self.0.as_ref().filter(|loaded| loaded.fingerprint == fingerprint) {
            return Ok(Rc::clone(loaded));
        }
        // Two of 6 GB fit few devices.
        self.0 = None;
        let loaded = Rc::new(LoadedControl::read(networks, choice, free()?)?);
        self.0 = Some(Rc::clone(&loaded));
        Ok(loaded)
    }

    /// Bytes that a ControlNet takes on the device now.
    pub(super) fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |loaded| loaded.bytes)
    }

    /// Drops the ControlNet, if no request uses it.
    pub(super) fn free(&mut self) {
        self.0 = None;
    }
}

impl LoadedControl {
    fn read(networks: &Networks, choice: &ControlChoice, free: Option<u64>) -> Result<Self> {
        let (config, form) = (networks.transformer.config(), networks.form);
        let file = ControlFile::open(&choice.path, config)?;
        let target = Target { device: networks.device, kind: networks.transformer.kind() };
        let blocks = file.structure.block_names().into_iter();
        let parts: BTreeSet<PartName> =
            blocks.flat_map(|block| BlockPart::ALL.map(|part| (block.clone(), part))).collect();
        let none = BTreeSet::new();
        // Made float8, the matrices of the layers are there a second time, at half their bytes.
        let copies = |bytes: u64| if networks.float8 { bytes / 2 } else { 0 };
        let all = bytes_on_device(&file.index, &none, form, target.kind) as u64;
        let all = all + copies(all);
        let slot = largest_part(&file.index, &parts, form, target.kind);
        let least = bytes_on_device(&file.index, &parts, form, target.kind) as u64;
        let least = least + slot as u64 * u64::from(LEAST_SLOTS);
        let streamed = match free {
            Some(free) => all > free,
            // A CPU without a plan has what the model's own plan says.
            None => networks.streamer.is_some(),
        };
        let bytes = if streamed { least } else { all };
        if free.is_some_and(|free| bytes > free) {
            let (needs, free) = (gibibytes(bytes), gibibytes(free.unwrap_or(0)));
            return Err(Error::Refused(format!(
                "the ControlNet {} needs {needs} of the device's memory beside the model and the image \
                 even with its blocks streamed, and {free} are free",
                choice.name
            )));
        }
        let streamer = streamed
            .then(|| Streamer::new(networks.device, slot, LEAST_SLOTS as usize))
            .transpose()?;
        let streaming = streamer.as_ref().map(|streamer| Streaming { streamer, parts: &parts });
        let mut loader = Loader::new();
        let weights = loader.weights_of(file.index, target).form(form).streaming(streaming);
        let mut net = ControlNet::load(weights, file.structure, config)?;
        loader.run(&mut |_| {})?;
        if let Some(streamer) = &streamer {
            streamer.open();
        }
        if networks.float8 {
            net.make_float8()?;
        }
        let (fingerprint, weights) = (file.fingerprint, loader.into_weights());
        Ok(Self { net, fingerprint, bytes, streamed, _weights: weights })
    }

    /// Channels of its latents.
    pub(super) fn channels(&self) -> i64 {
        self.net.structure().channels
    }

    /// Whether it is told what a mask preserves.
    pub(super) fn fills_masks(&self) -> bool {
        self.net.structure().fills_masks()
    }
}

impl ControlInput {
    /// Latents of a control image, and of a masked image with its mask beside: zeros fill what is not
    /// there.
    pub(super) fn new(
        networks: &Networks,
        net: Rc<LoadedControl>,
        latents: &[&Tensor],
        scale: f32,
    ) -> Result<Self> {
        let mut latents = Tensor::f_cat(latents, 1)?;
        let missing = net.channels() - latents.size()[1];
        if missing > 0 {
            latents = latents.f_constant_pad_nd([0, 0, 0, 0, 0, missing])?;
        }
        let scale = Tensor::f_from_slice(&[scale])?.f_squeeze()?;
        let scale = scale.f_to_kind(networks.transformer.residual_kind())?;
        Ok(Self { net, latents, scale: scale.f_to_device(networks.device)? })
    }

    /// Computes the modulations of these times, if their layers stay in their file: once for all steps.
    pub(super) fn modulate(&self, networks: &Networks, times: &[f32]) -> Result<()> {
        if self.net.streamed {
            return self.net.net.modulate(&networks.transformer, times);
        }
        Ok(())
    }

    /// The same for the transformer.
    pub(super) fn control(&self) -> Control<'_> {
        Control { net: &self.net.net, latents: &self.latents, scale: &self.scale }
    }

    /// Whether its ControlNet is told what a mask preserves.
    pub(super) fn fills_masks(&self) -> bool {
        self.net.fills_masks()
    }

    /// The latents, for tests.
    pub(super) fn latents(&self) -> &Tensor {
        &self.latents
    }
}

fn fingerprint(path: &Path) -> Result<FileFingerprint> {
    let metadata = fs::metadata(path).map_err(|source| {
        let file = path.display().to_string();
        crate::checkpoint::Error::Io { file, source }
    })?;
    Ok(FileFingerprint::of(path, &metadata))
}
