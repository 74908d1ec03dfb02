//! The stages of a generation, by name.

/// What the model is computing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// LoRAs.
    Adapt,
    /// Prompts.
    Encode,
    /// Images of the request.
    EncodeImages,
    /// Noise, or the latents of a snapshot.
    Start,
    /// A denoising step of this number, from 1.
    Step(usize),
    /// Pixels.
    Decode,
}
