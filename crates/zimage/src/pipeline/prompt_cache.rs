//! The prompt cache: prompt embeddings by tokens, and per padded length the CUDA graph that
//! computes them.

use std::rc::Rc;

use tch::{Kind, Tensor};

use super::cuda_graphs::{CapturedGraph, GraphCapture};
use super::networks::Networks;
use crate::adapters::{Adapters, Sides};
use crate::error::{Error, Result};
use crate::lru::LruCache;
use crate::ops::{Ops, Rotation};
use crate::transformer::SEQUENCE_MULTIPLE;

/// Bytes of cached embeddings: some 100 prompts of ordinary length at the real size.
const CACHE_BYTES: usize = 64 << 20;
/// Prompts of a length that are launched kernel by kernel before the next is captured: the first
/// one loads the kernels.
const LAUNCHED_FIRST: usize = 1;
/// Encoders with side products that are held.
const ADAPTED_ENCODERS: usize = 4;

/// Prompt embeddings after the transformer's context refiner, and how to compute more.
#[derive(Debug)]
pub(super) struct PromptCache {
    /// `[padded tokens, dim]` by the adapters that change them, and tokens.
    embeddings: LruCache<(u64, Vec<i64>), Tensor>,
    /// One for each shape of side products and padded length that was asked for.
    encoders: Vec<PaddedEncoder>,
}

/// The encoding of prompts of one padded length: memory that a captured graph reads.
#[derive(Debug)]
struct PaddedEncoder {
    /// The shape of the side products that it has captured, and their memory.
    shape: (u64, Option<Rc<Sides>>),
    /// `[tokens]`, int64.
    ids: Tensor,
    /// `[tokens, 1]`, bool: whether it is a token or padding.
    real: Tensor,
    text_rotation: Rotation,
    caption_rotation: Rotation,
    launched: usize,
    /// To `[tokens, dim]`.
    captured: Option<CapturedGraph<Tensor>>,
}

impl Default for PromptCache {
    fn default() -> Self {
        Self { embeddings: LruCache::new(CACHE_BYTES), encoders: Vec::new() }
    }
}

impl PromptCache {
    /// Drops embeddings, not the graphs that compute them.
    pub(super) fn clear(&mut self) {
        self.embeddings.clear();
    }

    /// A prompt's embeddings, `[padded tokens, dim]`.
    pub(super) fn embeddings(
        &mut self,
        networks: &Networks,
        ops: &Ops,
        capture: &mut GraphCapture,
        (adapters, tokens): (&Adapters, &[i64]),
    ) -> Result<Tensor> {
        let Self { embeddings, encoders } = self;
        let found = embeddings.get_or_make((adapters.prompt(), tokens.to_vec()), || {
            let made = match ops {
                Ops::Eager => unpadded(networks, ops, tokens)?,
                Ops::Fused(_) => encoder(encoders, networks, adapters, tokens.len())?
                    .encode(networks, ops, capture, tokens)?,
            };
            let bytes = made.numel() * made.f_kind()?.elt_size_in_bytes();
            Ok::<_, Error>((made, bytes))
        })?;
        Ok(found.shallow_clone())
    }
}

/// The text encoder's features of a prompt: `[tokens, cap_feat_dim]`.
pub(super) fn text_features(networks: &Networks, ops: &Ops, tokens: &[i64]) -> Result<Tensor> {
    let ids = Tensor::f_from_slice(tokens)?.f_to_device(networks.device)?;
    let rotation = networks.text_encoder.rotation(tokens.len() as i64)?;
    networks.text_encoder.forward(ops, &ids, &rotation)
}

/// The same, computed with padding, so that attention has few lengths; no token attends to those after it.
pub(super) fn padded_features(networks: &Networks, ops: &Ops, tokens: &[i64]) -> Result<Tensor> {
    let mut ids = tokens.to_vec();
    ids.resize(padded(tokens.len()) as usize, 0);
    Ok(text_features(networks, ops, &ids)?.f_narrow(0, 0, tokens.len() as i64)?)
}

