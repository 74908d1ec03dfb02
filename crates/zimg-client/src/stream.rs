//! The connection's byte stream: connecting, the hello, frames in both directions, and the
//! sentences for what fails.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use zimg_protocol::hello::{self, MAGIC, NotZimg};
use zimg_protocol::limits::{HELLO_TIMEOUT, NO_PROGRESS, TO_CLIENT_BYTES};
use zimg_protocol::messages::{Event, Generate, Request};
use zimg_protocol::{Failure, Frame, FrameError, Hello, Kind, Welcome};

use crate::image_upload::{self, ImageUpload, UploadMethod};
use crate::service::Service;
use crate::socket::how_to_be_allowed;

/// A connected socket on which the hello is done.
#[derive(Debug)]
pub(crate) struct FrameStream {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    minor: u16,
}

impl FrameStream {
    /// Connects and says hello; `wait` is asked at each timeout whether to go on waiting.
    pub(crate) fn connect(
        program: &str,
        path: &Path,
        wait: impl FnMut() -> bool,
    ) -> Result<Self, Failure> {
        let stream = UnixStream::connect(path).map_err(|error| no_connection(path, &error))?;
        let mut stream = Self { stream: BufReader::new(stream), path: path.to_owned(), minor: 0 };
        stream.set_read_timeout(true)?;
        stream.hello(program, wait)?;
        stream.set_read_timeout(false)?;
        Ok(stream)
    }

    /// The daemon's minor version.
    pub(crate) fn minor(&self) -> u16 {
        self.minor
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, request: Request) -> Result<(), Failure> {
        let sent = Frame::Request(request).write(self.stream.get_mut());
        self.sent(sent)
    }

    /// Sends a request with its images.
    pub(crate) fn send_with_images(
        &mut self,
        request: Generate,
        images: &[ImageUpload<'_>],
        method: UploadMethod,
    ) -> Result<(), Failure> {
        let sent = image_upload::write(self.stream.get_mut(), request, images, method);
        self.sent(sent)
    }

    fn sent(&mut self, sent: Result<(), FrameError>) -> Result<(), Failure> {
        match sent {
            // A daemon that closes the connection sends the reason first.
            Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.receive().map(|_| ())
            }
            Err(error) => Err(self.failure(error)),
            Ok(()) => Ok(()),
        }
    }

    /// The next frame. The end of the stream is an error, and so is the daemon's error frame.
    pub(crate) fn receive(&mut self) -> Result<Frame, Failure> {
        match Frame::read(&mut self.stream, TO_CLIENT_BYTES) {
            Ok(Some(Frame::Error(error))) => Err(error.into()),
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => Err(broken("the daemon ended the connection before it was done")),
            Err(error) => Err(self.failure(error)),
        }
    }

    /// The next frame, which has to be an event. A failure event is an error.
    pub(crate) fn receive_event(&mut self) -> Result<Event, Failure> {
        match self.receive()? {
            Frame::Event(Event::Failed(failure)) => Err(failure),
            Frame::Event(event) => Ok(event),
            other => Err(unexpected_frame(&other)),
        }
    }

    /// A second handle of the socket, for writing from another thread.
    pub(crate) fn writer(&self) -> io::Result<UnixStream> {
        self.stream.get_ref().try_clone()
    }

    /// Limits each read to `limits::HELLO_TIMEOUT`, or not at all: an image may take its time.
    pub(crate) fn set_read_timeout(&self, on: bool) -> Result<(), Failure> {
        let stream = self.stream.get_ref();
        stream
            .set_read_timeout(on.then_some(HELLO_TIMEOUT))
            .and_then(|()| stream.set_write_timeout(Some(NO_PROGRESS)))
            .map_err(|error| self.failure(error.into()))
    }

