//! From files' bytes to the pixels of a job, with what was done in words.

use super::decode::SourceImage;
use super::fault::InputError;
use super::limits::PIXELS_MAX;
use super::mask::{self, ChosenMask};
use super::place::{self, PlacedImage};
use super::request::{InputImages, InputRequest};
use super::{fill, geometry};

/// Decodes, in this process: [`super::InputDecoder`] does the same in one that is limited.
///
/// # Errors
///
/// A file is no image that is read, or both do not fit together.
pub fn read_input(
    initial: &[u8],
    mask: Option<&[u8]>,
    request: &InputRequest,
) -> Result<InputImages, InputError> {
    read_input_within(initial, mask, request, PIXELS_MAX)
}

/// The same of files of at most `pixels_max` pixels each.
///
/// # Errors
///
/// As [`read_input`].
#[cfg_attr(not(feature = "fuzzing"), expect(unreachable_pub, reason = "the fuzzers call it"))]
pub fn read_input_within(
    initial: &[u8],
    mask: Option<&[u8]>,
    request: &InputRequest,
    pixels_max: u64,
) -> Result<InputImages, InputError> {
    let decode = |file: &[u8]| SourceImage::decode(file, pixels_max);
    let image = decode(initial).map_err(InputError::initial)?;
    let mask = mask.map(decode).transpose().map_err(InputError::mask)?;
    let chosen = mask::choose(request, &image, mask)?;
    let plan = geometry::plan(image.size(), request.size, request.fit, request.margins)
        .map_err(InputError::initial)?;
    let PlacedImage { mut canvas, note } = place::image(&image, &plan);
    let mask = mask::placed(&chosen, &canvas, &plan, request);
    if !matches!(chosen, ChosenMask::Alpha) {
        fill::whitened(&mut canvas, plan.at);
    }
    let notes = image.notes.iter().cloned().chain(note).chain(plan.notes());
    let done: Vec<String> = notes.chain(mask::note(&chosen, &image, &plan, request.fit)).collect();
    let ((width, height), rgb) = (plan.canvas, fill::filled(&canvas));
    Ok(InputImages { width, height, rgb, mask, done: done.join(", ") })
}
