//! The table: every generation parameter, once.

use crate::foreign::folded;
use crate::limits::{
    CONTROL_NET_BYTES, CONTROL_SCALE_MAX, COUNT_MAX, GUIDANCE_MAX, HIRES_MAX, HIRES_STRENGTH,
    PROMPT_BYTES, RECORD_BYTES, SIZE_MAX, SIZE_MIN, SIZE_MULTIPLE, STEPS_MAX, VARIETY_MAX,
};
use crate::parameter::{Alias, DefaultRule, Metadata, Parameter, Range, Surface};
use crate::value::Field;

/// The struct, the rows and the fields in the rows' order.
macro_rules! parameters {
    ($(#[doc = $doc:literal] $name:ident: $type:ty { $($key:ident: $value:expr,)* })+) => {
        /// Generation parameters. `None` leaves a parameter to its default.
        ///
        /// Names and meanings are those of diffusers' `ZImagePipeline`.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Params {
            $(#[doc = $doc] pub $name: $type,)+
        }

        /// Every parameter, in the order of help and documentation.
        pub static PARAMETERS: [Parameter; COUNT] = [
            $(Parameter {
                name: stringify!($name),
                $($key: $value,)*
                ..Parameter::BLANK
            },)+
        ];

        pub(crate) const COUNT: usize = [$(stringify!($name)),+].len();

        impl Params {
            pub(crate) fn fields(&self) -> [&dyn Field; COUNT] {
                [$(&self.$name),+]
            }

            pub(crate) fn fields_mut(&mut self) -> [&mut dyn Field; COUNT] {
                [$(&mut self.$name),+]
            }
        }
    };
}

const SIDE: Range = Range::sides(SIZE_MIN, SIZE_MAX, SIZE_MULTIPLE);
const PROMPT: Range = Range::Text { max: PROMPT_BYTES };
const GUIDANCE: Range = Range::Real { min: 0.0, max: GUIDANCE_MAX };
const ADVANCED: Surface = Surface::Option { short: None, advanced: true };

parameters! {
    /// What the image shows.
    prompt: String {
        range: PROMPT,
        default: DefaultRule::Required,
        help: "What the image shows; \"-\" reads it from standard input",
        value_name: "PROMPT",
        aliases: &[Alias::same("positive_prompt"), Alias::same("positive"), Alias::same("text")],
        surface: Surface::Positional,
        metadata: Metadata::Special,
    }
    /// Width in pixels.
    width: Option<u32> {
        range: SIDE,
        unit: Some("pixels"),
        help: "Width",
        value_name: "W",
        aliases: &[Alias::same("w"), Alias::same("image_width")],
        surface: Surface::Size,
        metadata: Metadata::Special,
    }
    /// Height in pixels.
    height: Option<u32> {
        range: SIDE,
        unit: Some("pixels"),
        help: "Height",
        value_name: "H",
        aliases: &[Alias::same("h"), Alias::same("image_height")],
        surface: Surface::Size,
        metadata: Metadata::Special,
    }
    /// Denoising steps.
    steps: Option<u32> {
        range: Range::Integer { min: 1, max: STEPS_MAX as u64, multiple: 1 },
        help: "Denoising steps, 1 to 100",
        value_name: "N",
        aliases: &[
            Alias::same("num_inference_steps"),
            Alias::same("inference_steps"),
            Alias::same("num_steps"),
            Alias::same("sample_steps"),
            Alias::same("sampling_steps"),
        ],
        metadata: Metadata::Label("Steps"),
    }
    /// Seed of the first image; image i has seed + i, which stays below 2^64.
    seed: Option<u64> {
        range: Range::Integer { min: 0, max: u64::MAX, multiple: 1 },
        default: DefaultRule::Integer(0),
        help: "The number that decides the noise; the same seed gives the same image",
        details: Some(
            "Image i of several has the seed + i. Without it a random one below 4294967296, \
             which is shown.",
        ),
        value_name: "N",
        aliases: &[Alias::same("noise_seed"), Alias::same("manual_seed")],
        metadata: Metadata::Label("Seed"),
    }
    /// How many images.
    count: Option<u32> {
        range: Range::Integer { min: 1, max: COUNT_MAX as u64, multiple: 1 },
        default: DefaultRule::Integer(1),
        unit: Some("images"),
        help: "How many images, 1 to 256",
        value_name: "N",
        aliases: &[
            Alias::same("num_images_per_prompt"),
            Alias::same("num_images"),
            Alias::same("num_outputs"),
            Alias::same("image_number"),
            Alias::same("images"),
            Alias::same("batch_size"),
            Alias::same("batch_count"),
            Alias::same("n_iter"),
            Alias::same("n"),
        ],
        surface: Surface::Option { short: Some('n'), advanced: false },
        metadata: Metadata::No,
    }
    /// Guidance g of `prediction = positive + g · (positive − negative)`; 0 is off.
    guidance: Option<f32> {
        range: GUIDANCE,
        help: "How strongly to follow the prompt; 0 is off and fastest",
        details: Some(
            "As in diffusers' Z-Image pipelines: prediction = positive + G · (positive - \
             negative). A Turbo model is made to be used without. The CFG scale of other programs is \
             one more: --cfg-scale C is --guidance C - 1.",
        ),
        value_name: "G",
        aliases: &[
            Alias::same("guidance_scale"),
            Alias::cfg_scale("cfg"),
            Alias::cfg_scale("cfg_scale"),
        ],
        metadata: Metadata::Label("CFG scale"),
    }
    /// The negative prompt, used when guidance is above 0.
    negative: Option<String> {
        range: PROMPT,
        default: DefaultRule::Empty,
        help: "What the image should not show; used when the guidance is above 0",
        value_name: "TEXT",
        aliases: &[Alias::same("negative_prompt"), Alias::same("neg_prompt"), Alias::same("uc")],
        metadata: Metadata::Special,
    }
    /// diffusers' `cfg_normalization`: at most this many times the norm of the positive prediction.
    guidance_normalization: Option<f32> {
        range: GUIDANCE,
        default: DefaultRule::Real(0.0),
        help: "Limit the guided prediction to this many times the unguided norm; 0 is off",
        value_name: "R",
        aliases: &[Alias::same("cfg_normalization")],
        surface: ADVANCED,
    }
    /// Share of the guided prediction that is rescaled to the positive prediction's deviation.
    guidance_rescale: Option<f32> {
        range: Range::Real { min: 0.0, max: 1.0 },
        default: DefaultRule::Real(0.0),
        help: "Rescale the guided prediction to the unguided deviation by this share, 0 to 1; 0 is off",
        details: Some(
            "As guidance_rescale in diffusers' Stable Diffusion pipelines, against overexposed \
             images at high guidance.",
        ),
        value_name: "PHI",
        surface: ADVANCED,
        metadata: Metadata::LabelUnlessDefault("Guidance rescale"),
    }
    /// diffusers' `cfg_truncation`: guidance is off once t (0 = noise, 1 = done) exceeds this.
    guidance_truncation: Option<f32> {
        range: Range::Real { min: 0.0, max: 1.0 },
        default: DefaultRule::Real(1.0),
        help: "Switch guidance off after this part of the way, 0 to 1; 1 is never",
        value_name: "T",
        aliases: &[Alias::same("cfg_truncation")],
        surface: ADVANCED,
    }
    /// Share of the schedule that is computed from the initial image; only with one.
    strength: Option<f32> {
        range: Range::Share,
        help: "How much of the initial image is drawn again; 1 is all of it",
        details: Some(
            "The last part of the steps is computed: 8 steps at strength 0.5 are 4. Without it \
             0.6, and 1 with a mask. Only with an initial image.",
        ),
        value_name: "S",
        aliases: &[Alias::same("denoising_strength"), Alias::same("denoise")],
        metadata: Metadata::LabelIfGiven("Denoising strength"),
    }
    /// Factor by which a second pass enlarges the image; 1 is one pass.
    hires: Option<f32> {
        range: Range::Factor { max: HIRES_MAX },
        default: DefaultRule::Real(1.0),
        help: "Draw it smaller first, then again, larger by this factor; 1 is off",
        details: Some(
            "The size is that of the image, and by default as many times the model's: 2x begins at \
             1024x1024 and ends at 2048x2048. Large images so have the composition of small ones.",
        ),
        value_name: "FACTOR",
        metadata: Metadata::LabelIfGiven("Hires upscale"),
    }
    /// The strength of the second pass.
    hires_strength: Option<f32> {
        range: Range::Share,
        default: DefaultRule::Real(HIRES_STRENGTH),
        help: "How much of the enlarged image the second pass of --hires draws again, up to 1",
        details: Some("As --strength: of 8 steps 4 are computed at 0.5, and none less than one."),
        value_name: "S",
        surface: ADVANCED,
        metadata: Metadata::LabelIfGiven("Hires strength"),
    }
    /// Noise in the prompt's features, as a multiple of their standard deviation; 0 is none.
    variety: Option<f32> {
        range: Range::Real { min: 0.0, max: VARIETY_MAX },
        default: DefaultRule::Real(0.0),
        help: "Noise in the prompt: seeds differ more; 0.1 is little, 0.5 much, 0 off",
        details: Some(
            "Turbo draws much the same for each seed. The noise is a multiple of the standard deviation \
             of the text encoder's features, decided by the seed and there in the first steps alone.",
        ),
        value_name: "X",
        metadata: Metadata::LabelIfGiven("Variety"),
    }
    /// The share of the features' values that have the noise of `variety`.
    variety_share: Option<f32> {
        range: Range::Share,
        default: DefaultRule::Real(0.5),
        help: "Share of the prompt's values that get the noise of --variety, up to 1",
        value_name: "S",
        surface: ADVANCED,
        metadata: Metadata::LabelIfGiven("Variety share"),
    }
    /// The share of the computed steps that have the noise of `variety`, from the first one on.
    variety_steps: Option<f32> {
        range: Range::Share,
        default: DefaultRule::Real(0.2),
        help: "Share of the steps that see the noise of --variety, up to 1, which is all of them",
        details: Some(
            "Rounded up: 0.2 is 2 of 8 steps. The steps after them see the prompt as it is, and so \
             correct what is wrong in the image.",
        ),
        value_name: "S",
        surface: ADVANCED,
        metadata: Metadata::LabelIfGiven("Variety steps"),
    }
    /// The seed of the noise of `variety`; without it the image's.
    variety_seed: Option<u64> {
        range: Range::Integer { min: 0, max: u64::MAX, multiple: 1 },
        help: "Seed of the noise of --variety, the same for all images; by default the image's seed",
        value_name: "N",
        surface: ADVANCED,
        metadata: Metadata::LabelIfGiven("Variety seed"),
    }
    /// LoRAs and their weights: `NAME:WEIGHT`, separated by commas.
    lora: Option<String> {
        range: Range::Loras,
        default: DefaultRule::Empty,
        help: "Apply a LoRA of `zimg loras`, with a weight other than 1; repeatable",
        details: Some(
            "The name is that of a file in the daemon's lora_dirs, without its ending. Several are \
             applied together, at most 8; --lora ink:0.8,pixel is --lora ink:0.8 --lora pixel.",
        ),
        value_name: "NAME[:WEIGHT]",
        aliases: &[Alias::same("loras")],
        metadata: Metadata::JsonIfGiven,
    }
    /// The ControlNet of a control image, by name; used only with one.
    control_net: Option<String> {
        range: Range::Text { max: CONTROL_NET_BYTES },
        default: DefaultRule::Empty,
        help: "The ControlNet for the control image, if the daemon has several",
        details: Some(
            "The name is that of a file in the daemon's control_dirs, without its ending.",
        ),
        value_name: "NAME",
        surface: ADVANCED,
        metadata: Metadata::JsonIfGiven,
    }
    /// The factor of what the ControlNet adds; used only with a control image.
    control_scale: Option<f32> {
        range: Range::Real { min: 0.0, max: CONTROL_SCALE_MAX },
        default: DefaultRule::Real(0.75),
        help: "How strongly the control image steers, 0 to 2; 0 is not at all",
        value_name: "S",
        aliases: &[Alias::same("controlnet_conditioning_scale"), Alias::same("control_strength")],
        metadata: Metadata::JsonIfGiven,
    }
    /// The file of the request's control image, and what was made of it, as JSON for `zimg redo`.
    control_input: Option<String> {
        range: Range::Text { max: RECORD_BYTES },
        default: DefaultRule::Empty,
        help: "Name and digest of the file of the control image, as front ends record them",
        value_name: "JSON",
        surface: Surface::Recorded,
        metadata: Metadata::JsonIfGiven,
    }
    /// The files of the request's images, and what was made of them, as JSON for `zimg redo`.
    image_inputs: Option<String> {
        range: Range::Text { max: RECORD_BYTES },
        default: DefaultRule::Empty,
        help: "Names and digests of the files of initial image and mask, as front ends record them",
        value_name: "JSON",
        surface: Surface::Recorded,
        metadata: Metadata::JsonIfGiven,
    }
}

impl Parameter {
    /// The row with this name; an alias is not found.
    pub fn named(name: &str) -> Option<&'static Self> {
        PARAMETERS.iter().find(|row| row.name == name)
    }

    /// The row that has this name or this alias, and the name that was found with the conversion of
    /// its values. Capitals and the signs between words do not count: other programs write
    /// `CFG scale`, `cfgScale` or `cfgscale`.
    pub fn named_or_alias(name: &str) -> Option<(&'static Self, Alias)> {
        if let Some(row) = Self::named(name) {
            return Some((row, Alias::same(row.name)));
        }
        let name = folded(name);
        PARAMETERS.iter().find_map(|row| {
            if folded(row.name) == name {
                return Some((row, Alias::same(row.name)));
            }
            let alias = row.aliases.iter().find(|alias| folded(alias.name) == name)?;
            Some((row, *alias))
        })
    }
}
