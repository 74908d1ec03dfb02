//! One job: images from a request, under the supervisor's control between steps.

use std::time::{Duration, Instant};

use zimage::checkpoint::adapter::AdapterFile;
use zimage::checkpoint::control::ControlDirectories;
use zimage::{
    AdapterChoice, Conditioning, ControlChoice, ControlImage, EncodedImages, Error, ErrorKind, Fit,
    Generation, ImageInputs, InitialImage, InputImages, Pipeline, ResolvedParams, Snapshot,
};
use zimage_ipc::{Point, Report};
use zimg_protocol::messages::{
    ImageInfo, ImageRole, LoraChoice, ModelInfo, Params, Started, Step, Timings,
};
use zimg_protocol::{Failure, Kind};

use crate::commands::{Job, ResumePoint};
use crate::control::Control;
use crate::enlarge;
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
    (model, loras, controls): (&ModelInfo, &SharedLoras, &ControlDirectories),
    job: &Job,
    reports: &Reports,
) -> Result<(), End> {
    let stages = RetryingPipeline(pipeline);
    let ended = Run::begin(stages, (model, loras, controls), job, reports).and_then(|mut run| {
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

/// A pass that draws an image.
struct Pass {
    params: ResolvedParams,
    conditioning: Conditioning,
    /// How the image fits the memory.
    fit: Fit,
    /// Steps of the passes before.
    before: u32,
}

/// An image that is being drawn.
struct Drawing {
    /// The pass that it is in.
    pass: usize,
    generation: Generation,
}

/// A job that is running.
struct Run<'a> {
    stages: RetryingPipeline<'a>,
    reports: &'a Reports,
    job: &'a Job,
    /// How each image is drawn: one pass, or a second one from the enlarged result of the first.
    passes: Vec<Pass>,
    /// The job's initial image and mask.
    images: Option<EncodedImages>,
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
        (model, loras, controls): (&ModelInfo, &SharedLoras, &ControlDirectories),
        job: &'a Job,
        reports: &'a Reports,
    ) -> Result<Self, Stop> {
        let begun = Instant::now();
        let limits = stages.0.limits();
        let takes = |role| match role {
            ImageRole::Initial => limits.initial_image,
            ImageRole::Mask => limits.mask,
            ImageRole::Control => !controls.is_empty(),
        };
        if let Some((role, _)) = job.images.iter().find(|(role, _)| !takes(*role)) {
            let failure = Failure::refused(format!("the model takes no {}", role.name()));
            return Err(Stop::Refused(failure));
        }
        let params = stages.0.resolve_with(&job.params, kinds(&job.images))?;
        stages.adapt(&chosen(loras, &job.params)?)?;
        let of_passes = params.passes();
        let fits = of_passes.iter().map(|of| stages.0.fit(of)).collect::<Result<Vec<_>, _>>()?;
        let started = Started {
            model: model.clone(),
            width: params.width,
            height: params.height,
            steps: params.steps,
            guidance: params.guidance,
        };
        reports.send(Report::Started { job: job.id, started });
        let mut timings = job.from.as_ref().map_or_else(Timings::default, |at| at.point.timings);
        if fits[0] == Fit::Whole {
            stages.0.warm_up_decoder(&of_passes[0])?;
        }
        let mut passes: Vec<Pass> = Vec::new();
        for (params, fit) in of_passes.into_iter().zip(fits) {
            let conditioning = timed(&mut timings.text, || stages.encode(&params))?;
            let before = passes.last().map_or(0, |pass| pass.params.steps);
            passes.push(Pass { params, conditioning, fit, before });
        }
        let images = match inputs(controls, job)? {
            Some(images) => {
                Some(timed(&mut timings.text, || stages.encode_images(&params, &images))?)
            }
            None => None,
        };
        Ok(Self {
            stages,
            reports,
            job,
            passes,
            images,
            begun,
            timings,
            previewed: None,
            unsent: None,
        })
    }

    fn images(&mut self) -> Result<(), Stop> {
        let (mut index, mut drawing) = match &self.job.from {
            Some(at) => (at.point.image, self.resume(at)?),
            None => (0, self.start(0)?),
        };
        loop {
            self.image_or_again(index, drawing)?;
            index += 1;
            if index == self.job.params.images() {
                return Ok(());
            }
            drawing = self.start(index)?;
            // Its beginning is known without latents, also where an initial image saves steps.
            let point = Point { step: 0, ..self.point(index, &drawing) };
            self.reports.send(Report::Latents { job: self.job.id, point });
        }
    }

    /// An image before its first step.
    fn start(&self, index: u32) -> Result<Drawing, Stop> {
        let params = &self.passes[0].params;
        let generation = self
            .stages
            .start(|pipeline| pipeline.start(params, self.seed(index), self.images.as_ref()))?;
        Ok(Drawing { pass: 0, generation })
    }

    /// The image that an earlier run had begun.
    fn resume(&self, ResumePoint { point, latents }: &ResumePoint) -> Result<Drawing, Stop> {
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
            _ => {
                let begun = |pass: &Pass| step > pass.before;
                let pass = self.passes.iter().rposition(begun).unwrap_or_default();
                let of = &self.passes[pass];
                let step = of.step(step);
                let generation = self.stages.start(|pipeline| {
                    let images = self.images.as_ref();
                    pipeline.resume(&of.params, self.seed(image), step, latents, images)
                })?;
                Ok(Drawing { pass, generation })
            }
        }
    }

    /// Generates an image. One that fails its checks, although nothing failed, is generated once
    /// more, from its noise: a GPU can fail without an error.
    fn image_or_again(&mut self, index: u32, drawing: Drawing) -> Result<(), Stop> {
        let is_silent = |error: &Error| error.kind() == ErrorKind::Silent;
        match self.image(index, drawing) {
            Err(Stop::Failed(error)) if is_silent(&error) => {
                log::line(format_args!("{error}; generating it once more"));
                self.stages.probe()?;
            }
            other => return other,
        }
        let drawing = self.start(index)?;
        match self.image(index, drawing) {
            Err(Stop::Failed(error)) if is_silent(&error) => Err(Stop::Distrusted(error)),
            other => other,
        }
    }

    /// Generates an image to its end and sends it.
    fn image(&mut self, index: u32, mut drawing: Drawing) -> Result<(), Stop> {
        loop {
            while !drawing.generation.is_done() {
                self.stop_if_asked()?;
                self.step(index, &mut drawing)?;
            }
            self.stop_if_cancelled()?;
            if drawing.pass + 1 == self.passes.len() {
                break;
            }
            drawing = self.enlarge(&drawing)?;
        }
        let Drawing { generation, .. } = drawing;
        self.reports.send(Report::Decoding { job: self.job.id, image: index });
        let fit = self.passes[drawing.pass].fit;
        let image = timed(&mut self.timings.decode, || self.stages.decode(&generation, fit))?;
        let (width, height, bytes) = (image.width, image.height, image.rgb.len() as u64);
        let info = ImageInfo { index, seed: generation.seed(), width, height, bytes };
        self.reports.send(Report::Image { job: self.job.id, image: info });
        self.reports.send_pixels(image.rgb);
        Ok(())
    }

    /// The beginning of the next pass: the result of this one, enlarged.
    fn enlarge(&mut self, drawing: &Drawing) -> Result<Drawing, Stop> {
        let (this, pass) = (&self.passes[drawing.pass], drawing.pass + 1);
        let (next, stages) = (&self.passes[pass], self.stages);
        let images = timed(&mut self.timings.decode, || {
            let image = stages.decode(&drawing.generation, this.fit)?;
            let initial = enlarge::to(image, (next.params.width, next.params.height))?;
            stages.encode_images(
                &next.params,
                &ImageInputs { initial: Some(initial), ..ImageInputs::default() },
            )
        })?;
        if next.fit == Fit::Whole {
            stages.0.warm_up_decoder(&next.params)?;
        }
        let seed = drawing.generation.seed();
        let generation =
            stages.start(|pipeline| pipeline.start(&next.params, seed, Some(&images)))?;
        Ok(Drawing { pass, generation })
    }

    /// A step, and its reports.
    fn step(&mut self, index: u32, drawing: &mut Drawing) -> Result<(), Stop> {
        let before = self.timings.steps;
        let (pass, generation) = (&self.passes[drawing.pass], &mut drawing.generation);
        // The last step of a pass has no snapshot: what follows it begins with the step before.
        let is_last = generation.steps_done() + 1 == pass.params.steps as usize;
        let with_preview = self.job.previews
            && self.previewed.is_none_or(|last| last.elapsed() >= BETWEEN_PREVIEWS);
        let snapshot = timed(&mut self.timings.steps, || {
            self.stages.step(generation, &pass.conditioning, is_last, with_preview)
        })?;
        if with_preview {
            self.previewed = Some(Instant::now());
        }
        let point = self.point(index, drawing);
        let ms = self.timings.steps - before;
        let of = self.passes.iter().map(Pass::end).max().unwrap_or_default();
        let step = Step { image: index, step: point.step, of, ms };
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
    fn point(&self, image: u32, drawing: &Drawing) -> Point {
        let pass = &self.passes[drawing.pass];
        let step = pass.number(drawing.generation.steps_done() as u32);
        Point { image, step, bytes: 0, timings: self.spent() }
    }

    /// The time that each stage took until now.
    fn spent(&self) -> Timings {
        Timings { total: self.timings.total + ms(self.begun.elapsed()), ..self.timings }
    }

    fn seed(&self, index: u32) -> u64 {
        self.job.params.seed_of(index)
    }
}

impl Pass {
    /// The number of a step among those of all passes. In the first pass steps that an initial image saves
    /// count, in the second one they do not.
    fn number(&self, step: u32) -> u32 {
        self.before + step - self.skipped()
    }

    /// The step of this pass that has this number.
    fn step(&self, number: u32) -> u32 {
        number - self.before + self.skipped()
    }

    /// The number of its last step.
    fn end(&self) -> u32 {
        self.number(self.params.steps)
    }

    fn skipped(&self) -> u32 {
        if self.before == 0 { 0 } else { self.params.first_step() }
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
    let initial = match (has(ImageRole::Initial), has(ImageRole::Mask)) {
        (true, true) => InitialImage::WithMask,
        (true, false) => InitialImage::Alone,
        (false, _) => InitialImage::None,
    };
    InputImages { initial, control: has(ImageRole::Control) }
}

/// The images for the model, with the ControlNet of a control image. A mask without an initial image does
/// not come here: the supervisor refuses it.
fn inputs(controls: &ControlDirectories, job: &Job) -> zimage::Result<Option<ImageInputs>> {
    let of = |role| job.images.iter().find(|(of, _)| *of == role).map(|(_, pixels)| pixels.clone());
    if job.images.is_empty() {
        return Ok(None);
    }
    let control = match of(ImageRole::Control) {
        Some(rgb) => {
            let AdapterFile { name, path } = controls.find(job.params.control_net.as_deref())?;
            let params = job.params.clone().or(&Params::constants());
            let scale = params.control_scale.unwrap_or_default();
            Some(ControlImage { rgb, choice: ControlChoice { name, path, scale } })
        }
        None => None,
    };
    let (initial, mask) = (of(ImageRole::Initial), of(ImageRole::Mask));
    Ok(Some(ImageInputs { initial, mask, control }))
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
