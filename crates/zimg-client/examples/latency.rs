//! Example: measures the latency of images, from the sent request to the last received pixel.
//!
//! usage: `latency --socket PATH --prompt TEXT [--prompt TEXT]… [--size WxH] [--steps N] [--seed N]
//! [--count N] [--clients N]`
//!
//! Prompts are used in turn; the seed grows by one from image to image. Each client requests its
//! next image as soon as it has the last. One line of JSON for every image, in
//! the order they end: `image` (from 0), `client`, `seed`, and in milliseconds `began` and
//! `ended` (since the program's first request), `latency` (request sent to last pixel), and the
//! daemon's own `queued`, `text`, `steps`, `decode`, `total`.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use zimg_client::{Client, Params, Timings, Update, socket};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The command line.
struct Args {
    socket: PathBuf,
    prompts: Vec<String>,
    /// Pixels; `None` is the model's own.
    size: (Option<u32>, Option<u32>),
    steps: Option<u32>,
    seed: u64,
    count: u32,
    clients: u32,
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Args> {
    let mut named = None;
    let mut args = Args {
        socket: PathBuf::new(),
        prompts: Vec::new(),
        size: (None, None),
        steps: None,
        seed: 1,
        count: 1,
        clients: 1,
    };
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--socket" => named = Some(PathBuf::from(value)),
            "--prompt" => args.prompts.push(value),
            "--size" => {
                let (width, height) = value.split_once('x').ok_or("a size is WxH")?;
                args.size = (Some(width.parse()?), Some(height.parse()?));
            }
            "--steps" => args.steps = Some(value.parse()?),
            "--seed" => args.seed = value.parse()?,
            "--count" => args.count = value.parse()?,
            "--clients" => args.clients = value.parse()?,
            _ => return Err(format!("there is no option {word}").into()),
        }
    }
    if args.prompts.is_empty() {
        return Err("no --prompt is given".into());
    }
    args.socket = socket::find(named.as_deref())?;
    Ok(args)
}

/// One image's times: request sent, last pixel received, and the daemon's.
struct Measured {
    began: Instant,
    pixels: Instant,
    timings: Timings,
}

/// Generates one image on its own connection; the hello is not part of the time.
fn draw(args: &Args, image: u32) -> Result<Measured> {
    let prompt = &args.prompts[image as usize % args.prompts.len()];
    let draw = Params {
        width: args.size.0,
        height: args.size.1,
        steps: args.steps,
        seed: Some(args.seed.wrapping_add(image.into())),
        ..Params::new(prompt.as_str())
    };
    let client = Client::connect("latency", &args.socket)?;
    let began = Instant::now();
    let mut pixels = None;
    for update in client.generate(&draw)? {
        match update? {
            Update::Image(_) => pixels = Some(Instant::now()),
            Update::Done(timings) => {
                let pixels = pixels.ok_or("done without an image")?;
                return Ok(Measured { began, pixels, timings });
            }
            _ => {}
        }
    }
    Err("the job ended without Done".into())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// One client: it takes the next image until all are taken.
fn client(
    args: &Args,
    client: u32,
    next: &AtomicU32,
    start: Instant,
    out: &Mutex<io::Stdout>,
) -> Result<()> {
    loop {
        let image = next.fetch_add(1, Ordering::Relaxed);
        if image >= args.count {
            return Ok(());
        }
        let Measured { began, pixels, timings } = draw(args, image)?;
        let Timings { queued, text, steps, decode, total } = timings;
        let seed = args.seed.wrapping_add(image.into());
        // Only numbers: nothing needs an escape.
        let line = format!(
            "{{\"image\":{image},\"client\":{client},\"seed\":{seed},\"began\":{:.3},\"ended\":{:.3},\
             \"latency\":{:.3},\"queued\":{queued},\"text\":{text},\"steps\":{steps},\"decode\":{decode},\
             \"total\":{total}}}",
            ms(began - start),
            ms(pixels - start),
            ms(pixels - began),
        );
        let mut out = out.lock().map_err(|_| "another client failed")?;
        writeln!(out, "{line}")?;
        out.flush()?;
    }
}

fn run() -> Result<()> {
    let args = arguments(std::env::args().skip(1))?;
    let (next, start, out) = (AtomicU32::new(0), Instant::now(), Mutex::new(io::stdout()));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..args.clients)
            .map(|number| {
                let (args, next, out) = (&args, &next, &out);
                scope.spawn(move || client(args, number, next, start, out))
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| "a client failed")?)
    })
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "latency: {error}");
            ExitCode::FAILURE
        }
    }
}
