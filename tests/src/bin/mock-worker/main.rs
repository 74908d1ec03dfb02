//! Mock worker: the worker's side of the protocol without a model. It generates images of one colour, or
//! of an initial image's pixels and that colour, and misbehaves as its script says (`script.rs`).

mod link;
mod script;

use std::io::{self, Write};

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use zimage_ipc::WorkerFrame;
use zimage_ipc::write_latents;
use zimage_ipc::{Point, Report};
use zimg_protocol::frame::write_pixels;
use zimg_protocol::limits::latents_bytes_max;
use zimg_protocol::messages::{
    Capabilities, DeviceMemory, ImageInfo, ImageRole, ModelInfo, Params, Preview, Started, Step,
    Timings, Weights,
};
use zimg_protocol::{Failure, Kind};
use zimg_tests::mock::{coloured, decoded, stepped};

use self::link::{Job, Link, Requests};
use self::script::{Phase, Script};

fn main() -> io::Result<()> {
    if std::env::args().any(|argument| argument == "--version") {
        return writeln!(io::stdout(), "mock-worker {}", env!("CARGO_PKG_VERSION"));
    }
    // What the supervisor promises to every worker.
    if std::env::var("CUDA_MODULE_LOADING").as_deref() != Ok("LAZY") {
        return Err(io::Error::other("CUDA_MODULE_LOADING is not LAZY"));
    }
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        return Err(io::Error::other("NOTIFY_SOCKET has leaked"));
    }
    // Its many deaths leave no files behind.
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let script = Script::from_environment();
    // As the real one: it does not outlive its supervisor, even when it is stopped.
    if !script.says("orphan") {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
    }
    let mut arguments = std::env::args().skip_while(|argument| argument != "--parent-pid").skip(1);
    if arguments.next() != Some(getppid().to_string()) {
        return Err(io::Error::other("the parent is another"));
    }
    script.leave_pid();
    let link = Link::open(!script.says("deaf"))?;
    let mut mock = Mock { script, link };
    mock.load()?;
    while let Some(job) = mock.link.next() {
        match mock.draw(&job)? {
            End::Ended => {}
            End::Paused => mock.report(Report::Paused { job: job.id })?,
            End::Cancelled => {
                let failure = Failure::new(Kind::Cancelled, "the job was cancelled");
                mock.report(Report::Failed { job: job.id, failure })?;
            }
        }
        mock.report(Report::Memory(DeviceMemory { used: 1 << 30, total: 8 << 30 }))?;
    }
    loop {
        std::thread::park();
    }
}

/// How a job ended here.
enum End {
    Ended,
    Paused,
    Cancelled,
}

struct Mock {
    script: Script,
    link: Link,
}

/// An image in the making.
struct Generation {
    image: u32,
    step: u32,
    latents: u64,
}

impl Mock {
    fn load(&mut self) -> io::Result<()> {
        self.script.reach(Phase::Spawn, &mut self.link, None)?;
        self.report(Report::Loading { done: 1 << 30, total: 4 << 30 })?;
        self.script.reach(Phase::Load, &mut self.link, None)?;
        if let Some(code) = self.script.number("exit:") {
            let _ = writeln!(io::stderr(), "there are no weights in this folder");
            std::process::exit(i32::try_from(code).unwrap_or(1));
        }
        if let Some(code) = self.script.number("fatal:") {
            let kind = u16::try_from(code).ok().and_then(Kind::from_exit_code);
            let kind = kind.unwrap_or(Kind::Internal);
            self.report(Report::Fatal(Failure::new(kind, "the transformer's shard 2 is missing")))?;
            std::process::exit(i32::try_from(code).unwrap_or(1));
        }
        self.report(Report::Weights(Weights::Read { bytes: 4 << 30 }))?;
        self.report(Report::Warming)?;
        self.script.reach(Phase::Warm, &mut self.link, None)?;
        self.report(Report::Ready(ModelInfo {
            name: "mock".into(),
            device: "cpu".into(),
            dtype: "float32".into(),
            width: 256,
            height: 256,
            steps: 8,
            guidance: 0.0,
            max_tokens: 1504,
            capabilities: Capabilities {
                initial_image: !self.script.says("text-only"),
                mask: !self.script.says("text-only"),
                ..Capabilities::default()
            },
        }))?;
        self.script.reach(Phase::Idle, &mut self.link, None)
    }