    fn hello(&mut self, program: &str, wait: impl FnMut() -> bool) -> Result<(), Failure> {
        if let Err(error) = self.stream.get_mut().write_all(&Hello::OURS.to_bytes())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(self.failure(error.into()));
        }
        self.wait_for_answer(wait)?;
        let mut bytes = [0; hello::BYTES];
        let (magic, rest) = bytes.split_at_mut(MAGIC.len());
        self.fill(magic)?;
        if *magic != MAGIC {
            // Instead of a Welcome, a daemon without a free connection sends an error frame.
            let mut frame = magic.chain(&mut self.stream);
            return match Frame::read(&mut frame, TO_CLIENT_BYTES) {
                Ok(Some(Frame::Error(error))) => Err(error.into()),
                Err(error) if error.is_timeout() => Err(self.failure(error)),
                _ => Err(NotZimg.into()),
            };
        }
        self.fill(rest)?;
        let welcome = Welcome::from_bytes(bytes)?;
        if (Hello::OURS.min_major..=Hello::OURS.max_major).contains(&welcome.major) {
            self.minor = welcome.minor;
            return Ok(());
        }
        let daemon = match Frame::read(&mut self.stream, TO_CLIENT_BYTES) {
            Ok(Some(Frame::Error(error))) => Some(error.text),
            _ => None,
        };
        Err(hello::skew(program, Hello::OURS, welcome, daemon.as_deref()))
    }

    /// Waits for the first byte, or the end.
    fn wait_for_answer(&mut self, mut wait: impl FnMut() -> bool) -> Result<(), Failure> {
        loop {
            match self.stream.fill_buf().map(drop).map_err(FrameError::from) {
                Err(error) if error.is_timeout() && wait() => {}
                // A process that was suspended and continued: its reads with a timeout end then.
                Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                // The daemon ended before it accepted this connection.
                Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(no_connection(&self.path, &error));
                }
                other => return other.map_err(|error| self.failure(error)),
            }
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Failure> {
        self.stream.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => broken("the daemon ended the connection at once"),
            _ => self.failure(error.into()),
        })
    }

    fn failure(&self, error: FrameError) -> Failure {
        let path = self.path.display();
        match &error {
            error if error.is_timeout() => {
                let seconds = HELLO_TIMEOUT.as_secs();
                Failure::new(
                    Kind::Busy,
                    format!("the daemon at {path} did not answer within {seconds} s"),
                )
                .hint("it may be stopped or overloaded; try again")
            }
            FrameError::Io(error) => {
                broken(&format!("the connection to the daemon at {path} broke: {error}"))
            }
            FrameError::Truncated => {
                broken("the daemon ended the connection in the middle of a message")
            }
            error => {
                Failure::new(Kind::Internal, format!("the daemon violates the protocol: {error}"))
            }
        }
    }
}

/// The failure for a frame of a kind that the daemon may not send at this point.
pub(crate) fn unexpected_frame(frame: &Frame) -> Failure {
    let kind = frame.kind();
    Failure::new(
        Kind::Internal,
        format!("the daemon violates the protocol: unexpected frame of kind {kind:#04x}"),
    )
}

fn broken(message: &str) -> Failure {
    Failure::new(Kind::Internal, message)
        .hint("the daemon's log says why: `journalctl -u zimaged`, or the terminal it runs in")
}

fn no_connection(path: &Path, error: &io::Error) -> Failure {
    let at = path.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Failure::new(Kind::Permission, format!("you may not use the daemon at {at}"))
                .hint(how_to_be_allowed(path))
        }
        io::ErrorKind::NotFound => {
            Failure::new(Kind::Unavailable, format!("no daemon runs: there is no socket at {at}"))
                .hint(Service::find().how_to_start(path))
        }
        io::ErrorKind::ConnectionRefused => {
            Failure::new(Kind::Unavailable, format!("no daemon runs: no process listens at {at}"))
                .hint(Service::find().how_to_start(path))
        }
        _ => Failure::new(Kind::Unavailable, format!("no daemon can be reached at {at}: {error}"))
            .hint(Service::find().how_to_start(path)),
    }
}
