//! Programs that write generation metadata, and what each of them wrote into a file. Their units
//! become zimg's here.

mod a1111;
mod comfyui;
mod draw_things;
mod easy_diffusion;
mod fooocus;
mod invokeai;
mod json;
mod mflux;
mod novelai;
mod ruined_fooocus;
mod settings;
mod swarmui;
mod zimg;

use std::fmt;

use zimage_params::{Params, guidance_of_cfg};

use super::containers::FileTexts;
use super::generation::GenerationMetadata;

/// The program whose metadata a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataWriter {
    /// zimg.
    Zimg,
    /// AUTOMATIC1111's web UI, or one of the many programs that write the same text.
    A1111,
    /// ComfyUI.
    ComfyUi,
    /// Draw Things.
    DrawThings,
    /// Easy Diffusion.
    EasyDiffusion,
    /// Fooocus.
    Fooocus,
    /// InvokeAI.
    InvokeAi,
    /// mflux.
    Mflux,
    /// NovelAI.
    NovelAi,
    /// RuinedFooocus.
    RuinedFooocus,
    /// stable-diffusion.cpp.
    StableDiffusionCpp,
    /// SwarmUI.
    SwarmUi,
}

impl fmt::Display for MetadataWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zimg => "zimg",
            Self::A1111 => "AUTOMATIC1111's web UI or a program with its format",
            Self::ComfyUi => "ComfyUI",
            Self::DrawThings => "Draw Things",
            Self::EasyDiffusion => "Easy Diffusion",
            Self::Fooocus => "Fooocus",
            Self::InvokeAi => "InvokeAI",
            Self::Mflux => "mflux",
            Self::NovelAi => "NovelAI",
            Self::RuinedFooocus => "RuinedFooocus",
            Self::StableDiffusionCpp => "stable-diffusion.cpp",
            Self::SwarmUi => "SwarmUI",
        })
    }
}

/// Why a program's metadata does not say how to generate the image again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnreadMetadata {
    /// It has no value for this parameter, or one that is not usable, such as a seed of -1.
    Lacks(&'static str),
    /// It is not in the program's format.
    Malformed,
    /// It is in a format of the program that zimg does not read.
    Format,
    /// The image was made from another one.
    FromImage,
    /// It is a graph with this many samplers; only a graph with one is read.
    Samplers(usize),
}

impl fmt::Display for UnreadMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lacks(name) => write!(f, "it has no usable {name}"),
            Self::Malformed => f.write_str("it is damaged or cut"),
            Self::Format => f.write_str("zimg does not read this format"),
            Self::FromImage => f.write_str("the image was made from another image"),
            Self::Samplers(count) => {
                write!(f, "its graph has {count} samplers that zimg knows, expected 1")
            }
        }
    }
}

/// The metadata of one program in a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    pub(super) writer: MetadataWriter,
    /// The text as it is in the file.
    pub(super) text: String,
    pub(super) metadata: Result<GenerationMetadata, UnreadMetadata>,
}

/// What the texts of a file say: the first program's that is recognized, from the most certain sign
/// to the least.
pub(super) fn read(texts: &FileTexts) -> Option<Reading> {
    let readers = [
        zimg::read,
        swarmui::read,
        invokeai::read,
        ruined_fooocus::read,
        fooocus::read,
        mflux::read,
        draw_things::read,
        novelai::read,
        a1111::read,
        comfyui::read,
        easy_diffusion::read,
        a1111::read_unknown,
    ];
    readers.into_iter().find_map(|read| read(texts))
}

/// What a program says of an image, in the units that most programs share.
#[derive(Clone, Debug, Default, PartialEq)]
struct ForeignParams {
    prompt: Option<String>,
    negative: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    steps: Option<u32>,
    seed: Option<u64>,
    /// CFG scale: 1 is off.
    cfg: Option<f32>,
    model: Option<String>,
    program: Option<String>,
}

impl ForeignParams {
    /// As zimg's metadata. A size that is not told is the file's. A CFG scale below 1 is guidance 0: no guidance turns away from a prompt,
    /// and programs that follow diffusers write 0 for off.
    fn metadata(self, file: Option<(u32, u32)>) -> Result<GenerationMetadata, UnreadMetadata> {
        let (width, height) = match (self.width.zip(self.height), file) {
            (Some(size), _) | (None, Some(size)) => size,
            (None, None) => return Err(UnreadMetadata::Lacks("size")),
        };
        let lacks = UnreadMetadata::Lacks;
        let params = Params {
            negative: self.negative.map(|text| text.trim().to_owned()).filter(|n| !n.is_empty()),
            width: Some(width),
            height: Some(height),
            steps: Some(self.steps.ok_or(lacks("steps"))?),
            seed: Some(self.seed.ok_or(lacks("seed"))?),
            guidance: Some(self.cfg.map_or(0.0, |cfg| guidance_of_cfg(cfg).max(0.0))),
            ..Params::new(self.prompt.ok_or(lacks("prompt"))?)
        };
        let metadata = GenerationMetadata::of(params).ok_or(UnreadMetadata::Malformed)?;
        Ok(GenerationMetadata { model: self.model, program: self.program, ..metadata })
    }
}
