//! `zimg redo`: generates an image again from its metadata, with the options that are given.

use std::ffi::{OsStr, OsString};
use std::iter;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use zimg_client::{Failure, Priority};

use super::draw::{Invocation, check, tell_ignored};
use crate::cli::{CommonArgs, DrawOptions, RedoArgs};
use crate::control_input;
use crate::exit::Exit;
use crate::image_inputs::{is_sized, recorded};
use crate::interrupt::Interrupt;
use crate::job_spec::{JobSpec, SpecContext};
use crate::metadata;
use crate::output::LocalTime;
use crate::settings::UserSettings;
use zimg_image::{EmbeddedMetadata, ImageFormat};

/// Generates the image of each file again, into other files. All are read and checked before the
/// first job.
///
/// # Errors
///
/// The first failure. Images that were saved before stay.
pub(crate) fn run(args: &RedoArgs, common: &CommonArgs) -> Result<(), Exit> {
    let interrupt = Interrupt::install()?;
    check(&args.options, &args.options, common)?;
    let settings = UserSettings::read()?;
    let now = LocalTime::local();
    let mut plans = Vec::with_capacity(args.files.len());
    for (path, index) in args.files.iter().zip(1..) {
        let embedded = metadata::read(path)?;
        let doubt = metadata::doubt(path, &embedded);
        plans.push((plan(path, embedded, index, args, &settings, &now)?, doubt));
    }
    let options = args.options.clone().or(settings.options());
    tell_ignored(&settings, &options, common)?;
    for (plan, doubt) in plans {
        let (args, interrupt) = (&args.options, interrupt.clone());
        let invocation = Invocation { args, options: &options, common, interrupt };
        invocation.draw(plan, &settings, doubt.as_deref())?;
    }
    Ok(())
}

fn plan(
    path: &Path,
    embedded: EmbeddedMetadata,
    index: u64,
    args: &RedoArgs,
    settings: &UserSettings,
    now: &LocalTime,
) -> Result<JobSpec, Failure> {
    let Some(metadata) = embedded.generation else {
        return Err(metadata::unread(path, &embedded));
    };
    // Options override the metadata, which overrides the settings, of which only those that are no
    // parameters count.
    let mut made = DrawOptions::of_metadata(&metadata);
    if let Some(record) = &metadata.params.image_inputs {
        made.inputs = recorded(record, path, made.size, &args.options.inputs)?;
        made.size = made.size.filter(|_| is_sized(record));
    }
    if let Some(record) = &metadata.params.control_input {
        let inputs = std::mem::take(&mut made.inputs);
        made.inputs = control_input::recorded(record, path, inputs, &args.options.inputs)?;
        let follows = made.inputs.init.is_none() && args.options.inputs.init.is_none();
        made.size = made.size.filter(|_| !follows || control_input::is_sized(record));
    }
    let mut options = args.options.clone().or(made);
    options = options.or(settings.options().beside_the_image());
    if args.options.format.is_none() {
        options.format = ImageFormat::of(path);
    }
    if args.options.output.is_none() {
        options.output = None;
    }
    let default = literal(path.file_stem().unwrap_or_default(), b"-redo");
    let prompt = args.prompt.clone().unwrap_or(metadata.params.prompt);
    let context = SpecContext { default: &default, index, now, priority: Priority::Interactive };
    let mut plan = JobSpec::of(prompt, &options, context)?;
    plan.generated_by = metadata.model;
    Ok(plan)
}

/// The pattern of a name that begins with `stem`, whose braces are no placeholders.
fn literal(stem: &OsStr, end: &[u8]) -> OsString {
    let times = |byte: &u8| if matches!(byte, b'{' | b'}') { 2 } else { 1 };
    let stem = stem.as_bytes().iter().flat_map(|byte| iter::repeat_n(*byte, times(byte)));
    OsString::from_vec(stem.chain(end.iter().copied()).collect())
}
