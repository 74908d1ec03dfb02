//! The options of a drawing.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{ArgAction, Args, ValueHint};

use super::params::ParamOptions;
use super::values::{AspectRatio, GraphicsArg, PriorityArg, aspect, format, megapixels, size};
use zimg_image::ImageFormat;

pub(super) const IMAGE: &str = "Image";
const OUTPUT: &str = "Output";
const TERMINAL: &str = "Terminal";
const QUEUE: &str = "Queue";

/// What to draw and where to put it.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct DrawArgs {
    /// What to draw; "-" reads it from standard input
    #[arg(value_name = "PROMPT")]
    pub(crate) prompt: Option<String>,
    #[command(flatten)]
    pub(crate) options: DrawOptions,
    /// Draw many: FILE has a prompt or a JSON object a line; "-" is standard input
    ///
    /// An object has "prompt" and whatever options, under their long names. Images that are
    /// there and whole are not drawn again, so an interrupted batch goes on with the same command;
    /// --force draws all. Failures do not end it. Without -o the names are 0001.png and so on.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = QUEUE,
        conflicts_with_all = ["prompt", "grid", "show", "preview"])]
    pub(crate) batch: Option<PathBuf>,
    /// How many images of a batch are under way at a time, 1 to 16 [default: 4]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u32>::new().range(1..=16),
        requires = "batch", hide_short_help = true, help_heading = QUEUE)]
    pub(crate) parallel: Option<u32>,
    /// Let the daemon draw and keep it: print the job's number and end
    ///
    /// The job goes on over crashes and restarts. `zimg jobs` lists it, `zimg wait JOB` saves its
    /// images, `zimg cancel JOB` drops it.
    #[arg(long, help_heading = QUEUE,
        conflicts_with_all = ["batch", "output", "format", "quality", "grid", "show", "preview"])]
    pub(crate) detach: bool,
}

/// What can be said of a drawing beside its prompt, on the command line and, but for what is of
/// use once only, in the environment and the configuration file.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct DrawOptions {
    /// Width and height in pixels: multiples of 16 from 64 to 2048
    #[arg(short, long, value_name = "WxH", value_parser = size, allow_negative_numbers = true,
        conflicts_with_all = ["aspect", "megapixels"], help_heading = IMAGE)]
    pub(crate) size: Option<(u32, u32)>,
    /// The size by its shape, as 16:9; as many pixels as the model likes
    #[arg(short, long, value_name = "W:H", value_parser = aspect, allow_negative_numbers = true,
        help_heading = IMAGE)]
    pub(crate) aspect: Option<AspectRatio>,
    /// The size by its pixels, in units of 1024x1024; square unless --aspect says otherwise
    #[arg(long, value_name = "MP", value_parser = megapixels, allow_negative_numbers = true,
        hide_short_help = true, help_heading = IMAGE)]
    pub(crate) megapixels: Option<f64>,
    /// Take the nearest size that is possible instead of refusing one that is not
    #[arg(long, overrides_with = "no_round", hide_short_help = true, help_heading = IMAGE)]
    pub(crate) round: bool,
    /// Refuse a size that is not possible, whatever is set
    #[arg(long, overrides_with = "round", hide = true)]
    pub(crate) no_round: bool,
    #[command(flatten)]
    pub(crate) params: ParamOptions,

    /// Where to save: .png, .jpg, .webp, .ppm or .raw; "-" for standard output
    ///
    /// {seed} and {index} (from 1) stand for the image's own, {index:04} with zeros in front,
    /// {prompt} for the prompt's words (at most 60 characters, {prompt:20} at most 20), {date} and
    /// {time} for now; {{ and }} for braces. Several images without {seed} or {index} become
    /// FILE-1.png, FILE-2.png and so on. A directory gets the default names. Without -o:
    /// zimg-SEED.png in the current directory, and its path on standard output.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = OUTPUT)]
    pub(crate) output: Option<String>,
    /// The format, where no name says it: on standard output, and of the default name
    #[arg(long, value_parser = format(), value_name = "FORMAT", hide_short_help = true,
        help_heading = OUTPUT)]
    pub(crate) format: Option<ImageFormat>,
    /// Of a JPEG, 1 to 100 [default: 92], or of a WebP [default: lossless]
    #[arg(long, value_name = "Q", value_parser = RangedU64ValueParser::<u8>::new().range(1..=100),
        allow_negative_numbers = true, hide_short_help = true, help_heading = OUTPUT)]
    pub(crate) quality: Option<u8>,
    /// Save a sheet with all images as well: to FILE, or beside them
    ///
    /// With -o - the sheet alone is written.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true,
        default_missing_value = "", help_heading = OUTPUT)]
    pub(crate) grid: Option<String>,
    /// Do not write into the image how it was made
    ///
    /// Otherwise prompt, seed, size, steps, guidance and model are in it: `zimg show FILE` prints
    /// them, `zimg redo FILE` draws it again.
    #[arg(long, overrides_with = "metadata", hide_short_help = true, help_heading = OUTPUT)]
    pub(crate) no_metadata: bool,
    /// Write into the image how it was made
    #[arg(long, overrides_with = "no_metadata", hide = true)]
    pub(crate) metadata: bool,
    /// Replace files that exist
    #[arg(short, long, help_heading = OUTPUT)]
    pub(crate) force: bool,

    /// Show the finished images in the terminal
    ///
    /// Detected, unless HOW says it: auto, kitty, iterm2, sixel, blocks or none.
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true,
        default_missing_value = "auto", hide_possible_values = true, help_heading = TERMINAL)]
    pub(crate) show: Option<GraphicsArg>,
    /// Show in the terminal how the image comes to be
    ///
    /// Detected, unless HOW says it: auto, kitty, iterm2, sixel, blocks or none.
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true,
        default_missing_value = "auto", hide_possible_values = true, help_heading = TERMINAL)]
    pub(crate) preview: Option<GraphicsArg>,
    /// Show nothing but errors
    #[arg(short, long, action = ArgAction::SetTrue, overrides_with = "no_quiet",
        help_heading = TERMINAL)]
    pub(crate) quiet: bool,
    /// Show how it goes, whatever is set
    #[arg(long, overrides_with = "quiet", hide = true)]
    pub(crate) no_quiet: bool,

    /// Who goes first; batch jobs yield to interactive ones at any step
    ///
    /// A --batch is one, a single prompt interactive.
    #[arg(long, value_enum, value_name = "WHO", hide_short_help = true, help_heading = QUEUE)]
    pub(crate) priority: Option<PriorityArg>,
    /// Wait for a place when the daemon has none, and for a daemon when there is none
    #[arg(long, overrides_with = "no_wait", hide_short_help = true, help_heading = QUEUE)]
    pub(crate) wait: bool,
    /// Fail when the daemon has no place, whatever is set
    #[arg(long, overrides_with = "wait", hide = true)]
    pub(crate) no_wait: bool,
}

impl DrawOptions {
    /// Whether an image is to be seen in the terminal.
    pub(crate) fn shows(&self) -> bool {
        [self.show, self.preview].into_iter().flatten().any(|how| how != GraphicsArg::None)
    }

    /// These, and where they say nothing what `lower` says. What is said of the size here makes
    /// void what is said of it there.
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
