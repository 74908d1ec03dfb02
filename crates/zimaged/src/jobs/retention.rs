//! Retention of detached jobs: how many there may be, how much room they take, and until when
//! those that have ended stay.

use std::time::Instant;

use zimg_protocol::limits::image_bytes as bytes_of;
use zimg_protocol::messages::{Generate, ModelInfo, Params, Started};

use super::refusal::Refusal;
use crate::owner::Owner;
use crate::retention::Retention;

/// Detached jobs of all users together. A list of so many fits a frame, or nearly.
const JOBS_MAX: usize = 500;
/// Detached jobs of one user.
const JOBS_PER_USER: usize = 100;
/// Bytes that a job takes on the disk besides its prompts and images.
const OVERHEAD: u64 = 8 << 10;
/// The side of an image whose size is not known yet: the usual model's own.
const USUAL_SIDE: u32 = 1024;
/// The store's age is saved when it has grown by so many seconds.
const SAVED_EVERY_S: u64 = 600;

/// How long daemons have run on the store, in seconds. Jobs expire by it, so that no clock that is
/// set wrong loses anything.
#[derive(Debug)]
pub(crate) struct StoreAge {
    /// The age at an instant.
    opened: (Instant, u64),
    saved_s: u64,
}

impl StoreAge {
    /// A store that is opened now, at this age.
    pub(crate) fn new(age_s: u64) -> Self {
        Self { opened: (Instant::now(), age_s), saved_s: age_s }
    }

    /// The present age in seconds.
    pub(crate) fn seconds(&self) -> u64 {
        self.opened.1 + self.opened.0.elapsed().as_secs()
    }

    /// The age, if it has grown so much that it is to be saved.
    pub(crate) fn due_for_saving(&mut self) -> Option<u64> {
        let age_s = self.seconds();
        (age_s >= self.saved_s + SAVED_EVERY_S).then(|| {
            self.saved_s = age_s;
            age_s
        })
    }
}

/// Whether a job that ended at one age of the store has expired at another.
pub(crate) fn has_expired(retention: &Retention, ended_s: u64, age_s: u64) -> bool {
    age_s.saturating_sub(ended_s) >= retention.time.as_secs()
}

/// Whether detached jobs, each with its owner and its bytes, leave room for one more of this user.
pub(crate) fn admit(
    retention: &Retention,
    detached: impl Iterator<Item = (Owner, u64)> + Clone,
    owner: &Owner,
    request: &Generate,
    model: Option<&ModelInfo>,
) -> Result<(), Refusal> {
    let more = job_bytes(request, None, model);
    let used = |own: bool| {
        let jobs = detached.clone().filter(move |(other, _)| !own || other == owner);
        jobs.fold((0, 0), |(n, sum), (_, bytes)| (n + 1, sum + bytes))
    };
    let ((jobs, bytes), (own_jobs, own_bytes)) = (used(false), used(true));
    if own_jobs >= JOBS_PER_USER {
        return Err(Refusal::OwnDetachedJobs(own_jobs));
    }
    if jobs >= JOBS_MAX {
        return Err(Refusal::DetachedJobs(jobs));
    }
    if own_bytes + more > retention.bytes_per_user {
        let (needed, limit) = (own_bytes + more, retention.bytes_per_user);
        return Err(Refusal::OwnQuota { needed, limit });
    }
    if bytes + more > retention.bytes {
        return Err(Refusal::Quota { needed: bytes + more, limit: retention.bytes });
    }
    Ok(())
}

/// Bytes that a job will take on the disk.
pub(crate) fn job_bytes(
    request: &Generate,
    started: Option<&Started>,
    model: Option<&ModelInfo>,
) -> u64 {
    let asked = &request.params;
    ended_bytes(request, image_bytes(asked, started, model) * u64::from(asked.images()))
}

/// Bytes that a job takes that has ended with so many bytes of images.
pub(crate) fn ended_bytes(request: &Generate, images: u64) -> u64 {
    OVERHEAD + prompt_bytes(&request.params) + input_bytes(request) + images
}

/// Bytes of a request's image inputs, which are stored until the job is deleted: an image that is
/// damaged on the disk is generated again from them.
pub(crate) fn input_bytes(request: &Generate) -> u64 {
    request.images.iter().filter_map(|image| Some(image.bytes().ok()? as u64)).sum()
}

