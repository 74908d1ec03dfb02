//! The client: questions to the daemon, and the requests that begin a job.

use std::path::Path;

use zimg_protocol::messages::{
    Event, Expiries, Generate, JobId, JobInfo, Loras, Overview, Request, Setup, Status, WorkerPlan,
};
use zimg_protocol::{Failure, Frame};

use crate::image_upload::{ImageUpload, UploadMethod};
use crate::job::Job;
use crate::stream::{FrameStream, unexpected_frame};

/// A connection to the daemon on which the hello is done.
#[derive(Debug)]
pub struct Client(FrameStream);

impl Client {
    /// Connects to the socket at `path` and says hello. `program` is the caller's name and
    /// version ("zimg 0.1.0"), for the sentence about incompatible versions.
    ///
    /// # Errors
    ///
    /// `Unavailable`: no daemon there. `Permission`: not allowed to connect. `Version`: no common
    /// version. `Busy`: no answer within `limits::HELLO_TIMEOUT`, or too many clients. `Internal`:
    /// the connection broke.
    pub fn connect(program: &str, path: &Path) -> Result<Self, Failure> {
        Self::connect_waiting(program, path, || false)
    }

    /// As [`Client::connect`], but after each `limits::HELLO_TIMEOUT` without an answer `wait`
    /// returns whether to go on waiting. Where a service manager holds the socket, a client that
    /// connects during a restart of the daemon waits for its end.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`].
    pub fn connect_waiting(
        program: &str,
        path: &Path,
        wait: impl FnMut() -> bool,
    ) -> Result<Self, Failure> {
        FrameStream::connect(program, path, wait).map(Self)
    }

    /// The daemon's minor version of the protocol. It is raised when messages
    /// are added.
    pub fn minor(&self) -> u16 {
        self.0.minor()
    }

    /// Generates images. The connection serves this one job; a detached one ends with
    /// `Update::Accepted`.
    ///
    /// # Errors
    ///
    /// `Refused`: a parameter is out of its range. `Internal`: the connection broke; or the
    /// daemon's refusal.
    pub fn generate(mut self, request: impl Into<Generate>) -> Result<Job, Failure> {
        let request = request.into();
        request.params.check()?;
        let requested = (request.params.images(), (request.params.width, request.params.height));
        let detached = request.detach;
        self.0.send(Request::Generate(request))?;
        Ok(Job::new(self.0, requested, detached))
    }

