//! Decoding in a process of its own, whose memory, time and files are limited: a hostile file ends
//! that process and no other.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use serde::{Deserialize, Serialize};
use zimage_params::limits::side_fits;

use super::fault::{InputError, InputFault, InputRole};
use super::limits::{MEMORY_MAX, TIME_MAX, WAIT_MAX};
use super::read::read_input;
use super::request::{InputImages, InputRequest};

/// The name under which a program runs that is to decode (`argv[0]`). A program whose `main` finds it
/// there calls [`run_decoder`] and nothing else.
pub const DECODER: &str = "zimg-image-decoder";
/// The longest head of a message.
const HEAD_MAX: usize = 64 << 10;

/// What the process is asked.
#[derive(Serialize, Deserialize)]
struct Question {
    request: InputRequest,
    initial: usize,
    mask: Option<usize>,
}

/// What it answers before the pixels.
#[derive(Serialize, Deserialize)]
struct Answer {
    width: u32,
    height: u32,
    mask: bool,
    done: String,
}

/// Starts processes that decode.
#[derive(Clone, Debug)]
pub struct InputDecoder {
    program: PathBuf,
}

impl InputDecoder {
    /// The running program, whose `main` knows [`DECODER`].
    pub fn this_program() -> Self {
        Self { program: "/proc/self/exe".into() }
    }

    /// Decodes as [`read_input`] does.
    ///
    /// # Errors
    ///
    /// As there, and [`InputFault::Memory`], [`InputFault::Time`] or [`InputFault::Ended`] of the
    /// process.
    pub fn read(
        &self,
        initial: &[u8],
        mask: Option<&[u8]>,
        request: &InputRequest,
    ) -> Result<InputImages, InputError> {
        let ended =
            |how: String| InputError { role: InputRole::Initial, fault: InputFault::Ended(how) };
        let mut child = Command::new(&self.program)
            .arg0(DECODER)
            .env_clear()
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| ended(error.to_string()))?;
        let (Some(mut to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(ended("no pipes".to_owned()));
        };
        let question = Question {
            request: request.clone(),
            initial: initial.len(),
            mask: mask.map(<[u8]>::len),
        };
        let until = Instant::now() + WAIT_MAX;
        let answer = thread::scope(|scope| {
            scope.spawn(move || {
                // A process that ends early has said or shows why.
                let _ = send(&mut to, &question)
                    .and_then(|()| to.write_all(initial))
                    .and_then(|()| to.write_all(mask.unwrap_or_default()));
            });
            let answer = receive(&mut Timed { from, until });
            // Ends the writer, whatever the process does.
            if answer.is_err() {
                let _ = child.kill();
            }
            answer
        });
        match answer {
            Ok(answer) => {
                let _ = child.wait();
                answer
            }
            Err(error) => {
                Err(InputError { role: InputRole::Initial, fault: fault(&mut child, &error) })
            }
        }
    }
}

/// Why the process gave no answer.
fn fault(child: &mut Child, error: &io::Error) -> InputFault {
    // It was killed: a process that is not waited for stays in the table of processes.
    let ended = child.wait();
    if error.kind() == io::ErrorKind::TimedOut {
        return InputFault::Time;
    }
    match ended {
        Ok(status) => ended_with(status, error),
        Err(error) => InputFault::Ended(error.to_string()),
    }
}

fn ended_with(status: ExitStatus, error: &io::Error) -> InputFault {
    match (status.signal().and_then(Signal::from_named_raw), status.code()) {
        // Rust's allocator aborts when there is no memory.
        (Some(Signal::ABORT), _) => InputFault::Memory,
        (Some(Signal::XCPU), _) => InputFault::Time,
        (Some(signal), _) => InputFault::Ended(format!("signal {}", signal.as_raw())),
        (None, Some(code)) => InputFault::Ended(format!("exit code {code}")),
        (None, None) => InputFault::Ended(error.to_string()),
    }
}

/// A pipe that is read until a point in time.
struct Timed<R> {
    from: R,
    until: Instant,
}

impl<R: Read + AsFd> Read for Timed<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            let left =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let mut polled = [PollFd::new(&self.from, PollFlags::IN)];
            match poll(&mut polled, Some(&left)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => return self.from.read(bytes),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Sends a head.
fn send(to: &mut impl Write, head: &impl Serialize) -> io::Result<()> {
    let head = serde_json::to_vec(head)?;
    to.write_all(&(head.len() as u32).to_le_bytes())?;
    to.write_all(&head)
}

/// Receives a head.
fn head<T: for<'a> Deserialize<'a>>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > HEAD_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut head = vec![0; length];
    from.read_exact(&mut head)?;
    Ok(serde_json::from_slice(&head)?)
}

/// The answer, of which no length is believed: a process that decodes a hostile file may be the
/// file's.
fn receive(from: &mut impl Read) -> io::Result<Result<InputImages, InputError>> {
    let answer: Result<Answer, InputError> = head(from)?;
    let Answer { width, height, mask, done } = match answer {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(error)),
    };
    if !side_fits(width) || !side_fits(height) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let pixels = width as usize * height as usize;
    let mut rgb = vec![0; 3 * pixels];
    from.read_exact(&mut rgb)?;
    let mut grey = mask.then(|| vec![0; pixels]);
    if let Some(grey) = &mut grey {
        from.read_exact(grey)?;
    }
    Ok(Ok(InputImages { width, height, rgb, mask: grey, done }))
}

/// The whole program of the process: decodes what standard input has, and answers on standard output.
pub fn run_decoder() -> ExitCode {
    match limit().and_then(|()| answer()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Takes from this process what decoding does not need.
fn limit() -> io::Result<()> {
    let seconds = TIME_MAX.as_secs();
    for (resource, most) in [
        (Resource::As, MEMORY_MAX),
        (Resource::Cpu, seconds),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        // No file, socket or pipe can be opened any more.
        (Resource::Nofile, 0),
    ] {
        // A limit that is lower already stays.
        let now = rustix::process::getrlimit(resource);
        let current = now.current.map_or(most, |now| now.min(most));
        // SIGXCPU, which tells the reason, comes before SIGKILL.
        let last = if resource == Resource::Cpu { most + 5 } else { most };
        let most = now.maximum.map_or(last, |now| now.min(last));
        let current = current.min(most);
        setrlimit(resource, Rlimit { current: Some(current), maximum: Some(most) })?;
    }
    Ok(())
}

fn answer() -> io::Result<()> {
    let mut from = io::stdin().lock();
    let Question { request, initial, mask } = head(&mut from)?;
    let mut read = |length: usize| {
        let mut bytes = Vec::new();
        let found = (&mut from).take(length as u64).read_to_end(&mut bytes)?;
        if found == length { Ok(bytes) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof)) }
    };
    let initial = read(initial)?;
    let mask = mask.map(read).transpose()?;
    let mut to = io::stdout().lock();
    match read_input(&initial, mask.as_deref(), &request) {
        Err(error) => send(&mut to, &Err::<Answer, _>(error))?,
        Ok(images) => {
            let InputImages { width, height, rgb, mask, done } = images;
            let answer = Answer { width, height, mask: mask.is_some(), done };
            send(&mut to, &Ok::<_, InputError>(answer))?;
            to.write_all(&rgb)?;
            to.write_all(mask.as_deref().unwrap_or_default())?;
        }
    }
    to.flush()
}
