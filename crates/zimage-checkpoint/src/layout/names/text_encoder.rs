//! Names of the text encoder's tensors: with and without `model.`, and llama.cpp's.
//!
//! Source: llama.cpp `gguf-py/gguf/tensor_mapping.py` for `qwen3`. Queries and keys of this
//! architecture are not permuted by its converter, those of `llama` are.

use super::{begun, replaced};

/// A tensor of the first layer that Qwen3 has, and Qwen2, Llama and Mistral have not.
pub(crate) const MARK: &str = "layers.0.self_attn.q_norm.weight";
/// The same in llama.cpp's names.
pub(crate) const LLAMA_MARK: &str = "blk.0.attn_q_norm.weight";

/// What whole language models put before their tensors' names, and encoders do not.
pub(crate) const PREFIX: &str = "model.";

/// Beginnings of llama.cpp's names.
const BEGINS: [(&str, &str); 4] = [
    ("token_embd.", "embed_tokens."),
    ("blk.", "layers."),
    ("output_norm.", "norm."),
    ("output.", "lm_head."),
];
/// Parts of a layer.
const PARTS: [(&str, &str); 11] = [
    (".attn_q_norm.", ".self_attn.q_norm."),
    (".attn_k_norm.", ".self_attn.k_norm."),
    (".attn_q.", ".self_attn.q_proj."),
    (".attn_k.", ".self_attn.k_proj."),
    (".attn_v.", ".self_attn.v_proj."),
    (".attn_output.", ".self_attn.o_proj."),
    (".attn_norm.", ".input_layernorm."),
    (".ffn_norm.", ".post_attention_layernorm."),
    (".ffn_gate.", ".mlp.gate_proj."),
    (".ffn_up.", ".mlp.up_proj."),
    (".ffn_down.", ".mlp.down_proj."),
];

/// The canonical name of a tensor that is stored as `name`.
pub(crate) fn map(name: &str) -> String {
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    replaced(&begun(name, &BEGINS), &PARTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_dialects_are_mapped() {
        for (stored, canonical) in [
            ("model.embed_tokens.weight", "embed_tokens.weight"),
            ("layers.3.mlp.up_proj.weight", "layers.3.mlp.up_proj.weight"),
            ("lm_head.weight", "lm_head.weight"),
            ("token_embd.weight", "embed_tokens.weight"),
            ("output_norm.weight", "norm.weight"),
            ("output.weight", "lm_head.weight"),
            ("blk.12.attn_q.weight", "layers.12.self_attn.q_proj.weight"),
            ("blk.12.attn_q_norm.weight", "layers.12.self_attn.q_norm.weight"),
            ("blk.12.attn_output.weight", "layers.12.self_attn.o_proj.weight"),
            ("blk.12.attn_norm.weight", "layers.12.input_layernorm.weight"),
            ("blk.12.ffn_norm.weight", "layers.12.post_attention_layernorm.weight"),
            ("blk.12.ffn_down.weight", "layers.12.mlp.down_proj.weight"),
        ] {
            assert_eq!(map(stored), canonical);
            assert_eq!(map(canonical), canonical);
        }
    }
}