    fn draw(&mut self, job: &Job) -> io::Result<End> {
        if self.script.says("refuse") {
            let failure =
                Failure::new(Kind::Refused, "the prompt has 2000 tokens, 1504 are possible");
            self.report(Report::Failed { job: job.id, failure })?;
            return Ok(End::Ended);
        }
        let draw = &job.params;
        let (width, height) = size(draw);
        let steps = draw.steps.unwrap_or(8);
        let guidance = draw.guidance.unwrap_or(0.0);
        let started = Started {
            model: ModelInfo { name: "mock".into(), ..ModelInfo::default() },
            width,
            height,
            steps,
            guidance,
        };
        self.report(Report::Started { job: job.id, started })?;
        let steps = draw.steps_of_passes(steps);
        self.at(Phase::Begin, job)?;
        let mut timings = job.from.as_ref().map_or_else(Timings::default, |at| at.0.timings);
        let mut generation = self.from(job);
        loop {
            while generation.step < steps {
                match self.link.requests() {
                    Requests { cancelled, .. } if cancelled == job.id => return Ok(End::Cancelled),
                    Requests { paused, .. } if paused == job.id => return Ok(End::Paused),
                    _ => {}
                }
                self.step(job, &mut generation, steps, &mut timings)?;
            }
            self.image(job, &generation, width, height, steps)?;
            if generation.image + 1 == draw.images() {
                break;
            }
            generation = Self::noise(job, generation.image + 1);
            let point = Point { image: generation.image, step: 0, bytes: 0, timings };
            self.report(Report::Latents { job: job.id, point })?;
        }
        self.at(Phase::Sent, job)?;
        self.report(Report::Done { job: job.id, timings })?;
        self.at(Phase::Done, job)?;
        Ok(End::Ended)
    }

    /// An image's beginning: its latents are its seed, after the steps that an initial image saves.
    fn noise(job: &Job, image: u32) -> Generation {
        let skipped = job.skipped_steps();
        let latents = (1..=skipped).fold(job.params.seed_of(image), stepped);
        Generation { image, step: skipped, latents }
    }

    /// Where the job begins, or goes on.
    fn from(&self, job: &Job) -> Generation {
        let Some((point, latents)) = &job.from else { return Self::noise(job, 0) };
        if point.step == 0 {
            assert!(latents.is_empty(), "noise is known without latents");
            return Self::noise(job, point.image);
        }
        let mut numbers = latents.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        let first = numbers.next().unwrap_or_default();
        // Latents that were put together from two steps, or cut, are worth nothing.
        assert!(latents.len() % 8 == 0 && numbers.all(|number| number == first), "torn latents");
        Generation { image: point.image, step: point.step, latents: first }
    }

    fn step(
        &mut self,
        job: &Job,
        generation: &mut Generation,
        steps: u32,
        timings: &mut Timings,
    ) -> io::Result<()> {
        self.script.be_slow();
        generation.step += 1;
        generation.latents = stepped(generation.latents, generation.step);
        let ms = self.script.number("ms:").unwrap_or(1) as f32;
        timings.steps += ms;
        let Generation { image, step, latents } = *generation;
        self.script.stamp(job.id, image, step);
        let (width, height) = size(&job.params);
        self.report(Report::Step { job: job.id, step: Step { image, step, of: steps, ms } })?;
        // As the real one: what was done before the last step is enough to go on.
        if step < steps {
            let bytes = latents_bytes_max(width, height);
            let point = Point { image, step, bytes, timings: *timings };
            self.report(Report::Latents { job: job.id, point })?;
            let count = usize::try_from(bytes / 8).unwrap_or_default();
            let all = latents.to_le_bytes().repeat(count);
            let (half, rest) = all.split_at(all.len() / 2);
            write_latents(&mut self.link, half)?;
            self.at(Phase::Latents(step), job)?;
            write_latents(&mut self.link, rest)?;
        }
        if job.previews {
            let first = job.params.second_pass().filter(|_| step <= job.params.steps.unwrap_or(8));
            let (width, height) =
                first.map_or((width, height), |of| of.first_size((width, height)));
            let (width, height) = (width.div_ceil(8), height.div_ceil(8));
            let [.., grey] = step.to_be_bytes();
            let rgb = self.script.pixels([grey; 3], width as usize * height as usize).into();
            let preview = Preview { image, step, width, height, rgb };
            self.report(Report::Preview { job: job.id, preview })?;
        }
        self.at(Phase::Step(step), job)
    }

    fn image(
        &mut self,
        job: &Job,
        generation: &Generation,
        width: u32,
        height: u32,
        steps: u32,
    ) -> io::Result<()> {
        let index = generation.image;
        self.report(Report::Decoding { job: job.id, image: index })?;
        self.at(Phase::Decode, job)?;
        let pixels = width as usize * height as usize;
        let colour = decoded(generation.latents, steps);
        let rgb = match job.pixels(ImageRole::Initial) {
            Some(initial) => coloured(initial, job.pixels(ImageRole::Mask), colour),
            None => self.script.pixels(colour, pixels),
        };
        let (bytes, seed) = (rgb.len() as u64, job.params.seed_of(index));
        let image = ImageInfo { index, seed, width, height, bytes };
        self.report(Report::Image { job: job.id, image })?;
        let (half, rest) = rgb.split_at(rgb.len() / 2);
        write_pixels(&mut self.link, half)?;
        self.at(Phase::Send, job)?;
        if self.script.says("few-pixels") {
            return Ok(());
        }
        write_pixels(&mut self.link, rest)
    }

    fn at(&mut self, phase: Phase, job: &Job) -> io::Result<()> {
        self.script.reach(phase, &mut self.link, Some((job.id, job.params.first_seed())))
    }

    fn report(&mut self, report: Report) -> io::Result<()> {
        WorkerFrame::Report(report).write(&mut self.link).map_err(io::Error::other)
    }
}

/// The size of the images.
fn size(params: &Params) -> (u32, u32) {
    let usual = params.usual_side(256);
    (params.width.unwrap_or(usual), params.height.unwrap_or(usual))
}
