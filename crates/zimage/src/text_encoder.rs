//! Qwen3 as a text encoder: token ids to the features that condition the transformer.
//!
//! Source: transformers `models/qwen3/modeling_qwen3.py`. The features are the residual stream
//! before the last layer (`hidden_states[-2]`), without the final norm; neither that layer nor
//! the norm is loaded.

use tch::{Device, Kind, Tensor};

use crate::checkpoint::{TextEncoderConfig, Weights};
use crate::error::Result;
use crate::nn::{Linear, Precision, RmsNorm, attention};

/// The text encoder.
#[derive(Debug)]
pub(crate) struct TextEncoder {
    embeddings: Tensor,
    layers: Vec<Layer>,
    rope_theta: f64,
    head_dim: i64,
    precision: Precision,
    device: Device,
}

#[derive(Debug)]
struct Layer {
    input_norm: RmsNorm,
    attention: SelfAttention,
    post_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
    precision: Precision,
}

#[derive(Debug)]
struct SelfAttention {
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    q_norm: RmsNorm,
    k_norm: RmsNorm,
    heads: i64,
    kv_heads: i64,
    head_dim: i64,
}

/// Cosines and sines, `[tokens, head_dim]`, in the compute kind as the reference has them.
struct Rotation {
    cos: Tensor,
    sin: Tensor,
}

impl TextEncoder {
    /// Takes all layers but the last.
    ///
    /// # Errors
    /// When a tensor is missing, misshapen or surplus, or cannot be read.
    pub(crate) fn load(mut w: Weights<'_>, config: &TextEncoderConfig) -> Result<Self> {
        let precision = Precision::of(w.kind());
        let device = w.device();
        let used = config.num_hidden_layers - 1;
        w.skip(&format!("layers.{used}."));
        w.skip("norm.");
        w.skip("lm_head.");
        let embeddings = w.take("embed_tokens.weight", &[config.vocab_size, config.hidden_size])?;
        let layers =
            (0..used).map(|i| Layer::load(&mut w, i, config, precision)).collect::<Result<_>>()?;
        w.finish()?;
        let (rope_theta, head_dim) = (config.rope_theta, config.head_dim);
        Ok(Self { embeddings, layers, rope_theta, head_dim, precision, device })
    }

    /// Features of a prompt's tokens: `[tokens, hidden_size]` in the residual kind.
    ///
    /// # Errors
    /// When libtorch fails (out of memory).
    pub(crate) fn forward(&self, tokens: &[i64]) -> Result<Tensor> {
        let ids = Tensor::f_from_slice(tokens)?.f_to_device(self.device)?;
        let rotation = self.rotation(tokens.len() as i64)?;
        let mut x = Tensor::f_embedding(&self.embeddings, &ids, -1, false, false)?
            .f_to_kind(self.precision.residual)?;
        for layer in &self.layers {
            x = layer.forward(&x, &rotation)?;
        }
        Ok(x)
    }

    fn rotation(&self, tokens: i64) -> Result<Rotation> {
        let on_device = (Kind::Float, self.device);
        let exponents = Tensor::f_arange_start_step(0, self.head_dim, 2, on_device)?
            .f_div_scalar(self.head_dim as f64)?;
        let frequencies = Tensor::f_pow_scalar(self.rope_theta, &exponents)?.f_reciprocal()?;
        let positions = Tensor::f_arange(tokens, on_device)?;
        let angles = positions.f_unsqueeze(1)?.f_mul(&frequencies)?;
        let angles = Tensor::f_cat(&[&angles, &angles], -1)?;
        let kind = self.precision.compute;
        Ok(Rotation {
            cos: angles.f_cos()?.f_to_kind(kind)?,
            sin: angles.f_sin()?.f_to_kind(kind)?,
        })
    }
}

impl Rotation {
    /// Rotates `x` `[heads, tokens, head_dim]`: pairs are the two halves of `head_dim`.
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let halves = x.f_chunk(2, -1)?;
        let rotated = Tensor::f_cat(&[&halves[1].f_neg()?, &halves[0]], -1)?;
        Ok(x.f_mul(&self.cos)?.f_add(&rotated.f_mul(&self.sin)?)?)
    }
}

