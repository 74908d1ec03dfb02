//! The autoencoder's tensors. Source: diffusers `models/autoencoders/{autoencoder_kl,vae}.py`.

use super::{ExpectedTensor, Tensors};
use crate::config::VaeConfig;

/// Every tensor of the encoder and the decoder.
pub(super) fn tensors(config: &VaeConfig) -> Vec<ExpectedTensor> {
    let mut tensors = Tensors::default();
    let widths = &config.block_out_channels;
    let reversed: Vec<i64> = widths.iter().rev().copied().collect();
    let latents = config.latent_channels;
    let encoder = Side {
        name: "encoder",
        blocks: "down_blocks",
        resampler: "downsamplers",
        resnets: config.layers_per_block,
    };
    coder(&mut tensors, &encoder, widths, (config.in_channels, 2 * latents), config);
    let decoder = Side {
        name: "decoder",
        blocks: "up_blocks",
        resampler: "upsamplers",
        resnets: config.layers_per_block + 1,
    };
    coder(&mut tensors, &decoder, &reversed, (latents, config.out_channels), config);
    tensors.0
}

/// What differs between the encoder and the decoder.
struct Side {
    name: &'static str,
    blocks: &'static str,
    resampler: &'static str,
    /// Residual blocks of a level.
    resnets: i64,
}

fn coder(
    tensors: &mut Tensors,
    side: &Side,
    widths: &[i64],
    (inputs, outputs): (i64, i64),
    config: &VaeConfig,
) {
    let Side { name, blocks, resampler, resnets } = side;
    let (first, last) = (widths[0], widths[widths.len() - 1]);
    let middle = if *name == "encoder" { last } else { first };
    tensors.conv(&format!("{name}.conv_in"), inputs, first, 3);
    let mut before = first;
    for (i, &width) in widths.iter().enumerate() {
        let block = format!("{name}.{blocks}.{i}");
        for j in 0..*resnets {
            let from = if j == 0 { before } else { width };
            resnet(tensors, &format!("{block}.resnets.{j}"), from, width);
        }
        if i + 1 < widths.len() {
            tensors.conv(&format!("{block}.{resampler}.0.conv"), width, width, 3);
        }
        before = width;
    }
    let block = format!("{name}.mid_block");
    resnet(tensors, &format!("{block}.resnets.0"), middle, middle);
    if config.mid_block_add_attention {
        let attention = format!("{block}.attentions.0");
        tensors.group_norm(&format!("{attention}.group_norm"), middle);
        for projection in ["to_q", "to_k", "to_v", "to_out.0"] {
            tensors.linear_with_bias(&format!("{attention}.{projection}"), middle, middle);
        }
    }
    resnet(tensors, &format!("{block}.resnets.1"), middle, middle);
    tensors.group_norm(&format!("{name}.conv_norm_out"), last);
    tensors.conv(&format!("{name}.conv_out"), last, outputs, 3);
}

fn resnet(tensors: &mut Tensors, name: &str, inputs: i64, outputs: i64) {
    tensors.group_norm(&format!("{name}.norm1"), inputs);
    tensors.conv(&format!("{name}.conv1"), inputs, outputs, 3);
    tensors.group_norm(&format!("{name}.norm2"), outputs);
    tensors.conv(&format!("{name}.conv2"), outputs, outputs, 3);
    if inputs != outputs {
        tensors.conv(&format!("{name}.conv_shortcut"), inputs, outputs, 1);
    }
}
