//! Image inputs of detached jobs: read from the store before a worker needs them, within a bound.

use bytes::Bytes;
use zimg_protocol::messages::JobId;
use zimg_protocol::{Failure, Kind};

use super::JobTable;
use super::effect::Effect;
use super::input_pixels::InputPixels;
use super::job::Job;
use super::retention::input_bytes;
use super::state::JobPhase;
use crate::request_images::RequestImages;
use crate::store::{ReadError, StoreRequest};

/// Bytes of images of waiting detached jobs that are in memory, those of the next job in any case.
const FETCHED_MAX: u64 = 64 << 20;

impl JobTable {
    /// After every message: of the detached jobs that wait, the next have their images in memory
    /// before a worker is free, and the others only in the store.
    pub(crate) fn fetch_inputs(&mut self) -> Vec<Effect> {
        let with_images = |job: &Job| job.is_detached() && !job.request.images.is_empty();
        let waits = |job: &&Job| matches!(job.phase, JobPhase::Waiting | JobPhase::Preempted);
        if !self.jobs.values().filter(waits).any(with_images) {
            return Vec::new();
        }
        let mut effects = Vec::new();
        let mut fetched = 0;
        for id in self.queue.order() {
            let Some(job) = self.jobs.get_mut(&id).filter(|job| waits(&&**job)) else { continue };
            if !with_images(job) {
                continue;
            }
            let bytes = input_bytes(&job.request);
            let fits = fetched == 0 || fetched + bytes <= FETCHED_MAX;
            match &mut job.inputs {
                inputs @ InputPixels::Stored if fits => {
                    *inputs = InputPixels::Coming;
                    effects.push(Effect::Store(StoreRequest::ReadInputs { job: id }));
                }
                inputs @ InputPixels::Here(_) if !fits => *inputs = InputPixels::Stored,
                _ => {}
            }
            if fits {
                fetched += bytes;
            }
        }
        effects
    }

    /// The store has read the images of a job, or cannot.
    pub(super) fn inputs_read(
        &mut self,
        id: JobId,
        result: Result<Vec<Bytes>, ReadError>,
    ) -> Vec<Effect> {
        let Some(job) = self.jobs.get_mut(&id) else { return Vec::new() };
        if !matches!(job.inputs, InputPixels::Coming) {
            return Vec::new();
        }
        job.inputs = InputPixels::Stored;
        match result {
            Ok(pixels) => {
                job.inputs = InputPixels::Here(RequestImages::stored(pixels));
                Vec::new()
            }
            Err(ReadError::Damaged(damage)) => {
                let failure = Failure::new(Kind::Io, format!("job {id} cannot begin: {damage}"))
                    .hint("send the job again with its images");
                self.end(id, Err(failure))
            }
            Err(ReadError::Failed(failure)) => self.block(id, failure),
        }
    }
}
