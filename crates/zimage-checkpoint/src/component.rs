//! The components of a checkpoint that have weights.

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
}
