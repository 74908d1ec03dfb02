//! Keys of adapter files: the spelling of a linear map, and which part of its change a tensor is.

/// A part of the change of one linear map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Down,
    Up,
    Alpha,
    /// DoRA's row norms.
    Magnitude,
    HadamardW1A,
    HadamardW1B,
    HadamardW2A,
    HadamardW2B,
    KroneckerW1,
    KroneckerW1A,
    KroneckerW1B,
    KroneckerW2,
    KroneckerW2A,
    KroneckerW2B,
    /// A whole difference.
    Difference,
    /// A difference of the bias.
    Bias,
    /// The bias of the second product, which is scaled with it.
    UpBias,
    /// The part of a convolution's decomposition, or another that has no meaning for a linear map.
    Other,
}

/// Endings of keys, without the adapter's name that peft may put into them.
const ENDINGS: [(&str, Part); 40] = [
    (".lora_A.weight", Part::Down),
    (".lora_B.weight", Part::Up),
    (".lora_A", Part::Down),
    (".lora_B", Part::Up),
    (".lora_down.weight", Part::Down),
    (".lora_up.weight", Part::Up),
    (".lora.down.weight", Part::Down),
    (".lora.up.weight", Part::Up),
    (".lora_linear_layer.down.weight", Part::Down),
    (".lora_linear_layer.up.weight", Part::Up),
    (".alpha", Part::Alpha),
    (".lora_alpha", Part::Alpha),
    (".lora_B.bias", Part::UpBias),
    (".lora_up.bias", Part::UpBias),
    (".diff_b", Part::Bias),
    (".diff", Part::Difference),
    (".dora_scale", Part::Magnitude),
    (".lora_magnitude_vector.weight", Part::Magnitude),
    (".lora_magnitude_vector", Part::Magnitude),
    (".hada_w1_a", Part::HadamardW1A),
    (".hada_w1_b", Part::HadamardW1B),
    (".hada_w2_a", Part::HadamardW2A),
    (".hada_w2_b", Part::HadamardW2B),
    (".hada_t1", Part::Other),
    (".hada_t2", Part::Other),
    (".lokr_w1", Part::KroneckerW1),
    (".lokr_w1_a", Part::KroneckerW1A),
    (".lokr_w1_b", Part::KroneckerW1B),
    (".lokr_w2", Part::KroneckerW2),
    (".lokr_w2_a", Part::KroneckerW2A),
    (".lokr_w2_b", Part::KroneckerW2B),
    (".lokr_t2", Part::Other),
    (".lora_mid.weight", Part::Other),
    (".oft_blocks", Part::Other),
    (".oft_diag", Part::Other),
    (".oft_R.weight", Part::Other),
    (".a1.weight", Part::Other),
    (".b1.weight", Part::Other),
    (".on_input", Part::Other),
    (".set_weight", Part::Other),
];

/// Words of keys that are followed by the name of peft's adapter: `X.lora_A.default.weight`.
const NAMED: [&str; 4] = [".lora_A.", ".lora_B.", ".lora_magnitude_vector.", ".lora_embedding_A."];

impl Part {
    /// Splits a key into the spelling of its map and its part; none if it is no part of an adapter.
    pub(super) fn of(key: &str) -> Option<(String, Self)> {
        let key = without_adapter_name(key);
        // The longest ending, as `.lokr_w1` is one of no other.
        let longest =
            ENDINGS.iter().filter(|(end, _)| key.ends_with(end)).max_by_key(|e| e.0.len());
        longest.map(|(end, part)| (key[..key.len() - end.len()].to_owned(), *part))
    }

    /// In a sentence.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Down => "lora_A (lora_down)",
            Self::Up => "lora_B (lora_up)",
            Self::Alpha => "alpha",
            Self::Magnitude => "dora_scale",
            Self::HadamardW1A => "hada_w1_a",
            Self::HadamardW1B => "hada_w1_b",
            Self::HadamardW2A => "hada_w2_a",
            Self::HadamardW2B => "hada_w2_b",
            Self::KroneckerW1 => "lokr_w1",
            Self::KroneckerW1A => "lokr_w1_a",
            Self::KroneckerW1B => "lokr_w1_b",
            Self::KroneckerW2 => "lokr_w2",
            Self::KroneckerW2A => "lokr_w2_a",
            Self::KroneckerW2B => "lokr_w2_b",
            Self::Difference => "diff",
            Self::Bias | Self::UpBias => "bias",
            Self::Other => "another part",
        }
    }
}

/// The key without the name that peft gives an adapter: `default` in most files.
fn without_adapter_name(key: &str) -> String {
    let key = key.strip_suffix(".default").unwrap_or(key);
    for word in NAMED {
        if let Some((map, rest)) = key.split_once(word)
            && let Some((_, end @ ("weight" | "bias"))) = rest.rsplit_once('.')
        {
            return format!("{map}{word}{end}");
        }
    }
    key.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_program_are_split() {
        for (key, map, part) in [
            (
                "transformer.layers.0.attention.to_q.lora_A.weight",
                "transformer.layers.0.attention.to_q",
                Part::Down,
            ),
            ("layers.0.attention.to_q.lora_B.default.weight", "layers.0.attention.to_q", Part::Up),
            ("layers.0.attention.to_q.lora_B.my_style.weight", "layers.0.attention.to_q", Part::Up),
            ("layers.0.attention.to_q.lora_B.bias", "layers.0.attention.to_q", Part::UpBias),
            (
                "lora_unet_layers_0_attention_to_q.lora_down.weight",
                "lora_unet_layers_0_attention_to_q",
                Part::Down,
            ),
            (
                "lora_unet_layers_0_attention_to_q.alpha",
                "lora_unet_layers_0_attention_to_q",
                Part::Alpha,
            ),
            ("layers.0.attention.to.q.lora.up.weight", "layers.0.attention.to.q", Part::Up),
            ("layers.0.feed_forward.w1.lokr_w1", "layers.0.feed_forward.w1", Part::KroneckerW1),
            (
                "layers.0.feed_forward.w1.lokr_w2_a.default",
                "layers.0.feed_forward.w1",
                Part::KroneckerW2A,
            ),
            ("layers.0.feed_forward.w1.hada_w2_b", "layers.0.feed_forward.w1", Part::HadamardW2B),
            ("x.lora_magnitude_vector.default.weight", "x", Part::Magnitude),
            ("x.lora_magnitude_vector", "x", Part::Magnitude),
            ("x.dora_scale", "x", Part::Magnitude),
            ("x.diff_b", "x", Part::Bias),
            ("x.lora_mid.weight", "x", Part::Other),
        ] {
            assert_eq!(Part::of(key), Some((map.to_owned(), part)), "{key}");
        }
        for key in ["layers.0.attention.to_q.weight", "emb_params", "lora_A.weight.x", ""] {
            assert_eq!(Part::of(key), None, "{key}");
        }
    }
}
