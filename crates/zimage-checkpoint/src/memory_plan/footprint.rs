//! The footprint of a model: how many bytes its parts take on a device, as far as a plan tells them
//! apart.

use std::collections::BTreeMap;

use super::budget::CONTEXT_BYTES;
use super::decoder::DecoderFootprint;
use super::part::BlockPart;
use super::rates::ModelWork;
use super::residency::Decode;
use crate::checkpoint::Checkpoint;
use crate::component::Component;
use crate::config::VaeConfig;
use crate::encoding::{Encoding, Number, ScaleScope, ScaledFormat};
use crate::error::Result;
use crate::expected_tensors::ExpectedTensor;
use crate::kind::ModelKind;
use crate::stored_tensor::StoredTensor;
use crate::tensor_index::TensorIndex;

/// Beside the context: kernels and workspaces of libtorch, cuBLAS, cuDNN and ours.
const LIBRARY_BYTES: u64 = 370 << 20;
/// Beside them: the kernels of products in float8, which are loaded at the first one (H200).
const FLOAT8_BYTES: u64 = 224 << 20;
/// The dimensions of Z-Image-Turbo, at which activations were measured.
const MEASURED: (i64, i64) = (3840, 128);

/// The forms in which weights lie on the device, as they follow from the dtype.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forms {
    /// Bytes of a number of text encoder and transformer.
    networks: u64,
    /// Of the autoencoder.
    vae: u64,
    matrices: Matrices,
    /// Whether quantised matrices of blocks stay as the files encode them.
    packed: bool,
}

/// The form of the transformer's matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Matrices {
    /// That of all other matrices.
    Numbers,
    /// Those of main layers are rows of float8, each with a scale.
    Float8,
    /// Rows of 8-bit integers, each with a scale; quantised ones as the files encode them.
    Int8,
}

/// Where a matrix belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    TextEncoder,
    Refiner,
    MainLayer,
}

/// Bytes of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MatrixBytes {
    /// On the device, if it stays there.
    held: u64,
    /// In a slot.
    slot: u64,
    /// That are copied to a slot.
    copied: u64,
}

/// What an image takes beside the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationBytes {
    /// A denoising step: bytes per pixel.
    pub step: u64,
    /// The largest matrix, where matrices are expanded, or made float8, before each product.
    pub scratch: u64,
    /// The decoder's configuration, and bytes of a number there.
    decoder: (VaeConfig, u64),
}

/// The bytes of the matrices of a part of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartBytes {
    /// On the device, if it stays there.
    pub held: u64,
    /// In a slot, if it is streamed.
    pub slot: u64,
    /// That are copied if it is streamed.
    pub streamed: u64,
}

/// The bytes of a model's parts on a device.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFootprint {
    /// The parts of the blocks of a denoising step, in their order: noise refiner and main layers. A
    /// block has as many as [`BlockPart::ALL`].
    pub denoising: Vec<PartBytes>,
    /// Those of the blocks that a new prompt needs: the text encoder's layers, the context refiner.
    pub text: Vec<PartBytes>,
    /// What stays in its file if any block is streamed: the table of the text encoder's embeddings,
    /// which is read by rows, and the layers that make modulations, which are made once.
    pub in_file: u64,
    /// All other weights, which always stay.
    pub rest: u64,
    /// The device's context and libraries.
    pub fixed: u64,
    /// What an image takes.
    pub activations: ActivationBytes,
    /// What an image asks of the device.
    pub work: ModelWork,
}

impl Forms {
    /// Those of a dtype by its name; none for another word. `packed`: quantised matrices stay as the
    /// files encode them.
    pub fn of(dtype: &str, packed: bool) -> Option<Self> {
        let (networks, vae, matrices) = match dtype {
            "bfloat16" => (2, 2, Matrices::Numbers),
            "float8" => (2, 2, Matrices::Float8),
            "int8" => (2, 2, Matrices::Int8),
            // The VAE's activations overflow float16.
            "float16" => (2, 4, Matrices::Numbers),
            "int8 (float16)" => (2, 4, Matrices::Int8),
            "float32" => (4, 4, Matrices::Numbers),
            _ => return None,
        };
        Some(Self { networks, vae, matrices, packed })
    }

    /// Float32 for all.
    pub const SINGLE: Self =
        Self { networks: 4, vae: 4, matrices: Matrices::Numbers, packed: false };

