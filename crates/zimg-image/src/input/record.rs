//! The record of a job's image inputs: the parameter `image_inputs`, which images carry so that they
//! can be generated again.

use std::ffi::OsStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::request::{InputFit, InputMargins, InputRequest, InputSize, MaskChoice};

/// The longest part of a file's name that is recorded, in characters.
const NAME_MAX: usize = 200;

/// A file, without its folders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// Its name; characters that no text has are `?`.
    pub name: String,
    /// The SHA-256 of its contents, in hexadecimal digits.
    pub sha256: String,
}

/// What a job's images were made from. JSON without what is left to its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputRecord {
    /// The initial image.
    pub init: InputFile,
    /// The mask, if there is any beside transparent parts that are left to be found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mask: Option<RecordedMask>,
    /// What of the mask's file says where the image may change, if it is not its white parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mask_channel: Option<MaskChannel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fit: Option<RecordedFit>,
    /// Left, top, right, bottom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outpaint: Option<[u32; 4]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    invert_mask: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mask_blur: Option<f32>,
    /// Whether the size was given; else it followed the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sized: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum RecordedMask {
    File(InputFile),
    Word(MaskWord),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MaskWord {
    Alpha,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MaskChannel {
    Alpha,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RecordedFit {
    Crop,
    Pad,
    Stretch,
}

impl InputFile {
    /// A file of this name with these contents.
    pub fn new(name: &OsStr, contents: &[u8]) -> Self {
        let plain = |c: char| if c.is_control() { '?' } else { c };
        let name = name.to_string_lossy().chars().map(plain).take(NAME_MAX).collect();
        let digest = Sha256::digest(contents);
        Self { name, sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect() }
    }
}

impl InputRecord {
    /// The record of a request.
    pub fn new(init: InputFile, mask: Option<InputFile>, request: &InputRequest) -> Self {
        let mask = match request.mask {
            MaskChoice::Alpha => Some(RecordedMask::Word(MaskWord::Alpha)),
            MaskChoice::None => Some(RecordedMask::Word(MaskWord::None)),
            _ => mask.map(RecordedMask::File),
        };
        let fit = match request.fit {
            InputFit::Crop => None,
            InputFit::Pad => Some(RecordedFit::Pad),
            InputFit::Stretch => Some(RecordedFit::Stretch),
        };
        let InputMargins { left, top, right, bottom } = request.margins;
        let outpaint = Some([left, top, right, bottom]).filter(|all| *all != [0; 4]);
        Self {
            init,
            mask,
            mask_channel: (request.mask == MaskChoice::FileAlpha).then_some(MaskChannel::Alpha),
            fit,
            outpaint,
            invert_mask: request.invert_mask.then_some(true),
            mask_blur: Some(request.mask_blur).filter(|blur| *blur > 0.0),
            sized: (request.size != InputSize::OfImage).then_some(true),
        }
    }

    /// The file of the mask, if there is one.
    pub fn mask(&self) -> Option<&InputFile> {
        match &self.mask {
            Some(RecordedMask::File(file)) => Some(file),
            _ => None,
        }
    }

    /// The request again, in which a size that was given is this one.
    pub fn request(&self, size: (u32, u32)) -> InputRequest {
        let [left, top, right, bottom] = self.outpaint.unwrap_or_default();
        InputRequest {
            size: match self.sized {
                Some(true) => InputSize::Exact(size.0, size.1),
                _ => InputSize::OfImage,
            },
            fit: match self.fit {
                None | Some(RecordedFit::Crop) => InputFit::Crop,
                Some(RecordedFit::Pad) => InputFit::Pad,
                Some(RecordedFit::Stretch) => InputFit::Stretch,
            },
            margins: InputMargins { left, top, right, bottom },
            mask: match (&self.mask, self.mask_channel) {
                (None, _) => MaskChoice::TransparentParts,
                (Some(RecordedMask::File(_)), None) => MaskChoice::File,
                (Some(RecordedMask::File(_)), Some(MaskChannel::Alpha)) => MaskChoice::FileAlpha,
                (Some(RecordedMask::Word(MaskWord::Alpha)), _) => MaskChoice::Alpha,
                (Some(RecordedMask::Word(MaskWord::None)), _) => MaskChoice::None,
            },
            invert_mask: self.invert_mask.unwrap_or_default(),
            mask_blur: self.mask_blur.unwrap_or_default(),
        }
    }

    /// The value of the parameter.
    pub fn to_text(&self) -> String {
        // Its keys in order, as metadata gives them back; names and numbers alone: it cannot fail.
        serde_json::to_value(self).map(|value| value.to_string()).unwrap_or_default()
    }

    /// Reads [`Self::to_text`] of this or a later version.
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_request_is_found_again_in_its_record() {
        let file = InputFile::new(OsStr::from_bytes(b"a \"b\"\n\xff.png"), b"abc");
        assert_eq!(file.name, "a \"b\"?\u{fffd}.png");
        // FIPS 180-2, B.1.
        assert!(file.sha256.starts_with("ba7816bf") && file.sha256.ends_with("f20015ad"));
        let margins = InputMargins { left: 1, top: 2, right: 3, bottom: 4 };
        for (request, mask) in [
            (InputRequest::default(), None),
            (
                InputRequest { mask: MaskChoice::File, mask_blur: 2.5, ..InputRequest::default() },
                Some(file.clone()),
            ),
            (
                InputRequest { mask: MaskChoice::FileAlpha, ..InputRequest::default() },
                Some(file.clone()),
            ),
            (
                InputRequest {
                    mask: MaskChoice::Alpha,
                    invert_mask: true,
                    ..InputRequest::default()
                },
                None,
            ),
            (
                InputRequest {
                    mask: MaskChoice::None,
                    fit: InputFit::Pad,
                    margins,
                    ..InputRequest::default()
                },
                None,
            ),
            (
                InputRequest {
                    size: InputSize::Exact(64, 80),
                    fit: InputFit::Stretch,
                    ..InputRequest::default()
                },
                None,
            ),
        ] {
            let record = InputRecord::new(file.clone(), mask.clone(), &request);
            let text = record.to_text();
            let again = InputRecord::from_text(&text).unwrap();
            assert_eq!((again.request((64, 80)), again.mask()), (request, mask.as_ref()), "{text}");
            assert_eq!(again.to_text(), text);
        }
        let plain = InputRecord::new(file, None, &InputRequest::default()).to_text();
        assert!(plain.starts_with("{\"init\":{\"name\":") && plain.ends_with("\"}}"), "{plain}");
        assert_eq!(InputRecord::from_text("{}"), None);
    }
}
