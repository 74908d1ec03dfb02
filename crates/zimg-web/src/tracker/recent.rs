//! Images that were generated a moment ago: the page asks for them at once, and the job store need
//! not be read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zimg_client::JobId;

use crate::daemon::StoredImage;

/// Bytes of pixels that are held.
const BYTES: usize = 16 << 20;
/// How long they are held.
const AGE: Duration = Duration::from_secs(10);

/// The latest images.
#[derive(Debug, Default)]
pub(super) struct RecentImages(VecDeque<(Instant, JobId, Arc<StoredImage>)>);

impl RecentImages {
    pub(super) fn add(&mut self, job: JobId, image: StoredImage) {
        let new = image.image.pixels.len();
        while self.bytes() + new > BYTES && self.0.pop_front().is_some() {}
        if new <= BYTES {
            self.0.push_back((Instant::now(), job, Arc::new(image)));
        }
    }

    pub(super) fn get(&self, job: JobId, index: u32) -> Option<Arc<StoredImage>> {
        let found =
            self.0.iter().find(|(_, of, image)| *of == job && image.image.info.index == index);
        found.map(|(_, _, image)| Arc::clone(image))
    }

    /// Drops those that are no longer recent; whether some stay.
    pub(super) fn expire(&mut self) -> bool {
        self.0.retain(|(at, _, _)| at.elapsed() < AGE);
        !self.0.is_empty()
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|(_, _, image)| image.image.pixels.len()).sum()
    }
}
