//! The specification of a job: the request and its outputs, resolved from options and settings, and
//! checked.

use std::fs;
use std::io::Read;

use zimg_client::{Failure, Kind, Params, Priority};

use crate::cli::{DrawOptions, ParamOptions, PriorityArg};
use crate::image_size::SizeRequest;
use crate::metadata::to_params;
use crate::output::{ImageOutput, LocalTime, Output, OutputRequest};
use zimg_image::Encoding;
use zimg_image::GenerationMetadata;

/// A drawing that can begin.
#[derive(Clone, Debug)]
pub(crate) struct JobSpec {
    /// The request. Its size is open where only the model knows it.
    pub(crate) draw: Params,
    pub(crate) shape: SizeRequest,
    pub(crate) output: Output,
    pub(crate) encoding: Encoding,
    /// Whether the images say how they were made.
    pub(crate) metadata: bool,
    pub(crate) force: bool,
    pub(crate) priority: Priority,
    /// Whether to wait for a place when there is none.
    pub(crate) wait: bool,
    /// Whether to ask for previews.
    pub(crate) previews: bool,
    /// What this image was drawn by before, when it is drawn again.
    pub(crate) drawn_by: Option<String>,
    /// Whether the daemon draws and keeps it without zimg.
    pub(crate) detach: bool,
}

/// What a plan needs that is no option.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpecContext<'a> {
    /// The names' pattern without `-o`, less the extension.
    pub(crate) default: &'a str,
    /// The first image's number in names, from 1.
    pub(crate) index: u64,
    pub(crate) now: &'a LocalTime,
    /// The priority, unless an option gives it.
    pub(crate) priority: Priority,
}

impl JobSpec {
    /// Everything that can be checked without a daemon is: sizes and numbers, and that each file
    /// can come to be.
    ///
    /// # Errors
    ///
    /// `Refused`, `Usage` or `CannotCreate`, about the first that is wrong.
    pub(crate) fn of(
        prompt: String,
        options: &DrawOptions,
        context: SpecContext<'_>,
    ) -> Result<Self, Failure> {
        let shape = SizeRequest::of(options)?;
        let draw = request(prompt, options, shape)?;
        Self::saving(draw, shape, options, context)
    }

    /// A drawing that the daemon keeps: its images go nowhere here.
    ///
    /// # Errors
    ///
    /// `Refused`, about the first that is wrong.
    pub(crate) fn detached(
        prompt: String,
        options: &DrawOptions,
        context: SpecContext<'_>,
    ) -> Result<Self, Failure> {
        let shape = SizeRequest::of(options)?;
        let draw = request(prompt, options, shape)?;
        let output = Output { images: ImageOutput::Nowhere, sheet: None };
        Ok(Self { detach: true, ..Self::with(draw, shape, output, options, context) })
    }

    /// What the daemon has drawn, or will have, and where it goes.
    ///
    /// # Errors
    ///
    /// `Usage` or `CannotCreate`, about the first name that is wrong.
    pub(crate) fn of_job(
        draw: Params,
        options: &DrawOptions,
        context: SpecContext<'_>,
    ) -> Result<Self, Failure> {
        Self::saving(draw, SizeRequest::ModelDefault, options, context)
    }

    fn saving(
        draw: Params,
        shape: SizeRequest,
        options: &DrawOptions,
        context: SpecContext<'_>,
    ) -> Result<Self, Failure> {
        let output = Output::plan(&OutputRequest {
            output: options.output.as_deref(),
            default: context.default,
            format: options.format,
            // One image is its own sheet.
            grid: options.grid.as_deref().filter(|_| draw.images() > 1),
            force: options.force,
            seed: draw.first_seed(),
            index: context.index,
            count: draw.images(),
            prompt: &draw.prompt,
            now: context.now,
        })?;
        Ok(Self::with(draw, shape, output, options, context))
    }

    fn with(
        draw: Params,
        shape: SizeRequest,
        output: Output,
        options: &DrawOptions,
        context: SpecContext<'_>,
    ) -> Self {
        Self {
            shape,
            draw,
            output,
            encoding: Encoding { quality: options.quality },
            metadata: !options.no_metadata,
            force: options.force,
            priority: match options.priority {
                Some(PriorityArg::Interactive) => Priority::Interactive,
                Some(PriorityArg::Batch) => Priority::Batch,
                None => context.priority,
            },
            wait: options.wait,
            previews: false,
            drawn_by: None,
            detach: false,
        }
    }
}

impl DrawOptions {
    /// What generates the image of this metadata again.
    pub(crate) fn of_metadata(metadata: &GenerationMetadata) -> Self {
        let Params { prompt: _, width, height, .. } = metadata.params;
        let params =
            Params { prompt: String::new(), width: None, height: None, ..to_params(metadata) };
        Self { size: width.zip(height), params: ParamOptions(params), ..Self::default() }
    }

    /// These without what is said of the image itself.
    pub(crate) fn beside_the_image(self) -> Self {
        let params = ParamOptions::default();
        Self { size: None, aspect: None, megapixels: None, params, ..self }
    }
}

/// The request, within the limits.
fn request(prompt: String, options: &DrawOptions, shape: SizeRequest) -> Result<Params, Failure> {
    let (width, height) = shape.size(None).unzip();
    let seed = Some(options.params.seed.map_or_else(random_seed, Ok)?);
    let params = Params { prompt, width, height, seed, ..options.params.0.clone() };
    params.check()?;
    Ok(params)
}

/// From the system, and short enough to be typed again.
fn random_seed() -> Result<u64, Failure> {
    let mut bytes = [0; 4];
    fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes)).map_err(
        |error| {
            Failure::new(Kind::Io, format!("cannot read /dev/urandom: {error}"))
                .hint("give a seed with --seed N")
        },
    )?;
    Ok(u32::from_ne_bytes(bytes).into())
}
