//! Images that a job starts from: files of options as pixels for the request, and what is recorded of
//! them.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zimg_client::{Failure, ImageRole, ImageUpload, Kind, PixelLayout};
use zimg_image::{
    InputDecoder, InputError, InputFile, InputImages, InputMargins, InputRecord, InputRequest,
    InputRole, InputSize, MaskChoice,
};
use zimg_text::shell_word;

use crate::cli::{DrawOptions, FitArg, InputOptions, Outpaint};
use crate::image_size::{MEGAPIXEL, SizeRequest};

/// The longest file: many times the largest photograph.
const FILE_MAX: u64 = 1 << 30;
/// Words of `--mask` that are no files.
const ALPHA: &str = "alpha";
const NONE: &str = "none";

/// The images of a request.
#[derive(Clone, Debug)]
pub(crate) struct ImageInputs {
    images: Arc<InputImages>,
    /// The parameter `image_inputs`.
    pub(crate) record: String,
    /// What was done to the image, if anything was.
    pub(crate) told: Option<String>,
}

impl ImageInputs {
    /// Reads the files of the options; none if there are none.
    ///
    /// # Errors
    ///
    /// `Usage`: options without an initial image. `Io`: a file cannot be read. `Refused`: it is no
    /// image, or its size is invalid.
    pub(crate) fn read(options: &DrawOptions) -> Result<Option<Self>, Failure> {
        let inputs = &options.inputs;
        let Some(path) = &inputs.init else {
            return match lonely(inputs) {
                Some(option) => {
                    let message = format!("{option} is given without an initial image");
                    Err(Failure::new(Kind::Usage, message).hint("give it with --init FILE"))
                }
                None => Ok(None),
            };
        };
        let (mask_path, mask) = match inputs.mask.as_deref() {
            None => (None, MaskChoice::TransparentParts),
            Some(word) if word == ALPHA => (None, MaskChoice::Alpha),
            Some(word) if word == NONE => (None, MaskChoice::None),
            Some(file) if inputs.mask_alpha => (Some(Path::new(file)), MaskChoice::FileAlpha),
            Some(file) => (Some(Path::new(file)), MaskChoice::File),
        };
        let request = InputRequest {
            size: size(options)?,
            fit: inputs.fit.map(FitArg::fit).unwrap_or_default(),
            margins: inputs.outpaint.map(|Outpaint(margins)| margins).unwrap_or_default(),
            mask,
            invert_mask: inputs.invert_mask,
            mask_blur: inputs.mask_blur.unwrap_or_default(),
        };
        let initial = contents(path)?;
        let mask = mask_path.map(contents).transpose()?;
        let images = InputDecoder::this_program()
            .read(&initial, mask.as_deref(), &request)
            .map_err(|error| refusal(&error, path, mask_path))?;
        let named = |path: &Path, bytes: &[u8]| {
            InputFile::new(path.file_name().unwrap_or_else(|| OsStr::new("")), bytes)
        };
        let recorded_mask = mask_path.zip(mask).map(|(path, bytes)| named(path, &bytes));
        let record = InputRecord::new(named(path, &initial), recorded_mask, &request).to_text();
        let untouched = format!("{}x{}", images.width, images.height);
        let told =
            (images.done != untouched).then(|| format!("{}: {}", path.display(), images.done));
        Ok(Some(Self { images: Arc::new(images), record, told }))
    }

    /// Images that were decoded from the files of a record.
    pub(crate) fn of(images: InputImages, record: &InputRecord) -> Self {
        Self { images: Arc::new(images), record: record.to_text(), told: None }
    }

    /// Width and height of what is generated.
    pub(crate) fn size(&self) -> (u32, u32) {
        (self.images.width, self.images.height)
    }

    /// The images as a request brings them.
    pub(crate) fn uploads(&self) -> Vec<ImageUpload<'_>> {
        let InputImages { width, height, rgb, mask, .. } = &*self.images;
        let (width, height) = (*width, *height);
        let initial = (ImageRole::Initial, PixelLayout::Rgb8, rgb);
        let mask = mask.as_ref().map(|mask| (ImageRole::Mask, PixelLayout::L8, mask));
        let all = [Some(initial), mask].into_iter().flatten();
        all.map(|(role, layout, pixels)| ImageUpload { role, layout, width, height, pixels })
            .collect()
    }
}

/// An option that needs an initial image. The others may be settings for all images.
fn lonely(inputs: &InputOptions) -> Option<&'static str> {
    let InputOptions { mask, outpaint, invert_mask, .. } = inputs;
    let is_mask = mask.as_deref().is_some_and(|mask| mask != NONE);
    [(is_mask, "--mask"), (outpaint.is_some(), "--outpaint"), (*invert_mask, "--invert-mask")]
        .into_iter()
        .find_map(|(given, option)| given.then_some(option))
}

