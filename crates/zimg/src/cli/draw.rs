//! Arguments of `zimg draw`, and the options that other commands share with it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{ArgAction, Args, ValueHint};

use super::inputs::InputOptions;
use super::params::{IMAGE, ParamOptions};
use super::values::{
    AspectRatio, GraphicsArg, PriorityArg, aspect, format, megapixels, name, path, size,
};
use zimg_image::ImageFormat;

const OUTPUT: &str = "Output";
const TERMINAL: &str = "Terminal";
const QUEUE: &str = "Queue";

/// Arguments of `zimg draw`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct DrawArgs {
    /// The prompt; "-" reads it from standard input
    #[arg(value_name = "PROMPT")]
    pub(crate) prompt: Option<String>,
    #[command(flatten)]
    pub(crate) options: DrawOptions,
    /// Generate many images: a prompt or a JSON object per line of FILE or "-"
    ///
    /// "-" is standard input. An object has "prompt" and options under their long names, or the
    /// names of other programs. JSON arrays, and lines of options as of AUTOMATIC1111's web UI, are
    /// read too. Blank lines and lines that begin with # or // are no images. Complete images that exist are not generated again, so the same command continues an interrupted
    /// batch; --force generates all. A failure does not end a batch. Without -o the names are
    /// 0001.png and so on.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = path(),
        help_heading = QUEUE,
        conflicts_with_all = ["prompt", "grid", "show", "preview"])]
    pub(crate) batch: Option<PathBuf>,
    /// Jobs of a batch at a time, 1 to 16 [default: 4]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u32>::new().range(1..=16),
        requires = "batch", hide_short_help = true, help_heading = QUEUE)]
    pub(crate) parallel: Option<u32>,
    /// Submit a detached job: print its number and exit
    ///
    /// The job survives crashes and restarts. `zimg jobs` lists it, `zimg wait JOB` saves its images,
    /// `zimg cancel JOB` deletes it.
    #[arg(long, help_heading = QUEUE,
        conflicts_with_all = ["batch", "output", "format", "quality", "grid", "show", "preview"])]
    pub(crate) detach: bool,
}