    /// Bytes of a matrix of a block.
    fn matrix(
        self,
        tensor: &ExpectedTensor,
        stored: Option<&StoredTensor>,
        owner: Owner,
    ) -> MatrixBytes {
        let alike = |bytes| MatrixBytes { held: bytes, slot: bytes, copied: bytes };
        let as_stored = stored.filter(|stored| !is_plain(stored)).map(|stored| {
            stored.bytes + stored.companions.iter().map(|scales| scales.bytes).sum::<u64>()
        });
        let numbers = bytes(tensor, self.networks);
        let usual = as_stored.filter(|_| self.packed).unwrap_or(numbers);
        // A byte a number, and a scale in float32 for each row.
        let rows = tensor.shape.first().copied().unwrap_or(0).unsigned_abs();
        let eight_bits = bytes(tensor, 1) + 4 * rows;
        match (self.matrices, owner) {
            (Matrices::Float8, Owner::MainLayer) => match as_stored {
                Some(bytes) if stored.is_some_and(is_float8_rows) => alike(bytes),
                // Made beside what was loaded.
                _ => MatrixBytes { held: usual + eight_bits, ..alike(usual) },
            },
            (Matrices::Int8, Owner::MainLayer | Owner::Refiner) => match as_stored {
                Some(bytes) => alike(bytes),
                // Made of what the file has.
                None => {
                    let copied = stored.map_or(numbers, |stored| stored.bytes);
                    MatrixBytes { copied, ..alike(eight_bits) }
                }
            },
            _ => alike(usual),
        }
    }

    /// Bytes of kernels that only products of this form need.
    fn kernels(self) -> u64 {
        if self.matrices == Matrices::Float8 { FLOAT8_BYTES } else { 0 }
    }

    /// Whether matrices are expanded before each product.
    fn expands(self, files: Option<[&TensorIndex; 2]>) -> bool {
        let is_quantised =
            |index: &TensorIndex| index.tensors.values().any(|(_, stored)| !is_plain(stored));
        let any = files.is_some_and(|[transformer, _]| is_quantised(transformer));
        self.matrices == Matrices::Int8 || self.packed && any
    }
}

impl ModelFootprint {
    /// The footprint of a checkpoint whose weights lie in these forms.
    ///
    /// # Errors
    /// When a file is missing, truncated or damaged.
    pub fn new(checkpoint: &Checkpoint, forms: Forms, on_gpu: bool) -> Result<Self> {
        let transformer = checkpoint.tensor_index(Component::Transformer)?;
        let text_encoder = checkpoint.tensor_index(Component::TextEncoder)?;
        Ok(Self::of(checkpoint, forms, on_gpu, Some([&transformer, &text_encoder])))
    }

