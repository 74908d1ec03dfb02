//! `zimg draw`, or just `zimg "prompt"`.

use std::io::{self, IsTerminal};
use std::path::Path;

use zimg_client::{Failure, Kind, Priority};

use crate::batch::Batch;
use crate::drawing::{self, Session, Teller};
use crate::encode::Format;
use crate::interrupt::Interrupt;
use crate::output::Now;
use crate::plan::{Plan, Setting};
use crate::prompt;
use crate::report::{Report, Style};
use crate::screen::Screen;
use crate::settings::Settings;
use crate::stop::Stop;
use crate::typed::{Common, Draw, Options, near_command};
use crate::words;

/// Draws what was typed and saves it.
///
/// # Errors
///
/// Whatever went wrong first. Images saved before stay.
pub(crate) fn run(typed: &Draw, common: &Common) -> Result<(), Stop> {
    let interrupt = Interrupt::install()?;
    let settings = Settings::read()?;
    let options = typed.options.clone().or(settings.options());
    check(&typed.options, &options, common)?;
    if let Some(path) = &typed.batch {
        let style = Style::choose(common.json, options.quiet);
        let socket = common.find_socket(&settings)?;
        // A batch waits by itself for a daemon that goes on the way.
        let (line, absence) = (style == Style::Line, Session::START);
        let session = Session { socket, interrupt, line, absence };
        let (parallel, paths) = (typed.parallel, typed.options.output.is_none());
        return Batch { path, parallel, options, paths, style }.draw(&session);
    }
    check_quality(&typed.options, &options)?;
    let prompt = prompt::read(typed.prompt.as_deref().unwrap_or_default())?;
    let setting = Setting {
        default: "zimg-{seed}",
        index: 1,
        now: &Now::local(),
        priority: Priority::Interactive,
    };
    let plan = match typed.detach {
        true => Plan::detached(prompt, &options, setting)?,
        false => Plan::of(prompt, &options, setting)?,
    };
    let near = typed.prompt.as_deref().and_then(near_command);
    let advice = near.map(|name| {
        let word = &plan.draw.prompt;
        format!("drawing an image of {word:?}; the command is `zimg {name}`")
    });
    let frame = Frame { typed: &typed.options, options: &options, common, interrupt };
    frame.draw(plan, &settings, advice.as_deref())
}

/// What is around a plan: who is told of it, and how.
pub(super) struct Frame<'a> {
    /// What was typed.
    pub(super) typed: &'a Options,
    /// That, and what is set elsewhere.
    pub(super) options: &'a Options,
    pub(super) common: &'a Common,
    pub(super) interrupt: Interrupt,
}

impl Frame<'_> {
    /// Draws what is planned, and tells it on the terminal or to a program. `advice` is said
    /// first.
    pub(super) fn draw(
        self,
        mut plan: Plan,
        settings: &Settings,
        advice: Option<&str>,
    ) -> Result<(), Stop> {
        let socket = self.common.find_socket(settings)?;
        let json = self.common.json;
        let style = Style::choose(json, self.options.quiet);
        // Where other programs read nothing is shown.
        let screen = if json { None } else { Screen::choose(self.options, &self.interrupt) };
        let unseen = (screen.is_none() && self.typed.shows()).then_some(match words::coloured() {
            false if io::stderr().is_terminal() => UNCOLOURED,
            _ => UNSEEN,
        });
        plan.previews = screen.as_ref().is_some_and(Screen::previews) && !plan.detach;
        let count = plan.draw.count;
        let mut report = Report::new(style, count, self.typed.output.is_none(), screen);
        advice.into_iter().chain(unseen).try_for_each(|text| report.warn(text))?;
        let (line, absence) = (style == Style::Line, Session::absence(plan.wait));
        let session = Session { socket, interrupt: self.interrupt, line, absence };
        drawing::draw(&plan, &session, &mut report)?;
        if plan.detach { report.detached() } else { Ok(()) }
    }
}

/// Why `--show` and `--preview` show nothing.
const UNSEEN: &str = "standard error is no terminal that shows images";
/// Why a terminal shows none that could show half blocks.
const UNCOLOURED: &str =
    "without colours the terminal shows no images: NO_COLOR is set, or TERM is dumb";

/// That what was typed, and is set (`options`), is possible together.
pub(super) fn check(typed: &Options, options: &Options, common: &Common) -> Result<(), Failure> {
    if common.json && options.output.as_deref() == Some("-") {
        let message = "standard output cannot carry both the image and JSON";
        return Err(Failure::new(Kind::Usage, message).hint("give a file with -o FILE"));
    }
    // Of what is set elsewhere the nearer word wins.
    if let (Some(name), Some(format)) = (typed.output.as_deref(), typed.format)
        && let Some(named) = Format::of(Path::new(name)).filter(|named| *named != format)
    {
        let (named, format) = (named.extension(), format.extension());
        let message = format!("{name} names {named}, and --format says {format}");
        return Err(Failure::new(Kind::Usage, message).hint("leave out one of the two"));
    }
    Ok(())
}

/// That a quality that was typed is some file's: a PNG has none.
fn check_quality(typed: &Options, options: &Options) -> Result<(), Failure> {
    let named =
        |name: &Option<String>| name.as_deref().and_then(|name| Format::of(Path::new(name)));
    let format = named(&options.output).or(options.format).unwrap_or(Format::Png);
    let lossy = |format: Format| matches!(format, Format::Jpeg | Format::WebP);
    if typed.quality.is_none() || lossy(format) || named(&options.grid).is_some_and(lossy) {
        return Ok(());
    }
    let format = format.extension();
    let message = format!("--quality is a JPEG's or a WebP's, and this is an image in {format}");
    Err(Failure::new(Kind::Usage, message).hint("leave it out, or end the name in .jpg or .webp"))
}
