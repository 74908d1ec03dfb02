//! The kinds of the model: Turbo and the base model have the same tensors, and other schedules.

use std::fmt;
use std::str::FromStr;

/// A kind of Z-Image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModelKind {
    /// Distilled: 8 steps without guidance.
    Turbo,
    /// The base model: 28 to 50 steps with guidance.
    Base,
}

impl ModelKind {
    /// How far noise levels are pushed up: `scheduler_config.json` of the two repositories.
    pub fn shift(self) -> f64 {
        match self {
            Self::Turbo => 3.0,
            Self::Base => 6.0,
        }
    }

    /// The kind that a title, a repository or a file's name tells, if it tells one.
    ///
    /// The base model has no word of its own: it is called Z-Image and nothing else.
    pub(crate) fn told_by(title: &str) -> Option<Self> {
        let title = title.to_lowercase().replace(['-', '_', ' ', '.', '/'], "");
        if title.contains("turbo") {
            return Some(Self::Turbo);
        }
        let rest = &title[title.rfind("zimage")? + "zimage".len()..];
        let is_format = |word: &str| {
            let end = rest.strip_prefix(word);
            end.is_some_and(|end| {
                end.is_empty() || !end.starts_with(|c: char| c.is_ascii_lowercase())
            })
        };
        let plain =
            ["", "base", "bf16", "fp16", "fp32", "fp8", "nvfp4", "mxfp8", "int8", "f16", "q"];
        plain.iter().any(|word| is_format(word)).then_some(Self::Base)
    }
}

impl FromStr for ModelKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "turbo" => Ok(Self::Turbo),
            "base" => Ok(Self::Base),
            _ => Err(format!("is {text:?}, but must be turbo or base")),
        }
    }
}

impl fmt::Display for ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Turbo => "turbo",
            Self::Base => "base",
        })
    }
}

/// A kind, and what told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindFinding {
    /// The kind.
    pub kind: ModelKind,
    /// What told it, as a phrase: *the setting model_kind*.
    pub because: String,
}

impl fmt::Display for KindFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kind, self.because)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_tell_the_kind_or_nothing() {
        for (title, kind) in [
            ("Z-Image-Turbo", Some(ModelKind::Turbo)),
            ("Tongyi-MAI/Z-Image-Turbo", Some(ModelKind::Turbo)),
            ("z_image_turbo_bf16", Some(ModelKind::Turbo)),
            ("zImageTurboQuantized_fp8ScaledE4m3fnKJ", Some(ModelKind::Turbo)),
            ("Z Image Turbo", Some(ModelKind::Turbo)),
            ("Z-Image", Some(ModelKind::Base)),
            ("Tongyi-MAI/Z-Image", Some(ModelKind::Base)),
            ("z_image_bf16", Some(ModelKind::Base)),
            ("z-image-Q4_K_M", Some(ModelKind::Base)),
            ("Z-Image-Base", Some(ModelKind::Base)),
            // Another training of it may be of either kind.
            ("z-image-anime-v2", None),
            ("Z-Image-Edit", None),
            ("moodyMix_zit_v1", None),
            ("diffusion_pytorch_model", None),
            ("", None),
        ] {
            assert_eq!(ModelKind::told_by(title), kind, "{title}");
        }
    }

    #[test]
    fn kinds_are_read_as_they_are_shown() {
        for kind in [ModelKind::Turbo, ModelKind::Base] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("edit".parse::<ModelKind>().is_err());
    }
}