    /// Whether any matrix of a checkpoint is quantised.
    ///
    /// # Errors
    /// As [`ModelFootprint::new`].
    pub fn is_quantised(checkpoint: &Checkpoint) -> Result<bool> {
        for component in [Component::Transformer, Component::TextEncoder] {
            let index = checkpoint.tensor_index(component)?;
            if index.tensors.values().any(|(_, stored)| !is_plain(stored)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The footprint; without files none of their tensors is quantised.
    fn of(
        checkpoint: &Checkpoint,
        forms: Forms,
        on_gpu: bool,
        files: Option<[&TensorIndex; 2]>,
    ) -> Self {
        let (mut in_file, mut rest, mut numbers, mut scratch) = (0, 0, 0, 0);
        let mut makes = false;
        for tensor in checkpoint.architecture(Component::Vae).tensors {
            rest += bytes(&tensor, forms.vae);
        }
        // By the order of use: `(is text, group, number, part)`.
        let mut parts: BTreeMap<(bool, usize, usize, BlockPart), PartBytes> = BTreeMap::new();
        let networks = [Component::Transformer, Component::TextEncoder];
        for (at, component) in networks.into_iter().enumerate() {
            for tensor in checkpoint.architecture(component).tensors {
                let Some((group, number, part, name)) = matrix_of_block(&tensor.name) else {
                    let is_seldom = tensor.name == "embed_tokens.weight"
                        || tensor.name.ends_with(".adaLN_modulation.0.weight");
                    *(if is_seldom { &mut in_file } else { &mut rest }) +=
                        bytes(&tensor, forms.networks);
                    continue;
                };
                let (key, owner) = match (component, group) {
                    (Component::Transformer, "noise_refiner") => {
                        ((false, 0, number, part), Owner::Refiner)
                    }
                    (Component::Transformer, "context_refiner") => {
                        ((true, 1, number, part), Owner::Refiner)
                    }
                    (Component::Transformer, _) => ((false, 1, number, part), Owner::MainLayer),
                    _ => ((true, 0, number, part), Owner::TextEncoder),
                };
                let stored = files.and_then(|files| files[at].tensors.get(&tensor.name));
                let MatrixBytes { held, slot, copied } =
                    forms.matrix(&tensor, stored.map(|(_, stored)| stored), owner);
                let bytes_of_part = parts.entry(key).or_default();
                makes |= held > slot;
                bytes_of_part.held += held;
                bytes_of_part.streamed += copied;
                bytes_of_part.slot += slot;
                if !key.0 {
                    numbers += bytes(&tensor, 1);
                    // Gate and value are one product.
                    let joined = if name.ends_with("w1.weight") { 2 } else { 1 };
                    scratch = scratch.max(joined * bytes(&tensor, forms.networks));
                }
            }
        }
        let of = |is_text| {
            let own = parts.iter().filter(move |((text, ..), _)| *text == is_text);
            own.map(|(_, part)| *part).collect::<Vec<_>>()
        };
        let (denoising, text) = (of(false), of(true));
        let expands = forms.expands(files);
        let blocks = (denoising.len() / BlockPart::ALL.len()) as u32;
        let work = work(checkpoint, numbers, blocks, expands);
        let scratch = if expands || makes { scratch } else { 0 };
        Self {
            denoising,
            text,
            in_file,
            rest,
            fixed: if on_gpu { CONTEXT_BYTES + LIBRARY_BYTES + forms.kernels() } else { 0 },
            activations: ActivationBytes { scratch, ..ActivationBytes::new(checkpoint, forms) },
            work,
        }
    }
}

fn work(checkpoint: &Checkpoint, numbers: u64, blocks: u32, expands: bool) -> ModelWork {
    let config = &checkpoint.transformer;
    let width = checkpoint.vae.block_out_channels.first().copied().unwrap_or(MEASURED.1);
    let steps = match checkpoint.kind.kind {
        ModelKind::Turbo => 8,
        // With guidance there are two for each.
        ModelKind::Base => 100,
    };
    ModelWork {
        numbers,
        blocks,
        width: config.dim.unsigned_abs(),
        token_pixels: (config.patch_size() * checkpoint.vae.scale()).unsigned_abs().pow(2),
        // 10.5 TFLOP at 1024² with the measured width.
        decoder: 10_000_000 * width.unsigned_abs().pow(2) / MEASURED.1.unsigned_abs().pow(2),
        steps,
        expands,
    }
}

impl ActivationBytes {
    /// Of a step 0.29 GB at 1024² in bfloat16, measured on an H200, and as much per number for another
    /// width.
    fn new(checkpoint: &Checkpoint, forms: Forms) -> Self {
        let per_pixel = 280 * checkpoint.transformer.dim.max(1) / MEASURED.0;
        let step = (per_pixel.max(1).unsigned_abs() * forms.networks).div_ceil(2);
        Self { step, scratch: 0, decoder: (checkpoint.vae.clone(), forms.vae) }
    }

    /// The bytes of a square image of so many pixels, of libraries and their caches too.
    pub fn image(&self, decode: Decode, pixels: u64) -> u64 {
        let side = u32::try_from(pixels.isqrt()).unwrap_or(u32::MAX).min(1 << 15);
        let (config, width) = &self.decoder;
        let decoder = DecoderFootprint::of(config, (side, side), *width).with_libraries();
        let step = self.step.saturating_mul(pixels).saturating_add(self.scratch);
        let whole = step.max(decoder.whole);
        match decode {
            Decode::Whole => whole,
            Decode::Strips => step.max(decoder.in_strips).min(whole),
        }
    }
}

/// Whether a file has a tensor in plain numbers.
fn is_plain(stored: &StoredTensor) -> bool {
    matches!(stored.encoding, Encoding::Plain(_))
}

fn is_float8_rows(stored: &StoredTensor) -> bool {
    stored.encoding == Encoding::Scaled(ScaledFormat::Float8(Number::F8E4m3, ScaleScope::Row))
}

fn bytes(tensor: &ExpectedTensor, width: u64) -> u64 {
    tensor.shape.iter().fold(width, |all, &side| all.saturating_mul(side.unsigned_abs()))
}

/// Group, number, part and the rest of the name of a block's matrix.
fn matrix_of_block(name: &str) -> Option<(&str, usize, BlockPart, &str)> {
    let mut parts = name.splitn(3, '.');
    let (group, number, rest) = (parts.next()?, parts.next()?, parts.next()?);
    Some((group, number.parse().ok()?, BlockPart::of(rest)?, rest))
}

#[cfg(test)]
pub(super) mod tests {
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

    pub(in crate::memory_plan) fn turbo(dtype: &str) -> ModelFootprint {
        let checkpoint = Checkpoint::embedded("turbo", TURBO).unwrap();
        ModelFootprint::of(&checkpoint, Forms::of(dtype, false).unwrap(), true, None)
    }

    #[test]
    fn the_parts_of_z_image_turbo_have_their_bytes() {
        let model = turbo("bfloat16");
        assert_eq!((model.denoising.len(), model.text.len()), (3 * 32, 3 * 37));
        let part = |bytes| PartBytes { held: bytes, slot: bytes, streamed: bytes };
        let block = [117_964_800, 157_286_400, 78_643_200].map(part);
        assert!(model.denoising.chunks(3).all(|of| *of == block));
        let layer = model.text[3 * 34..3 * 35].iter().map(|part| part.streamed).sum::<u64>();
        assert_eq!((layer, &model.text[3 * 35..3 * 36]), (201_850_880, &block[..]));
        let text: u64 = model.text.iter().map(|part| part.streamed).sum();
        assert_eq!(text, 7_772_569_600);
        // The table, and 250 MB of modulation layers.
        assert_eq!(model.in_file, 777_912_320 + 32 * 2 * 256 * 4 * 3840);
        assert!(model.rest.abs_diff(193_700_000) < 500_000, "{}", model.rest);
        assert_eq!((model.fixed, model.activations.step), ((527 + 370) << 20, 280));
        assert_eq!(turbo("float8").fixed, (527 + 370 + 224) << 20);
        assert_eq!(model.work.numbers, 32 * 353_894_400 / 2);
        assert_eq!((model.work.width, model.work.token_pixels), (3840, 256));
        let single = turbo("float32");
        assert_eq!(single.denoising[0].held, 2 * block[0].held);
        assert_eq!(single.activations.step, 560);
        let half = turbo("float16").rest;
        assert!(half > model.rest && half < single.rest);
        assert_eq!(Forms::of("int3", false), None);
    }

    #[test]
    fn images_take_what_was_measured() {
        let activations = turbo("bfloat16").activations;
        // The driver's view on one H200 in the daemon: 21.23 GiB less weights and libraries.
        let whole = |pixels| activations.image(Decode::Whole, pixels);
        assert!(whole(1 << 20).abs_diff(1_535_000_000) < 60 << 20, "{}", whole(1 << 20));
        for pixels in [1 << 12, 1 << 16, 1 << 18, 1 << 20, 1 << 22] {
            let strips = activations.image(Decode::Strips, pixels);
            assert!(strips <= whole(pixels) && strips >= 280 * pixels, "{pixels}: {strips}");
        }
        assert!(activations.image(Decode::Strips, u64::MAX) > 1 << 60);
    }

    #[test]
    fn eight_bits_are_held_as_the_file_has_them_or_made() {
        let file = |encoding, bytes| StoredTensor {
            encoding,
            shape: vec![8, 16],
            offset: 0,
            bytes,
            first_row: 0,
            companions: vec![crate::stored_tensor::Companion { offset: 0, bytes: 32 }],
        };
        let tensor =
            ExpectedTensor { name: "layers.0.attention.to_q.weight".into(), shape: vec![8, 16] };
        let rows =
            file(Encoding::Scaled(ScaledFormat::Float8(Number::F8E4m3, ScaleScope::Row)), 128);
        let plain =
            StoredTensor { companions: Vec::new(), ..file(Encoding::Plain(Number::Bf16), 256) };
        let bytes = |dtype, packed, stored, owner| {
            let MatrixBytes { held, slot, copied } =
                Forms::of(dtype, packed).unwrap().matrix(&tensor, Some(stored), owner);
            [held, slot, copied]
        };
        use Owner::{MainLayer, Refiner, TextEncoder};
        assert_eq!(bytes("float8", false, &rows, MainLayer), [160; 3]);
        assert_eq!(bytes("float8", true, &rows, Refiner), [160; 3]);
        assert_eq!(bytes("float8", false, &rows, Refiner), [256; 3]);
        assert_eq!(bytes("float8", false, &plain, MainLayer), [256 + 160, 256, 256]);
        assert_eq!(bytes("bfloat16", false, &rows, MainLayer), [256; 3]);
        assert_eq!(bytes("bfloat16", true, &rows, MainLayer), [160; 3]);
        assert_eq!(bytes("float32", true, &plain, MainLayer), [512; 3]);
        assert_eq!(bytes("int8", false, &rows, MainLayer), [160; 3]);
        assert_eq!(bytes("int8", false, &plain, Refiner), [160, 160, 256]);
        assert_eq!(bytes("int8 (float16)", false, &plain, TextEncoder), [256; 3]);
    }
}