/// Options of a generation beside its prompt: on the command line, and except `--force` in the
/// environment and the configuration file.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct DrawOptions {
    /// Width and height in pixels: multiples of 16 from 64 to 2048
    #[arg(short, long, value_name = "WxH", value_parser = size, allow_negative_numbers = true,
        conflicts_with_all = ["aspect", "megapixels"], help_heading = IMAGE)]
    pub(crate) size: Option<(u32, u32)>,
    /// The aspect ratio, as 16:9, with the model's number of pixels
    #[arg(short, long, value_name = "W:H", value_parser = aspect, allow_negative_numbers = true,
        help_heading = IMAGE)]
    pub(crate) aspect: Option<AspectRatio>,
    /// The number of pixels in units of 1024x1024; square without --aspect
    #[arg(long, value_name = "MP", value_parser = megapixels, allow_negative_numbers = true,
        hide_short_help = true, help_heading = IMAGE)]
    pub(crate) megapixels: Option<f64>,
    /// Round an invalid size to the nearest valid one instead of refusing it
    #[arg(long, overrides_with = "no_round", hide_short_help = true, help_heading = IMAGE)]
    pub(crate) round: bool,
    /// Refuse an invalid size, whatever is set
    #[arg(long, overrides_with = "round", hide = true)]
    pub(crate) no_round: bool,
    #[command(flatten)]
    pub(crate) params: ParamOptions,
    #[command(flatten)]
    pub(crate) inputs: InputOptions,

    /// Where to save: .png, .jpg, .webp, .ppm or .raw; "-" for standard output
    ///
    /// Placeholders: {seed} and {index} (from 1; {index:04} pads with zeros), {prompt} (at most 60
    /// characters; {prompt:20} at most 20), {date} and {time}; {{ and }} are braces. Several images
    /// without {seed} or {index} become FILE-1.png, FILE-2.png and so on. A directory gets the
    /// default names. Without -o: zimg-SEED.png in the current directory, and its path on standard
    /// output.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = name(),
        help_heading = OUTPUT)]
    pub(crate) output: Option<OsString>,
    /// The format on standard output and of default file names
    #[arg(long, value_parser = format(), value_name = "FORMAT", hide_short_help = true,
        help_heading = OUTPUT)]
    pub(crate) format: Option<ImageFormat>,
    /// The quality of a JPEG [default: 92] or a WebP [default: lossless], 1 to 100
    #[arg(long, value_name = "Q", value_parser = RangedU64ValueParser::<u8>::new().range(1..=100),
        allow_negative_numbers = true, hide_short_help = true, help_heading = OUTPUT)]
    pub(crate) quality: Option<u8>,
    /// Also save a contact sheet of all images: to FILE, or beside them
    ///
    /// With -o - only the contact sheet is written.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true,
        default_missing_value = "", value_parser = name(), help_heading = OUTPUT)]
    pub(crate) grid: Option<OsString>,
    /// Do not write generation metadata into the image
    ///
    /// Otherwise the image carries prompt, seed, size, steps, guidance and model: `zimg show FILE`
    /// prints them, `zimg redo FILE` generates the image again.
    #[arg(long, overrides_with = "metadata", hide_short_help = true, help_heading = OUTPUT)]
    pub(crate) no_metadata: bool,
    /// Write generation metadata into the image
    #[arg(long, overrides_with = "no_metadata", hide = true)]
    pub(crate) metadata: bool,
    /// Replace files that exist
    #[arg(short, long, help_heading = OUTPUT)]
    pub(crate) force: bool,

    /// Show the finished images in the terminal
    ///
    /// HOW is auto (detected), kitty, iterm2, sixel, blocks or none.
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true,
        default_missing_value = "auto", hide_possible_values = true, help_heading = TERMINAL)]
    pub(crate) show: Option<GraphicsArg>,
    /// Show previews of the image in the terminal while it is generated
    ///
    /// HOW is auto (detected), kitty, iterm2, sixel, blocks or none.
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true,
        default_missing_value = "auto", hide_possible_values = true, help_heading = TERMINAL)]
    pub(crate) preview: Option<GraphicsArg>,
    /// Show nothing but errors
    #[arg(short, long, action = ArgAction::SetTrue, overrides_with = "no_quiet",
        help_heading = TERMINAL)]
    pub(crate) quiet: bool,
    /// Show progress, whatever is set
    #[arg(long, overrides_with = "quiet", hide = true)]
    pub(crate) no_quiet: bool,

    /// The priority: interactive jobs preempt batch jobs at the next step
    ///
    /// The default is batch for --batch, else interactive.
    #[arg(long, value_enum, value_name = "PRIORITY", hide_short_help = true, help_heading = QUEUE)]
    pub(crate) priority: Option<PriorityArg>,
    /// Wait while the daemon is busy or does not run
    #[arg(long, overrides_with = "no_wait", hide_short_help = true, help_heading = QUEUE)]
    pub(crate) wait: bool,
    /// Fail when the daemon is busy, whatever is set
    #[arg(long, overrides_with = "wait", hide = true)]
    pub(crate) no_wait: bool,
}

impl DrawOptions {
    /// Whether images are shown in the terminal.
    pub(crate) fn shows(&self) -> bool {
        [self.show, self.preview].into_iter().flatten().any(|how| how != GraphicsArg::None)
    }

    /// These options over `lower`: an option that is not given here is that of `lower`. A size here
    /// overrides aspect and megapixels there, and the reverse.
    #[must_use]
    pub(crate) fn or(self, lower: Self) -> Self {
        let sized = self.size.is_some();
        let shaped = self.aspect.is_some() || self.megapixels.is_some();
        let pair = |here: (bool, bool), there| if here.0 || here.1 { here } else { there };
        let (round, no_round) = pair((self.round, self.no_round), (lower.round, lower.no_round));
        let (metadata, no_metadata) =
            pair((self.metadata, self.no_metadata), (lower.metadata, lower.no_metadata));
        let (quiet, no_quiet) = pair((self.quiet, self.no_quiet), (lower.quiet, lower.no_quiet));
        let (wait, no_wait) = pair((self.wait, self.no_wait), (lower.wait, lower.no_wait));
        Self {
            size: self.size.or(lower.size.filter(|_| !shaped)),
            aspect: self.aspect.or(lower.aspect.filter(|_| !sized)),
            megapixels: self.megapixels.or(lower.megapixels.filter(|_| !sized)),
            round,
            no_round,
            params: self.params.or(&lower.params),
            inputs: self.inputs.or(lower.inputs),
            output: self.output.or(lower.output),
            format: self.format.or(lower.format),
            quality: self.quality.or(lower.quality),
            grid: self.grid.or(lower.grid),
            no_metadata,
            metadata,
            force: self.force || lower.force,
            show: self.show.or(lower.show),
            preview: self.preview.or(lower.preview),
            quiet,
            no_quiet,
            priority: self.priority.or(lower.priority),
            wait,
            no_wait,
        }
    }
}
