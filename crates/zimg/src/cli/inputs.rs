//! Options of images to start from: initial image, mask, and what happens to their sizes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum, ValueHint};
use zimg_image::{ControlKind, InputFit, InputMargins};

use super::values::{name, path};

const INPUTS: &str = "Image to image";

/// An initial image with its mask: on the command line, and as all other options of `zimg draw` in
/// the environment, the configuration file and batches.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct InputOptions {
    /// Start from an image: PNG, JPEG, WebP, GIF, TIFF, BMP or PNM
    ///
    /// --strength says how much of it is drawn again. It is shown as other programs show it:
    /// upright, in sRGB. The size follows it (up to 2048 pixels a side), unless --size, --aspect or
    /// --megapixels is given; one line says what was cut or scaled. Its transparent parts are the
    /// mask.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = path(),
        aliases = ["init-image", "init-img", "initial-image"], help_heading = INPUTS)]
    pub(crate) init: Option<PathBuf>,
    /// Let only the white parts of FILE change; "alpha" and "none" are no files
    ///
    /// FILE is as large as the initial image, or has its shape. "alpha" takes the initial image's
    /// transparent parts and refuses one that has none, "none" puts white behind them.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = name(),
        alias = "mask-image", help_heading = INPUTS)]
    pub(crate) mask: Option<OsString>,
    /// Let the black parts of the mask change instead of the white ones
    #[arg(long, overrides_with = "no_invert_mask", hide_short_help = true, help_heading = INPUTS)]
    pub(crate) invert_mask: bool,
    /// Take the mask as it is, whatever is set
    #[arg(long, overrides_with = "invert_mask", hide = true)]
    pub(crate) no_invert_mask: bool,
    /// Soften the mask by a Gaussian of PX pixels
    ///
    /// The model draws where the softened mask is at least half white: the edge gets rounder, and
    /// does not fade.
    #[arg(long, value_name = "PX", value_parser = blur, allow_negative_numbers = true,
        hide_short_help = true, help_heading = INPUTS)]
    pub(crate) mask_blur: Option<f32>,
    /// Draw more around the image: pixels on the left, top, right and bottom
    ///
    /// In pixels of the initial image. Without a mask the image itself stays.
    #[arg(long, value_name = "L,T,R,B", value_parser = Outpaint::from_str,
        allow_negative_numbers = true, hide_short_help = true, help_heading = INPUTS)]
    pub(crate) outpaint: Option<Outpaint>,
    /// What happens to an image of another shape: crop, pad or stretch [default: crop]
    #[arg(long, value_enum, value_name = "HOW", hide_possible_values = true,
        hide_short_help = true, help_heading = INPUTS)]
    pub(crate) fit: Option<FitArg>,
    /// Whether the transparent parts of the mask's file may change, not its white ones: `zimg redo` of
    /// an image that was edited over OpenAI's API.
    #[arg(skip)]
    pub(crate) mask_alpha: bool,
    /// Steer by a control image: edges, depths or a pose, with a ControlNet of the daemon
    ///
    /// It has the size of what is generated, which follows it without --size and --init.
    /// --control-scale says how strongly it steers, --control-net which ControlNet.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = path(),
        help_heading = INPUTS)]
    pub(crate) control: Option<PathBuf>,
    /// What to make of it: raw (as it is), canny (its edges), grey or blur [default: raw]
    ///
    /// Other kinds, such as depth and pose, are made by other programs: give those as raw.
    #[arg(long, value_name = "KIND", value_parser = ControlKind::from_str,
        hide_short_help = true, help_heading = INPUTS)]
    pub(crate) control_kind: Option<ControlKind>,
    /// The strength that settings have for all initial images: without one it changes nothing.
    #[arg(skip)]
    pub(crate) usual_strength: Option<f32>,
}

/// How an image is fitted, as an option names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FitArg {
    /// Cut off what is too much, on both sides alike
    Crop,
    /// Add borders in the colours of the edges
    Pad,
    /// Change its shape
    Stretch,
}

/// The margins of `--outpaint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outpaint(pub(crate) InputMargins);

impl InputOptions {
    /// These options over `lower`.
    pub(crate) fn or(self, lower: Self) -> Self {
        let inverts = self.invert_mask || self.no_invert_mask;
        let by = if inverts {
            (self.invert_mask, self.no_invert_mask)
        } else {
            (lower.invert_mask, lower.no_invert_mask)
        };
        // It belongs to the file.
        let mask_alpha = if self.mask.is_some() { self.mask_alpha } else { lower.mask_alpha };
        Self {
            init: self.init.or(lower.init),
            mask: self.mask.or(lower.mask),
            mask_alpha,
            invert_mask: by.0,
            no_invert_mask: by.1,
            mask_blur: self.mask_blur.or(lower.mask_blur),
            outpaint: self.outpaint.or(lower.outpaint),
            fit: self.fit.or(lower.fit),
            control: self.control.or(lower.control),
            control_kind: self.control_kind.or(lower.control_kind),
            usual_strength: self.usual_strength.or(lower.usual_strength),
        }
    }
}

impl FitArg {
    pub(crate) fn fit(self) -> InputFit {
        match self {
            Self::Crop => InputFit::Crop,
            Self::Pad => InputFit::Pad,
            Self::Stretch => InputFit::Stretch,
        }
    }

    pub(crate) fn of(fit: InputFit) -> Self {
        match fit {
            InputFit::Crop => Self::Crop,
            InputFit::Pad => Self::Pad,
            InputFit::Stretch => Self::Stretch,
        }
    }
}

impl FromStr for Outpaint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sides: Option<Vec<u32>> =
            text.split(',').map(|side| side.trim().parse().ok()).collect();
        match sides.as_deref() {
            Some([left, top, right, bottom])
                if sides.iter().flatten().all(|side| *side <= 8192) =>
            {
                let (left, top, right, bottom) = (*left, *top, *right, *bottom);
                Ok(Self(InputMargins { left, top, right, bottom }))
            }
            _ => {
                Err("four numbers of pixels up to 8192 are expected: left, top, right and bottom, \
                 as 0,0,256,0"
                    .to_owned())
            }
        }
    }
}

/// A deviation in pixels.
fn blur(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(pixels) if (0.0..=256.0).contains(&pixels) => Ok(pixels),
        _ => Err("a number of pixels from 0 to 256 is expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_are_four_numbers() {
        let read = |text: &str| text.parse::<Outpaint>().map(|found| found.0);
        let margins = InputMargins { left: 1, top: 2, right: 3, bottom: 4 };
        assert_eq!((read("1,2,3,4"), read(" 1, 2, 3, 4 ")), (Ok(margins), Ok(margins)));
        for bad in ["", "1", "1,2,3", "1,2,3,4,5", "1,2,3,-4", "1,2,3,x", "1;2;3;4", "9999,0,0,0"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
