//! One job: images from a request, under the supervisor's control between steps.

use std::time::{Duration, Instant};

use zimage::{
    AdapterChoice, Conditioning, EncodedImages, Error, ErrorKind, Fit, Generation, ImageInputs,
    InputImages, Pipeline, ResolvedParams, Snapshot,
};
use zimage_ipc::{Point, Report};
use zimg_protocol::messages::{
    ImageInfo, ImageRole, LoraChoice, ModelInfo, Params, Started, Step, Timings,
};
use zimg_protocol::{Failure, Kind};

use crate::commands::{Job, ResumePoint};
use crate::control::Control;
use crate::failure::{Verdict, beyond_help, judge};
use crate::log;
use crate::loras::SharedLoras;
use crate::oom_retry::RetryingPipeline;
use crate::planner::{End, Planner};
use crate::reports::Reports;

/// There are at most ten previews a second.
const BETWEEN_PREVIEWS: Duration = Duration::from_millis(100);

/// Runs a job and reports it, to its `Done`, `Failed` or `Paused`.
///
/// # Errors
/// When this process can generate no more, or the next one can with a smaller memory plan. Then no end
/// of the job is reported, so that another process can resume it.
pub(crate) fn run(
    pipeline: &Pipeline,
    planner: Option<&Planner>,
    (model, loras): (&ModelInfo, &SharedLoras),
    job: &Job,
    reports: &Reports,
) -> Result<(), End> {
    let stages = RetryingPipeline(pipeline);
    let ended = Run::begin(stages, (model, loras), job, reports).and_then(|mut run| {
        run.images()?;
        Ok(run.spent())
    });
    let resolved = pipeline.resolve_with(&job.params, kinds(&job.images));
    let size = resolved.map(|of| u64::from(of.width) * u64::from(of.height));
    let job = job.id;
    let stop = match ended {
        Ok(timings) => {
            reports.send(Report::Done { job, timings });
            return Ok(());
        }
        Err(stop) => stop,
    };
    reports.send(match stop {
        Stop::Paused => Report::Paused { job },
        Stop::Refused(failure) => Report::Failed { job, failure },
        Stop::Failed(error) => {
            if let Some(end) = planner.and_then(|planner| planner.smaller(&error, size.ok())) {
                return Err(end);
            }
            match judge(stages, &error) {
                Verdict::Job(failure) => Report::Failed { job, failure },
                Verdict::Process(failure) => return Err(failure.into()),
            }
        }
        Stop::Distrusted(error) => return Err(beyond_help(&error).into()),
    });
    Ok(())
}

/// Why a job ends before its last image.
enum Stop {
    /// The supervisor paused it.
    Paused,
    /// The supervisor cancelled it, or the request is invalid.
    Refused(Failure),
    /// The model failed.
    Failed(Error),
    /// An image failed its checks twice, although nothing failed: the device cannot be trusted.
    Distrusted(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A job that is running.
struct Run<'a> {
    stages: RetryingPipeline<'a>,
    reports: &'a Reports,
    job: &'a Job,
    params: ResolvedParams,
    conditioning: Conditioning,
    /// The job's initial image and mask.
    images: Option<EncodedImages>,
    /// How its images fit the memory.
    fit: Fit,
    /// When this run began.
    begun: Instant,
    /// The time that each stage took, in earlier runs too; `total` is that of earlier runs alone.
    timings: Timings,
    /// When the last preview was made.
    previewed: Option<Instant>,
    /// The latest snapshot, if it was not sent because the supervisor does not keep up.
    unsent: Option<(Point, Snapshot)>,
}

impl<'a> Run<'a> {
    /// Checks the job, reports its start, encodes its prompts.
    fn begin(
        stages: RetryingPipeline<'a>,
        (model, loras): (&ModelInfo, &SharedLoras),
        job: &'a Job,
        reports: &'a Reports,
    ) -> Result<Self, Stop> {
        let begun = Instant::now();
        let limits = stages.0.limits();
        let takes = |role| match role {
            ImageRole::Initial => limits.initial_image,
            ImageRole::Mask => limits.mask,
            ImageRole::Control => false,
        };
        if let Some((role, _)) = job.images.iter().find(|(role, _)| !takes(*role)) {
            let failure = Failure::refused(format!("the model takes no {}", role.name()));
            return Err(Stop::Refused(failure));
        }
        let params = stages.0.resolve_with(&job.params, kinds(&job.images))?;
        stages.adapt(&chosen(loras, &job.params)?)?;
        let fit = stages.0.fit(&params)?;
        let started = Started {
            model: model.clone(),
            width: params.width,
            height: params.height,
            steps: params.steps,
            guidance: params.guidance,
        };
        reports.send(Report::Started { job: job.id, started });
        let mut timings = job.from.as_ref().map_or_else(Timings::default, |at| at.point.timings);
        if fit == Fit::Whole {
            stages.0.warm_up_decoder(&params)?;
        }
        let conditioning = timed(&mut timings.text, || stages.encode(&params))?;
        let images = match pixels(&job.images) {
            Some(images) => {
                Some(timed(&mut timings.text, || stages.encode_images(&params, &images))?)
            }
            None => None,
        };
        Ok(Self {
            stages,
            reports,
            job,
            params,
            conditioning,
            images,
            fit,
            begun,
            timings,
            previewed: None,
            unsent: None,
        })
    }

