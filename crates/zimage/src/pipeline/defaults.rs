//! Defaults and limits of the model's kinds, as far as checkpoints do not state them.

use zimage_params::limits::{SIZE_MAX, SIZE_MIN};

use crate::checkpoint::{Checkpoint, ModelKind};
use crate::params::{Defaults, Limits};
use crate::transformer::SEQUENCE_MULTIPLE;

/// Denoising steps and guidance of a kind.
///
/// Guidance is off for Turbo: it was distilled into the weights. The base model's card asks for 28 to
/// 50 steps and a guidance of 3 to 5.
const fn steps_and_guidance(kind: ModelKind) -> (u32, f32) {
    match kind {
        ModelKind::Turbo => (8, 0.0),
        ModelKind::Base => (28, 4.0),
    }
}

/// What the model takes, by its constants and the checkpoint's dimensions.
pub(super) fn limits(checkpoint: &Checkpoint) -> Limits {
    let multiple = checkpoint.vae.scale() as u32 * checkpoint.transformer.patch_size() as u32;
    let side_max = SIZE_MAX.min(longest_side(checkpoint, multiple));
    let tokens_max = most_tokens(checkpoint);
    // Every checkpoint has the autoencoder's encoder.
    let (initial_image, mask) = (true, true);
    Limits { multiple, side_min: SIZE_MIN, side_max, tokens_max, initial_image, mask }
}

/// The parameters of a request that states none.
pub(super) fn defaults(checkpoint: &Checkpoint, limits: &Limits) -> Defaults {
    let size = (checkpoint.vae.sample_size as u32).clamp(limits.side_min, limits.side_max);
    let (steps, guidance) = steps_and_guidance(checkpoint.kind.kind);
    Defaults { size: size - size % limits.multiple, steps, guidance }
}

/// On the first axis of positions the prompt takes 1 to its padded length, the image the position
/// after it.
fn most_tokens(checkpoint: &Checkpoint) -> usize {
    let positions = checkpoint.transformer.axes_lens[0] - 2;
    let by_positions = positions - positions % SEQUENCE_MULTIPLE;
    by_positions.min(checkpoint.text_encoder.max_position_embeddings).max(0) as usize
}

/// Rows and columns of image tokens have their positions on the second and the third axis.
fn longest_side(checkpoint: &Checkpoint, multiple: u32) -> u32 {
    let axes = &checkpoint.transformer.axes_lens;
    u32::try_from(axes[1].min(axes[2])).unwrap_or(u32::MAX).saturating_mul(multiple)
}
