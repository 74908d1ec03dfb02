//! Names of the VAE's tensors: those of latent diffusion (ldm), which `ae.safetensors` has, and the
//! older ones of diffusers.
//!
//! Source: stable-diffusion.cpp `src/name_conversion.cpp` (`convert_diffusers_vae_to_original_sd1`),
//! diffusers `loaders/single_file_utils.py` (`convert_ldm_vae_checkpoint`).

use super::replaced;

/// A tensor that every autoencoder of this kind has, in both dialects.
pub(crate) const MARK: &str = "decoder.conv_in.weight";

/// Parts that are called otherwise, wherever they are.
const PARTS: [(&str, &str); 2] =
    [(".nin_shortcut.", ".conv_shortcut."), (".norm_out.", ".conv_norm_out.")];
/// Parts of the middle.
const MIDDLE: [(&str, &str); 3] = [
    (".mid.block_1.", ".mid_block.resnets.0."),
    (".mid.block_2.", ".mid_block.resnets.1."),
    (".mid.attn_1.", ".mid_block.attentions.0."),
];
/// Parts of its attention, in ldm's and in diffusers' older names.
const ATTENTION: [(&str, &str); 9] = [
    (".norm.", ".group_norm."),
    (".q.", ".to_q."),
    (".k.", ".to_k."),
    (".v.", ".to_v."),
    (".proj_out.", ".to_out.0."),
    (".query.", ".to_q."),
    (".key.", ".to_k."),
    (".value.", ".to_v."),
    (".proj_attn.", ".to_out.0."),
];

/// The canonical name of a tensor that is stored as `name`, in an autoencoder of so many levels.
pub(crate) fn map(name: &str, levels: usize) -> String {
    let name = replaced(&replaced(name, &MIDDLE), &PARTS);
    if name.contains(".mid_block.attentions.0.") {
        return replaced(&name, &ATTENTION);
    }
    level(&name, levels).unwrap_or(name)
}

/// The levels of the names: one more than the highest number.
pub(crate) fn levels<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    let number = |name: &str| {
        let rest =
            name.strip_prefix("decoder.up.").or_else(|| name.strip_prefix("encoder.down."))?;
        rest.split('.').next()?.parse::<usize>().ok()
    };
    names.filter_map(number).max().map_or(0, |highest| highest.saturating_add(1))
}

/// ldm numbers the decoder's levels as the encoder's, from the image down; diffusers in the order in
/// which they run.
fn level(name: &str, levels: usize) -> Option<String> {
    let (blocks, resampler, rest) = if let Some(rest) = name.strip_prefix("encoder.down.") {
        ("encoder.down_blocks", "downsamplers", rest)
    } else {
        ("decoder.up_blocks", "upsamplers", name.strip_prefix("decoder.up.")?)
    };
    let (number, rest) = rest.split_once('.')?;
    let number: usize = number.parse().ok()?;
    let number = if resampler == "upsamplers" {
        levels.checked_sub(number.checked_add(1)?)?
    } else {
        number
    };
    if let Some(rest) = rest.strip_prefix("block.") {
        return Some(format!("{blocks}.{number}.resnets.{rest}"));
    }
    let rest = rest.strip_prefix("downsample.").or_else(|| rest.strip_prefix("upsample."))?;
    Some(format!("{blocks}.{number}.{resampler}.0.{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldm_names_are_mapped() {
        for (stored, canonical) in [
            ("encoder.conv_in.weight", "encoder.conv_in.weight"),
            ("encoder.down.0.block.1.norm2.bias", "encoder.down_blocks.0.resnets.1.norm2.bias"),
            (
                "encoder.down.2.downsample.conv.weight",
                "encoder.down_blocks.2.downsamplers.0.conv.weight",
            ),
            (
                "encoder.down.1.block.0.nin_shortcut.weight",
                "encoder.down_blocks.1.resnets.0.conv_shortcut.weight",
            ),
            ("decoder.up.3.block.0.conv1.weight", "decoder.up_blocks.0.resnets.0.conv1.weight"),
            ("decoder.up.0.block.2.conv2.bias", "decoder.up_blocks.3.resnets.2.conv2.bias"),
            ("decoder.up.1.upsample.conv.bias", "decoder.up_blocks.2.upsamplers.0.conv.bias"),
            ("decoder.mid.block_1.norm1.weight", "decoder.mid_block.resnets.0.norm1.weight"),
            ("decoder.mid.block_2.conv2.weight", "decoder.mid_block.resnets.1.conv2.weight"),
            ("encoder.mid.attn_1.norm.weight", "encoder.mid_block.attentions.0.group_norm.weight"),
            ("encoder.mid.attn_1.q.weight", "encoder.mid_block.attentions.0.to_q.weight"),
            ("encoder.mid.attn_1.proj_out.bias", "encoder.mid_block.attentions.0.to_out.0.bias"),
            (
                "decoder.mid_block.attentions.0.query.weight",
                "decoder.mid_block.attentions.0.to_q.weight",
            ),
            ("decoder.norm_out.weight", "decoder.conv_norm_out.weight"),
        ] {
            assert_eq!(map(stored, 4), canonical);
            assert_eq!(map(canonical, 4), canonical);
        }
    }

    #[test]
    fn levels_are_counted() {
        let names =
            ["decoder.up.3.block.0.conv1.weight", "encoder.down.1.block.0.x", "decoder.up.x.y"];
        assert_eq!(levels(names.into_iter()), 4);
        assert_eq!(levels(["decoder.up_blocks.3.x"].into_iter()), 0);
        // A number that lies maps to nothing.
        assert_eq!(map("decoder.up.9.block.0.x", 4), "decoder.up.9.block.0.x");
        let most = format!("decoder.up.{}.block.0.x", usize::MAX);
        assert_eq!(map(&most, usize::MAX), most);
        let name = format!("decoder.up.{}.block.0.x", u64::MAX);
        assert_eq!(levels([name.as_str()].into_iter()), usize::MAX);
    }
}
