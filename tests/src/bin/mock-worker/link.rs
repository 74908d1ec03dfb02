//! Socket of the mock worker: commands in, frames out; the process exits when it closes.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use zimage_ipc::WorkerFrame;
use zimage_ipc::{Command, Point};
use zimg_protocol::limits::TO_CLIENT_BYTES;
use zimg_protocol::messages::{JobId, Params};

/// A job from the supervisor.
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) params: Params,
    pub(crate) previews: bool,
    /// Where to go on, and the latents there.
    pub(crate) from: Option<(Point, Vec<u8>)>,
}

/// Jobs that the supervisor has cancelled or paused: the number, or 0.
#[derive(Clone, Copy, Default)]
pub(crate) struct Requests {
    pub(crate) cancelled: JobId,
    pub(crate) paused: JobId,
}

pub(crate) struct Link {
    socket: UnixStream,
    jobs: mpsc::Receiver<Job>,
    requests: Arc<Mutex<Requests>>,
}

impl Link {
    /// Takes file descriptor 0; a mortal process ends when it closes.
    pub(crate) fn open(mortal: bool) -> io::Result<Self> {
        let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let (sender, jobs) = mpsc::channel();
        let requests = Arc::new(Mutex::new(Requests::default()));
        let (mut reading, theirs) = (socket.try_clone()?, Arc::clone(&requests));
        thread::spawn(move || {
            listen(&mut reading, &sender, &theirs);
            if mortal {
                process::exit(0);
            }
            loop {
                thread::park();
            }
        });
        Ok(Self { socket, jobs, requests })
    }

    /// The next job.
    pub(crate) fn next(&self) -> Option<Job> {
        self.jobs.recv().ok()
    }

    /// What the supervisor requests of the running job.
    pub(crate) fn requests(&self) -> Requests {
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner)
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
fn listen(socket: &mut impl Read, jobs: &mpsc::Sender<Job>, requests: &Mutex<Requests>) {
    while let Ok(Some(frame)) = WorkerFrame::read(socket, TO_CLIENT_BYTES) {
        let mut requested = requests.lock().unwrap_or_else(PoisonError::into_inner);
        match frame {
            WorkerFrame::Command(Command::Generate { job: id, params, previews, from }) => {
                *requested = Requests::default();
                let from = from.map(|point| (point, latents(socket, point)));
                let _ = jobs.send(Job { id, params: *params, previews, from });
            }
            WorkerFrame::Command(Command::Cancel { job }) => requested.cancelled = job,
            WorkerFrame::Command(Command::Pause { job }) => requested.paused = job,
            // It has no LoRAs, and gives no answer.
            WorkerFrame::Command(Command::Loras) => {}
            _ => process::abort(),
        }
    }
}

/// The latents that a point announces.
fn latents(socket: &mut impl Read, point: Point) -> Vec<u8> {
    let mut latents = Vec::new();
    while (latents.len() as u64) < point.bytes {
        match WorkerFrame::read(socket, TO_CLIENT_BYTES) {
            Ok(Some(WorkerFrame::Latents(chunk))) => latents.extend_from_slice(&chunk),
            _ => process::abort(),
        }
    }
    if latents.len() as u64 != point.bytes {
        process::abort();
    }
    latents
}