impl Layer {
    fn load(
        w: &mut Weights<'_>,
        index: i64,
        config: &TextEncoderConfig,
        precision: Precision,
    ) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let name = |part: &str| format!("layers.{index}.{part}");
        Ok(Self {
            input_norm: RmsNorm::load(w, &name("input_layernorm"), width, config.rms_norm_eps)?,
            attention: SelfAttention::load(w, &name("self_attn"), config)?,
            post_norm: RmsNorm::load(
                w,
                &name("post_attention_layernorm"),
                width,
                config.rms_norm_eps,
            )?,
            gate: Linear::load(w, &name("mlp.gate_proj"), width, inner)?,
            up: Linear::load(w, &name("mlp.up_proj"), width, inner)?,
            down: Linear::load(w, &name("mlp.down_proj"), inner, width)?,
            precision,
        })
    }

    fn forward(&self, x: &Tensor, rotation: &Rotation) -> Result<Tensor> {
        let attended = self.attention.forward(&self.input_norm.forward(x)?, rotation)?;
        let x = x.f_add(&attended)?;
        let fed = self.feed(&self.post_norm.forward(&x)?)?;
        Ok(x.f_add(&fed)?)
    }

    /// The gated feed-forward; its output may exceed float16, so it leaves in the residual kind.
    fn feed(&self, x: &Tensor) -> Result<Tensor> {
        let up = self.precision.guarded(self.up.forward(x)?)?;
        let inner = self.gate.forward(x)?.f_silu()?.f_mul(&up)?;
        let out = self.down.forward(&inner)?;
        if self.precision.guard == 1.0 {
            return Ok(out);
        }
        Ok(out.f_to_kind(self.precision.residual)?.f_div_scalar(self.precision.guard)?)
    }
}

impl SelfAttention {
    fn load(w: &mut Weights<'_>, name: &str, config: &TextEncoderConfig) -> Result<Self> {
        let (width, head_dim) = (config.hidden_size, config.head_dim);
        let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
        let name = |part: &str| format!("{name}.{part}");
        Ok(Self {
            q: Linear::load(w, &name("q_proj"), width, heads * head_dim)?,
            k: Linear::load(w, &name("k_proj"), width, kv_heads * head_dim)?,
            v: Linear::load(w, &name("v_proj"), width, kv_heads * head_dim)?,
            out: Linear::load(w, &name("o_proj"), heads * head_dim, width)?,
            q_norm: RmsNorm::load(w, &name("q_norm"), head_dim, config.rms_norm_eps)?,
            k_norm: RmsNorm::load(w, &name("k_norm"), head_dim, config.rms_norm_eps)?,
            heads,
            kv_heads,
            head_dim,
        })
    }

    /// `x` is `[tokens, hidden_size]`, so is the result; a token sees itself and those before it.
    fn forward(&self, x: &Tensor, rotation: &Rotation) -> Result<Tensor> {
        let tokens = x.size()[0];
        let split = |y: Tensor, heads: i64| y.f_view([tokens, heads, self.head_dim]);
        let q = self.q_norm.forward(&split(self.q.forward(x)?, self.heads)?)?.f_transpose(0, 1)?;
        let k =
            self.k_norm.forward(&split(self.k.forward(x)?, self.kv_heads)?)?.f_transpose(0, 1)?;
        let v = split(self.v.forward(x)?, self.kv_heads)?.f_transpose(0, 1)?;
        let (q, k) = (rotation.apply(&q)?, rotation.apply(&k)?);
        let out = attention(&q, &self.for_each_head(k)?, &self.for_each_head(v)?, true)?;
        let joined = out.f_transpose(0, 1)?.f_reshape([tokens, self.heads * self.head_dim])?;
        self.out.forward(&joined)
    }

    /// Repeats each key/value head for the query heads that share it.
    fn for_each_head(&self, x: Tensor) -> Result<Tensor> {
        let shared = self.heads / self.kv_heads;
        if shared == 1 {
            return Ok(x);
        }
        Ok(x.f_repeat_interleave_self_int(shared, 0, None)?)
    }
}
