//! A worker without a model: speaks the worker's side of the protocol, draws one colour, and
//! misbehaves as told.
//!
//! `ZIMG_MOCK` is a script for each start, separated by `;` (the last one repeats); each is a
//! list of behaviours, separated by `,`:
//!
//! ```text
//! hang@load             says that it loads, then nothing until the gate opens
//! crash@load            dies while loading
//! exit:N                says why on standard error and exits with N while loading
//! fatal:N               says why with a Fatal report (kind of exit code N) and exits with N
//! slow:MS               so many milliseconds a step
//! hold@step:N           waits after step N until the gate opens or the job is cancelled
//! crash@step:N          dies after step N
//! garbage@step:N        sends a frame of an unknown kind after step N
//! half-frame@step:N     exits in the middle of a frame after step N
//! few-pixels            says done before all pixels were sent
//! refuse                fails each job as refused
//! done-then-die         dies right after Done
//! deaf                  does not end when its supervisor does
//! ```
//! `ZIMG_MOCK_START` is the number of this start, from 0; `ZIMG_MOCK_GATE` is the file whose
//! existence opens the gate.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use zimg_protocol::frame::write_pixels;
use zimg_protocol::limits::TO_DAEMON_BYTES;
use zimg_protocol::messages::{
    Command, Draw, JobId, ModelInfo, Picture, Report, Started, Step, Timings,
};
use zimg_protocol::{Failure, Frame, Kind};

/// How often a closed gate is looked at.
const LOOK: Duration = Duration::from_millis(2);

struct Mock {
    script: Vec<String>,
    gate: Option<PathBuf>,
    socket: UnixStream,
    cancelled: Arc<AtomicU64>,
}

fn main() -> io::Result<()> {
    // What the supervisor promises to every worker.
    if std::env::var("CUDA_MODULE_LOADING").as_deref() != Ok("LAZY") {
        return Err(io::Error::other("CUDA_MODULE_LOADING is not LAZY"));
    }
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        return Err(io::Error::other("NOTIFY_SOCKET has leaked"));
    }
    let start = std::env::var("ZIMG_MOCK_START").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let scripts = std::env::var("ZIMG_MOCK").unwrap_or_default();
    let scripts: Vec<&str> = scripts.split(';').collect();
    let script = scripts[usize::min(start, scripts.len() - 1)];
    let script: Vec<String> = script.split(',').map(|word| word.trim().to_owned()).collect();
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let cancelled = Arc::new(AtomicU64::new(0));
    let jobs =
        listen(socket.try_clone()?, Arc::clone(&cancelled), !script.contains(&"deaf".into()));
    let gate = std::env::var_os("ZIMG_MOCK_GATE").map(PathBuf::from);
    let mut mock = Mock { script, gate, socket, cancelled };
    mock.load()?;
    while let Ok((job, draw)) = jobs.recv() {
        mock.draw(job, &draw)?;
    }
    loop {
        thread::park();
    }
}

/// Commands, until the supervisor is gone and this process with it.
fn listen(
    mut socket: UnixStream,
    cancelled: Arc<AtomicU64>,
    mortal: bool,
) -> mpsc::Receiver<(JobId, Draw)> {
    let (sender, jobs) = mpsc::channel();
    thread::spawn(move || {
        while let Ok(Some(frame)) = Frame::read(&mut socket, TO_DAEMON_BYTES) {
            match frame {
                Frame::Command(Command::Draw { job, draw, .. }) => {
                    let _ = sender.send((job, draw));
                }
                Frame::Command(Command::Cancel { job }) => cancelled.store(job, Ordering::SeqCst),
                _ => process::abort(),
            }
        }
        if mortal {
            process::exit(0);
        }
        loop {
            thread::park();
        }
    });
    jobs
}

