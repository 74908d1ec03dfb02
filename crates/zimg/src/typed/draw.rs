//! The options of a drawing.

use clap::{ArgAction, Args};

use super::values::size;

/// What to draw and where to put it.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct Draw {
    /// What to draw; "-" reads it from standard input
    #[arg(value_name = "PROMPT")]
    pub(crate) prompt: Option<String>,
    /// Where to save: .png, .jpg, .webp or .ppm; "-" for PNG on standard output
    ///
    /// {seed} and {index} (from 1) stand for the picture's own, {index:04} with zeros in front,
    /// {{ and }} for braces. Several pictures without either become FILE-1.png, FILE-2.png and so
    /// on. A directory gets the default names. WebP is lossless. Without -o: zimg-SEED.png in the
    /// current directory, and its path on standard output.
    #[arg(short, long, value_name = "FILE", verbatim_doc_comment)]
    pub(crate) output: Option<String>,
    /// Width and height in pixels: multiples of 16 from 64 to 2048
    #[arg(short, long, value_name = "WxH", value_parser = size, allow_negative_numbers = true)]
    pub(crate) size: Option<(u32, u32)>,
    /// Denoising steps, 1 to 100
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) steps: Option<u32>,
    /// The number that decides the noise; the same seed draws the same picture
    ///
    /// Picture i of several has the seed + i. Without it a random one below 4294967296, which is
    /// shown.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    /// How many pictures, 1 to 256
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) count: Option<u32>,
    /// How strongly to follow the prompt; 0 is off and fastest
    ///
    /// As in diffusers' Z-Image pipelines: prediction = positive + G · (positive - negative).
    #[arg(long, value_name = "G", allow_negative_numbers = true)]
    pub(crate) guidance: Option<f32>,
    /// What not to draw; used when the guidance is above 0
    #[arg(long, value_name = "TEXT")]
    pub(crate) negative: Option<String>,
    /// Limit the guided prediction to this many times the unguided norm; 0 is off
    #[arg(long, value_name = "R", allow_negative_numbers = true, hide_short_help = true)]
    pub(crate) guidance_normalization: Option<f32>,
    /// Switch guidance off after this part of the way, 0 to 1; 1 is never
    #[arg(long, value_name = "T", allow_negative_numbers = true, hide_short_help = true)]
    pub(crate) guidance_truncation: Option<f32>,
    /// Replace files that exist
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Show nothing but errors
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub(crate) quiet: bool,
}