    fn images(&mut self) -> Result<(), Stop> {
        let (mut index, mut generation) = match &self.job.from {
            Some(at) => (at.point.image, self.resume(at)?),
            None => (0, self.start(0)?),
        };
        loop {
            self.image_or_again(index, generation)?;
            index += 1;
            if index == self.job.params.images() {
                return Ok(());
            }
            generation = self.start(index)?;
            // Its beginning is known without latents, also where an initial image saves steps.
            let point = Point { step: 0, ..self.point(index, &generation) };
            self.reports.send(Report::Latents { job: self.job.id, point });
        }
    }

    /// An image before its first step.
    fn start(&self, index: u32) -> Result<Generation, Stop> {
        Ok(self.stages.start(|pipeline| {
            pipeline.start(&self.params, self.seed(index), self.images.as_ref())
        })?)
    }

    /// The image that an earlier run had begun.
    fn resume(&self, ResumePoint { point, latents }: &ResumePoint) -> Result<Generation, Stop> {
        let &Point { image, step, .. } = point;
        if image >= self.job.params.images() {
            let reason = format!("it is number {image} of {}", self.job.params.images());
            return Err(Error::NotResumable(reason).into());
        }
        match (step, latents.as_slice()) {
            (0, []) => self.start(image),
            (0, _) => {
                let reason = "it has latents before its first step".to_owned();
                Err(Error::NotResumable(reason).into())
            }
            _ => Ok(self.stages.start(|pipeline| {
                pipeline.resume(&self.params, self.seed(image), step, latents, self.images.as_ref())
            })?),
        }
    }

    /// Generates an image. One that fails its checks, although nothing failed, is generated once
    /// more, from its noise: a GPU can fail without an error.
    fn image_or_again(&mut self, index: u32, generation: Generation) -> Result<(), Stop> {
        let is_silent = |error: &Error| error.kind() == ErrorKind::Silent;
        match self.image(index, generation) {
            Err(Stop::Failed(error)) if is_silent(&error) => {
                log::line(format_args!("{error}; generating it once more"));
                self.stages.probe()?;
            }
            other => return other,
        }
        let generation = self.start(index)?;
        match self.image(index, generation) {
            Err(Stop::Failed(error)) if is_silent(&error) => Err(Stop::Distrusted(error)),
            other => other,
        }
    }

    /// Generates an image to its end and sends it.
    fn image(&mut self, index: u32, mut generation: Generation) -> Result<(), Stop> {
        while !generation.is_done() {
            self.stop_if_asked()?;
            self.step(index, &mut generation)?;
        }
        self.stop_if_cancelled()?;
        self.reports.send(Report::Decoding { job: self.job.id, image: index });
        let image = timed(&mut self.timings.decode, || self.stages.decode(&generation, self.fit))?;
        let (width, height, bytes) = (image.width, image.height, image.rgb.len() as u64);
        let info = ImageInfo { index, seed: generation.seed(), width, height, bytes };
        self.reports.send(Report::Image { job: self.job.id, image: info });
        self.reports.send_pixels(image.rgb);
        Ok(())
    }

