//! `zimg draw`, or `zimg "prompt"`: generates images and saves them.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::Path;

use zimg_client::{Failure, Kind, Priority};

use crate::batch::Batch;
use crate::cli::{CommonArgs, DrawArgs, DrawOptions, near_command};
use crate::exit::Exit;
use crate::format;
use crate::interrupt::Interrupt;
use crate::job_spec::{JobSpec, SpecContext};
use crate::output::{Descriptor, LocalTime};
use crate::progress::{JobReporter, ReportStyle, warn};
use crate::prompt;
use crate::prompt_advice::prompt_advice;
use crate::run_job::{self, JobObserver, RunContext};
use crate::settings::UserSettings;
use crate::terminal_image::TerminalImage;
use zimg_image::ImageFormat;

/// Generates images and saves them.
///
/// # Errors
///
/// The first failure. Images that were saved before stay.
pub(crate) fn run(args: &DrawArgs, common: &CommonArgs) -> Result<(), Exit> {
    let interrupt = Interrupt::install()?;
    let settings = UserSettings::read()?;
    let options = args.options.clone().or(settings.options());
    check(&args.options, &options, common)?;
    tell_ignored(&settings, &options, common)?;
    if let Some(path) = &args.batch {
        let style = ReportStyle::choose(common.json, options.quiet);
        let socket = settings.find_socket(common.socket.as_deref())?;
        // A batch itself waits for a daemon that restarts.
        let (line, absence) = (style == ReportStyle::Line, RunContext::START);
        let session = RunContext { socket, interrupt, line, absence };
        let (parallel, paths) = (args.parallel, args.options.output.is_none());
        return Batch { path, parallel, options, paths, style }.draw(&session);
    }
    check_quality(&args.options, &options)?;
    let prompt = prompt::read(args.prompt.as_deref().unwrap_or_default())?;
    let context = SpecContext {
        default: "zimg-{seed}".as_ref(),
        index: 1,
        now: &LocalTime::local(),
        priority: Priority::Interactive,
    };
    let plan = match args.detach {
        true => JobSpec::detached(prompt, &options, context)?,
        false => JobSpec::of(prompt, &options, context)?,
    };
    let near = args.prompt.as_deref().and_then(near_command);
    let advice = near.map(|name| {
        let word = &plan.draw.prompt;
        format!("generating an image of {word:?}; the command is `zimg {name}`")
    });
    let frame = Invocation { args: &args.options, options: &options, common, interrupt };
    frame.draw(plan, &settings, advice.as_deref())
}

/// The context of a job specification: options, output and signals.
pub(super) struct Invocation<'a> {
    /// The options of the command line.
    pub(super) args: &'a DrawOptions,
    /// These options and the user's settings.
    pub(super) options: &'a DrawOptions,
    pub(super) common: &'a CommonArgs,
    pub(super) interrupt: Interrupt,
}

impl Invocation<'_> {
    /// Runs the job and reports its progress. `advice` is printed first.
    pub(super) fn draw(
        self,
        mut plan: JobSpec,
        settings: &UserSettings,
        advice: Option<&str>,
    ) -> Result<(), Exit> {
        let socket = settings.find_socket(self.common.socket.as_deref())?;
        let json = self.common.json;
        // Standard error takes the image alone.
        let quiet = self.options.quiet || plan.output.has(Descriptor::STDERR);
        let style = ReportStyle::choose(json, quiet);
        // With `--json` no image is shown.
        let screen = if json { None } else { TerminalImage::choose(self.options, &self.interrupt) };
        let unseen = (screen.is_none() && self.args.shows()).then_some(match format::coloured() {
            false if io::stderr().is_terminal() => UNCOLOURED,
            _ => UNSEEN,
        });
        plan.previews = screen.as_ref().is_some_and(TerminalImage::previews) && !plan.detach;
        let count = plan.draw.images();
        let mut report = JobReporter::new(style, count, self.args.output.is_none(), screen);
        let inputs = plan.inputs.as_ref().and_then(|inputs| inputs.told.as_deref());
        let control = plan.control.as_ref().and_then(|control| control.told.as_deref());
        let inputs = inputs.into_iter().chain(control);
        advice.into_iter().chain(unseen).chain(inputs).try_for_each(|text| report.warn(text))?;
        prompt_advice(&plan.draw).iter().try_for_each(|advice| report.warn(&advice.text))?;
        let (line, absence) = (style == ReportStyle::Line, RunContext::absence(plan.wait));
        let session = RunContext { socket, interrupt: self.interrupt, line, absence };
        run_job::run(&plan, &session, &mut report)?;
        if plan.detach { report.detached() } else { Ok(()) }
    }
}

/// The warning of `--show` and `--preview` without a terminal.
const UNSEEN: &str =
    "--show and --preview have no effect: standard error is not a terminal that shows images";
/// The warning of `--show` and `--preview` without colours.
const UNCOLOURED: &str = "--show and --preview have no effect: NO_COLOR is set, or TERM is dumb";

/// Warns of the settings that are ignored.
pub(super) fn tell_ignored(
    settings: &UserSettings,
    options: &DrawOptions,
    common: &CommonArgs,
) -> Result<(), Exit> {
    let told = settings.told.iter().filter(|_| common.json || !options.quiet);
    told.into_iter().try_for_each(|text| warn(common.json, text))
}

/// Checks that the options of the command line (`args`) and those with the settings (`options`) do
/// not conflict.
pub(super) fn check(
    args: &DrawOptions,
    options: &DrawOptions,
    common: &CommonArgs,
) -> Result<(), Failure> {
    let descriptor = options.output.as_ref().and_then(|name| Descriptor::named(Path::new(name)));
    if common.json && descriptor == Some(Descriptor::STDOUT) {
        let message = "standard output cannot carry both the image and JSON";
        return Err(Failure::new(Kind::Usage, message).hint("give a file with -o FILE"));
    }
    // Settings do not conflict: the option overrides them.
    if let (Some(name), Some(format)) = (args.output.as_deref(), args.format)
        && let Some(named) = ImageFormat::of(Path::new(name)).filter(|named| *named != format)
    {
        let (named, format) = (named.extension(), format.extension());
        let name = Path::new(name).display();
        let message = format!("-o {name} is {named}, but --format is {format}");
        return Err(Failure::new(Kind::Usage, message).hint("give one of the two"));
    }
    Ok(())
}

/// Checks that a given quality applies to a file: a PNG has none.
fn check_quality(args: &DrawOptions, options: &DrawOptions) -> Result<(), Failure> {
    let named =
        |name: &Option<OsString>| name.as_deref().and_then(|name| ImageFormat::of(Path::new(name)));
    let format = named(&options.output).or(options.format).unwrap_or(ImageFormat::Png);
    let lossy = |format: ImageFormat| matches!(format, ImageFormat::Jpeg | ImageFormat::WebP);
    if args.quality.is_none() || lossy(format) || named(&options.grid).is_some_and(lossy) {
        return Ok(());
    }
    let format = format.extension();
    let message = format!("--quality applies to JPEG and WebP, but the format is {format}");
    Err(Failure::new(Kind::Usage, message)
        .hint("omit --quality, or end the file name in .jpg or .webp"))
}
