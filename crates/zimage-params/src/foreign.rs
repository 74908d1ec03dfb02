//! Settings of other programs that have no counterpart here: their names, and why.
//!
//! The names are those of AUTOMATIC1111's web UI and its API, ComfyUI's nodes, diffusers,
//! stable-diffusion.cpp, InvokeAI, SwarmUI and Fooocus.

/// A group of settings of other programs that have no parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForeignSetting {
    /// Their names, folded.
    pub names: &'static [&'static str],
    /// Why there is no such parameter, or what to use instead: a sentence without a full stop.
    pub why: &'static str,
    /// Whether an image without the setting is what was asked for as far as this model can do it.
    pub is_harmless: bool,
}

const FOREIGN: &[ForeignSetting] = &[
    ForeignSetting {
        names: &[
            "sampler",
            "samplername",
            "samplerindex",
            "samplingmethod",
            "samplemethod",
            "scheduler",
            "scheduletype",
        ],
        why: "there is one sampler, Euler on the model's own schedule",
        is_harmless: true,
    },
    ForeignSetting {
        names: &["clipskip", "eta", "ensd", "eventype", "schurn", "snoise", "stmin", "stmax"],
        why: "this model has no counterpart of it",
        is_harmless: true,
    },
    ForeignSetting {
        names: &[
            "restorefaces",
            "tiling",
            "seamless",
            "donotsavesamples",
            "donotsavegrid",
            "outpathgrids",
            "promptfordisplay",
            "subseed",
            "subseedstrength",
            "seedresizefromh",
            "seedresizefromw",
            "vaetiling",
        ],
        why: "there is no counterpart of it",
        is_harmless: true,
    },
    ForeignSetting {
        names: &["image", "initimages", "inputimage", "img2img"],
        why: "the initial image is `init`, the name of a file",
        is_harmless: false,
    },
    ForeignSetting {
        names: &["controlimage", "controlnetimage"],
        why: "the control image is `control`, the name of a file",
        is_harmless: false,
    },
    ForeignSetting {
        // Of mflux and Stability's API: how much of the image stays.
        names: &["imagestrength"],
        why: "`strength` is the share that is drawn again, which is 1 - image_strength",
        is_harmless: false,
    },
    ForeignSetting {
        names: &[
            "lorapaths",
            "loraweights",
            "loramodeldir",
            "embedding",
            "embeddings",
            "hypernetwork",
            "refiner",
            "refinermodel",
        ],
        why: "LoRAs are named with `lora`, as ink:0.8; there are no embeddings and refiners",
        is_harmless: false,
    },
    ForeignSetting {
        names: &["enablehr", "hiresfix", "hrscale", "hrupscaler", "upscale", "upscaler"],
        why: "the second pass is `hires`, a factor: the size is that of the image, up to 2048x2048",
        is_harmless: false,
    },
    ForeignSetting {
        names: &[
            "model",
            "modelname",
            "sdmodel",
            "sdmodelcheckpoint",
            "diffusionmodel",
            "checkpoint",
            "ckpt",
            "ckptname",
            "unetname",
            "vae",
            "device",
            "dtype",
        ],
        why: "model and device are options of zimaged",
        is_harmless: false,
    },
    ForeignSetting {
        names: &["style", "styles", "performance"],
        why: "there are no styles: write the style into the prompt",
        is_harmless: false,
    },
    ForeignSetting {
        names: &[
            "outpath",
            "outpathsamples",
            "outputpath",
            "outdir",
            "outputdir",
            "filename",
            "file",
            "filenameprefix",
            "savepath",
        ],
        why: "the file is `output`",
        is_harmless: false,
    },
];

impl ForeignSetting {
    /// The group that has this name. Capitals and the signs between words do not count.
    pub fn named(name: &str) -> Option<&'static Self> {
        let name = folded(name);
        FOREIGN.iter().find(|group| group.names.contains(&name.as_str()))
    }
}

/// The name in small letters without the signs between words.
pub fn folded(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PARAMETERS, Parameter};

    #[test]
    fn no_name_has_two_meanings() {
        let mut names: Vec<_> = FOREIGN.iter().flat_map(|group| group.names).collect();
        for name in &names {
            assert_eq!(folded(name), **name);
            assert_eq!(Parameter::named_or_alias(name), None, "{name}");
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(PARAMETERS.iter().all(|row| ForeignSetting::named(row.name).is_none()));
    }

    #[test]
    fn names_are_known_however_they_are_written() {
        for name in ["sampler_name", "Sampler", "samplerName", "sampler-name"] {
            assert!(ForeignSetting::named(name).unwrap().is_harmless, "{name}");
        }
        for (name, ours) in [
            ("CFG scale", "guidance"),
            ("cfgscale", "guidance"),
            ("cfgScale", "guidance"),
            ("guidanceScale", "guidance"),
            ("Negative prompt", "negative"),
            ("negativeprompt", "negative"),
            ("numInferenceSteps", "steps"),
            ("Seed", "seed"),
            ("Width", "width"),
            ("batch_size", "count"),
        ] {
            assert_eq!(Parameter::named_or_alias(name).unwrap().0.name, ours, "{name}");
        }
        assert_eq!(Parameter::named_or_alias("sede"), None);
        assert_eq!(ForeignSetting::named("seed"), None);
    }
}
