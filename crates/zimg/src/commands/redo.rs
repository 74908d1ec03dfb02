//! `zimg redo`: draws an image again as it says that it was made, but for what is typed.

use std::path::Path;

use zimg_client::{Failure, Kind, Priority};

use super::draw::{Frame, check};
use crate::encode::Format;
use crate::interrupt::Interrupt;
use crate::output::Now;
use crate::plan::{Plan, Setting};
use crate::recipe;
use crate::settings::Settings;
use crate::stop::Stop;
use crate::typed::{Common, Options, Redo};

/// Draws each file's image again, into other files. All are read and checked before the first
/// is drawn.
///
/// # Errors
///
/// Whatever went wrong first. Images saved before stay.
pub(crate) fn run(typed: &Redo, common: &Common) -> Result<(), Stop> {
    let interrupt = Interrupt::install()?;
    check(&typed.options, &typed.options, common)?;
    let settings = Settings::read()?;
    let now = Now::local();
    let mut plans = Vec::with_capacity(typed.files.len());
    for (path, index) in typed.files.iter().zip(1..) {
        plans.push(plan(path, index, typed, &settings, &now)?);
    }
    let options = typed.options.clone().or(settings.options());
    for plan in plans {
        let (typed, interrupt) = (&typed.options, interrupt.clone());
        Frame { typed, options: &options, common, interrupt }.draw(plan, &settings, None)?;
    }
    Ok(())
}

fn plan(
    path: &Path,
    index: u64,
    typed: &Redo,
    settings: &Settings,
    now: &Now,
) -> Result<Plan, Failure> {
    let recipe = recipe::read(path)?.recipe.ok_or_else(|| unsaid(path))?;
    // What was typed, then the image's own, then what is set but says nothing of the image.
    let mut options = typed.options.clone().or(Options::of_recipe(&recipe));
    options = options.or(settings.options().beside_the_image());
    if typed.options.format.is_none() {
        options.format = Format::of(path);
    }
    if typed.options.output.is_none() {
        options.output = None;
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let default = format!("{}-redo", stem.replace('{', "{{").replace('}', "}}"));
    let prompt = typed.prompt.clone().unwrap_or(recipe.prompt);
    let setting = Setting { default: &default, index, now, priority: Priority::Interactive };
    let mut plan = Plan::of(prompt, &options, setting)?;
    plan.drawn_by = recipe.model;
    Ok(plan)
}

/// The file does not say it.
pub(super) fn unsaid(path: &Path) -> Failure {
    let message = format!("{} does not say how it was made", path.display());
    Failure::new(Kind::Refused, message)
        .hint("images by zimg do unless they were drawn with --no-metadata or edited since")
}
