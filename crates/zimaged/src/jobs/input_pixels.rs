//! Pixels of a job's image inputs: in memory, in the store, or on their way from there.

use bytes::Bytes;
use zimg_protocol::messages::Generate;

use crate::request_images::RequestImages;

/// Where the pixels of a job's images are.
#[derive(Debug)]
pub(crate) enum InputPixels {
    /// In memory. A job without images has them there, too.
    Here(RequestImages),
    /// In the store.
    Stored,
    /// On their way from the store.
    Coming,
}

impl InputPixels {
    /// Those of a job that is in the store.
    pub(crate) fn of(request: &Generate) -> Self {
        match request.images.is_empty() {
            true => Self::Here(RequestImages::default()),
            false => Self::Stored,
        }
    }

    /// Whether a worker can get them.
    pub(crate) fn are_here(&self) -> bool {
        matches!(self, Self::Here(_))
    }

    /// The pixels for a worker. Stored ones are read again if another worker needs them.
    pub(crate) fn give(&mut self, stored: bool) -> Vec<Bytes> {
        let Self::Here(images) = self else { return Vec::new() };
        let pixels = images.pixels().to_vec();
        if stored && !pixels.is_empty() {
            *self = Self::Stored;
        }
        pixels
    }
}
