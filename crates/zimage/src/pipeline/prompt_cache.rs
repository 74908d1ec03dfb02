//! Prompts to captions: computed once, kept, and on a GPU replayed from a recording.

use tch::{Kind, Tensor};

use super::Pipeline;
use super::cuda_graphs::Recording;
use crate::error::{Error, Result};
use crate::lru::LruCache;
use crate::ops::{Ops, Rotation};
use crate::transformer::SEQUENCE_MULTIPLE;

/// Bytes of encoded prompts that are kept: some 100 of ordinary length at the real size.
const KEPT: usize = 64 << 20;
/// How many prompts of a length are computed launch by launch before the launches are recorded:
/// the first loads what is needed.
const BEFORE_RECORDING: usize = 1;

/// Encoded prompts by their tokens, and what computes them by their padded length.
#[derive(Debug)]
pub(super) struct PromptCache {
    kept: LruCache<Vec<i64>, Tensor>,
    padded: Vec<Padded>,
}

/// Places for prompts of one padded length, which a recording reads.
#[derive(Debug)]
struct Padded {
    /// `[tokens]`, int64.
    ids: Tensor,
    /// `[tokens, 1]`, bool: whether it is a token or padding.
    real: Tensor,
    text_rotation: Rotation,
    caption_rotation: Rotation,
    uses: usize,
    /// To `[tokens, dim]`.
    recording: Option<Recording<Tensor>>,
}

impl PromptCache {
    pub(super) fn new() -> Self {
        Self { kept: LruCache::new(KEPT), padded: Vec::new() }
    }

    /// Forgets prompts, not how to encode them.
    pub(super) fn forget(&mut self) {
        self.kept.clear();
    }
}

impl Pipeline {
    /// A prompt's caption, `[padded tokens, dim]`.
    pub(super) fn caption(&self, tokens: &[i64]) -> Result<Tensor> {
        let PromptCache { kept, padded } = &mut *self.captions.borrow_mut();
        let caption = kept.get_or_make(tokens.to_vec(), || {
            let caption = match self.ops {
                Ops::Plain => self.exact(tokens)?,
                Ops::Fused(_) => self.padded(padded, tokens)?,
            };
            let bytes = caption.numel() * caption.f_kind()?.elt_size_in_bytes();
            Ok::<_, Error>((caption, bytes))
        })?;
        Ok(caption.shallow_clone())
    }

    /// As the reference does it.
    fn exact(&self, tokens: &[i64]) -> Result<Tensor> {
        let features = self.text_features(tokens)?;
        let padded = tokens.len().next_multiple_of(SEQUENCE_MULTIPLE as usize) as i64;
        let rotation = self.transformer.caption_rotation(padded)?;
        self.transformer.caption(&self.ops, &features, None, &rotation)
    }

    /// The text encoder's features: `[tokens, cap_feat_dim]`.
    pub(super) fn text_features(&self, tokens: &[i64]) -> Result<Tensor> {
        let ids = Tensor::f_from_slice(tokens)?.f_to_device(self.device)?;
        let rotation = self.text_encoder.rotation(tokens.len() as i64)?;
        self.text_encoder.forward(&self.ops, &ids, &rotation)
    }

    /// With the padding computed along, so that few lengths are recorded: no token of the text sees
    /// those that come after it, and the padding's features give way to what stands for padding.
    fn padded(&self, all: &mut Vec<Padded>, tokens: &[i64]) -> Result<Tensor> {
        let length = tokens.len().next_multiple_of(SEQUENCE_MULTIPLE as usize) as i64;
        let known = all.iter().position(|padded| padded.ids.size()[0] == length);
        let at = match known {
            Some(at) => at,
            None => {
                all.push(Padded::new(self, length)?);
                all.len() - 1
            }
        };
        let padded = &mut all[at];
        padded.take(tokens)?;
        padded.uses += 1;
        if let Some(recording) = &mut padded.recording {
            return Ok(recording.replay()?.f_detach_copy()?);
        }
        let caption = padded.compute(self)?;
        if padded.uses > BEFORE_RECORDING {
            padded.recording = self.record(|| padded.compute(self))?;
        }
        Ok(caption)
    }
}

impl Padded {
    fn new(pipeline: &Pipeline, length: i64) -> Result<Self> {
        let device = pipeline.device;
        Ok(Self {
            ids: Tensor::f_zeros([length], (Kind::Int64, device))?,
            real: Tensor::f_zeros([length, 1], (Kind::Bool, device))?,
            text_rotation: pipeline.text_encoder.rotation(length)?,
            caption_rotation: pipeline.transformer.caption_rotation(length)?,
            uses: 0,
            recording: None,
        })
    }

    /// Takes a prompt into its places.
    fn take(&mut self, tokens: &[i64]) -> Result<()> {
        let length = self.ids.size()[0] as usize;
        let mut ids = tokens.to_vec();
        ids.resize(length, 0);
        let real: Vec<bool> = (0..length).map(|at| at < tokens.len()).collect();
        self.ids.f_copy_(&Tensor::f_from_slice(&ids)?)?;
        self.real.f_copy_(&Tensor::f_from_slice(&real)?.f_unsqueeze(1)?)?;
        Ok(())
    }

    fn compute(&self, pipeline: &Pipeline) -> Result<Tensor> {
        let ops = &pipeline.ops;
        let features = pipeline.text_encoder.forward(ops, &self.ids, &self.text_rotation)?;
        pipeline.transformer.caption(ops, &features, Some(&self.real), &self.caption_rotation)
    }
}
