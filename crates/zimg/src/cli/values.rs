//! Values of options, and their parsers.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::{EnumValueParser, OsStringValueParser, TypedValueParser};
use zimg_client::home;
use zimg_image::ImageFormat;

/// The aspect ratio of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AspectRatio {
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// The image protocol of a terminal, as an option names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphicsArg {
    /// The best protocol of the terminal
    Auto,
    /// kitty, Ghostty, WezTerm, Konsole
    Kitty,
    /// iTerm2, WezTerm, VS Code
    #[value(alias = "iterm")]
    Iterm2,
    /// foot, xterm -ti vt340, Windows Terminal, mlterm
    Sixel,
    /// Half blocks in 24-bit colours: any terminal
    Blocks,
    /// None
    None,
}

/// The priority of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PriorityArg {
    /// Preempts batch jobs at their next step
    Interactive,
    /// When no interactive job waits
    Batch,
}

/// The format of an image file, as an option names it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    /// Lossless, read by everything
    Png,
    /// Small, see --quality
    #[value(name = "jpg", alias = "jpeg")]
    Jpeg,
    /// Lossless and smaller than PNG, or with --quality as small as JPEG
    #[value(name = "webp")]
    WebP,
    /// Binary PPM (P6): the pixels after three lines of text
    Ppm,
    /// The pixels: 8-bit RGB, rows from the top
    Raw,
}

/// Parses a format.
pub(super) fn format() -> impl TypedValueParser<Value = ImageFormat> {
    EnumValueParser::<FormatArg>::new().map(|format| match format {
        FormatArg::Png => ImageFormat::Png,
        FormatArg::Jpeg => ImageFormat::Jpeg,
        FormatArg::WebP => ImageFormat::WebP,
        FormatArg::Ppm => ImageFormat::Ppm,
        FormatArg::Raw => ImageFormat::Raw,
    })
}

/// A path in any encoding; `~/` at its beginning is the home folder.
pub(super) fn path() -> impl TypedValueParser<Value = PathBuf> {
    name().map(PathBuf::from)
}

/// The same of a file name with placeholders.
pub(super) fn name() -> impl TypedValueParser<Value = OsString> {
    OsStringValueParser::new()
        .try_map(|path| home::expanded(&path, std::env::var_os("HOME").as_deref()))
}

/// `1024x768`.
pub(super) fn size(text: &str) -> Result<(u32, u32), String> {
    let parsed = text.split_once(['x', 'X', '×']).map(|(w, h)| (w.parse(), h.parse()));
    match parsed {
        Some((Ok(width), Ok(height))) => Ok((width, height)),
        _ if text.contains(':') && aspect(text).is_ok() => {
            Err(format!("a size is WxH in pixels; a shape is --aspect {text}"))
        }
        _ => Err("a size is WxH in pixels, for example 1024x768".to_owned()),
    }
}

/// `16:9`, `16/9` or `1.85`.
pub(super) fn aspect(text: &str) -> Result<AspectRatio, String> {
    let (width, height) = text.split_once([':', '/']).unwrap_or((text, "1"));
    let number = |text: &str| text.parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
    match (number(width), number(height)) {
        // The limit is the ratio of the longest valid image, 2048x64.
        (Some(width), Some(height)) if (1.0 / 32.0..=32.0).contains(&(width / height)) => {
            Ok(AspectRatio { width, height })
        }
        (Some(_), Some(_)) => Err("the longest image is 32:1".to_owned()),
        _ => Err("an aspect is W:H, for example 16:9".to_owned()),
    }
}

/// `2x` or `2`; its range is that of its parameter.
pub(super) fn factor(text: &str) -> Result<f32, String> {
    let number = text.trim_end_matches(['x', 'X', '×']);
    number.parse().map_err(|_| "a factor is a number, for example 2x".to_owned())
}

/// A number of megapixels above 0.
pub(super) fn megapixels(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (1.0 / 256.0..=4.0).contains(&number) => Ok(number),
        _ => Err("a number of megapixels up to 4, of 1024x1024 pixels each".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aspects_are_two_numbers_or_one() {
        for text in ["16:9", "16/9"] {
            assert_eq!(aspect(text), Ok(AspectRatio { width: 16.0, height: 9.0 }), "{text}");
        }
        assert_eq!(aspect("1.85"), Ok(AspectRatio { width: 1.85, height: 1.0 }));
        for bad in ["", ":", "16:", "0:1", "1:0", "-1:1", "nan:1", "inf:1", "33:1", "1:33", "a:b"] {
            assert!(aspect(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_factor_may_end_with_a_sign() {
        for (text, number) in [("2x", 2.0), ("1.5", 1.5), ("1.5×", 1.5), ("2X", 2.0)] {
            assert_eq!(factor(text), Ok(number), "{text}");
        }
        for bad in ["", "x", "2x2", "twice"] {
            assert!(factor(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn megapixels_are_what_an_image_can_have() {
        assert_eq!(megapixels("0.5"), Ok(0.5));
        for bad in ["0", "-1", "nan", "5", "x", "inf"] {
            assert!(megapixels(bad).is_err(), "{bad}");
        }
    }
}
