//! Worker without a supervisor: the test sends the commands and reads the reports.

use std::fs::{self, File};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command as Program, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use zimage_ipc::{Command, JobImage, Point, Report, WorkerFrame, write_images, write_latents};
use zimg_protocol::limits::TO_CLIENT_BYTES;
use zimg_protocol::messages::{DeviceMemory, ImageRole, JobId, ModelInfo, Params, Preview};

use crate::programs::built_worker;

/// A test that waits longer than this for a report has failed.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A worker with the built-in model, on the CPU unless it is told.
#[derive(Debug)]
pub struct Worker {
    folder: TempDir,
    child: Child,
    socket: UnixStream,
    model: Option<ModelInfo>,
}

/// A point with its latents, as a supervisor keeps them.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Where.
    pub point: Point,
    /// As many bytes as it says.
    pub latents: Vec<u8>,
}

/// All that a worker said of a job's run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The images that came: their numbers and pixels.
    pub images: Vec<(u32, Vec<u8>)>,
    /// All points.
    pub points: Vec<Snapshot>,
    /// The device's memory, in use and in all, as told last.
    pub memory: Option<DeviceMemory>,
    /// All previews.
    pub previews: Vec<Preview>,
    /// Images and steps in the order in which they were told.
    pub steps: Vec<(u32, u32)>,
    /// The last report: `Done`, `Failed`, `Paused` or `Fatal`; none if the worker died.
    pub end: Option<Report>,
}

impl Worker {
    /// Starts one; it is ready when this returns.
    pub fn start() -> Self {
        Self::with(&built_worker(), &[])
    }

    /// Starts one from this program, with more environment; it is ready when this returns.
    pub fn with(program: &Path, environment: &[(&str, &str)]) -> Self {
        Self::on(program, environment, &["--device", "cpu", "--warmup", "64x64"])
    }

    /// Starts one with these arguments.
    pub fn on(program: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        Self::started(program, environment, arguments, None)
    }

    /// Starts one whose standard error is this.
    pub fn launch(
        program: &Path,
        environment: &[(&str, &str)],
        arguments: &[&str],
        log: OwnedFd,
    ) -> Self {
        Self::started(program, environment, arguments, Some(log))
    }

    /// Starts one whose standard error is this; it is ready when this returns.
    pub fn logging_to(log: OwnedFd) -> Self {
        Self::launch(&built_worker(), &[], &["--device", "cpu", "--warmup", "64x64"], log)
    }

