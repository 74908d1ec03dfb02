//! The mock's socket: commands in, frames out, and the end when it closes.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use zimg_protocol::Frame;
use zimg_protocol::limits::TO_CLIENT_BYTES;
use zimg_protocol::messages::{Command, JobId, Params, Point};

/// A job from the supervisor.
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) params: Params,
    pub(crate) previews: bool,
    /// Where to go on, and the latents there.
    pub(crate) from: Option<(Point, Vec<u8>)>,
}

/// What the supervisor wishes of the running job: its number, or 0.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wishes {
    pub(crate) cancelled: JobId,
    pub(crate) paused: JobId,
}

pub(crate) struct Link {
    socket: UnixStream,
    jobs: mpsc::Receiver<Job>,
    wishes: Arc<Mutex<Wishes>>,
}

impl Link {
    /// Takes file descriptor 0; a mortal process ends when it closes.
    pub(crate) fn open(mortal: bool) -> io::Result<Self> {
        let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let (sender, jobs) = mpsc::channel();
        let wishes = Arc::new(Mutex::new(Wishes::default()));
        let (mut reading, theirs) = (socket.try_clone()?, Arc::clone(&wishes));
        thread::spawn(move || {
            listen(&mut reading, &sender, &theirs);
            if mortal {
                process::exit(0);
            }
            loop {
                thread::park();
            }
        });
        Ok(Self { socket, jobs, wishes })
    }

    /// The next job.
    pub(crate) fn next(&self) -> Option<Job> {
        self.jobs.recv().ok()
    }

    /// What is wished of the running job.
    pub(crate) fn wishes(&self) -> Wishes {
        *self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// Commands, until there can be no more.
fn listen(socket: &mut impl Read, jobs: &mpsc::Sender<Job>, wishes: &Mutex<Wishes>) {
    while let Ok(Some(frame)) = Frame::read(socket, TO_CLIENT_BYTES) {
        let mut wished = wishes.lock().unwrap_or_else(PoisonError::into_inner);
        match frame {
            Frame::Command(Command::Draw { job: id, params, previews, from }) => {
                *wished = Wishes::default();
                let from = from.map(|point| (point, latents(socket, point)));
                let _ = jobs.send(Job { id, params, previews, from });
            }
            Frame::Command(Command::Cancel { job }) => wished.cancelled = job,
            Frame::Command(Command::Pause { job }) => wished.paused = job,
            _ => process::abort(),
        }
    }
}

/// The latents that a point announces.
fn latents(socket: &mut impl Read, point: Point) -> Vec<u8> {
    let mut latents = Vec::new();
    while (latents.len() as u64) < point.bytes {
        match Frame::read(socket, TO_CLIENT_BYTES) {
            Ok(Some(Frame::Latents(chunk))) => latents.extend_from_slice(&chunk),
            _ => process::abort(),
        }
    }
    if latents.len() as u64 != point.bytes {
        process::abort();
    }
    latents
}
