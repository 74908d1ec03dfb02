//! `transformer/config.json`: diffusers' `ZImageTransformer2DModel`.

use serde::{Deserialize, Serialize};

use super::{Check, LAYERS, WIDTHS, parse};
use crate::error::Result;

/// The transformer's dimensions, under the names that the file has.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct TransformerConfig {
    /// Sides of the square patches that tokens are made of; one entry.
    pub all_patch_size: Vec<i64>,
    /// How many frames a patch has; one entry, 1.
    pub all_f_patch_size: Vec<i64>,
    /// Latent channels.
    pub in_channels: i64,
    /// Width of a token.
    pub dim: i64,
    /// Layers over the image's and the prompt's tokens together.
    pub n_layers: i64,
    /// Layers over each of the two before them.
    pub n_refiner_layers: i64,
    /// Attention heads.
    pub n_heads: i64,
    /// Heads of keys and values; equal to `n_heads`.
    pub n_kv_heads: i64,
    /// Epsilon of the RMS norms.
    pub norm_eps: f64,
    /// Whether queries and keys are normed; always true.
    pub qk_norm: bool,
    /// Width of the prompt embeddings.
    pub cap_feat_dim: i64,
    /// Width of the Omni variant's image embeddings; not supported.
    pub siglip_feat_dim: Option<i64>,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// What the time (0 to 1) is multiplied with.
    pub t_scale: f64,
    /// How many of a head's numbers each axis (prompt, row, column) rotates; each even.
    pub axes_dims: Vec<i64>,
    /// How many positions each axis has.
    pub axes_lens: Vec<i64>,
}

/// The file; what is left out or null has the default of the reference's constructor.
#[derive(Default, Deserialize)]
struct File {
    all_patch_size: Option<Vec<i64>>,
    all_f_patch_size: Option<Vec<i64>>,
    in_channels: Option<i64>,
    dim: Option<i64>,
    n_layers: Option<i64>,
    n_refiner_layers: Option<i64>,
    n_heads: Option<i64>,
    n_kv_heads: Option<i64>,
    norm_eps: Option<f64>,
    qk_norm: Option<bool>,
    cap_feat_dim: Option<i64>,
    siglip_feat_dim: Option<i64>,
    rope_theta: Option<f64>,
    t_scale: Option<f64>,
    axes_dims: Option<Vec<i64>>,
    axes_lens: Option<Vec<i64>>,
}

impl From<File> for TransformerConfig {
    /// Defaults: diffusers `ZImageTransformer2DModel.__init__`, 0.42.
    fn from(file: File) -> Self {
        Self {
            all_patch_size: file.all_patch_size.unwrap_or_else(|| vec![2]),
            all_f_patch_size: file.all_f_patch_size.unwrap_or_else(|| vec![1]),
            in_channels: file.in_channels.unwrap_or(16),
            dim: file.dim.unwrap_or(3840),
            n_layers: file.n_layers.unwrap_or(30),
            n_refiner_layers: file.n_refiner_layers.unwrap_or(2),
            n_heads: file.n_heads.unwrap_or(30),
            n_kv_heads: file.n_kv_heads.unwrap_or(30),
            norm_eps: file.norm_eps.unwrap_or(1e-5),
            qk_norm: file.qk_norm.unwrap_or(true),
            cap_feat_dim: file.cap_feat_dim.unwrap_or(2560),
            siglip_feat_dim: file.siglip_feat_dim,
            rope_theta: file.rope_theta.unwrap_or(256.0),
            t_scale: file.t_scale.unwrap_or(1000.0),
            axes_dims: file.axes_dims.unwrap_or_else(|| vec![32, 48, 48]),
            axes_lens: file.axes_lens.unwrap_or_else(|| vec![1024, 512, 512]),
        }
    }
}

impl Default for TransformerConfig {
    fn default() -> Self {
        File::default().into()
    }
}

impl TransformerConfig {
    /// The time embedder: sines and cosines, and the width between its two linear layers.
    pub const TIME_EMBEDDER: (i64, i64) = (256, 1024);

    pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let config: Self = parse::<File>(file, bytes)?.into();
        config.checked(file)
    }

    /// Itself, if its values are possible and supported; `file` is what messages call its origin.
    pub(crate) fn checked(self, file: &str) -> Result<Self> {
        self.check(&Check { file })?;
        Ok(self)
    }

    /// Side of a patch, in latents.
    pub fn patch_size(&self) -> i64 {
        self.all_patch_size[0]
    }

    /// Frames of a patch.
    pub fn frame_patch_size(&self) -> i64 {
        self.all_f_patch_size[0]
    }

    /// Width of the time embedding: 256, unless the model is narrower.
    pub fn time_width(&self) -> i64 {
        self.dim.min(256)
    }

    /// Numbers of a patch.
    pub fn patch_width(&self) -> i64 {
        self.patch_size().pow(2) * self.in_channels
    }

    /// Inner width of the feed-forward: the reference's `int(dim / 3 * 8)`.
    pub fn feed_forward_width(&self) -> i64 {
        (self.dim as f64 / 3.0 * 8.0) as i64
    }

    /// Width of an attention head.
    pub fn head_dim(&self) -> i64 {
        self.dim / self.n_heads
    }

    fn check(&self, check: &Check<'_>) -> Result<()> {
        check.that(self.siglip_feat_dim.is_none(), || {
            "siglip_feat_dim is set: the Omni variant, which also reads images, is not supported"
                .to_owned()
        })?;
        check.that(matches!(self.all_patch_size[..], [1..=16]), || {
            format!(
                "all_patch_size is {:?}, but must be one size from 1 to 16",
                self.all_patch_size
            )
        })?;
        check.only("all_f_patch_size", &self.all_f_patch_size, &vec![1])?;
        check.within("in_channels", self.in_channels, &WIDTHS)?;
        check.within("dim", self.dim, &WIDTHS)?;
        check.within("n_layers", self.n_layers, &LAYERS)?;
        check.within("n_refiner_layers", self.n_refiner_layers, &(0..=*LAYERS.end()))?;
        check.within("n_heads", self.n_heads, &WIDTHS)?;
        check.same(("n_kv_heads", self.n_kv_heads), ("n_heads", self.n_heads))?;
        check.within("cap_feat_dim", self.cap_feat_dim, &WIDTHS)?;
        check.positive("norm_eps", self.norm_eps)?;
        check.only("qk_norm", &self.qk_norm, &true)?;
        check.positive("rope_theta", self.rope_theta)?;
        check.positive("t_scale", self.t_scale)?;
        check.divides(("n_heads", self.n_heads), ("dim", self.dim))?;
        self.check_axes(check)
    }

    fn check_axes(&self, check: &Check<'_>) -> Result<()> {
        for (key, axes) in [("axes_dims", &self.axes_dims), ("axes_lens", &self.axes_lens)] {
            check.that(axes.len() == 3, || {
                format!("{key} has {} entries, but must have 3", axes.len())
            })?;
            for &axis in axes {
                check.within(key, axis, &WIDTHS)?;
            }
        }
        for &axis in &self.axes_dims {
            check.even("an entry of axes_dims", axis)?;
        }
        let sum = self.axes_dims.iter().sum();
        check.same(("dim / n_heads", self.head_dim()), ("the sum of axes_dims", sum))
    }
}
