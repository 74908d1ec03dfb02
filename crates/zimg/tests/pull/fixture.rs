//! Repositories as they are on the Hub, with small contents, and `zimg` with a cache of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::server::{COMMIT, Repositories, Server, checksum};

pub(crate) const TURBO: &str = "Tongyi-MAI/Z-Image-Turbo";
pub(crate) const WEIGHTS: &str = "transformer/diffusion_pytorch_model.safetensors";

/// Bytes that differ from one name to the next.
pub(crate) fn content(name: &str, bytes: usize) -> Vec<u8> {
    let mut state =
        name.bytes().fold(1, |state: u64, byte| state.wrapping_mul(31) + u64::from(byte));
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..bytes).map(next).collect()
}

fn files(names: &[(&'static str, usize)]) -> Vec<(&'static str, Vec<u8>)> {
    names.iter().map(|(name, bytes)| (*name, content(name, *bytes))).collect()
}

/// A diffusers folder, and what else is in such a repository.
pub(crate) fn turbo() -> Repositories {
    vec![(
        TURBO,
        files(&[
            (".gitattributes", 300),
            ("README.md", 900),
            ("assets/showcase.jpg", 5000),
            ("model_index.json", 500),
            ("scheduler/scheduler_config.json", 400),
            ("text_encoder/config.json", 600),
            ("text_encoder/model-00001-of-00002.safetensors", 300_000),
            ("text_encoder/model-00002-of-00002.safetensors", 100_000),
            ("text_encoder/model.safetensors.index.json", 32_000),
            ("tokenizer/tokenizer.json", 11_000),
            ("tokenizer/vocab.json", 0),
            ("transformer/config.json", 500),
            (WEIGHTS, 1_500_000),
            ("vae/config.json", 700),
            ("vae/diffusion_pytorch_model.safetensors", 200_000),
        ]),
    )]
}

/// GGUF files, and the repository with the text encoder and the VAE that they lack.
pub(crate) fn gguf() -> Repositories {
    let gguf = files(&[("z-Q4_K.gguf", 5000), ("z-Q8_0.gguf", 9000)]);
    let comfy = files(&[
        ("split_files/diffusion_models/z_image_turbo_bf16.safetensors", 9000),
        ("split_files/text_encoders/qwen_3_4b.safetensors", 8000),
        ("split_files/text_encoders/qwen_3_4b_fp4_mixed.safetensors", 3000),
        ("split_files/vae/ae.safetensors", 2000),
    ]);
    vec![("leejet/Z-Image-Turbo-GGUF", gguf), ("Comfy-Org/z_image_turbo", comfy)]
}

/// Repositories of LoRAs: one with two files, one of peft's.
pub(crate) fn loras() -> Repositories {
    let distilled = files(&[
        ("README.md", 100),
        ("Distill-4-Steps.safetensors", 3000),
        ("Distill-8-Steps.safetensors", 4000),
    ]);
    let peft = files(&[("adapter_model.safetensors", 2000), ("adapter_config.json", 400)]);
    vec![("someone/Z-Image-Distill", distilled), ("someone/ink", peft)]
}

/// `zimg` with an empty home, an empty cache and this server.
pub(crate) struct Machine {
    pub(crate) home: TempDir,
    pub(crate) server: Server,
}

impl Machine {
    pub(crate) fn with(server: Server) -> Self {
        Self { home: tempfile::tempdir().unwrap(), server }
    }

    pub(crate) fn zimg(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zimg"));
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("HF_ENDPOINT", &self.server.address)
            .env("HF_HUB_DOWNLOAD_TIMEOUT", "1")
            .env("ZIMG_PULL_PAUSE_MS", "5")
            .args(words);
        command
    }

    pub(crate) fn pull(&self, words: &[&str]) -> Output {
        self.zimg(&[&["pull"], words].concat()).output().unwrap()
    }

    /// The folder of a repository in the cache.
    pub(crate) fn folder(&self, repository: &str) -> PathBuf {
        let name = format!("models--{}", repository.replace('/', "--"));
        self.home.path().join(".cache/huggingface/hub").join(name)
    }

    pub(crate) fn snapshot(&self, repository: &str) -> PathBuf {
        self.folder(repository).join("snapshots").join(COMMIT)
    }

    /// The blob of a content, and the beginning of its name where it is incomplete.
    pub(crate) fn blob(&self, content: &[u8]) -> PathBuf {
        self.folder(TURBO).join("blobs").join(checksum(content))
    }

    /// Names in the folder of blobs that are no checksums.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder(TURBO).join("blobs")).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains('.')).collect()
    }
}

/// The code and the sentence of a pull that fails.
pub(crate) fn failed(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code().unwrap(), text)
}

/// The standard output of a pull that succeeds.
pub(crate) fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}
