//! The components of a checkpoint that have weights.

use std::fmt;

/// A component that has weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// The diffusion transformer.
    Transformer,
    /// The Qwen3 text encoder.
    TextEncoder,
    /// The autoencoder between latents and images.
    Vae,
}

impl Component {
    /// All components.
    pub const ALL: [Self; 3] = [Self::Transformer, Self::TextEncoder, Self::Vae];

    /// The option of zimaged that names its file.
    pub const fn option(self) -> &'static str {
        match self {
            Self::Transformer => "--model",
            Self::TextEncoder => "--text-encoder",
            Self::Vae => "--vae",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transformer => "transformer",
            Self::TextEncoder => "text encoder",
            Self::Vae => "VAE",
        })
    }
}