/// Bytes of one image, as far as its size is known.
pub(crate) fn image_bytes(
    asked: &Params,
    started: Option<&Started>,
    model: Option<&ModelInfo>,
) -> u64 {
    let side = |told: Option<u32>, asked: Option<u32>, usual: Option<u32>| {
        told.or(asked).or(usual).unwrap_or(USUAL_SIDE)
    };
    let width =
        side(started.map(|s| s.width), asked.width, model.map(|m| asked.usual_side(m.width)));
    let height =
        side(started.map(|s| s.height), asked.height, model.map(|m| asked.usual_side(m.height)));
    bytes_of(width, height).unwrap_or_default() as u64
}

/// Bytes of the request's texts.
fn prompt_bytes(asked: &Params) -> u64 {
    let others = [&asked.negative, &asked.image_inputs, &asked.control_input].into_iter().flatten();
    (asked.prompt.len() + others.map(String::len).sum::<usize>()) as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use zimg_protocol::messages::{ImageInput, ImageRole, ImageSource};
    use zimg_protocol::{Failure, Kind};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn params(count: u32) -> Generate {
        let side = Some(1024);
        Params { count: Some(count), width: side, height: side, ..Params::new("a fox") }.into()
    }

    fn retention() -> Retention {
        let time = Duration::from_secs(3600);
        Retention { time, bytes: 40 * MIB, bytes_per_user: 20 * MIB }
    }

    #[test]
    fn quotas_are_of_each_user_and_of_all() {
        let mut jobs = Vec::new();
        let take = |jobs: &mut Vec<(Owner, u64)>, uid: u32, count: u32| {
            admit(&retention(), jobs.iter().cloned(), &uid.into(), &params(count), None)?;
            jobs.push((uid.into(), job_bytes(&params(count), None, None)));
            Ok::<(), Refusal>(())
        };
        take(&mut jobs, 7, 5).unwrap();
        let failure = Failure::from(take(&mut jobs, 7, 2).unwrap_err());
        assert_eq!(failure.kind, Kind::Busy);
        assert_eq!(
            failure.message,
            "your detached jobs would take 22 MiB, and your quota is 20 MiB"
        );
        take(&mut jobs, 7, 1).unwrap();
        take(&mut jobs, 8, 6).unwrap();
        let refusal = take(&mut jobs, 9, 2).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "all detached jobs would take 43 MiB, and the limit is 40 MiB"
        );
        // A job that failed without an image takes next to nothing.
        jobs[2].1 = ended_bytes(&params(6), 0);
        take(&mut jobs, 9, 6).unwrap();
    }

    #[test]
    fn image_inputs_are_counted_until_the_job_is_deleted() {
        let image = |role: ImageRole| {
            let (layout, source) = (role.layout(), ImageSource::Inline);
            ImageInput { role, layout, width: 1024, height: 1024, source }
        };
        let images = vec![image(ImageRole::Initial), image(ImageRole::Mask)];
        let with = Generate { images, ..params(1) };
        assert_eq!(job_bytes(&with, None, None) - job_bytes(&params(1), None, None), 4 * MIB);
        assert_eq!(ended_bytes(&with, 0) - ended_bytes(&params(1), 0), 4 * MIB);
        let mut jobs = vec![(7.into(), job_bytes(&with, None, None)); 2];
        let refused = |jobs: &[(Owner, u64)]| {
            admit(&retention(), jobs.iter().cloned(), &7.into(), &with, None).unwrap_err()
        };
        assert!(matches!(refused(&jobs), Refusal::OwnQuota { .. }));
        jobs[0].1 = ended_bytes(&with, 3 * MIB);
        assert!(matches!(refused(&jobs), Refusal::OwnQuota { .. }));
    }

    #[test]
    fn small_jobs_are_counted() {
        let mut jobs = Vec::new();
        let side = Some(64);
        let small = Params { width: side, height: side, ..Params::new("a fox") }.into();
        for _ in 0..100 {
            admit(&retention(), jobs.iter().cloned(), &7.into(), &small, None).unwrap();
            jobs.push((7.into(), job_bytes(&small, None, None)));
        }
        let refusal =
            admit(&retention(), jobs.iter().cloned(), &7.into(), &small, None).unwrap_err();
        assert_eq!(refusal, Refusal::OwnDetachedJobs(100));
        assert_eq!(refusal.to_string(), "you already have 100 detached jobs");
        admit(&retention(), jobs.iter().cloned(), &8.into(), &small, None).unwrap();
    }

    #[test]
    fn what_has_ended_expires_by_the_age_of_the_store() {
        let expired = |ended_s, age_s| has_expired(&retention(), ended_s, age_s);
        assert!(expired(6400, 10_000));
        assert!(!expired(6401, 10_000));
        assert!(expired(6401, 20_000));
        assert!(!expired(6400, 0), "an age that is lost expires nothing");
    }
}
