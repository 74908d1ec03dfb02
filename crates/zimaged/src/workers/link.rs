//! The link to one worker process: its messages go to the supervisor, commands go to it, and its
//! exit is reported exactly once, after all its messages.

use std::collections::VecDeque;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::process::Child;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::StreamExt;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};
use zimage_ipc::{Command, Report, WorkerFrame, write_images, write_latents};
use zimg_protocol::FrameError;
use zimg_protocol::limits::{CHUNK_BYTES, TO_CLIENT_BYTES};
use zimg_system::memory;

use super::WorkerId;
use super::exit::{Exit, Shortage};
use crate::events;

/// What a worker says is heard for this long after its process ended, or its socket closed.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// A longer line of the worker's log is cut into pieces.
const LINE_BYTES: u64 = 4096;
/// Fewer pixels than this are copied out of what was read.
const FEW: usize = 64 << 10;
/// How many of its last lines explain a death.
const LINES_KEPT: usize = 3;
/// Commands that may wait for the worker: a job, its pause and its cancellation, with room.
const COMMANDS_MAX: usize = 8;
/// Messages of one worker that may wait for the supervisor: frames of at most a mebibyte.
pub(crate) const PENDING_MAX: usize = 8;

/// What comes from a worker.
#[derive(Debug)]
pub(crate) enum FromWorker {
    /// A report.
    Report(Report),
    /// The next pixels of the image announced last.
    Pixels(Bytes),
    /// The next latents of the point announced last.
    Latents(Bytes),
    /// Something it must not say; nothing after it is heard.
    Violation(String),
    /// Its end; the last that is heard of it.
    Exited(Exit),
}

/// What follows a command: latents and images that it announces.
#[derive(Clone, Debug, Default)]
pub(crate) struct CommandPayload {
    /// Of the point where a job goes on.
    pub latents: Bytes,
    /// The job's image inputs, in their order.
    pub images: Vec<Bytes>,
}

/// The supervisor's end.
#[derive(Debug)]
pub(crate) struct Link {
    worker: WorkerId,
    /// The process.
    pub pid: Option<u32>,
    /// None once the worker's input is closed.
    commands: Option<mpsc::Sender<(Command, CommandPayload)>>,
    kill: Arc<Notify>,
}

impl Link {
    /// Takes a fresh process over. `Exited` will come on `supervisor`, whatever happens.
    pub(crate) fn new(
        worker: WorkerId,
        child: Child,
        socket: UnixStream,
        supervisor: mpsc::Sender<(WorkerId, FromWorker)>,
    ) -> Self {
        let (commands, waiting) = mpsc::channel(COMMANDS_MAX);
        let kill = Arc::new(Notify::new());
        let link =
            Self { worker, pid: child.id(), commands: Some(commands), kill: Arc::clone(&kill) };
        tokio::spawn(attend(worker, child, socket, waiting, kill, supervisor));
        link
    }

    /// A link without a process: what would be said to it can be read.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn without_process() -> (Self, mpsc::Receiver<(Command, CommandPayload)>) {
        let (commands, said) = mpsc::channel(COMMANDS_MAX);
        (
            Self { worker: WorkerId(0), pid: None, commands: Some(commands), kill: Arc::default() },
            said,
        )
    }

    /// Sends a command and what follows it, and never waits: a task writes it at the worker's pace. A
    /// worker that cannot take it is dying, which its exit will report.
    pub(crate) fn command(&self, command: Command, payload: CommandPayload) {
        let commands = self.commands.as_ref();
        if commands.is_none_or(|commands| commands.try_send((command, payload)).is_err()) {
            tracing::debug!(
                event = events::COMMAND_DROPPED,
                worker = self.worker.0,
                "the worker takes no command"
            );
        }
    }

    /// Closes the worker's input, which asks it to end.
    pub(crate) fn close(&mut self) {
        self.commands = None;
    }

    /// Ends the process at once.
    pub(crate) fn kill(&self) {
        self.kill.notify_one();
    }
}

