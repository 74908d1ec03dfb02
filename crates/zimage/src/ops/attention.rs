//! Scaled dot-product attention.

use tch::Tensor;

use crate::error::Result;

/// Attention over all positions: `q` is `[heads, tokens, width]`, and so is the result; `k` and `v` may
/// have fewer heads, which groups of query heads share.
pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, causal: bool) -> Result<Tensor> {
    let shared = q.size()[0] / k.size()[0];
    // On a GPU libtorch repeats heads without copies; on a CPU that would disable its fast kernel.
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

/// Attention of sequences of one length side by side: all are `[sequences, heads, tokens, width]`.
pub(crate) fn attention_of_batch(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    causal: bool,
) -> Result<Tensor> {
    let none = None::<&Tensor>;
    Ok(Tensor::f_scaled_dot_product_attention(q, k, v, none, 0.0, causal, None, false)?)
}
