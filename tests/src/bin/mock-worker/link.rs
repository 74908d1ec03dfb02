//! Socket of the mock worker: commands in, frames out; the process exits when it closes.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use zimage_ipc::WorkerFrame;
use zimage_ipc::{Command, JobImage, Point};
use zimg_client::params::limits::default_strength;
use zimg_protocol::limits::TO_CLIENT_BYTES;
use zimg_protocol::messages::{ImageRole, JobId, Params};

/// A job from the supervisor.
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) params: Params,
    pub(crate) previews: bool,
    /// Where to go on, and the latents there.
    pub(crate) from: Option<(Point, Vec<u8>)>,
    /// Its image inputs.
    images: Vec<(ImageRole, Vec<u8>)>,
}

impl Job {
    /// Of its steps, those that an initial image saves.
    pub(crate) fn skipped_steps(&self) -> u32 {
        let steps = self.params.steps.unwrap_or(8);
        if self.pixels(ImageRole::Initial).is_none() {
            return 0;
        }
        let usual = default_strength(self.pixels(ImageRole::Mask).is_some());
        let strength = self.params.strength.unwrap_or(usual);
        (steps as f32 - steps as f32 * strength) as u32
    }

    /// The pixels of its image input of this role.
    pub(crate) fn pixels(&self, role: ImageRole) -> Option<&[u8]> {
        self.images.iter().find(|(of, _)| *of == role).map(|(_, pixels)| pixels.as_slice())
    }
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
            WorkerFrame::Command(Command::Generate { job: id, params, previews, from, images }) => {
                *requested = Requests::default();
                let from = from.map(|point| (point, announced(socket, point.bytes)));
                let pixels = |image: &JobImage| (image.role, announced(socket, image.bytes));
                let images = images.iter().map(pixels).collect();
                let _ = jobs.send(Job { id, params: *params, previews, from, images });
            }
            WorkerFrame::Command(Command::Cancel { job }) => requested.cancelled = job,
            WorkerFrame::Command(Command::Pause { job }) => requested.paused = job,
            // It has no LoRAs, and gives no answer.
            WorkerFrame::Command(Command::Loras) => {}
            _ => process::abort(),
        }
    }
}

/// The bytes of latents or of an image input that a command announces.
fn announced(socket: &mut impl Read, length: u64) -> Vec<u8> {
    let mut found = Vec::new();
    while (found.len() as u64) < length {
        match WorkerFrame::read(socket, TO_CLIENT_BYTES) {
            Ok(Some(WorkerFrame::Latents(chunk) | WorkerFrame::Image(chunk))) => {
                found.extend_from_slice(&chunk);
            }
            _ => process::abort(),
        }
    }
    if found.len() as u64 != length {
        process::abort();
    }
    found
}
