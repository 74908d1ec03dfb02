//! `zimg prepare`: writes a checkpoint once in the form that loads fastest, or verifies such a file.

use std::io::{self, Write};
use std::path::Path;

use zimage_checkpoint::{
    Checkpoint, ModelFiles, PrepareError, PrepareOptions, PreparePlan, PreparedType,
    verify_prepared,
};
use zimg_client::{Failure, Kind};
use zimg_text::shell_word;

use crate::cli::{CommonArgs, PrepareArgs};
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::prepare::{
    NewFile, PrepareReporter, PreparedEvent, VerifiedEvent, checkpoint_failure, failure,
};
use crate::progress::ReportStyle;
use crate::{format, json};

/// What names of prepared files end with: other programs go by it.
const ENDING: &str = "safetensors";
/// The name of the built-in model, which is no file.
const BUILT_IN: &str = "tiny";

/// Writes or verifies.
///
/// # Errors
///
/// `Config`: the checkpoint is wrong, or the verified file damaged. `CannotCreate`, `Io`: the file
/// cannot be written. `Cancelled`: Ctrl-C came.
pub(crate) fn run(args: &PrepareArgs, common: &CommonArgs) -> Result<(), Exit> {
    let interrupt = Interrupt::install()?;
    interrupt.defer_exit();
    let style = ReportStyle::choose(common.json, args.quiet);
    match (&args.verify, &args.model, &args.output) {
        (Some(file), ..) => verify(file, style, &interrupt),
        (None, Some(model), Some(output)) => prepare(args, (model, output), style, &interrupt),
        // clap requires them.
        _ => Err(Failure::new(Kind::Usage, "give a model and a file with -o").into()),
    }
}

fn prepare(
    args: &PrepareArgs,
    (model, output): (&Path, &Path),
    style: ReportStyle,
    interrupt: &Interrupt,
) -> Result<(), Exit> {
    check_names(model, output)?;
    let files = ModelFiles {
        model: model.to_owned(),
        text_encoder: args.text_encoder.clone(),
        vae: args.vae.clone(),
        tokenizer: args.tokenizer.clone(),
        kind: args.model_kind,
    };
    let wrong = |error| checkpoint_failure(&error);
    let checkpoint = Checkpoint::open_files(&files).map_err(wrong)?;
    let inventory = checkpoint.verify().map_err(wrong)?;
    let options = PrepareOptions { dtype: args.dtype, text_encoder: args.text_encoder_dtype };
    let plan = PreparePlan::new(&checkpoint, &options).map_err(|error| failure(&error, output))?;
    let new = NewFile::create(output, args.force)?;
    new.reserve(plan.bytes())?;
    let mut report = PrepareReporter::new(style, plan.bytes());
    let (from, to) = (format::bytes(inventory.bytes()), format::bytes(plan.bytes()));
    report.say(&format!("preparing {} as {}: {from} become {to}", checkpoint.name, args.dtype));
    let written = watched(&mut report, interrupt, |go_on| plan.write(new.file(), go_on))?;
    let checksum = written.map_err(|error| failure(&error, output))?;
    new.finish()?;
    if style != ReportStyle::Json {
        report.say(&format!("ready: {}", command(output, args.dtype)));
        return format::print_path(output);
    }
    json::print(&PreparedEvent {
        path: output.into(),
        origin: &checkpoint.name,
        dtype: args.dtype.name(),
        text_encoder_dtype: args.text_encoder_dtype.name(),
        tensors: plan.tensors(),
        bytes: plan.bytes(),
        checksum: &checksum,
    })
}

fn verify(file: &Path, style: ReportStyle, interrupt: &Interrupt) -> Result<(), Exit> {
    let total = file.metadata().map_or(0, |found| found.len());
    let mut report = PrepareReporter::new(style, total);
    let compared = watched(&mut report, interrupt, |go_on| verify_prepared(file, go_on))?;
    let found = compared.map_err(|error| failure(&error, file))?;
    let (origin, dtype, tensors) = (found.origin.as_str(), found.dtype.as_str(), found.tensors);
    if style != ReportStyle::Json {
        let (at, bytes) = (file.display(), format::bytes(found.bytes));
        let text = format!("{at} is whole: {origin} as {dtype}, {tensors} tensors, {bytes}");
        let line = format!("{}\n", format::printable(&text));
        return io::stdout()
            .lock()
            .write_all(line.as_bytes())
            .map_err(|error| Exit::stdout(&error));
    }
    let (bytes, checksum) = (found.bytes, found.checksum.as_str());
    json::print(&VerifiedEvent { path: file.into(), origin, dtype, tensors, bytes, checksum })
}

/// Does `work`, which reports progress and ends when that returns false: after Ctrl-C, or when
/// standard output is closed.
fn watched<T>(
    report: &mut PrepareReporter,
    interrupt: &Interrupt,
    work: impl FnOnce(&mut dyn FnMut(u64) -> bool) -> Result<T, PrepareError>,
) -> Result<Result<T, PrepareError>, Exit> {
    report.update(0)?;
    let mut closed = None;
    let done = work(&mut |done| {
        if let Err(exit) = report.update(done) {
            closed = Some(exit);
        }
        closed.is_none() && !interrupt.interrupted()
    });
    report.finish();
    match closed {
        Some(exit) => Err(exit),
        None => Ok(done),
    }
}

fn check_names(model: &Path, output: &Path) -> Result<(), Failure> {
    if model == Path::new(BUILT_IN) && !model.exists() {
        let text = "tiny is the built-in model, which is inside zimage-worker and needs no file";
        return Err(Failure::new(Kind::Usage, text).hint("name a checkpoint"));
    }
    if output.extension().is_none_or(|ending| ending != ENDING) {
        let text = format!("{} does not end in .{ENDING}", output.display());
        let hint = "the file is one, and other programs go by its name";
        return Err(Failure::new(Kind::Usage, text).hint(hint));
    }
    Ok(())
}

/// The daemon's command line.
fn command(file: &Path, dtype: PreparedType) -> String {
    let dtype = match dtype {
        PreparedType::Float8 => " --dtype float8",
        PreparedType::Int8 => " --dtype int8",
        PreparedType::BFloat16 => "",
    };
    format!("zimaged --model {}{dtype}", shell_word(file))
}