async fn attend(
    worker: WorkerId,
    mut child: Child,
    socket: UnixStream,
    commands: mpsc::Receiver<(Command, CommandPayload)>,
    kill: Arc<Notify>,
    supervisor: mpsc::Sender<(WorkerId, FromWorker)>,
) {
    let oom_kills = memory::oom_kills();
    let lines = Lines::default();
    let logs = [
        child.stdout.take().map(|pipe| tokio::spawn(copy_log(worker, pipe, lines.clone()))),
        child.stderr.take().map(|pipe| tokio::spawn(copy_log(worker, pipe, lines.clone()))),
    ];
    let (read, write) = socket.into_split();
    let writer = tokio::spawn(write_commands(worker, write, commands));
    let mut frames = FramedRead::new(read, frames_of_worker());

    // The socket may close before the process ends or after it: both are awaited, and the
    // socket is heard to its end before the process is judged.
    let mut exit = Exit::default();
    let mut status = None;
    let mut open = true;
    let mut killed = false;
    let mut last_words_until: Option<Instant> = None;
    while open || status.is_none() {
        tokio::select! {
            frame = frames.next(), if open => {
                let said = match frame {
                    None => None,
                    // It died in the middle of a message, or before it had read ours: of what,
                    // its end will tell.
                    Some(Err(error)) if error.kind() != io::ErrorKind::InvalidData => {
                        tracing::debug!(
                            event = events::REPORT_TRUNCATED,
                            worker = worker.0,
                            "the worker's last message is cut: {error}"
                        );
                        exit.truncated = true;
                        None
                    }
                    Some(Err(error)) => Some(FromWorker::Violation(error.to_string())),
                    Some(Ok(body)) => Some(understand(body.freeze())),
                };
                open = matches!(&said, Some(said) if !matches!(said, FromWorker::Violation(_)));
                if !open {
                    last_words_until.get_or_insert(Instant::now() + LAST_WORDS);
                }
                if let Some(said) = said && supervisor.send((worker, said)).await.is_err() {
                    open = false;
                }
            }
            ended = child.wait(), if status.is_none() => {
                status = Some(ended.ok());
                last_words_until.get_or_insert(Instant::now() + LAST_WORDS);
            }
            () = kill.notified(), if status.is_none() => {
                killed = true;
                end(worker, &mut child);
            }
            () = async { sleep_until(last_words_until.unwrap_or_else(Instant::now)).await },
                if last_words_until.is_some() =>
            {
                open = false;
                last_words_until = None;
                if status.is_none() {
                    exit.still_running = true;
                    end(worker, &mut child);
                }
            }
        }
    }
    writer.abort();
    for log in logs.into_iter().flatten() {
        finish(log).await;
    }
    let status = status.flatten();
    exit.code = status.and_then(|status| status.code());
    exit.signal = status.and_then(|status| status.signal());
    exit.stderr_tail = lines.stderr_tail();
    if !killed && !exit.still_running {
        exit.shortage = shortage(&exit, oom_kills);
    }
    // The supervisor is gone only when the daemon ends.
    let _ = supervisor.send((worker, FromWorker::Exited(exit))).await;
}

/// What a process that ended by itself had too little of; the kernel had killed so many for lack of
/// memory when it was started.
fn shortage(exit: &Exit, oom_kills: Option<u64>) -> Option<Shortage> {
    if exit.signal == Some(nix::libc::SIGKILL) {
        return (memory::oom_kills() > oom_kills).then(|| Shortage::Memory(memory::allowed()));
    }
    if !exit.is_refused_memory() {
        return None;
    }
    let data = || memory::data().map(Shortage::Data);
    memory::address_space().map(Shortage::AddressSpace).or_else(data)
}

fn end(worker: WorkerId, child: &mut Child) {
    if let Err(error) = child.start_kill() {
        tracing::debug!(
            event = events::KILL_FAILED,
            worker = worker.0,
            "cannot end the worker: {error}"
        );
    }
}

/// A log pipe normally ends with its process; one that a grandchild holds open is left alone.
async fn finish(mut log: JoinHandle<()>) {
    if timeout(LAST_WORDS, &mut log).await.is_err() {
        log.abort();
    }
}

/// Cuts what a worker says into frames.
pub(crate) fn frames_of_worker() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(TO_CLIENT_BYTES).new_codec()
}

