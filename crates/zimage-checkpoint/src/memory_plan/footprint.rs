//! The footprint of a model: how many bytes its parts take on a device, as far as a plan tells them
//! apart.

use std::collections::BTreeMap;

use super::budget::CONTEXT_BYTES;
use super::residency::Decode;
use crate::checkpoint::Checkpoint;
use crate::component::Component;
use crate::encoding::Encoding;
use crate::error::Result;
use crate::expected_tensors::ExpectedTensor;
use crate::tensor_index::TensorIndex;

/// Beside the context: kernels and workspaces of libtorch, cuBLAS, cuDNN and ours.
const LIBRARY_BYTES: u64 = 370 << 20;
/// The dimensions of Z-Image-Turbo, at which activations were measured.
const MEASURED: (i64, i64) = (3840, 128);

/// Bytes of a number, by the dtype.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberBytes {
    /// Of text encoder and transformer.
    pub networks: u64,
    /// Of the autoencoder.
    pub vae: u64,
}

/// What an image takes beside the weights: bytes per pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActivationBytes {
    /// A denoising step.
    pub step: u64,
    /// The decoding at once.
    pub whole: u64,
    /// The decoding in strips, of a large image.
    pub strips: u64,
    /// Bytes of the decoding in strips at the least, if decoding at once takes no less.
    pub strips_least: u64,
}

/// The bytes of a model's parts on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelFootprint {
    /// Blocks of a denoising step: noise refiner and main layers.
    pub denoising_blocks: u32,
    /// The matrices of the largest of them; they differ only in files that are quantised so.
    pub denoising_block: u64,
    /// The matrices of the text encoder's layers and of the context refiner.
    pub text_encoder: u64,
    /// Those of the largest block among these.
    pub text_block: u64,
    /// The table of the text encoder's embeddings, which is read by rows if the layers are streamed.
    pub embeddings: u64,
    /// All other weights, which always stay.
    pub rest: u64,
    /// The device's context and libraries.
    pub fixed: u64,
    /// What an image takes.
    pub activations: ActivationBytes,
}

impl NumberBytes {
    /// Those of float32.
    pub const SINGLE: Self = Self { networks: 4, vae: 4 };

    /// Those of a dtype by its name; `None` for another word.
    pub fn of(dtype: &str) -> Option<Self> {
        match dtype {
            "bfloat16" | "float8" | "int8" => Some(Self { networks: 2, vae: 2 }),
            // The VAE's activations overflow float16.
            "float16" | "int8 (float16)" => Some(Self { networks: 2, vae: 4 }),
            "float32" => Some(Self::SINGLE),
            _ => None,
        }
    }
}

impl ModelFootprint {
    /// The footprint of a checkpoint whose weights are expanded to numbers of this size.
    pub fn expanded(checkpoint: &Checkpoint, numbers: NumberBytes, on_gpu: bool) -> Self {
        Self::of(checkpoint, numbers, on_gpu, &|_, tensor| bytes(tensor, numbers.networks))
    }

    /// The footprint with matrices as the files encode them; `None` if all of them are plain.
    ///
    /// # Errors
    /// When a file is missing, truncated or damaged.
    pub fn packed(
        checkpoint: &Checkpoint,
        numbers: NumberBytes,
        on_gpu: bool,
    ) -> Result<Option<Self>> {
        let transformer = checkpoint.tensor_index(Component::Transformer)?;
        let text_encoder = checkpoint.tensor_index(Component::TextEncoder)?;
        let is_plain = |index: &TensorIndex| {
            let mut tensors = index.tensors.values();
            tensors.all(|(_, stored)| matches!(stored.encoding, Encoding::Plain(_)))
        };
        if is_plain(&transformer) && is_plain(&text_encoder) {
            return Ok(None);
        }
        let matrix = |component, tensor: &ExpectedTensor| {
            let index =
                if component == Component::Transformer { &transformer } else { &text_encoder };
            match index.tensors.get(&tensor.name) {
                Some((_, stored)) if !matches!(stored.encoding, Encoding::Plain(_)) => {
                    stored.bytes + stored.companions.iter().map(|scales| scales.bytes).sum::<u64>()
                }
                _ => bytes(tensor, numbers.networks),
            }
        };
        Ok(Some(Self::of(checkpoint, numbers, on_gpu, &matrix)))
    }

