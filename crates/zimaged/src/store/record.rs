//! Records of detached jobs.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use zimg_protocol::limits::PROMPT_SHOWN;
use zimg_protocol::messages::{Generate, ImageInfo, Started, Timings};
use zimg_protocol::{Failure, codec};

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobRecord {
    /// The user id of its owner.
    pub uid: u32,
    /// The request.
    pub submit: Generate,
    /// When it was accepted, in seconds since 1970; only shown.
    pub accepted_unix_s: u64,
    /// The resolved defaults, once an image of it is on the disk.
    pub started: Option<Started>,
    /// The images on the disk, from the first on.
    #[serde(deserialize_with = "codec::as_they_come")]
    pub images: Vec<StoredImage>,
    /// How it ended, once it has.
    pub end: Option<JobEnd>,
    /// CRC-32 of the pixels of each of the request's images, which are in files, too. Not a part of
    /// the layout of records without images.
    #[serde(skip)]
    pub inputs: Vec<u32>,
}

/// An image whose pixels are in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredImage {
    /// Index, seed, size and length.
    pub image: ImageInfo,
    /// CRC-32 of the pixels.
    pub crc: u32,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobEnd {
    /// The timings, or why there are no (more) images.
    pub result: Result<Timings, Failure>,
    /// The directory's age in seconds at that time.
    pub lived_s: u64,
}

impl JobRecord {
    /// A new job.
    pub(crate) fn new(uid: u32, submit: Generate, accepted_unix_s: u64) -> Self {
        Self {
            uid,
            submit,
            accepted_unix_s,
            started: None,
            images: Vec::new(),
            end: None,
            inputs: Vec::new(),
        }
    }

    /// The indices of its stored images.
    pub(crate) fn indices(&self) -> Range<u32> {
        0..u32::try_from(self.images.len()).unwrap_or(u32::MAX)
    }

    /// The indices of its request's images.
    pub(crate) fn input_indices(&self) -> Range<u32> {
        0..u32::try_from(self.inputs.len()).unwrap_or(u32::MAX)
    }

    /// The record as it is held in memory: of an ended job only as much of the prompt as lists
    /// show, because there may be many of them with long prompts.
    pub(super) fn listed(mut self) -> Self {
        if self.end.is_some() {
            let draw = &mut self.submit.params;
            if let Some((end, _)) = draw.prompt.char_indices().nth(PROMPT_SHOWN) {
                draw.prompt.truncate(end);
                draw.prompt.shrink_to_fit();
            }
            draw.negative = None;
            draw.image_inputs = None;
            draw.control_input = None;
        }
        self
    }
}