/// What a frame of a worker's says.
pub(crate) fn understand(body: Bytes) -> FromWorker {
    match WorkerFrame::decode(body) {
        Ok(WorkerFrame::Report(report)) => FromWorker::Report(report),
        // A few of them would hold all that was read with them.
        Ok(WorkerFrame::Pixels(pixels)) if pixels.len() < FEW => {
            FromWorker::Pixels(Bytes::copy_from_slice(&pixels))
        }
        Ok(WorkerFrame::Pixels(pixels)) => FromWorker::Pixels(pixels),
        Ok(WorkerFrame::Latents(latents)) => FromWorker::Latents(latents),
        Ok(other) => FromWorker::Violation(FrameError::Kind(other.kind()).to_string()),
        Err(error) => FromWorker::Violation(error.to_string()),
    }
}

/// Writes commands until there can be no more; then the worker reads the end of its input.
async fn write_commands(
    worker: WorkerId,
    mut write: OwnedWriteHalf,
    mut commands: mpsc::Receiver<(Command, CommandPayload)>,
) {
    while let Some((command, payload)) = commands.recv().await {
        let mut bytes = Vec::new();
        let encoded = WorkerFrame::Command(command).write(&mut bytes);
        if let Err(error) = encoded.and_then(|()| Ok(write_latents(&mut bytes, &payload.latents)?))
        {
            tracing::error!(
                event = events::COMMAND_INVALID,
                worker = worker.0,
                "cannot encode a command: {error}"
            );
            continue;
        }
        let mut written = write.write_all(&bytes).await;
        // The images are not copied as a whole.
        for chunk in payload.images.iter().flat_map(|pixels| pixels.chunks(CHUNK_BYTES)) {
            bytes.clear();
            written = written.and_then(|()| write_images(&mut bytes, &[chunk]));
            if written.is_ok() {
                written = write.write_all(&bytes).await;
            }
        }
        if written.is_err() {
            // A dying worker; the reader hears its end.
            return;
        }
    }
}

/// The last lines of a worker's log.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<VecDeque<String>>>);

impl Lines {
    fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    /// The lines as one.
    fn stderr_tail(&self) -> Option<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!lines.is_empty()).then(|| lines.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
    }
}

/// A line without control characters, which a terminal or the journal would act on.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = |c: char| if c == '\t' { ' ' } else { '\u{fffd}' };
    text.trim_end().chars().map(|c| if c.is_control() { shown(c) } else { c }).collect()
}

/// Copies a log to ours, line by line, whatever is in it.
async fn copy_log(worker: WorkerId, pipe: impl AsyncRead + Unpin, lines: Lines) {
    let mut pipe = BufReader::new(pipe);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match (&mut pipe).take(LINE_BYTES).read_until(b'\n', &mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = printable(&bytes);
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        tracing::info!(
            target: "worker",
            event = events::WORKER_OUTPUT,
            worker = worker.0,
            "{line}"
        );
        // Rust's advice on backtraces follows the reason of a panic and explains nothing.
        if !line.starts_with("note: run with `RUST_BACKTRACE") {
            lines.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_lines_explain_and_long_or_foreign_ones_do_no_harm() {
        let mut log = b"one\ntwo\n\nthree\n".to_vec();
        log.extend([b'x'; 5000]);
        log.extend(b"\n\xff\0\x1b[2J\tend\r\nnote: run with `RUST_BACKTRACE=1`\n");
        let lines = Lines::default();
        copy_log(WorkerId(0), &log[..], lines.clone()).await;
        let tail = lines.stderr_tail().unwrap();
        let foreign = "\u{fffd}\u{fffd}\u{fffd}[2J end";
        assert_eq!(tail, format!("{} {} {foreign}", "x".repeat(4096), "x".repeat(904)));
        assert_eq!(Lines::default().stderr_tail(), None);
    }

    #[test]
    fn only_reports_and_pixels_make_sense() {
        let nonsense = |body: &'static [u8]| {
            matches!(understand(Bytes::from_static(body)), FromWorker::Violation(_))
        };
        assert!(nonsense(b""));
        assert!(nonsense(b"\x09"));
        assert!(nonsense(b"\x04garbage"));
        assert!(!nonsense(b"\x10rgb"));
        assert!(!nonsense(b"\x11latents"));
    }
}