    /// The footprint of matrices of so many bytes.
    fn of(
        checkpoint: &Checkpoint,
        numbers: NumberBytes,
        on_gpu: bool,
        matrix: &dyn Fn(Component, &ExpectedTensor) -> u64,
    ) -> Self {
        let mut footprint = Self {
            denoising_blocks: 0,
            denoising_block: 0,
            text_encoder: 0,
            text_block: 0,
            embeddings: 0,
            rest: 0,
            fixed: if on_gpu { CONTEXT_BYTES + LIBRARY_BYTES } else { 0 },
            activations: ActivationBytes::new(checkpoint, numbers),
        };
        for tensor in checkpoint.architecture(Component::Vae).tensors {
            footprint.rest += bytes(&tensor, numbers.vae);
        }
        let mut blocks: BTreeMap<(bool, String), u64> = BTreeMap::new();
        for component in [Component::Transformer, Component::TextEncoder] {
            for tensor in checkpoint.architecture(component).tensors {
                let mut parts = tensor.name.splitn(3, '.');
                let block = parts.next().zip(parts.next()).zip(parts.next());
                match block.filter(|(_, part)| is_block_matrix(part)) {
                    Some(((group, number), _)) => {
                        let is_text =
                            component == Component::TextEncoder || group == "context_refiner";
                        let name = format!("{group}.{number}");
                        *blocks.entry((is_text, name)).or_default() += matrix(component, &tensor);
                    }
                    None if tensor.name == "embed_tokens.weight" => {
                        footprint.embeddings += bytes(&tensor, numbers.networks);
                    }
                    None => footprint.rest += bytes(&tensor, numbers.networks),
                }
            }
        }
        for ((is_text, _), bytes) in blocks {
            if is_text {
                footprint.text_encoder += bytes;
                footprint.text_block = footprint.text_block.max(bytes);
            } else {
                footprint.denoising_blocks += 1;
                footprint.denoising_block = footprint.denoising_block.max(bytes);
            }
        }
        footprint
    }
}

impl ActivationBytes {
    /// Scaled from what Z-Image-Turbo took in bfloat16 on an H200: 2.45 GB at 1024², of which a step
    /// has 0.29, by the driver's view.
    fn new(checkpoint: &Checkpoint, numbers: NumberBytes) -> Self {
        let width = checkpoint.vae.block_out_channels.first().copied().unwrap_or(MEASURED.1);
        let scaled = |bytes: i64, own: i64, measured: i64, width: u64| {
            let bytes = (bytes * own.max(1)).div_euclid(measured).max(1);
            (bytes as u64).saturating_mul(width).div_ceil(2)
        };
        let of_vae = |bytes| scaled(bytes, width, MEASURED.1, numbers.vae);
        let step = scaled(280, checkpoint.transformer.dim, MEASURED.0, numbers.networks);
        Self {
            step,
            whole: step + of_vae(2060),
            strips: step + of_vae(512),
            strips_least: of_vae(320 << 20),
        }
    }

    /// The bytes of an image of so many pixels.
    pub fn image(&self, decode: Decode, pixels: u64) -> u64 {
        let (step, whole) = (self.step.saturating_mul(pixels), self.whole.saturating_mul(pixels));
        match decode {
            Decode::Whole => whole,
            Decode::Strips => {
                let strips = (self.strips - self.step).saturating_mul(pixels);
                step.saturating_add(strips.max(self.strips_least)).min(whole)
            }
        }
    }
}

fn bytes(tensor: &ExpectedTensor, width: u64) -> u64 {
    tensor.shape.iter().fold(width, |all, &side| all.saturating_mul(side as u64))
}

