//! Arguments of `zimg wait` and `zimg cancel`.

use std::ffi::OsString;

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueHint};

use super::draw::DrawOptions;
use super::values::{GraphicsArg, format, name};
use zimg_image::ImageFormat;

/// Arguments of `zimg wait`.
#[derive(Args, Clone, Debug)]
pub(crate) struct WaitArgs {
    /// The jobs' numbers, as `zimg jobs` prints them
    #[arg(value_name = "JOB", required = true)]
    pub(crate) jobs: Vec<u64>,
    /// Do not delete the jobs in the daemon after their images are saved
    #[arg(long)]
    pub(crate) keep: bool,
    /// Where to save: .png, .jpg, .webp, .ppm or .raw; "-" for standard output
    ///
    /// With {seed}, {index}, {prompt}, {date} and {time} as of `zimg draw`. Without -o:
    /// zimg-SEED.png in the current directory, and its path on standard output.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = name())]
    output: Option<OsString>,
    /// The format, if no file name has an extension
    #[arg(long, value_parser = format(), value_name = "FORMAT")]
    format: Option<ImageFormat>,
    /// The quality of a JPEG [default: 92] or a WebP [default: lossless], 1 to 100
    #[arg(long, value_name = "Q", value_parser = RangedU64ValueParser::<u8>::new().range(1..=100))]
    quality: Option<u8>,
    /// Also save a contact sheet of all images of a job: to FILE, or beside them
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true,
        default_missing_value = "", value_parser = name())]
    grid: Option<OsString>,
    /// Do not write generation metadata into the image
    #[arg(long)]
    no_metadata: bool,
    /// Replace files that exist
    #[arg(short, long)]
    force: bool,
    /// Show the finished images in the terminal
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true,
        default_missing_value = "auto", hide_possible_values = true)]
    show: Option<GraphicsArg>,
    /// Show nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

impl WaitArgs {
    /// The options of saving, as those of `zimg draw`.
    pub(crate) fn options(&self) -> DrawOptions {
        let Self { format, quality, no_metadata, force, show, quiet, .. } = *self;
        DrawOptions {
            output: self.output.clone(),
            grid: self.grid.clone(),
            format,
            quality,
            no_metadata,
            force,
            show,
            quiet,
            ..DrawOptions::default()
        }
    }
}

/// Arguments of `zimg cancel`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CancelArgs {
    /// The jobs' numbers, as `zimg jobs` prints them
    #[arg(value_name = "JOB", required = true)]
    pub(crate) jobs: Vec<u64>,
    /// Show nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}