    /// A step, and its reports.
    fn step(&mut self, index: u32, generation: &mut Generation) -> Result<(), Stop> {
        let before = self.timings.steps;
        let is_last = generation.steps_done() + 1 == self.params.steps as usize;
        let with_preview = self.job.previews
            && self.previewed.is_none_or(|last| last.elapsed() >= BETWEEN_PREVIEWS);
        let snapshot = timed(&mut self.timings.steps, || {
            self.stages.step(generation, &self.conditioning, is_last, with_preview)
        })?;
        if with_preview {
            self.previewed = Some(Instant::now());
        }
        let point = self.point(index, generation);
        let ms = self.timings.steps - before;
        let step = Step { image: index, step: point.step, of: self.params.steps, ms };
        self.reports.send(Report::Step { job: self.job.id, step });
        self.unsent = snapshot.map(|snapshot| (point, snapshot));
        if self.reports.keeps_up() {
            self.send_latents();
        }
        Ok(())
    }

    fn send_latents(&mut self) {
        if let Some((point, snapshot)) = self.unsent.take() {
            self.reports.send_latents(self.job.id, point, snapshot);
        }
    }

    fn stop_if_asked(&mut self) -> Result<(), Stop> {
        if self.job.control.get() == Control::Pause {
            self.send_latents();
            return Err(Stop::Paused);
        }
        self.stop_if_cancelled()
    }

    fn stop_if_cancelled(&self) -> Result<(), Stop> {
        match self.job.control.get() {
            Control::Cancel => {
                Err(Stop::Refused(Failure::new(Kind::Cancelled, "the job was cancelled")))
            }
            Control::Continue | Control::Pause => Ok(()),
        }
    }

    /// The resume point, without latents.
    fn point(&self, image: u32, generation: &Generation) -> Point {
        Point { image, step: generation.steps_done() as u32, bytes: 0, timings: self.spent() }
    }

    /// The time that each stage took until now.
    fn spent(&self) -> Timings {
        Timings { total: self.timings.total + ms(self.begun.elapsed()), ..self.timings }
    }

    fn seed(&self, index: u32) -> u64 {
        self.job.params.seed_of(index)
    }
}

/// The LoRAs that a job asks for. What is wrong with a value is told by the parameters' check.
fn chosen(loras: &SharedLoras, params: &Params) -> zimage::Result<Vec<AdapterChoice>> {
    let asked = LoraChoice::list(params.lora.as_deref().unwrap_or_default()).unwrap_or_default();
    match loras.get() {
        Some(folders) => Ok(folders.choose(&asked)?),
        None => Ok(Vec::new()),
    }
}

/// Which images a job has.
fn kinds(images: &[(ImageRole, Vec<u8>)]) -> InputImages {
    let has = |role| images.iter().any(|(of, _)| *of == role);
    match (has(ImageRole::Initial), has(ImageRole::Mask)) {
        (true, true) => InputImages::InitialAndMask,
        (true, false) => InputImages::Initial,
        (false, _) => InputImages::None,
    }
}

/// The images for the model. A mask without an initial image does not come here: the supervisor
/// refuses it.
fn pixels(images: &[(ImageRole, Vec<u8>)]) -> Option<ImageInputs> {
    let of = |role| images.iter().find(|(of, _)| *of == role).map(|(_, pixels)| pixels.clone());
    Some(ImageInputs { initial: of(ImageRole::Initial)?, mask: of(ImageRole::Mask) })
}

/// Runs `work`, and adds the milliseconds it took to `sum`.
fn timed<T>(sum: &mut f32, work: impl FnOnce() -> zimage::Result<T>) -> zimage::Result<T> {
    let begun = Instant::now();
    let result = work();
    *sum += ms(begun.elapsed());
    result
}

fn ms(duration: Duration) -> f32 {
    duration.as_secs_f32() * 1000.0
}
