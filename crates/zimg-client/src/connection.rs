//! One connection: the hello, then frames.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use zimg_protocol::hello::{self, MAGIC, NotZimg};
use zimg_protocol::limits::{HELLO_TIMEOUT, NO_PROGRESS, TO_CLIENT_BYTES};
use zimg_protocol::messages::{
    Event, JobId, JobInfo, Overview, Params, Request, Setup, Status, Submit,
};
use zimg_protocol::{Failure, Frame, FrameError, Hello, Kind, Welcome};

use crate::job::Job;
use crate::service::Service;
use crate::socket::how_to_be_allowed;

/// A connection to the daemon on which the hello is done.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    minor: u16,
}

impl Client {
    /// Connects to the socket at `path` and says hello. `program` is the caller's name and
    /// version ("zimg 0.1.0"), for the sentence about versions that do not fit.
    ///
    /// # Errors
    ///
    /// `Unavailable`: no daemon there. `Permission`: not allowed to connect. `Version`: no common
    /// version. `Busy`: no answer within `limits::HELLO_TIMEOUT`, or too many clients. `Internal`:
    /// the connection broke.
    pub fn connect(program: &str, path: &Path) -> Result<Self, Failure> {
        Self::connect_patiently(program, path, || false)
    }

    /// As [`Client::connect`], for who would rather wait: whenever there has been no answer for
    /// `limits::HELLO_TIMEOUT`, `patient` says whether to go on waiting. Where a service manager
    /// holds the socket, a client that comes while the daemon is restarted waits so long.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`].
    pub fn connect_patiently(
        program: &str,
        path: &Path,
        patient: impl FnMut() -> bool,
    ) -> Result<Self, Failure> {
        let stream = UnixStream::connect(path).map_err(|error| no_connection(path, &error))?;
        let mut client = Self { stream: BufReader::new(stream), path: path.to_owned(), minor: 0 };
        client.timeout(true)?;
        client.hello(program, patient)?;
        client.timeout(false)?;
        Ok(client)
    }

    /// The daemon's minor version of the protocol. One of 0 knows [`Client::draw`] and
    /// [`Client::status`], and ends the connection over any other question.
    pub fn minor(&self) -> u16 {
        self.minor
    }

    /// Asks for images, as somebody who waits for them. The connection serves this one job.
    ///
    /// # Errors
    ///
    /// `Refused`: `draw` is beyond the limits. `Internal`: the connection broke; or what the
    /// daemon said instead.
    pub fn draw(mut self, draw: &Params) -> Result<Job, Failure> {
        draw.check()?;
        self.send(Request::Draw(draw.clone()))?;
        Ok(Job::new(self, draw, false))
    }

    /// As [`Client::draw`], with how the job is to be treated. A detached one ends with
    /// `Update::Accepted`.
    ///
    /// # Errors
    ///
    /// As [`Client::draw`].
    pub fn submit(mut self, submit: &Submit) -> Result<Job, Failure> {
        submit.params.check()?;
        self.send(Request::Submit(submit.clone()))?;
        Ok(Job::new(self, &submit.params, submit.detach))
    }

    /// Follows a detached job of the same user to its end; all its images come.
    ///
    /// # Errors
    ///
    /// `Internal`: the connection broke. That there is no such job is the first update's error.
    pub fn wait(mut self, job: JobId) -> Result<Job, Failure> {
        self.send(Request::Wait { job })?;
        Ok(Job::any(self))
    }

    /// Asks how the daemon is.
    ///
    /// # Errors
    ///
    /// `Busy`: no answer within `limits::HELLO_TIMEOUT`. `Internal`: the connection broke; or
    /// what the daemon said instead.
    pub fn status(&mut self) -> Result<Status, Failure> {
        match self.ask(Request::Status)? {
            Event::Status(status) => Ok(*status),
            other => Err(out_of_turn(&Frame::Event(other))),
        }
    }

    /// Asks for all there is to say about the daemon.
    ///
    /// # Errors
    ///
    /// As [`Client::status`].
    pub fn overview(&mut self) -> Result<Overview, Failure> {
        match self.ask(Request::Overview)? {
            Event::Overview(overview) => Ok(*overview),
            other => Err(out_of_turn(&Frame::Event(other))),
        }
    }

    /// Asks where the daemon has its things.
    ///
    /// # Errors
    ///
    /// As [`Client::status`].
    pub fn setup(&mut self) -> Result<Setup, Failure> {
        match self.ask(Request::Setup)? {
            Event::Setup(setup) => Ok(*setup),
            other => Err(out_of_turn(&Frame::Event(other))),
        }
    }

    /// Asks for the user's jobs, or for all of them as root.
    ///
    /// # Errors
    ///
    /// As [`Client::status`].
    pub fn jobs(&mut self) -> Result<Vec<JobInfo>, Failure> {
        match self.ask(Request::Jobs)? {
            Event::Jobs(jobs) => Ok(jobs),
            other => Err(out_of_turn(&Frame::Event(other))),
        }
    }

    /// Stops a job of the user's, or any as root.
    ///
    /// # Errors
    ///
    /// As [`Client::status`], and the daemon's own if there is no such job.
    pub fn cancel(&mut self, job: JobId) -> Result<(), Failure> {
        self.order(Request::CancelJob { job })
    }