pub(crate) fn size(options: &DrawOptions) -> Result<InputSize, Failure> {
    if options.size.is_some()
        && let SizeRequest::Exact(width, height) = SizeRequest::of(options)?
    {
        return Ok(InputSize::Exact(width, height));
    }
    let aspect = options.aspect.map(|aspect| aspect.width / aspect.height);
    let pixels = options.megapixels.map(|megapixels| megapixels * MEGAPIXEL);
    Ok(match (aspect, pixels) {
        (None, None) => InputSize::OfImage,
        _ => InputSize::Shape { aspect, pixels },
    })
}

/// A file's contents, if it is not longer than any image.
pub(crate) fn contents(path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    let unreadable =
        |error: std::io::Error| Failure::new(Kind::Io, format!("cannot read {shown}: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(Failure::new(Kind::Io, format!("{shown} is a directory")));
    }
    let mut bytes = Vec::new();
    let read = file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if read as u64 > FILE_MAX {
        let message = format!("{shown} is longer than {} MiB", FILE_MAX >> 20);
        return Err(Failure::new(Kind::Io, message));
    }
    Ok(bytes)
}

pub(crate) fn refusal(error: &InputError, initial: &Path, mask: Option<&Path>) -> Failure {
    let InputError { role, fault } = error;
    let path = match (role, mask) {
        (InputRole::Mask, Some(mask)) => mask,
        _ => initial,
    };
    let failure = Failure::new(Kind::Refused, format!("{} {fault}", path.display()));
    match fault.hint(&shell_word(path)) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The options that make the same images again, of a file that was generated from them. Its files are
/// looked for in the current folder and beside it. `given` are options that replace them.
///
/// # Errors
///
/// `Io`: a file is not there. `Refused`: it has changed, or the record is not understood.
pub(crate) fn recorded(
    record: &str,
    generated: &Path,
    size: Option<(u32, u32)>,
    given: &InputOptions,
) -> Result<InputOptions, Failure> {
    let Some(record) = InputRecord::from_text(record) else {
        let message = format!(
            "{} was generated from an image that its metadata does not describe as zimg does",
            generated.display()
        );
        return Err(Failure::new(Kind::Refused, message).hint("give the image with --init FILE"));
    };
    let request = record.request(size.unwrap_or_default());
    let init = match &given.init {
        Some(_) => None,
        None => Some(find(&record.init, "--init", generated)?),
    };
    let mask = match (&given.mask, record.mask(), request.mask) {
        (None, Some(file), _) => Some(find(file, "--mask", generated)?.into_os_string()),
        (_, _, MaskChoice::Alpha) => Some(ALPHA.into()),
        (_, _, MaskChoice::None) => Some(NONE.into()),
        _ => None,
    };
    Ok(InputOptions {
        init,
        mask_alpha: mask.is_some() && request.mask == MaskChoice::FileAlpha,
        mask,
        invert_mask: request.invert_mask,
        no_invert_mask: false,
        mask_blur: Some(request.mask_blur).filter(|blur| *blur > 0.0),
        outpaint: Some(Outpaint(request.margins))
            .filter(|Outpaint(margins)| *margins != InputMargins::default()),
        fit: Some(FitArg::of(request.fit)),
        ..InputOptions::default()
    })
}

/// Whether the size of a recorded request was given.
pub(crate) fn is_sized(record: &str) -> bool {
    InputRecord::from_text(record)
        .is_none_or(|record| record.request((0, 0)).size != InputSize::OfImage)
}

/// The file with these contents.
pub(crate) fn find(file: &InputFile, option: &str, generated: &Path) -> Result<PathBuf, Failure> {
    let InputFile { name, sha256 } = file;
    let shown = generated.display();
    let beside = generated.parent().unwrap_or(Path::new(""));
    let mut changed = None;
    for folder in [Path::new(""), beside] {
        let path = folder.join(name);
        // A name has no folders; one that has was not written by zimg.
        if path.file_name() != Some(OsStr::new(name)) || !path.is_file() {
            continue;
        }
        if InputFile::new(OsStr::new(name), &contents(&path)?).sha256 == *sha256 {
            return Ok(path);
        }
        changed.get_or_insert(path);
    }
    let hint = format!("give another file with {option} FILE: it is taken as it is");
    Err(match changed {
        Some(path) => {
            let message = format!(
                "{} has changed since {shown} was generated from it: its SHA-256 was {sha256}",
                path.display()
            );
            Failure::new(Kind::Refused, message).hint(hint)
        }
        None => {
            let message = format!(
                "{shown} was generated from {name}, which is neither in the current folder nor \
                 beside it"
            );
            Failure::new(Kind::Io, message).hint(hint)
        }
    })
}
