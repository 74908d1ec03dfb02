//! Example: generates an image and saves it as PPM: `draw PROMPT FILE.ppm`.
//!
//! Every client does the same: it finds the socket, connects, sends a request and reads updates.
//! Image libraries accept the pixels as they are (8-bit RGB, rows from the top).

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use zimg_client::{Client, Failure, Kind, Params, Update, socket};

/// Generates `prompt` with the daemon at `socket`, or the default one, and saves it at `path`.
pub(crate) fn draw(socket: Option<&Path>, prompt: &str, path: &Path) -> Result<(), Failure> {
    // `--socket`, then ZIMG_SOCKET, then the user's own daemon, then the system's.
    let socket = socket::find(socket)?;
    // The name is for the error message if the versions are incompatible.
    let client = Client::connect("example 1.0", &socket)?;
    // Parameters that are not set take the model's defaults. A `Generate` instead of
    // `Params` sets a priority, requests previews, or detaches the job.
    let request = Params { seed: Some(42), ..Params::new(prompt) };
    for update in client.generate(&request)? {
        // An error is a sentence with a kind, which is an exit code.
        match update? {
            Update::Waiting(waiting) => say(&format!("waiting: {waiting:?}")),
            Update::Started(started) => say(&format!("generating with {}", started.model.name)),
            Update::Step(step) => say(&format!("step {} of {}", step.step, step.of)),
            Update::Image(image) => {
                let (width, height) = (image.info.width, image.info.height);
                let save = |mut file: File| {
                    write!(file, "P6\n{width} {height}\n255\n")?;
                    file.write_all(&image.pixels)
                };
                File::create(path)
                    .and_then(save)
                    .map_err(|error| Failure::new(Kind::Io, error.to_string()))?;
            }
            _ => {}
        }
    }
    // Dropping the updates before their end would have cancelled the job.
    Ok(())
}

fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [prompt, path] = &words[..] else {
        say("usage: draw PROMPT FILE.ppm");
        return Kind::Usage.exit_code().into();
    };
    match draw(None, prompt, Path::new(path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&format!("draw: {failure}"));
            failure.hint.iter().for_each(|hint| say(&format!("hint: {hint}")));
            failure.kind.exit_code().into()
        }
    }
}
