//! The control image of a job: a file of options as pixels for the request, and what is recorded of it.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use zimg_client::{Failure, ImageRole, ImageUpload, Kind, PixelLayout};
use zimg_image::{
    ControlRecord, InputDecoder, InputFile, InputImages, InputRequest, InputSize, MaskChoice,
};

use crate::cli::{DrawOptions, FitArg, InputOptions};
use crate::image_inputs::{contents, find, refusal, size};

/// The control image of a request.
#[derive(Clone, Debug)]
pub(crate) struct ControlInput {
    width: u32,
    height: u32,
    rgb: Arc<Vec<u8>>,
    /// The parameter `control_input`.
    pub(crate) record: String,
    /// What was done to the image, if anything was.
    pub(crate) told: Option<String>,
}

impl ControlInput {
    /// Reads the file of the options; none if there is none. `initial` is the size of the initial image.
    ///
    /// # Errors
    ///
    /// `Usage`: a kind without a control image. `Io`: the file cannot be read. `Refused`: it is no image, or
    /// its size is invalid.
    pub(crate) fn read(
        options: &DrawOptions,
        initial: Option<(u32, u32)>,
    ) -> Result<Option<Self>, Failure> {
        let inputs = &options.inputs;
        let Some(path) = &inputs.control else { return Ok(None) };
        let size = match initial {
            Some((width, height)) => InputSize::Exact(width, height),
            None => size(options)?,
        };
        let fit = inputs.fit.map(FitArg::fit).unwrap_or_default();
        let kind = inputs.control_kind.unwrap_or_default();
        let file = contents(path)?;
        let is_sized = size != InputSize::OfImage;
        let request = InputRequest { size, fit, mask: MaskChoice::None, ..InputRequest::default() };
        let decoded = InputDecoder::this_program().read(&file, None, &request);
        let InputImages { width, height, rgb, done, .. } =
            decoded.map_err(|error| refusal(&error, path, None))?;
        let name = path.file_name().unwrap_or_else(|| OsStr::new(""));
        let record = ControlRecord::new(InputFile::new(name, &file), kind, fit, is_sized);
        let is_untouched = done == format!("{width}x{height}");
        Ok(Some(Self {
            width,
            height,
            rgb: Arc::new(kind.apply(rgb, width, height)),
            record: record.to_text(),
            told: (!is_untouched).then(|| format!("{}: {done}", path.display())),
        }))
    }

    /// Width and height of what is generated.
    pub(crate) fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// The image as a request brings it.
    pub(crate) fn upload(&self) -> ImageUpload<'_> {
        let Self { width, height, rgb, .. } = self;
        let (role, layout) = (ImageRole::Control, PixelLayout::Rgb8);
        ImageUpload { role, layout, width: *width, height: *height, pixels: rgb }
    }
}

/// The options that make the same control image again; `given` are options that replace them.
///
/// # Errors
///
/// `Io`: the file is not there. `Refused`: it has changed, or the record is not understood.
pub(crate) fn recorded(
    record: &str,
    generated: &Path,
    made: InputOptions,
    given: &InputOptions,
) -> Result<InputOptions, Failure> {
    let record = ControlRecord::from_text(record);
    let Some((record, kind)) = record.and_then(|record| Some((record.clone(), record.kind()?)))
    else {
        let message = format!(
            "{} was generated with a control image that its metadata does not describe as zimg does",
            generated.display()
        );
        return Err(Failure::new(Kind::Refused, message).hint("give the image with --control FILE"));
    };
    let control = match &given.control {
        Some(_) => None,
        None => Some(find(&record.control, "--control", generated)?),
    };
    let fit = made.fit.or(Some(FitArg::of(record.fit())));
    Ok(InputOptions { control, control_kind: Some(kind), fit, ..made })
}

/// Whether the size of a recorded control image was given.
pub(crate) fn is_sized(record: &str) -> bool {
    ControlRecord::from_text(record).is_none_or(|record| record.is_sized())
}