    /// The same with images that the model starts from, which `Capabilities` says whether it takes.
    ///
    /// # Errors
    ///
    /// As [`Client::generate`].
    pub fn generate_from(
        mut self,
        request: impl Into<Generate>,
        images: &[ImageUpload<'_>],
        method: UploadMethod,
    ) -> Result<Job, Failure> {
        let request = request.into();
        request.params.check()?;
        let requested = (request.params.images(), (request.params.width, request.params.height));
        let detached = request.detach;
        self.0.send_with_images(request, images, method)?;
        Ok(Job::new(self.0, requested, detached))
    }

    /// Subscribes to a detached job of the same user until its end; all its images come.
    ///
    /// # Errors
    ///
    /// `Internal`: the connection broke. If there is no such job, the first update is the error.
    pub fn wait(mut self, job: JobId) -> Result<Job, Failure> {
        self.0.send(Request::Wait { job })?;
        Ok(Job::subscribed(self.0))
    }

    /// The daemon's status.
    ///
    /// # Errors
    ///
    /// `Busy`: no answer within `limits::HELLO_TIMEOUT`. `Internal`: the connection broke; or the
    /// daemon's refusal.
    pub fn status(&mut self) -> Result<Status, Failure> {
        match self.ask(Request::Status)? {
            Event::Status(status) => Ok(*status),
            other => Err(unexpected_frame(&Frame::Event(other))),
        }
    }

    /// The daemon's status with its estimates and counters.
    ///
    /// # Errors
    ///
    /// As [`Client::status`].
    pub fn overview(&mut self) -> Result<Overview, Failure> {
        match self.ask(Request::Overview)? {
            Event::Overview(overview) => Ok(*overview),
            other => Err(unexpected_frame(&Frame::Event(other))),
        }
    }

    /// The daemon's paths and configuration.
    ///
    /// # Errors
    ///
    /// As [`Client::status`].
    pub fn setup(&mut self) -> Result<Setup, Failure> {
        match self.ask(Request::Setup)? {
            Event::Setup(setup) => Ok(*setup),
            other => Err(unexpected_frame(&Frame::Event(other))),
        }
    }

    /// The workers' memory plans; none from a daemon of an earlier minor version.
    ///
    /// # Errors
    ///
    /// As [`Client::status`].
    pub fn memory_plans(&mut self) -> Result<Vec<WorkerPlan>, Failure> {
        if self.minor() < 2 {
            return Ok(Vec::new());
        }
        match self.ask(Request::MemoryPlans)? {
            Event::MemoryPlans(plans) => Ok(plans),
            other => Err(unexpected_frame(&Frame::Event(other))),
        }
    }

    /// How long detached jobs stay, and when those of the user expire that have ended; none from a
    /// daemon of an earlier minor version.
    ///
    /// # Errors
    ///
    /// As [`Client::status`].
    pub fn expiries(&mut self) -> Result<Option<Expiries>, Failure> {
        if self.minor() < 3 {
            return Ok(None);
        }
        match self.ask(Request::Expiries)? {
            Event::Expiries(expiries) => Ok(Some(expiries)),
            other => Err(unexpected_frame(&Frame::Event(other))),
        }
    }

    /// The LoRAs that a request can name; none from a daemon that is too old to have any.
    ///
    /// # Errors
    ///
    /// As [`Client::status`]; and `Busy` until the model was loaded once.
    pub fn loras(&mut self) -> Result<Loras, Failure> {
        if self.minor() < 4 {
            return Ok(Loras::default());
        }
        match self.ask(Request::Loras)? {
            Event::Loras(loras) => Ok(*loras),
            other => Err(unexpected_frame(&Frame::Event(other))),
        }
    }

    /// The user's jobs, or all jobs for root.
    ///
    /// # Errors
    ///
    /// As [`Client::status`].
    pub fn jobs(&mut self) -> Result<Vec<JobInfo>, Failure> {
        match self.ask(Request::Jobs)? {
            Event::Jobs(jobs) => Ok(jobs),
            other => Err(unexpected_frame(&Frame::Event(other))),
        }
    }

    /// Cancels a job of the user, or any job as root.
    ///
    /// # Errors
    ///
    /// As [`Client::status`], and the daemon's refusal if there is no such job.
    pub fn cancel(&mut self, job: JobId) -> Result<(), Failure> {
        self.command(Request::CancelJob { job })
    }

    /// Deletes a detached job whose images are saved.
    ///
    /// # Errors
    ///
    /// As [`Client::cancel`].
    pub fn forget(&mut self, job: JobId) -> Result<(), Failure> {
        self.command(Request::Forget { job })
    }

    /// Frees the GPU until the next prompt. Returns when it is free: a running job ends first.
    ///
    /// # Errors
    ///
    /// `Busy`: jobs wait, or the model was requested meanwhile. `Internal`: the connection broke.
    pub fn sleep(&mut self) -> Result<(), Failure> {
        self.0.send(Request::Sleep)?;
        acknowledged(self.0.receive_event()?)
    }

    /// Loads the model before a prompt does.
    ///
    /// # Errors
    ///
    /// As [`Client::sleep`].
    pub fn wake(&mut self) -> Result<(), Failure> {
        self.command(Request::Wake)
    }

    fn command(&mut self, request: Request) -> Result<(), Failure> {
        acknowledged(self.ask(request)?)
    }

    /// A request that is answered at once, with one event.
    fn ask(&mut self, request: Request) -> Result<Event, Failure> {
        self.0.set_read_timeout(true)?;
        self.0.send(request)?;
        let answer = self.0.receive_event()?;
        self.0.set_read_timeout(false)?;
        Ok(answer)
    }
}

fn acknowledged(event: Event) -> Result<(), Failure> {
    match event {
        Event::Acknowledged => Ok(()),
        other => Err(unexpected_frame(&Frame::Event(other))),
    }
}
