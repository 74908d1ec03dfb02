//! The specification of a job: the request and its outputs, resolved from options and settings, and
//! checked.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;

use zimg_client::{Failure, Kind, Params, Priority};

use crate::cli::{DrawOptions, InputOptions, ParamOptions, PriorityArg};
use crate::control_input::ControlInput;
use crate::image_inputs::ImageInputs;
use crate::image_size::SizeRequest;
use crate::metadata::to_params;
use crate::output::{ImageOutput, LocalTime, Output, OutputRequest};
use zimg_image::Encoding;
use zimg_image::GenerationMetadata;

/// A job that can be submitted.
#[derive(Clone, Debug)]
pub(crate) struct JobSpec {
    /// The request. Its size is open if it depends on the model.
    pub(crate) draw: Params,
    pub(crate) shape: SizeRequest,
    pub(crate) output: Output,
    pub(crate) encoding: Encoding,
    /// Whether images carry generation metadata.
    pub(crate) metadata: bool,
    pub(crate) force: bool,
    pub(crate) priority: Priority,
    /// Whether to wait while the daemon is busy.
    pub(crate) wait: bool,
    /// Whether to ask for previews.
    pub(crate) previews: bool,
    /// The model that generated the image before, if it is generated again.
    pub(crate) generated_by: Option<String>,
    /// Whether the job is detached.
    pub(crate) detach: bool,
    /// The images that it starts from.
    pub(crate) inputs: Option<ImageInputs>,
    /// The image that steers it.
    pub(crate) control: Option<ControlInput>,
}

/// Inputs of a job specification beside options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpecContext<'a> {
    /// The file name pattern without `-o`, without extension.
    pub(crate) default: &'a OsStr,
    /// The index of the first image in file names, from 1.
    pub(crate) index: u64,
    pub(crate) now: &'a LocalTime,
    /// The priority, unless an option gives it.
    pub(crate) priority: Priority,
}

impl JobSpec {
    /// Checks all that needs no daemon: sizes and numbers, and that each file can be created.
    ///
    /// # Errors
    ///
    /// `Refused`, `Usage` or `CannotCreate` for the first fault.
    pub(crate) fn of(
        prompt: String,
        options: &DrawOptions,
        context: SpecContext<'_>,
    ) -> Result<Self, Failure> {
        let Asked { draw, shape, inputs, control } = request(prompt, options)?;
        Ok(Self { inputs, control, ..Self::saving(draw, shape, options, context)? })
    }

    /// A detached job: the daemon stores its images.
    ///
    /// # Errors
    ///
    /// `Refused` for the first fault.
    pub(crate) fn detached(
        prompt: String,
        options: &DrawOptions,
        context: SpecContext<'_>,
    ) -> Result<Self, Failure> {
        let Asked { draw, shape, inputs, control } = request(prompt, options)?;
        let output = Output { images: ImageOutput::Nowhere, sheet: None };
        let spec = Self::with(draw, shape, output, options, context);
        Ok(Self { detach: true, inputs, control, ..spec })
    }

    /// The specification to save the images of a job that the daemon has.
    ///
    /// # Errors
    ///
    /// `Usage` or `CannotCreate` for the first invalid file name.
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
            // A single image needs no contact sheet.
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
            generated_by: None,
            detach: false,
            inputs: None,
            control: None,
        }
    }
}

impl DrawOptions {
    /// The options that generate the image of this metadata again.
    pub(crate) fn of_metadata(metadata: &GenerationMetadata) -> Self {
        let Params { prompt: _, width, height, .. } = metadata.params;
        let params =
            Params { prompt: String::new(), width: None, height: None, ..to_params(metadata) };
        Self { size: width.zip(height), params: ParamOptions(params), ..Self::default() }
    }

    /// These options without the generation parameters.
    pub(crate) fn beside_the_image(self) -> Self {
        let params = ParamOptions::default();
        let inputs = InputOptions::default();
        Self { size: None, aspect: None, megapixels: None, params, inputs, ..self }
    }
}

/// What a request asks for, and its images.
struct Asked {
    draw: Params,
    shape: SizeRequest,
    inputs: Option<ImageInputs>,
    control: Option<ControlInput>,
}

/// The request, checked against the limits, and its images. Its texts have LF as line ends and no byte
/// order mark at the beginning, wherever they are from.
fn request(prompt: String, options: &DrawOptions) -> Result<Asked, Failure> {
    let seed = Some(options.params.seed.map_or_else(random_seed, Ok)?);
    let normalized = |text: &str| zimg_text::normalized(text).into_owned();
    let prompt = normalized(&prompt);
    let negative = options.params.negative.as_deref().map(normalized);
    let image_inputs = None;
    let asked = options.params.0.clone();
    let params = Params { prompt, seed, negative, image_inputs, control_input: None, ..asked };
    params.check()?;
    let inputs = ImageInputs::read(options)?;
    let initial = inputs.as_ref().map(ImageInputs::size);
    let control = ControlInput::read(options, initial)?;
    if inputs.is_none() {
        params.check_without_images()?;
    }
    let shape = match initial.or(control.as_ref().map(ControlInput::size)) {
        Some((width, height)) => SizeRequest::Exact(width, height),
        None => SizeRequest::of(options)?,
    };
    let control_input = control.as_ref().map(|control| control.record.clone());
    let (width, height) = shape.size(None).unzip();
    let image_inputs = inputs.as_ref().map(|inputs| inputs.record.clone());
    let usual = inputs.is_some().then_some(options.inputs.usual_strength).flatten();
    let strength = params.strength.or(usual);
    let draw = Params { width, height, image_inputs, control_input, strength, ..params };
    draw.check()?;
    Ok(Asked { draw, shape, inputs, control })
}

/// A random seed of 32 bits: short enough to type again.
pub(crate) fn random_seed() -> Result<u64, Failure> {
    let mut bytes = [0; 4];
    fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes)).map_err(
        |error| {
            Failure::new(Kind::Io, format!("cannot read /dev/urandom: {error}"))
                .hint("give a seed with --seed N")
        },
    )?;
    Ok(u32::from_ne_bytes(bytes).into())
}
