//! Draws an image and saves it as PPM: `draw PROMPT FILE.ppm`.
//!
//! Any program can do as much: find the socket, connect, ask, and take what comes. Image libraries
//! read the pixels as they are (8-bit RGB, rows from the top).

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use zimg_client::{Client, Failure, Kind, Params, Update, socket};

/// Draws `prompt` with the daemon at `socket`, or the usual one, and saves it at `path`.
pub(crate) fn draw(socket: Option<&Path>, prompt: &str, path: &Path) -> Result<(), Failure> {
    // `--socket`, then ZIMG_SOCKET, then the user's own daemon, then the system's.
    let socket = socket::find(socket)?;
    // The name is said if the daemon speaks another version.
    let client = Client::connect("example 1.0", &socket)?;
    // What is not given is as the model's own defaults have it. `submit` instead of `draw` takes a
    // priority, asks for previews, or detaches the job.
    let request = Params { seed: Some(42), ..Params::new(prompt) };
    for update in client.draw(&request)? {
        // An error here is the daemon's, in a sentence, with a kind that is an exit code.
        match update? {
            Update::Waiting(waiting) => say(&format!("waiting: {waiting:?}")),
            Update::Started(started) => say(&format!("drawing with {}", started.model)),
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
