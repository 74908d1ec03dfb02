//! Following a job: its updates, from a connection of its own, as events.

use zimg_client::{JobId, Step, Update};
use zimg_image::ImageFormat;

use super::Tracker;
use super::event::{JobEvent, from_one};
use crate::daemon::{JobContext, RunningJob, StoredImage, encode_preview};

impl Tracker {
    /// Follows a job until it ends or its connection does; the list tells the rest.
    pub(super) fn follow(&self, job: JobId) {
        let tracker = self.clone();
        tokio::spawn(async move {
            if let Ok(running) = tracker.0.daemon.follow(job).await {
                tracker.pass_on(running).await;
            }
            tracker.state().table.unfollow(job);
            tracker.0.news.notify_one();
        });
    }

    async fn pass_on(&self, mut running: RunningJob) {
        let job = running.job;
        let mut context = None;
        // Two statements: the lock is not held in the second.
        let user = self.state().table.user(job);
        if let Some(user) = user {
            self.note_details(&user, job, &running.params, None);
        }
        let images = running.params.images();
        while let Some(Ok(update)) = running.next().await {
            let event = match update {
                Update::Accepted { .. } => continue,
                Update::Waiting(waiting) => JobEvent::Waiting((&waiting).into()),
                Update::Started(started) => {
                    let news = self.state().table.started(job, &started);
                    let event = JobEvent::Started {
                        model: started.model.name.clone(),
                        width: started.width,
                        height: started.height,
                        steps: started.steps,
                        guidance: started.guidance,
                    };
                    context = Some(JobContext { params: running.params.clone(), started });
                    if !news {
                        continue;
                    }
                    event
                }
                Update::Step(step) => JobEvent::Step {
                    image: from_one(step.image),
                    step: step.step,
                    of: step.of,
                    ms: Some(step.ms),
                    eta_ms: Some(time_left(&step, images)),
                },
                Update::Decoding { image } => JobEvent::Decoding { image: from_one(image) },
                Update::Resumed { image, step } => {
                    JobEvent::Resumed { image: from_one(image), step }
                }
                Update::Preview(preview) => {
                    match encode_preview(&preview, ImageFormat::WebP).await {
                        Ok(webp) => JobEvent::preview(&preview, &webp),
                        Err(_) => continue,
                    }
                }
                Update::Image(image) => {
                    let info = image.info.clone();
                    let event = JobEvent::Image {
                        image: from_one(info.index),
                        id: format!("{job}-{}", from_one(info.index)),
                        seed: info.seed.to_string(),
                        width: info.width,
                        height: info.height,
                    };
                    if let Some(context) = context.clone() {
                        self.recent().add(job, StoredImage { context, image });
                    }
                    if !self.state().table.image(job, info.index) {
                        continue;
                    }
                    event
                }
                Update::Done(timings) => JobEvent::Done { ms: Some(timings.into()) },
            };
            if !self.tell(job, &event) {
                return;
            }
        }
    }

    /// Adds an event to the log of the job's user; false if the job is not tracked any more.
    fn tell(&self, job: JobId, event: &JobEvent) -> bool {
        let mut state = self.state();
        let Some(user) = state.table.user(job) else { return false };
        if event.is_last() && !state.table.end(job) {
            return true;
        }
        let log = state.log(&user, &self.0.epoch);
        if event.is_last() {
            log.drop_preview(job);
        }
        log.push(Some(job), event);
        true
    }
}

/// The time of the steps that are left, as long as each of them is as long as this one.
fn time_left(step: &Step, images: u32) -> u64 {
    let of_image = u64::from(step.of.saturating_sub(step.step));
    let others = u64::from(images.saturating_sub(step.image + 1)) * u64::from(step.of);
    ((of_image + others) as f64 * f64::from(step.ms.max(0.0))) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_counts_the_other_images() {
        let step = |image, step| Step { image, step, of: 8, ms: 100.0 };
        assert_eq!(time_left(&step(0, 3), 1), 500);
        assert_eq!(time_left(&step(0, 3), 3), 2100);
        assert_eq!(time_left(&step(2, 8), 3), 0);
        let strange = Step { image: 9, step: 9, of: 8, ms: f32::NAN };
        assert_eq!(time_left(&strange, 1), 0);
    }
}