    /// Lets the daemon forget a detached job, whose images are saved.
    ///
    /// # Errors
    ///
    /// As [`Client::cancel`].
    pub fn forget(&mut self, job: JobId) -> Result<(), Failure> {
        self.order(Request::Forget { job })
    }

    /// Frees the GPU until the next prompt. Returns when it is free: a job that is being drawn
    /// ends first.
    ///
    /// # Errors
    ///
    /// `Busy`: jobs wait, or somebody asked for the model meanwhile. `Internal`: the connection
    /// broke.
    pub fn sleep(&mut self) -> Result<(), Failure> {
        self.send(Request::Sleep)?;
        match self.answer()? {
            Event::Acknowledged => Ok(()),
            other => Err(out_of_turn(&Frame::Event(other))),
        }
    }

    /// Brings the model back before a prompt does.
    ///
    /// # Errors
    ///
    /// As [`Client::sleep`].
    pub fn wake(&mut self) -> Result<(), Failure> {
        self.order(Request::Wake)
    }

    fn order(&mut self, request: Request) -> Result<(), Failure> {
        match self.ask(request)? {
            Event::Acknowledged => Ok(()),
            other => Err(out_of_turn(&Frame::Event(other))),
        }
    }

    /// A question that is answered at once, with one event.
    fn ask(&mut self, request: Request) -> Result<Event, Failure> {
        self.timeout(true)?;
        self.send(request)?;
        let answer = self.answer()?;
        self.timeout(false)?;
        Ok(answer)
    }

    fn answer(&mut self) -> Result<Event, Failure> {
        match self.receive()? {
            Frame::Event(Event::Failed(failure)) => Err(failure),
            Frame::Event(event) => Ok(event),
            other => Err(out_of_turn(&other)),
        }
    }

    /// The next frame. The end of the stream is an error, and so is the daemon's error frame.
    pub(crate) fn receive(&mut self) -> Result<Frame, Failure> {
        match Frame::read(&mut self.stream, TO_CLIENT_BYTES) {
            Ok(Some(Frame::Error(error))) => Err(error.into()),
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => Err(broken("the daemon ended the connection before it was done")),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// A second handle on the same socket, for writing from another thread.
    pub(crate) fn writer(&self) -> io::Result<UnixStream> {
        self.stream.get_ref().try_clone()
    }

    fn send(&mut self, request: Request) -> Result<(), Failure> {
        let sent = Frame::Request(request).write(self.stream.get_mut());
        match sent {
            // A daemon that hangs up says why first.
            Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.receive().map(|_| ())
            }
            Err(error) => Err(self.failed(error)),
            Ok(()) => Ok(()),
        }
    }

    fn hello(&mut self, program: &str, patient: impl FnMut() -> bool) -> Result<(), Failure> {
        if let Err(error) = self.stream.get_mut().write_all(&Hello::OURS.to_bytes())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(self.failed(error.into()));
        }
        self.wait_for_answer(patient)?;
        let mut bytes = [0; hello::BYTES];
        let (magic, rest) = bytes.split_at_mut(MAGIC.len());
        self.fill(magic)?;
        if *magic != MAGIC {
            // Not a Welcome: a daemon that cannot even begin sends an error frame.
            let mut frame = magic.chain(&mut self.stream);
            return match Frame::read(&mut frame, TO_CLIENT_BYTES) {
                Ok(Some(Frame::Error(error))) => Err(error.into()),
                Err(error) if error.is_timeout() => Err(self.failed(error)),
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
    fn wait_for_answer(&mut self, mut patient: impl FnMut() -> bool) -> Result<(), Failure> {
        loop {
            match self.stream.fill_buf().map(drop).map_err(FrameError::from) {
                Err(error) if error.is_timeout() && patient() => {}
                // Who is suspended and goes on: reads that have a timeout end then.
                Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                // It ended before it took this connection out of the queue.
                Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(no_connection(&self.path, &error));
                }
                other => return other.map_err(|error| self.failed(error)),
            }
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Failure> {
        self.stream.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => broken("the daemon ended the connection at once"),
            _ => self.failed(error.into()),
        })
    }

    /// Reads end after `limits::HELLO_TIMEOUT`, or never; an image may take its time.
    fn timeout(&self, reads: bool) -> Result<(), Failure> {
        let stream = self.stream.get_ref();
        stream
            .set_read_timeout(reads.then_some(HELLO_TIMEOUT))
            .and_then(|()| stream.set_write_timeout(Some(NO_PROGRESS)))
            .map_err(|error| self.failed(error.into()))
    }

    fn failed(&self, error: FrameError) -> Failure {
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
            FrameError::Truncated => broken("the daemon ended the connection in mid-sentence"),
            error => Failure::new(
                Kind::Internal,
                format!("the daemon does not keep to the protocol: {error}"),
            ),
        }
    }
}

/// The failure for a frame that has no place where it came.
pub(crate) fn out_of_turn(frame: &Frame) -> Failure {
    let kind = frame.kind();
    Failure::new(
        Kind::Internal,
        format!("the daemon does not keep to the protocol: kind {kind:#04x} came out of turn"),
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
            Failure::new(Kind::Unavailable, format!("no daemon runs: nobody listens at {at}"))
                .hint(Service::find().how_to_start(path))
        }
        _ => Failure::new(Kind::Unavailable, format!("no daemon can be reached at {at}: {error}"))
            .hint(Service::find().how_to_start(path)),
    }
}