/// The rotation of so many tokens and their padding, for the context refiner.
pub(super) fn rotation(networks: &Networks, tokens: usize) -> Result<Rotation> {
    networks.transformer.prompt_rotation(padded(tokens))
}

/// As the reference computes it: padding is added after the text encoder.
fn unpadded(networks: &Networks, ops: &Ops, tokens: &[i64]) -> Result<Tensor> {
    let features = text_features(networks, ops, tokens)?;
    let rotation = rotation(networks, tokens.len())?;
    networks.transformer.refine_prompt(ops, &features, None, &rotation)
}

fn padded(tokens: usize) -> i64 {
    tokens.next_multiple_of(SEQUENCE_MULTIPLE as usize) as i64
}

/// The encoder for prompts of so many tokens.
fn encoder<'a>(
    encoders: &'a mut Vec<PaddedEncoder>,
    networks: &Networks,
    adapters: &Adapters,
    tokens: usize,
) -> Result<&'a mut PaddedEncoder> {
    let length = padded(tokens);
    let shape = if adapters.prompt() == 0 { (0, None) } else { adapters.shape() };
    let fits =
        |encoder: &PaddedEncoder| encoder.ids.size()[0] == length && encoder.shape.0 == shape.0;
    let known = encoders.iter().position(fits);
    let at = match known {
        Some(at) => at,
        None => {
            // Those without adapters stay, and of the others a few.
            let adapted = encoders.iter().filter(|encoder| encoder.shape.0 != 0).count();
            if shape.0 != 0 && adapted >= ADAPTED_ENCODERS {
                let oldest = encoders.iter().position(|encoder| encoder.shape.0 != 0);
                oldest.map(|at| encoders.remove(at));
            }
            encoders.push(PaddedEncoder::new(networks, shape, length)?);
            encoders.len() - 1
        }
    };
    Ok(&mut encoders[at])
}

impl PaddedEncoder {
    fn new(networks: &Networks, shape: (u64, Option<Rc<Sides>>), length: i64) -> Result<Self> {
        let device = networks.device;
        Ok(Self {
            shape,
            ids: Tensor::f_zeros([length], (Kind::Int64, device))?,
            real: Tensor::f_zeros([length, 1], (Kind::Bool, device))?,
            text_rotation: networks.text_encoder.rotation(length)?,
            caption_rotation: networks.transformer.prompt_rotation(length)?,
            launched: 0,
            captured: None,
        })
    }

    /// Encodes a prompt together with its padding, so that few lengths are captured: no token of
    /// the text attends to those after it, and the padding's features are replaced by the learnt
    /// padding token.
    fn encode(
        &mut self,
        networks: &Networks,
        ops: &Ops,
        capture: &mut GraphCapture,
        tokens: &[i64],
    ) -> Result<Tensor> {
        self.write(tokens)?;
        self.launched += 1;
        if let Some(captured) = &mut self.captured {
            return Ok(captured.replay()?.f_detach_copy()?);
        }
        let embeddings = self.compute(networks, ops)?;
        if self.launched > LAUNCHED_FIRST {
            self.captured = capture.capture(networks, || self.compute(networks, ops))?;
        }
        Ok(embeddings)
    }

    /// Writes a prompt to the memory that the graph reads.
    fn write(&mut self, tokens: &[i64]) -> Result<()> {
        let length = self.ids.size()[0] as usize;
        let mut ids = tokens.to_vec();
        ids.resize(length, 0);
        let real: Vec<bool> = (0..length).map(|at| at < tokens.len()).collect();
        self.ids.f_copy_(&Tensor::f_from_slice(&ids)?)?;
        self.real.f_copy_(&Tensor::f_from_slice(&real)?.f_unsqueeze(1)?)?;
        Ok(())
    }

    fn compute(&self, networks: &Networks, ops: &Ops) -> Result<Tensor> {
        let features = networks.text_encoder.forward(ops, &self.ids, &self.text_rotation)?;
        networks.transformer.refine_prompt(ops, &features, Some(&self.real), &self.caption_rotation)
    }
}
