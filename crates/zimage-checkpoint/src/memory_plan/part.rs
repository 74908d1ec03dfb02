//! Parts of a block: the matrices that stay on the device, or are streamed, together.

/// A part of a block of the transformer or the text encoder: the matrices of one product, or of the
/// products around attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlockPart {
    /// Queries, keys, values and the projection after attention.
    Attention,
    /// Gate and value of the feed-forward, which are one product.
    GateValue,
    /// The projection that ends the feed-forward.
    Down,
}

impl BlockPart {
    /// In the order of their use.
    pub const ALL: [Self; 3] = [Self::Attention, Self::GateValue, Self::Down];

    /// The part that a matrix of this name within its block belongs to; none for norms and modulation,
    /// which are small and always stay on the device.
    pub fn of(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('.').collect();
        match parts[..] {
            ["attention", "to_out", "0", "weight"] => Some(Self::Attention),
            ["attention" | "self_attn", part, "weight"] if !part.contains("norm") => {
                Some(Self::Attention)
            }
            ["feed_forward" | "mlp", "w2" | "down_proj", "weight"] => Some(Self::Down),
            ["feed_forward" | "mlp", part, "weight"] if !part.contains("norm") => {
                Some(Self::GateValue)
            }
            _ => None,
        }
    }
}

/// Whether a block of the transformer or the text encoder has a matrix of this name.
pub fn is_block_matrix(name: &str) -> bool {
    BlockPart::of(name).is_some()
}

/// Whether part `number` of `count` is streamed, where so many of them stay: these are spread evenly.
pub fn is_streamed(number: usize, count: usize, resident: u32) -> bool {
    let streamed = count.saturating_sub(resident as usize);
    (number + 1) * streamed / count.max(1) > number * streamed / count.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_are_told_from_what_always_stays() {
        use BlockPart::{Attention, Down, GateValue};
        for (name, part) in [
            ("attention.to_q.weight", Some(Attention)),
            ("attention.to_out.0.weight", Some(Attention)),
            ("self_attn.o_proj.weight", Some(Attention)),
            ("feed_forward.w1.weight", Some(GateValue)),
            ("feed_forward.w3.weight", Some(GateValue)),
            ("feed_forward.w2.weight", Some(Down)),
            ("mlp.gate_proj.weight", Some(GateValue)),
            ("mlp.up_proj.weight", Some(GateValue)),
            ("mlp.down_proj.weight", Some(Down)),
            ("attention.norm_q.weight", None),
            ("self_attn.q_norm.weight", None),
            ("attention_norm1.weight", None),
            ("adaLN_modulation.0.weight", None),
            ("input_layernorm.weight", None),
        ] {
            assert_eq!(BlockPart::of(name), part, "{name}");
            assert_eq!(is_block_matrix(name), part.is_some(), "{name}");
        }
    }

    #[test]
    fn resident_parts_lie_between_streamed_ones() {
        let streamed = |count: usize, resident| -> Vec<usize> {
            (0..count).filter(|&i| is_streamed(i, count, resident)).collect()
        };
        assert!(streamed(4, 4).is_empty() && streamed(4, 9).is_empty());
        assert!(streamed(4, u32::MAX).is_empty() && streamed(0, 0).is_empty());
        assert_eq!(streamed(4, 0), [0, 1, 2, 3]);
        assert_eq!(streamed(6, 3), [1, 3, 5]);
        assert_eq!(streamed(8, 6), [3, 7]);
        for resident in 0..=96 {
            let chosen = streamed(96, resident);
            assert_eq!(chosen.len() as u32, 96 - resident);
            let gaps: Vec<usize> = chosen.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let extremes = gaps.iter().min().zip(gaps.iter().max());
            assert!(extremes.is_none_or(|(least, most)| most - least <= 1), "{chosen:?}");
        }
    }
}
