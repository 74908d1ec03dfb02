//! The text encoder's tensors. Source: transformers `models/qwen3/modeling_qwen3.py`.

use super::{ExpectedTensor, Tensors};
use crate::config::TextEncoderConfig;

/// Every tensor that is loaded.
pub(super) fn tensors(config: &TextEncoderConfig) -> Vec<ExpectedTensor> {
    let mut tensors = Tensors::default();
    let (width, inner, head) = (config.hidden_size, config.intermediate_size, config.head_dim);
    let queries = config.num_attention_heads * head;
    let keys = config.num_key_value_heads * head;
    tensors.add("embed_tokens.weight", &[config.vocab_size, width]);
    for i in 0..config.used_layers() {
        let name = |part: &str| format!("layers.{i}.{part}");
        tensors.norm(&name("input_layernorm"), width);
        tensors.linear(&name("self_attn.q_proj"), width, queries);
        tensors.linear(&name("self_attn.k_proj"), width, keys);
        tensors.linear(&name("self_attn.v_proj"), width, keys);
        tensors.linear(&name("self_attn.o_proj"), queries, width);
        tensors.norm(&name("self_attn.q_norm"), head);
        tensors.norm(&name("self_attn.k_norm"), head);
        tensors.norm(&name("post_attention_layernorm"), width);
        tensors.linear(&name("mlp.gate_proj"), width, inner);
        tensors.linear(&name("mlp.up_proj"), width, inner);
        tensors.linear(&name("mlp.down_proj"), inner, width);
    }
    tensors.0
}
