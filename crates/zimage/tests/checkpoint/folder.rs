//! A small checkpoint in a temporary folder, to be damaged by tests.

use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use tch::{Device, Kind};
use tempfile::TempDir;
use zimage::Result;
use zimage::checkpoint::{Checkpoint, Component};
use zimage::weights::{Loader, Target, Weights};

/// Where a component's single file of weights lies.
pub(crate) const TRANSFORMER: &str = "transformer/diffusion_pytorch_model.safetensors";
/// The transformer's list of shards, if a test makes one.
pub(crate) const INDEX: &str = "transformer/diffusion_pytorch_model.safetensors.index.json";
/// The text encoder's weights.
pub(crate) const TEXT_ENCODER: &str = "text_encoder/model.safetensors";

/// A tensor to be written: name, type, shape, bytes.
pub(crate) type Entry<'a> = (&'a str, Dtype, &'a [usize], Vec<u8>);

/// The folder; it goes with the value.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// Valid configurations, and weights of one float32 tensor `w` `[2, 3]` for each component.
    pub(crate) fn new() -> Self {
        let folder = Self(TempDir::new().unwrap());
        for (file, value) in configs() {
            folder.write(file, value.to_string().as_bytes());
        }
        folder.write("tokenizer/tokenizer.json", b"{}");
        for file in [TRANSFORMER, TEXT_ENCODER, "vae/diffusion_pytorch_model.safetensors"] {
            folder.write(file, &file_of(&[matrix("w")]));
        }
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, file: &str, bytes: &[u8]) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn remove(&self, file: &str) {
        fs::remove_file(self.path().join(file)).unwrap();
    }

    /// Sets a key of a configuration, or removes it.
    pub(crate) fn set(&self, file: &str, key: &str, value: Option<Value>) {
        let path = self.path().join(file);
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let object = config.as_object_mut().unwrap();
        match value {
            Some(value) => object.insert(key.to_owned(), value),
            None => object.remove(key),
        };
        fs::write(path, config.to_string()).unwrap();
    }

    pub(crate) fn open(&self) -> Result<Checkpoint> {
        Ok(Checkpoint::open(self.path())?)
    }

    /// Lets `take` have a component's weights as float32 on the host.
    pub(crate) fn load<T>(
        &self,
        component: Component,
        take: impl FnOnce(&mut Weights<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut loader = Loader::new();
        let target = Target { device: Device::Cpu, kind: Kind::Float };
        let mut weights = loader.weights(&self.open()?, component, target)?;
        let taken = take(&mut weights)?;
        weights.finish()?;
        loader.run(&mut |_| {})?;
        Ok(taken)
    }

    /// An error's sentence, with `F` for the folder's path.
    pub(crate) fn sentence(&self, error: &impl ToString) -> String {
        error.to_string().replace(&self.path().display().to_string(), "F")
    }
}

/// A file of these tensors.
pub(crate) fn file_of(tensors: &[Entry<'_>]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

/// A float32 tensor `[2, 3]` of the numbers 0 to 5.
pub(crate) fn matrix(name: &str) -> Entry<'_> {
    let numbers = [0f32, 1.0, 2.0, 3.0, 4.0, 5.0];
    (name, Dtype::F32, &[2, 3], numbers.iter().flat_map(|x| x.to_le_bytes()).collect())
}

/// A file with this text for a header and so many bytes after it.
pub(crate) fn file_with_header(header: &str, data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.resize(file.len() + data, 0);
    file
}

fn configs() -> [(&'static str, Value); 5] {
    let down = ["DownEncoderBlock2D"; 2];
    let up = ["UpDecoderBlock2D"; 2];
    [
        ("model_index.json", json!({"_class_name": "ZImagePipeline"})),
        (
            "transformer/config.json",
            json!({
                "_class_name": "ZImageTransformer2DModel",
                "all_patch_size": [2], "all_f_patch_size": [1], "in_channels": 16, "dim": 32,
                "n_layers": 3, "n_refiner_layers": 1, "n_heads": 2, "n_kv_heads": 2,
                "norm_eps": 1e-5, "qk_norm": true, "cap_feat_dim": 24, "siglip_feat_dim": null,
                "rope_theta": 256.0, "t_scale": 1000.0,
                "axes_dims": [4, 6, 6], "axes_lens": [1536, 512, 512],
            }),
        ),
        (
            "text_encoder/config.json",
            json!({
                "model_type": "qwen3", "vocab_size": 64, "hidden_size": 24,
                "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
                "num_key_value_heads": 2, "head_dim": 8, "hidden_act": "silu",
                "rms_norm_eps": 1e-6, "rope_theta": 1_000_000, "rope_scaling": null,
                "max_position_embeddings": 4096, "attention_bias": false,
                "torch_dtype": "bfloat16",
            }),
        ),
        (
            "vae/config.json",
            json!({
                "_class_name": "AutoencoderKL", "in_channels": 3, "out_channels": 3,
                "latent_channels": 16, "block_out_channels": [8, 16], "layers_per_block": 1,
                "norm_num_groups": 4, "mid_block_add_attention": true, "sample_size": 64,
                "scaling_factor": 0.3611, "shift_factor": 0.1159, "force_upcast": true,
                "act_fn": "silu", "use_quant_conv": false, "use_post_quant_conv": false,
                "down_block_types": down, "up_block_types": up,
                "latents_mean": null, "latents_std": null,
            }),
        ),
        (
            "scheduler/scheduler_config.json",
            json!({
                "_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000,
                "shift": 3.0, "use_dynamic_shifting": false, "shift_terminal": null,
            }),
        ),
    ]
}
