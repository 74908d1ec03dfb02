//! The built-in model: a tiny one of the same architecture, inside the program.
//!
//! `docs/tiny-model.md` says what it can generate; `contrib/lab/tiny-model` trains it.

use zimage::Checkpoint;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../tiny/", $name)).as_slice())),*]
    };
}

static FILES: &[(&str, &[u8])] = files![
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/tokenizer.json",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
];

/// The built-in checkpoint.
pub(crate) fn checkpoint() -> zimage::checkpoint::Result<Checkpoint> {
    Checkpoint::embedded("tiny", FILES)
}
