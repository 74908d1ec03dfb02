//! The kinds of control images: those that are made here, and where others are made.

use std::fmt;
use std::str::FromStr;

use image::{GrayImage, RgbImage, imageops};

use super::canny;

/// How a control image is made of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ControlKind {
    /// The image as it is.
    #[default]
    Raw,
    /// Its edges, as OpenCV's `Canny` with 100 and 200 draws them: white on black.
    Canny,
    /// Its lightness.
    Grey,
    /// The image without details.
    Blur,
}

/// A kind that is made elsewhere, or none at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherKind {
    /// Its name, as it was given.
    pub name: String,
    /// Where it is made, if it is a kind.
    made_by: Option<&'static str>,
}

/// Kinds that need a network of their own: their names in other programs, and what makes them.
const ELSEWHERE: [(&[&str], &str); 7] = [
    (&["depth"], "Depth Anything or MiDaS"),
    (&["pose", "openpose", "dwpose"], "DWPose or OpenPose"),
    (&["hed", "softedge"], "HED"),
    (&["pidinet"], "PiDiNet"),
    (&["scribble", "lineart", "sketch"], "HED or a line art detector"),
    (&["mlsd"], "M-LSD"),
    (&["normal", "normalbae", "seg", "segmentation"], "its own detector"),
];

/// The deviation of the Gaussian of `Blur`: a share of the longer side.
const BLUR: f32 = 1.0 / 128.0;

impl ControlKind {
    /// All kinds that are made here.
    pub const ALL: [Self; 4] = [Self::Raw, Self::Canny, Self::Grey, Self::Blur];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Canny => "canny",
            Self::Grey => "grey",
            Self::Blur => "blur",
        }
    }

    /// The control image of an image: RGB, `3 · width · height` bytes, and so is the result. Bytes of
    /// another length stay as they are.
    pub fn apply(self, rgb: Vec<u8>, width: u32, height: u32) -> Vec<u8> {
        if rgb.len() != 3 * width as usize * height as usize {
            return rgb;
        }
        match self {
            Self::Raw => rgb,
            Self::Canny => repeated(canny::edges(&rgb, width as usize, height as usize)),
            Self::Grey => match RgbImage::from_raw(width, height, rgb) {
                Some(image) => repeated(GrayImage::into_raw(imageops::grayscale(&image))),
                None => Vec::new(),
            },
            Self::Blur => match RgbImage::from_raw(width, height, rgb) {
                Some(image) => {
                    imageops::blur(&image, (width.max(height) as f32 * BLUR).max(1.0)).into_raw()
                }
                None => Vec::new(),
            },
        }
    }
}

/// A grey image in RGB.
fn repeated(grey: Vec<u8>) -> Vec<u8> {
    grey.into_iter().flat_map(|value| [value; 3]).collect()
}

impl fmt::Display for ControlKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ControlKind {
    type Err = OtherKind;

    fn from_str(text: &str) -> Result<Self, OtherKind> {
        let name = text.trim().to_ascii_lowercase();
        let own = match &*name {
            "none" => Some(Self::Raw),
            "gray" => Some(Self::Grey),
            _ => Self::ALL.into_iter().find(|kind| kind.name() == name),
        };
        own.ok_or_else(|| {
            let made_by = ELSEWHERE.iter().find(|(names, _)| names.contains(&&*name));
            OtherKind { name: text.to_owned(), made_by: made_by.map(|(_, by)| *by) }
        })
    }
}

impl fmt::Display for OtherKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, made_by } = self;
        match made_by {
            Some(by) => write!(
                f,
                "images of the kind {name} are made by {by}, as in ComfyUI's preprocessors: give one \
                 with the kind raw"
            ),
            None => {
                write!(f, "{name} is no kind of control image, expected raw, canny, grey or blur")
            }
        }
    }
}

impl std::error::Error for OtherKind {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_or_say_where_they_are_made() {
        for kind in ControlKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!("Gray".parse(), Ok(ControlKind::Grey));
        assert_eq!("none".parse(), Ok(ControlKind::Raw));
        for (names, by) in ELSEWHERE {
            for name in names {
                let error = name.parse::<ControlKind>().unwrap_err();
                assert!(error.to_string().contains(by), "{error}");
            }
        }
        let error = "canyn".parse::<ControlKind>().unwrap_err().to_string();
        assert_eq!(error, "canyn is no kind of control image, expected raw, canny, grey or blur");
    }

    #[test]
    fn images_keep_their_size() {
        let rgb: Vec<u8> = (0..3 * 24 * 16).map(|at| (at * 7 % 256) as u8).collect();
        for kind in ControlKind::ALL {
            let made = kind.apply(rgb.clone(), 24, 16);
            assert_eq!(made.len(), rgb.len(), "{kind}");
            assert_eq!(made == rgb, kind == ControlKind::Raw, "{kind}");
            if matches!(kind, ControlKind::Canny | ControlKind::Grey) {
                assert!(made.chunks_exact(3).all(|of| of[0] == of[1] && of[1] == of[2]), "{kind}");
            }
            assert_eq!(kind.apply(vec![1, 2], 24, 16), [1, 2]);
        }
    }
}