impl Mock {
    fn load(&mut self) -> io::Result<()> {
        self.report(Report::Loading { done: 1 << 30, total: 4 << 30 })?;
        if self.does("hang@load") {
            self.wait_at_gate(0);
        }
        if self.does("crash@load") {
            die("the weights bit me");
        }
        if let Some(code) = self.number("exit:") {
            let _ = writeln!(io::stderr(), "there are no weights in this folder");
            process::exit(i32::try_from(code).unwrap_or(1));
        }
        if let Some(code) = self.number("fatal:") {
            let kind = u16::try_from(code).ok().and_then(Kind::from_exit_code);
            let kind = kind.unwrap_or(Kind::Internal);
            self.report(Report::Fatal(Failure::new(kind, "the transformer's shard 2 is missing")))?;
            process::exit(i32::try_from(code).unwrap_or(1));
        }
        self.report(Report::Warming)?;
        self.report(Report::Ready(ModelInfo {
            name: "mock".into(),
            device: "cpu".into(),
            dtype: "float32".into(),
            width: 256,
            height: 256,
            steps: 8,
            guidance: 0.0,
            max_tokens: 1504,
        }))
    }

    fn draw(&mut self, job: JobId, draw: &Draw) -> io::Result<()> {
        if self.does("refuse") {
            let failure =
                Failure::new(Kind::Refused, "the prompt has 2000 tokens, 1504 are possible");
            return self.report(Report::Failed { job, failure });
        }
        let (width, height) = (draw.width.unwrap_or(256), draw.height.unwrap_or(256));
        let steps = draw.steps.unwrap_or(8);
        let guidance = draw.guidance.unwrap_or(0.0);
        let started = Started { model: "mock".into(), width, height, steps, guidance };
        self.report(Report::Started { job, started })?;
        for picture in 0..draw.count {
            for step in 1..=steps {
                if self.cancelled.load(Ordering::SeqCst) == job {
                    let failure = Failure::new(Kind::Cancelled, "cancelled");
                    return self.report(Report::Failed { job, failure });
                }
                self.step(job, Step { picture, step, of: steps, ms: 1.0 })?;
            }
            self.report(Report::Decoding { job, picture })?;
            self.picture(job, picture, draw.seed.wrapping_add(picture.into()), width, height)?;
        }
        self.report(Report::Done { job, timings: Timings { steps: 8.0, ..Timings::default() } })?;
        if self.does("done-then-die") {
            die("after the work is done");
        }
        Ok(())
    }

    fn step(&mut self, job: JobId, step: Step) -> io::Result<()> {
        if let Some(ms) = self.number("slow:") {
            thread::sleep(Duration::from_millis(ms));
        }
        let at = step.step;
        self.report(Report::Step { job, step })?;
        if self.does(&format!("hold@step:{at}")) {
            self.wait_at_gate(job);
        }
        if self.does(&format!("crash@step:{at}")) {
            die("an illegal address");
        }
        if self.does(&format!("garbage@step:{at}")) {
            self.socket.write_all(&[0, 0, 0, 2, 0x77, 0x77])?;
        }
        if self.does(&format!("half-frame@step:{at}")) {
            self.socket.write_all(&[0, 0, 1, 0, 0x04, 1, 2, 3])?;
            process::exit(0);
        }
        Ok(())
    }

    /// One colour, which is the seed's last three bytes.
    fn picture(
        &mut self,
        job: JobId,
        index: u32,
        seed: u64,
        width: u32,
        height: u32,
    ) -> io::Result<()> {
        let pixels = width as usize * height as usize;
        let [.., red, green, blue] = seed.to_be_bytes();
        let mut rgb = [red, green, blue].repeat(pixels);
        let bytes = rgb.len() as u64;
        let picture = Picture { index, seed, width, height, bytes };
        self.report(Report::Picture { job, picture })?;
        if self.does("few-pixels") {
            rgb.truncate(rgb.len() / 2);
        }
        write_pixels(&mut self.socket, &rgb)
    }

    fn report(&mut self, report: Report) -> io::Result<()> {
        Frame::Report(report).write(&mut self.socket).map_err(io::Error::other)
    }

    fn does(&self, behaviour: &str) -> bool {
        self.script.iter().any(|word| word == behaviour)
    }

    fn number(&self, behaviour: &str) -> Option<u64> {
        self.script.iter().find_map(|word| word.strip_prefix(behaviour)?.parse().ok())
    }

    fn wait_at_gate(&self, job: JobId) {
        let open = || self.gate.as_ref().is_some_and(|gate| gate.exists());
        while !open() && (job == 0 || self.cancelled.load(Ordering::SeqCst) != job) {
            thread::sleep(LOOK);
        }
    }
}

fn die(last_words: &str) -> ! {
    let _ = writeln!(io::stderr(), "{last_words}");
    process::abort()
}
