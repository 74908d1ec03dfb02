//! `zimg draw`, or just `zimg "prompt"`: from the prompt to the files.

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use zimg_client::{Client, Draw, Failure, Image, Kind, Update, limits, socket};

use crate::encode::Format;
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::report::{Report, Saved, Style};
use crate::save::save;
use crate::stop::Stop;
use crate::typed::{self, Common};

use super::PROGRAM;

/// Draws what `args` say and saves it.
///
/// # Errors
///
/// Whatever went wrong first. Pictures saved before stay.
pub(crate) fn run(args: &typed::Draw, common: &Common) -> Result<(), Stop> {
    let interrupt = Interrupt::install()?;
    let draw = request(args)?;
    if common.json && args.output.as_deref() == Some("-") {
        let message = "standard output cannot carry both the picture and JSON";
        return Err(Failure::new(Kind::Usage, message).hint("give a file with -o FILE").into());
    }
    let output = Output::plan(args.output.as_deref(), draw.seed, draw.count, args.force)?;
    let socket = socket::find(common.socket.as_deref())?;

    let job = Client::connect(PROGRAM, &socket)?.draw(&draw)?;
    let style = Style::choose(common.json, args.quiet);
    interrupt.cancels(job.canceller()?, style == Style::Line);
    let mut report = Report::new(style, draw.count, args.output.is_none(), draw.negative.is_some());
    for update in job {
        let update = update?;
        report.update(&update)?;
        if let Update::Image(image) = &update {
            let saved = deliver(image, &output, args.force, &interrupt)?;
            report.saved(&saved)?;
        }
    }
    Ok(())
}

/// Encodes a picture and puts it where it belongs.
fn deliver<'a>(
    image: &'a Image,
    output: &'a Output,
    force: bool,
    interrupt: &Interrupt,
) -> Result<Saved<'a>, Stop> {
    let Output::Files(files) = output else {
        let bytes = Format::Png.encode(image)?;
        let mut out = io::stdout().lock();
        let written = out.write_all(&bytes).and_then(|()| out.flush());
        written.map_err(|error| Stop::writing(&error))?;
        return Ok(Saved { path: None, info: &image.info, bytes: bytes.len() });
    };
    // The client has checked that the index is below the count.
    let Some(file) = files.get(image.info.index as usize) else {
        return Err(Failure::new(Kind::Internal, "a picture without a name").into());
    };
    let bytes = file.format.encode(image)?;
    {
        // A pipe or device may take its time, and has no temporary file to be left behind.
        let _no_exit = (!file.special).then(|| interrupt.hold());
        save(file, &bytes, force)?;
    }
    Ok(Saved { path: Some(&file.path), info: &image.info, bytes: bytes.len() })
}

/// The request, within the limits.
fn request(args: &typed::Draw) -> Result<Draw, Failure> {
    let prompt = match args.prompt.as_deref() {
        Some("-") => from_stdin()?,
        prompt => prompt.unwrap_or_default().to_owned(),
    };
    let plain = Draw::new(prompt);
    let draw = Draw {
        negative: args.negative.clone(),
        width: args.size.map(|size| size.0),
        height: args.size.map(|size| size.1),
        steps: args.steps,
        guidance: args.guidance,
        guidance_normalization: args.guidance_normalization.unwrap_or(plain.guidance_normalization),
        guidance_truncation: args.guidance_truncation.unwrap_or(plain.guidance_truncation),
        seed: args.seed.map_or_else(random_seed, Ok)?,
        count: args.count.unwrap_or(plain.count),
        ..plain
    };
    draw.check()?;
    Ok(draw)
}

/// The prompt on standard input, without the newline at its end.
fn from_stdin() -> Result<String, Failure> {
    let stdin = io::stdin().lock();
    if stdin.is_terminal() {
        let _ = io::stderr().write_all(b"the prompt, then Ctrl-D:\n");
    }
    let mut bytes = Vec::new();
    // One byte more than fits, and its newline, so that the limit's own check refuses it.
    let read = stdin.take(limits::PROMPT_BYTES as u64 + 3).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(Kind::Io, format!("cannot read standard input: {error}")))?;
    // A character cut by the bound is too long all the same.
    if bytes.len() > limits::PROMPT_BYTES + 2 {
        let limit = limits::PROMPT_BYTES;
        return Err(Failure::new(Kind::Refused, format!("the prompt has more than {limit} bytes")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::new(Kind::Refused, "the prompt on standard input is not UTF-8"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// From the system, and short enough to be typed again.
fn random_seed() -> Result<u64, Failure> {
    let mut bytes = [0; 4];
    fs::File::open(Path::new("/dev/urandom"))
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| {
            Failure::new(Kind::Io, format!("cannot read /dev/urandom: {error}"))
                .hint("give a seed with --seed N")
        })?;
    Ok(u32::from_ne_bytes(bytes).into())
}
