//! Attention of a sequence to itself, with normed and rotated queries and keys.

use tch::{Device, Kind, Tensor};
use zimage_cuda::{Rows, WithoutPlans};

use super::{Linear, RmsNorm};
use crate::error::Result;
use crate::ops::{Ops, Rotation};
use crate::weights::Weights;

/// Which heads a layer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heads {
    /// Of queries.
    pub(crate) queries: i64,
    /// Of keys, and of values; query heads share them evenly.
    pub(crate) keys: i64,
    /// Numbers of one head.
    pub(crate) width: i64,
}

impl Heads {
    /// Queries, keys and values, each `[tokens, heads, width]`, of rows that hold them side by side.
    pub(crate) fn split(self, packed: &Tensor) -> Result<[Tensor; 3]> {
        let Self { queries, keys, width } = self;
        let all = packed.f_unflatten(1, [-1, width])?;
        Ok([
            all.f_narrow(1, 0, queries)?,
            all.f_narrow(1, queries, keys)?,
            all.f_narrow(1, queries + keys, keys)?,
        ])
    }
}

/// Projections, norms, rotation, attention, projection.
#[derive(Debug)]
pub(crate) struct SelfAttention {
    /// Queries, keys and values side by side.
    pub(crate) qkv: Linear,
    pub(crate) q_norm: RmsNorm,
    pub(crate) k_norm: RmsNorm,
    pub(crate) out: Linear,
    pub(crate) heads: Heads,
    /// Whether a token sees only itself and those before it.
    pub(crate) causal: bool,
    /// Whether its sequences are captions: short, and of many lengths.
    pub(crate) short: bool,
    /// What the input of the last projection is multiplied with.
    pub(crate) guard: f64,
}

/// What a model calls the parts.
pub(crate) struct Names {
    pub(crate) q: &'static str,
    pub(crate) k: &'static str,
    pub(crate) v: &'static str,
    pub(crate) out: &'static str,
    pub(crate) q_norm: &'static str,
    pub(crate) k_norm: &'static str,
}

impl SelfAttention {
    /// Takes `{name}.{part}.weight` of each part; `width` is that of a token.
    pub(crate) fn load(
        w: &mut Weights<'_>,
        name: &str,
        names: &Names,
        (width, heads): (i64, Heads),
        eps: f64,
    ) -> Result<Self> {
        let name = |part: &str| format!("{name}.{part}");
        let (q, k) = (heads.queries * heads.width, heads.keys * heads.width);
        let qkv = [(name(names.q), q), (name(names.k), k), (name(names.v), k)];
        Ok(Self {
            qkv: Linear::load_joined(w, &qkv, width)?,
            q_norm: RmsNorm::load(w, &name(names.q_norm), heads.width, eps)?,
            k_norm: RmsNorm::load(w, &name(names.k_norm), heads.width, eps)?,
            out: Linear::load(w, &name(names.out), q, width)?,
            heads,
            causal: false,
            short: false,
            guard: 1.0,
        })
    }

    /// `x` is `[tokens, width]`; the result, of the same shape, is scaled by the guard.
    pub(crate) fn forward(&self, ops: &Ops, x: &Rows, rotation: &Rotation) -> Result<Tensor> {
        let packed = self.qkv.forward_rows(x)?;
        let qkv = ops.norm_and_rotate(packed, self.heads, &self.q_norm, &self.k_norm, rotation)?;
        let mut joined = self.attend(qkv)?;
        if self.guard != 1.0 {
            joined = joined.f_mul_scalar(self.guard)?;
        }
        self.out.forward_rows(&ops.rows(joined, self.out.takes_float8())?)
    }

    /// Attends once over `tokens` that mean nothing: cuDNN makes a plan for each number of tokens,
    /// on each thread, which takes some 50 ms and would be the first image's to wait for.
    pub(crate) fn plan(&self, tokens: i64, kind: Kind, device: Device) -> Result<()> {
        let Heads { queries, keys, width } = self.heads;
        let packed = Tensor::f_empty([tokens, (queries + 2 * keys) * width], (kind, device))?;
        self.attend(self.heads.split(&packed)?).map(drop)
    }

    /// `[tokens, heads · width]` of queries, keys and values `[tokens, heads, width]`.
    fn attend(&self, qkv: [Tensor; 3]) -> Result<Tensor> {
        let [q, k, v] = qkv;
        let [q, k, v] = [q.f_transpose(0, 1)?, k.f_transpose(0, 1)?, v.f_transpose(0, 1)?];
        let _flash = (self.short && q.device().is_cuda()).then(WithoutPlans::new);
        let out = attention(&q, &k, &v, self.causal)?;
        Ok(out.f_transpose(0, 1)?.f_flatten(1, 2)?)
    }
}

/// What an administrator should know of the kernel that libtorch chooses, if anything: on Hopper
/// another one than cuDNN's takes twice its time.
pub(crate) fn remark(device: Device, kind: Kind) -> Option<String> {
    /// cuDNN's number in libtorch's `SDPBackend`.
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
        "attention is not cuDNN's, which is twice as fast on this GPU: is \
         TORCH_CUDNN_SDPA_DEPRIORITIZED set, or cuDNN older than 9.15?"
            .to_owned()
    })
}

/// Attention over all positions: `q` is `[heads, tokens, width]`, so is the result; `k` and `v`
/// may have fewer heads, which the queries' then share.
pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, causal: bool) -> Result<Tensor> {
    let shared = q.size()[0] / k.size()[0];
    // libtorch repeats heads itself, without copies on a GPU; on a CPU it loses its fast kernel.
    let by_libtorch = shared > 1 && q.device().is_cuda();
    let repeated = |x: &Tensor| -> Result<Tensor> {
        if shared == 1 || by_libtorch {
            return Ok(x.f_unsqueeze(0)?);
        }
        Ok(x.f_repeat_interleave_self_int(shared, 0, None)?.f_unsqueeze(0)?)
    };
    let (k, v) = (repeated(k)?, repeated(v)?);
    let q = q.f_unsqueeze(0)?;
    let none = None::<&Tensor>;
    let out =
        Tensor::f_scaled_dot_product_attention(&q, &k, &v, none, 0.0, causal, None, by_libtorch)?;
    Ok(out.f_squeeze_dim(0)?)
}