/// Whether a block of the transformer or the text encoder has a matrix of this name, as opposed to
/// norms and modulation, which are small and always stay on the device.
pub fn is_block_matrix(name: &str) -> bool {
    const GROUPS: [&str; 4] = ["attention", "feed_forward", "self_attn", "mlp"];
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        [group, part, "weight"] => GROUPS.contains(&group) && !part.contains("norm"),
        ["attention", "to_out", "0", "weight"] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The configurations of Z-Image-Turbo, as far as they are read.
    const TURBO: &[(&str, &[u8])] = &[
        ("model_index.json", br#"{"_class_name": "ZImagePipeline"}"#),
        (
            "scheduler/scheduler_config.json",
            br#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000,
                "shift": 3.0, "use_dynamic_shifting": false}"#,
        ),
        (
            "text_encoder/config.json",
            br#"{"model_type": "qwen3", "hidden_act": "silu", "hidden_size": 2560, "head_dim": 128,
                "intermediate_size": 9728, "max_position_embeddings": 40960,
                "num_attention_heads": 32, "num_hidden_layers": 36, "num_key_value_heads": 8,
                "rms_norm_eps": 1e-6, "rope_theta": 1000000, "vocab_size": 151936}"#,
        ),
        (
            "transformer/config.json",
            br#"{"_class_name": "ZImageTransformer2DModel", "all_f_patch_size": [1],
                "all_patch_size": [2], "axes_dims": [32, 48, 48], "axes_lens": [1536, 512, 512],
                "cap_feat_dim": 2560, "dim": 3840, "in_channels": 16, "n_heads": 30,
                "n_kv_heads": 30, "n_layers": 30, "n_refiner_layers": 2, "norm_eps": 1e-5,
                "qk_norm": true, "rope_theta": 256.0, "t_scale": 1000.0}"#,
        ),
        (
            "vae/config.json",
            br#"{"_class_name": "AutoencoderKL", "act_fn": "silu",
                "block_out_channels": [128, 256, 512, 512],
                "force_upcast": true,
                "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D",
                    "DownEncoderBlock2D", "DownEncoderBlock2D"],
                "in_channels": 3, "latent_channels": 16, "layers_per_block": 2,
                "mid_block_add_attention": true, "norm_num_groups": 32, "out_channels": 3,
                "sample_size": 1024, "scaling_factor": 0.3611, "shift_factor": 0.1159,
                "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D",
                    "UpDecoderBlock2D"],
                "use_post_quant_conv": false, "use_quant_conv": false}"#,
        ),
    ];

    fn turbo(dtype: &str) -> ModelFootprint {
        let checkpoint = Checkpoint::embedded("turbo", TURBO).unwrap();
        ModelFootprint::expanded(&checkpoint, NumberBytes::of(dtype).unwrap(), true)
    }

    #[test]
    fn the_parts_of_z_image_turbo_have_their_bytes() {
        let ModelFootprint { rest, activations, .. } = turbo("bfloat16");
        assert!(rest.abs_diff(445_400_000) < 500_000, "{rest}");
        assert_eq!(
            activations,
            ActivationBytes { step: 280, whole: 2340, strips: 792, strips_least: 320 << 20 }
        );
        let expected = ModelFootprint {
            denoising_blocks: 32,
            denoising_block: 353_894_400,
            text_encoder: 7_772_569_600,
            text_block: 353_894_400,
            embeddings: 777_912_320,
            rest,
            fixed: (527 + 370) << 20,
            activations,
        };
        assert_eq!(turbo("bfloat16"), expected);
        let single = turbo("float32");
        assert_eq!(single.denoising_block, 2 * expected.denoising_block);
        assert_eq!(single.activations.step, 560);
        assert!(turbo("float16").rest > rest && turbo("float16").rest < single.rest);
        assert_eq!(NumberBytes::of("int3"), None);
    }

    #[test]
    fn matrices_are_told_from_what_always_stays() {
        for (name, is_matrix) in [
            ("attention.to_q.weight", true),
            ("attention.to_out.0.weight", true),
            ("feed_forward.w2.weight", true),
            ("self_attn.o_proj.weight", true),
            ("mlp.gate_proj.weight", true),
            ("attention.norm_q.weight", false),
            ("self_attn.q_norm.weight", false),
            ("attention_norm1.weight", false),
            ("adaLN_modulation.0.weight", false),
            ("input_layernorm.weight", false),
        ] {
            assert_eq!(is_block_matrix(name), is_matrix, "{name}");
        }
    }
}
