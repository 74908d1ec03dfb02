//! Self-attention with normed and rotated queries and keys.

use tch::{Device, Kind, Tensor};
use zimage_checkpoint::BlockPart;
use zimage_cuda::{Rows, WithoutCudnnAttention};

use super::{Linear, Visitor};
use crate::error::Result;
use crate::ops::{Heads, Ops, RmsNorm, Rotation, attention, attention_of_batch};
use crate::weights::Weights;
use crate::weights::streaming::{Pass, StreamedPart};

/// Projections, norms, rotation, attention, projection.
#[derive(Debug)]
pub(crate) struct SelfAttention {
    /// Queries, keys and values in one product.
    pub(crate) qkv: Linear,
    pub(crate) q_norm: RmsNorm,
    pub(crate) k_norm: RmsNorm,
    pub(crate) out: Linear,
    pub(crate) heads: Heads,
    /// Whether a token sees only itself and those before it.
    pub(crate) causal: bool,
    /// Whether its sequences are prompts: short, and of many lengths.
    pub(crate) short: bool,
    /// The factor of the last projection's input.
    pub(crate) guard: f64,
    /// If the matrices are streamed.
    streamed: Option<StreamedPart>,
}

/// A model's names of the projections and norms.
pub(crate) struct ProjectionNames {
    pub(crate) q: &'static str,
    pub(crate) k: &'static str,
    pub(crate) v: &'static str,
    pub(crate) out: &'static str,
    pub(crate) q_norm: &'static str,
    pub(crate) k_norm: &'static str,
}

impl SelfAttention {
    /// Takes `{block}.{group}.{name}.weight` of each projection; `width` is that of a token.
    pub(crate) fn load(
        w: &mut Weights<'_>,
        (block, pass): (&str, Pass),
        (group, names): (&str, &ProjectionNames),
        (width, heads): (i64, Heads),
        eps: f64,
    ) -> Result<Self> {
        let name = |of: &str| format!("{block}.{group}.{of}");
        let (q, k) = (heads.queries * heads.width, heads.keys * heads.width);
        let qkv = [(name(names.q), q), (name(names.k), k), (name(names.v), k)];
        let ((qkv, out), streamed) = w.take_part((block, pass), BlockPart::Attention, |w| {
            let qkv = Linear::load_joined(w, &qkv, width)?;
            Ok((qkv, Linear::load(w, &name(names.out), q, width)?))
        })?;
        Ok(Self {
            qkv,
            q_norm: RmsNorm::load(w, &name(names.q_norm), heads.width, eps)?,
            k_norm: RmsNorm::load(w, &name(names.k_norm), heads.width, eps)?,
            out,
            heads,
            causal: false,
            short: false,
            guard: 1.0,
            streamed,
        })
    }

    /// `x` is `[tokens, width]`; the result, of the same shape, is scaled by the guard.
    pub(crate) fn forward(&self, ops: &Ops, x: &Rows, rotation: &Rotation) -> Result<Tensor> {
        let _acquired = self.streamed.as_ref().map(StreamedPart::acquire).transpose()?;
        let packed = self.qkv.forward_rows(x)?;
        let qkv = ops.norm_and_rotate(packed, self.heads, &self.q_norm, &self.k_norm, rotation)?;
        let mut joined = self.attend_each(qkv, &rotation.lengths())?;
        if self.guard != 1.0 {
            joined = joined.f_mul_scalar(self.guard)?;
        }
        self.out.forward_rows(&ops.rows(joined, self.out.takes_float8())?)
    }

    /// Visits its linear maps.
    pub(crate) fn visit<'a>(&'a self, visitor: Visitor<'a, '_>) {
        visitor(&self.qkv, 1.0);
        visitor(&self.out, self.guard);
    }

    /// Warms up attention over `tokens` tokens: cuDNN builds a plan for each sequence length and thread,
    /// in some 50 ms that the first image would wait for.
    pub(crate) fn plan(&self, tokens: i64, kind: Kind, device: Device) -> Result<()> {
        let Heads { queries, keys, width } = self.heads;
        let packed = Tensor::f_empty([tokens, (queries + 2 * keys) * width], (kind, device))?;
        self.attend(self.heads.split(&packed)?).map(drop)
    }

    /// The same of sequences of these lengths, one after the other, each of which sees itself alone: those of
    /// one length at once.
    fn attend_each(&self, qkv: [Tensor; 3], lengths: &[i64]) -> Result<Tensor> {
        let &[first, ref others @ ..] = lengths else { return self.attend(qkv) };
        if others.is_empty() {
            return self.attend(qkv);
        }
        if others.iter().all(|length| *length == first) && self.heads.queries == self.heads.keys {
            let of = |x: &Tensor| -> Result<Tensor> {
                Ok(x.f_unflatten(0, [lengths.len() as i64, first])?.f_transpose(1, 2)?)
            };
            let [q, k, v] = qkv;
            let out = attention_of_batch(&of(&q)?, &of(&k)?, &of(&v)?, self.causal)?;
            return Ok(out.f_transpose(1, 2)?.f_flatten(2, 3)?.f_flatten(0, 1)?);
        }
        let mut begin = 0;
        let sequences = lengths.iter().map(|&length| {
            let of = |x: &Tensor| x.f_narrow(0, begin, length);
            let [q, k, v] = &qkv;
            let sequence = [of(q)?, of(k)?, of(v)?];
            begin += length;
            self.attend(sequence)
        });
        Ok(Tensor::f_cat(&sequences.collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// `[tokens, heads · width]` of queries, keys and values `[tokens, heads, width]`.
    fn attend(&self, qkv: [Tensor; 3]) -> Result<Tensor> {
        let [q, k, v] = qkv;
        let [q, k, v] = [q.f_transpose(0, 1)?, k.f_transpose(0, 1)?, v.f_transpose(0, 1)?];
        let _flash = (self.short && q.device().is_cuda()).then(WithoutCudnnAttention::new);
        let out = attention(&q, &k, &v, self.causal)?;
        Ok(out.f_transpose(0, 1)?.f_flatten(1, 2)?)
    }
}

/// A warning if libtorch does not choose cuDNN's kernel on Hopper: any other takes twice the time.
pub(crate) fn attention_warning(device: Device, kind: Kind) -> Option<String> {
    /// cuDNN in libtorch's `SDPBackend`.
    const CUDNN: i64 = 3;
    let Device::Cuda(ordinal) = device else { return None };
    let gpu = zimage_cuda::Gpu::find(ordinal).ok()?;
    if gpu.capability.0 != 9 || !matches!(kind, Kind::BFloat16 | Kind::Half) {
        return None;
    }
    let x = Tensor::f_empty([1, 30, 1024, 128], (kind, device)).ok()?;
    let none = None::<&Tensor>;
    let chosen =
        Tensor::f_internal_fused_sdp_choice(&x, &x, &x, none, 0.0, false, None, false).ok()?;
    (chosen != CUDNN).then(|| {
        "attention does not use cuDNN, which is twice as fast on this GPU: is \
         TORCH_CUDNN_SDPA_DEPRIORITIZED set, or cuDNN older than 9.15?"
            .to_owned()
    })
}
