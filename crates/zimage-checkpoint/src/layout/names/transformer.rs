//! Names of the transformer's tensors in single files: the original code's, which ComfyUI and the
//! GGUF converters keep.
//!
//! Sources: diffusers `loaders/single_file_utils.py`
//! (`convert_z_image_transformer_checkpoint_to_diffusers`), ComfyUI `comfy/utils.py`
//! (`z_image_to_diffusers`), stable-diffusion.cpp `src/name_conversion.cpp`
//! (`convert_diffusers_dit_to_original_lumina2`).

use super::{Mapped, begun, replaced};

/// A tensor of the first block that is modulated by the time: the other models of this family have
/// another index in its name.
pub(crate) const MARK: &str = "layers.0.adaLN_modulation.0.weight";

/// Beginnings that say how large patches are in the canonical names, and nothing in the others.
const BEGINS: [(&str, &str); 2] =
    [("x_embedder.", "all_x_embedder.2-1."), ("final_layer.", "all_final_layer.2-1.")];
/// Parts of an attention layer.
const PARTS: [(&str, &str); 3] = [
    (".attention.out.", ".attention.to_out.0."),
    (".attention.q_norm.", ".attention.norm_q."),
    (".attention.k_norm.", ".attention.norm_k."),
];
/// Queries, keys and values in one tensor.
const FUSED: &str = ".attention.qkv.weight";
/// What they are apart.
const APART: [&str; 3] =
    [".attention.to_q.weight", ".attention.to_k.weight", ".attention.to_v.weight"];

/// The canonical tensors of the stored one `name`, which has so many rows, each of so many numbers.
pub(crate) fn map(name: &str, rows: i64, width: i64) -> Mapped {
    if let Some(block) = name.strip_suffix(FUSED) {
        // stable-diffusion.cpp keeps three tensors apart that were apart, and numbers them.
        if rows == width {
            return Mapped::Whole(format!("{block}{}", APART[0]));
        }
        let names = APART.map(|end| format!("{block}{end}"));
        return Mapped::shares(&names, rows).unwrap_or_else(|| Mapped::Whole(name.to_owned()));
    }
    for (number, apart) in APART.iter().enumerate().skip(1) {
        if let Some(block) = name.strip_suffix(&format!("{FUSED}.{number}")) {
            return Mapped::Whole(format!("{block}{apart}"));
        }
    }
    Mapped::Whole(replaced(&begun(name, &BEGINS), &PARTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(name: &str) -> String {
        match map(name, 64, 64) {
            Mapped::Whole(name) => name,
            Mapped::Rows(_) => panic!("{name} is split"),
        }
    }

    #[test]
    fn original_names_are_those_of_the_published_maps() {
        for (stored, canonical) in [
            ("x_embedder.weight", "all_x_embedder.2-1.weight"),
            ("final_layer.adaLN_modulation.1.bias", "all_final_layer.2-1.adaLN_modulation.1.bias"),
            ("layers.7.attention.out.weight", "layers.7.attention.to_out.0.weight"),
            ("noise_refiner.0.attention.q_norm.weight", "noise_refiner.0.attention.norm_q.weight"),
            ("layers.7.attention.k_norm.weight", "layers.7.attention.norm_k.weight"),
            ("layers.7.attention.qkv.weight", "layers.7.attention.to_q.weight"),
            ("layers.7.attention.qkv.weight.1", "layers.7.attention.to_k.weight"),
            ("layers.7.attention.qkv.weight.2", "layers.7.attention.to_v.weight"),
        ] {
            assert_eq!(whole(stored), canonical);
            assert_eq!(whole(canonical), canonical);
        }
        for same in ["cap_pad_token", "t_embedder.mlp.0.weight", "layers.0.feed_forward.w1.weight"]
        {
            assert_eq!(whole(same), same);
        }
    }

    #[test]
    fn fused_rows_are_queries_then_keys_then_values() {
        let Mapped::Rows(rows) = map("layers.1.attention.qkv.weight", 192, 64) else {
            panic!("it is not split");
        };
        let names = ["to_q", "to_k", "to_v"].map(|n| format!("layers.1.attention.{n}.weight"));
        let expected: Vec<_> = names.into_iter().zip([0..64, 64..128, 128..192]).collect();
        assert_eq!(rows, expected);
        // No three equal shares: it stays as it is, and is refused by its name later.
        let odd = map("layers.1.attention.qkv.weight", 193, 64);
        assert_eq!(odd, Mapped::Whole("layers.1.attention.qkv.weight".to_owned()));
    }
}