    fn started(
        program: &Path,
        environment: &[(&str, &str)],
        arguments: &[&str],
        log: Option<OwnedFd>,
    ) -> Self {
        let (socket, theirs) = UnixStream::pair().unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let log = log.unwrap_or_else(|| File::create(folder.path().join("log")).unwrap().into());
        // It dies with the thread that starts it, which is the test's.
        let child = Program::new(program)
            .envs(environment.iter().copied())
            .env("OMP_WAIT_POLICY", "PASSIVE")
            .arg("--parent-pid")
            .arg(std::process::id().to_string())
            .args(arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut worker = Self { folder, child, socket, model: None };
        while worker.model.is_none() {
            match worker.frame() {
                Some(WorkerFrame::Report(Report::Ready(model))) => worker.model = Some(model),
                Some(WorkerFrame::Report(Report::Fatal(failure))) => panic!("not ready: {failure}"),
                Some(WorkerFrame::Report(_)) => {}
                other => panic!("not ready but {other:?}"),
            }
        }
        worker
    }

    /// The model, as it said when it was ready.
    pub fn model(&self) -> &ModelInfo {
        self.model.as_ref().unwrap()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Sends a command.
    pub fn send(&mut self, command: Command) {
        WorkerFrame::Command(command).write(&mut self.socket).unwrap();
    }

    /// Sends a job, to be begun or gone on with.
    pub fn submit(&mut self, job: JobId, draw: &Params, previews: bool, from: Option<&Snapshot>) {
        self.submit_with(job, draw, previews, from, &[]);
    }

    /// Sends a job with image inputs.
    pub fn submit_with(
        &mut self,
        job: JobId,
        draw: &Params,
        previews: bool,
        from: Option<&Snapshot>,
        images: &[(ImageRole, Vec<u8>)],
    ) {
        let head =
            |(role, pixels): &(_, Vec<u8>)| JobImage { role: *role, bytes: pixels.len() as u64 };
        self.send(Command::Generate {
            job,
            params: Box::new(draw.clone()),
            previews,
            from: from.map(|snapshot| snapshot.point),
            images: images.iter().map(head).collect(),
        });
        if let Some(snapshot) = from {
            write_latents(&mut self.socket, &snapshot.latents).unwrap();
        }
        let pixels: Vec<_> = images.iter().map(|(_, pixels)| pixels).collect();
        write_images(&mut self.socket, &pixels).unwrap();
    }

    /// The next frame; `None` at the end.
    pub fn frame(&mut self) -> Option<WorkerFrame> {
        WorkerFrame::read(&mut self.socket, TO_CLIENT_BYTES).unwrap()
    }

    /// Draws a job to its end.
    pub fn draw(&mut self, job: JobId, draw: &Params, from: Option<&Snapshot>) -> Run {
        self.submit(job, draw, false, from);
        self.follow(job, |_, _| {})
    }

    /// Draws a job with image inputs to its end.
    pub fn draw_with(
        &mut self,
        job: JobId,
        draw: &Params,
        from: Option<&Snapshot>,
        images: &[(ImageRole, Vec<u8>)],
    ) -> Run {
        self.submit_with(job, draw, false, from, images);
        self.follow(job, |_, _| {})
    }

    /// Follows a job to its end; `after` is called after each report of it.
    pub fn follow(&mut self, job: JobId, mut after: impl FnMut(&mut Self, &Report)) -> Run {
        let mut run = Run::default();
        while run.end.is_none() {
            let report = match self.frame() {
                Some(WorkerFrame::Report(report)) => report,
                Some(other) => panic!("not a report but kind {:#x}", other.kind()),
                None => return run,
            };
            match &report {
                Report::Step { job: of, step } if *of == job => {
                    run.steps.push((step.image, step.step));
                }
                Report::Image { job: of, image } if *of == job => {
                    run.images.push((image.index, self.bytes(image.bytes)));
                }
                Report::Latents { job: of, point } if *of == job => {
                    let latents = self.bytes(point.bytes);
                    run.points.push(Snapshot { point: *point, latents });
                }
                Report::Preview { job: of, preview } if *of == job => {
                    run.previews.push(preview.clone());
                }
                Report::Done { job: of, .. }
                | Report::Failed { job: of, .. }
                | Report::Paused { job: of }
                    if *of == job =>
                {
                    run.end = Some(report.clone())
                }
                Report::Memory(memory) => run.memory = Some(*memory),
                Report::Fatal(_) => run.end = Some(report.clone()),
                _ => {}
            }
            after(self, &report);
        }
        run
    }

    /// Closes its input, which ends it, and waits for that.
    pub fn end(mut self) -> ExitStatus {
        self.socket.shutdown(Shutdown::Write).unwrap();
        while self.frame().is_some() {}
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// The bytes that a report announced.
    fn bytes(&mut self, length: u64) -> Vec<u8> {
        let length = usize::try_from(length).unwrap();
        let mut bytes = Vec::new();
        while bytes.len() < length {
            match self.frame() {
                Some(WorkerFrame::Pixels(chunk) | WorkerFrame::Latents(chunk)) => {
                    bytes.extend(chunk)
                }
                other => panic!("not bytes but {other:?}"),
            }
        }
        assert_eq!(bytes.len(), length);
        bytes
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the worker's log:\n{}", self.log());
        }
    }
}
