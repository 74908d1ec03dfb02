//! Detached jobs as the supervisor knows them: whose they are, what has come of them, how much
//! room they take, and until when they are kept.
//!
//! What is said here is on the disk (`store`), or on its way there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use zimg_protocol::limits::{PROMPT_SHOWN, image_bytes};
use zimg_protocol::messages::{
    Generate, ImageInfo, JobId, JobInfo, JobState, ModelInfo, Params, Started, Timings,
};
use zimg_protocol::{Failure, Kind};

use crate::store::{JobEnd, JobRecord, StoredImage};

/// Detached jobs of all users together. A list of so many fits a frame, or nearly.
const JOBS_MAX: usize = 500;
/// Of one user.
const JOBS_PER_USER: usize = 100;
/// Characters of a failure in a list of jobs.
const FAILURE_SHOWN: usize = 200;
/// What a job takes on the disk besides its words and images.
const OVERHEAD: u64 = 8 << 10;
/// The side of an image whose size nobody has said yet: the usual model's own.
const USUAL_SIDE: u32 = 1024;

/// How much is kept, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retention {
    /// How long a job is kept after its end, in time that the daemon runs: no clock decides it, so
    /// none that is set wrong loses anything.
    pub time: Duration,
    /// Bytes of all jobs together.
    pub bytes: u64,
    /// Bytes of one user's.
    pub bytes_per_user: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self::of(Duration::from_secs(7 * 24 * 3600), 4 << 30)
    }
}

impl Retention {
    /// So long, and so much, of which one user may have half.
    pub(crate) fn of(time: Duration, bytes: u64) -> Self {
        Self { time, bytes, bytes_per_user: bytes / 2 }
    }
}

/// A detached job.
#[derive(Debug)]
pub(crate) struct DetachedJob {
    pub uid: u32,
    /// What was asked for; once it has ended only as much as a list shows.
    pub submit: Generate,
    /// When, in seconds since 1970.
    pub accepted_unix_s: u64,
    /// What the defaults became, once a worker has said it.
    pub started: Option<Started>,
    /// How old the folder was when the job ended, in seconds.
    pub ended_s: Option<u64>,
    /// What those who wait for it may have.
    pub shown: watch::Sender<Shown>,
    /// Bytes of images on their way to the disk.
    pub under_way: u64,
    /// It was drawn to its end, and that is to be kept once its images are.
    pub drawn: Option<Timings>,
    /// How it has ended, which is on its way to the disk.
    pub ending: Option<JobEnd>,
    /// The image whose pixels are coming from the worker.
    pub arriving: Option<(ImageInfo, Vec<u8>)>,
    /// Its images cannot be kept for now, and why: it does not wait for a worker.
    pub held: Option<Failure>,
    /// Bytes that it takes, or will take.
    bytes: u64,
}

/// What those who wait for a job may have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// Its images that are on the disk.
    pub images: Vec<StoredImage>,
    /// Its end.
    pub end: Option<Result<Timings, Failure>>,
}

impl DetachedJob {
    /// A job as it lies on the disk.
    pub(crate) fn new(record: JobRecord, model: Option<&ModelInfo>) -> Self {
        let JobRecord { uid, submit, accepted_unix_s, started, images, end } = record;
        let bytes = cost(&submit.params, started.as_ref(), model);
        let (ended_s, end) = end.map(|end| (end.lived_s, end.result)).unzip();
        let mut entry = Self {
            uid,
            submit,
            accepted_unix_s,
            started,
            ended_s,
            shown: watch::Sender::new(Shown { images, end }),
            under_way: 0,
            drawn: None,
            ending: None,
            arriving: None,
            held: None,
            bytes,
        };
        entry.settle();
        entry
    }

    /// Once it has ended it takes what it takes, and of a long prompt only the beginning is known.
    fn settle(&mut self) {
        let shown = self.shown.borrow();
        if shown.end.is_some() {
            let images: u64 = shown.images.iter().map(|kept| kept.image.bytes).sum();
            self.bytes = OVERHEAD + words(&self.submit.params) + images;
            drop(shown);
            let draw = &mut self.submit.params;
            draw.prompt = draw.prompt.chars().take(PROMPT_SHOWN).collect();
            draw.negative = None;
        }
    }

    /// It has ended, at this age of the folder.
    pub(crate) fn end(&mut self, result: Result<Timings, Failure>, lived_s: u64) {
        self.ended_s = Some(lived_s);
        self.held = None;
        self.shown.send_modify(|shown| shown.end = Some(result));
        self.settle();
    }

    /// How many of its images are on the disk.
    pub(crate) fn images(&self) -> u32 {
        u32::try_from(self.shown.borrow().images.len()).unwrap_or(u32::MAX)
    }

    /// Bytes of one of its images, as far as that can be said.
    pub(crate) fn image_bytes(&self) -> u64 {
        image(&self.submit.params, self.started.as_ref(), None)
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended_s.is_some()
    }

    /// The job as its owner sees it, when no worker has or will have it.
    pub(crate) fn info(&self, job: JobId, position: u32) -> JobInfo {
        let shown = self.shown.borrow();
        let draw = &self.submit.params;
        let size = self.started.as_ref().map(|started| (started.width, started.height));
        JobInfo {
            job,
            uid: self.uid,
            state: match (&shown.end, &self.held) {
                (None, None) => JobState::Waiting { position },
                (None, Some(failure)) => JobState::Held(listed(failure)),
                (Some(Ok(_)), _) => JobState::Done,
                (Some(Err(failure)), _) => JobState::Failed(listed(failure)),
            },
            priority: self.submit.priority,
            detached: true,
            width: size.map(|size| size.0).or(draw.width),
            height: size.map(|size| size.1).or(draw.height),
            seed: draw.first_seed(),
            count: draw.images(),
            drawn: self.images(),
            accepted_unix_s: self.accepted_unix_s,
            prompt: draw.prompt.chars().take(PROMPT_SHOWN).collect(),
        }
    }
}

/// As much of a failure as a list shows.
fn listed(failure: &Failure) -> Failure {
    let message: String = failure.message.chars().take(FAILURE_SHOWN).collect();
    Failure::new(failure.kind, message)
}

/// All detached jobs.
#[derive(Debug)]
pub(crate) struct DetachedJobs {
    terms: Retention,
    jobs: BTreeMap<JobId, DetachedJob>,
    /// How old the folder was then, in seconds.
    opened: (Instant, u64),
}

impl DetachedJobs {
    /// None yet.
    pub(crate) fn new(terms: Retention) -> Self {
        Self { terms, jobs: BTreeMap::new(), opened: (Instant::now(), 0) }
    }

    /// The folder was opened now, when it was so many seconds old.
    pub(crate) fn opened(&mut self, lived_s: u64) {
        self.opened = (Instant::now(), lived_s);
    }

    /// How old the folder is, in seconds that a daemon has run.
    pub(crate) fn lived_s(&self) -> u64 {
        self.opened.1 + self.opened.0.elapsed().as_secs()
    }

    pub(crate) fn insert(&mut self, job: JobId, entry: DetachedJob) {
        self.jobs.insert(job, entry);
    }

    pub(crate) fn remove(&mut self, job: JobId) -> Option<DetachedJob> {
        self.jobs.remove(&job)
    }

    pub(crate) fn get(&self, job: JobId) -> Option<&DetachedJob> {
        self.jobs.get(&job)
    }

    pub(crate) fn get_mut(&mut self, job: JobId) -> Option<&mut DetachedJob> {
        self.jobs.get_mut(&job)
    }

    /// All of them, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (JobId, &DetachedJob)> {
        self.jobs.iter().map(|(job, entry)| (*job, entry))
    }

    /// Jobs that ended so long ago that they are not kept any longer.
    pub(crate) fn expired(&self) -> Vec<JobId> {
        let lived = self.lived_s();
        let age = |ended: u64| lived.saturating_sub(ended);
        let old = |entry: &DetachedJob| {
            entry.ended_s.is_some_and(|ended| age(ended) >= self.terms.time.as_secs())
        };
        self.iter().filter(|(_, entry)| old(entry)).map(|(job, _)| job).collect()
    }

    /// Jobs that nobody wants any more, and that are there nevertheless.
    pub(crate) fn unwanted(&self) -> Vec<JobId> {
        let unwanted = |(_, entry): &(JobId, &DetachedJob)| {
            let shown = entry.shown.borrow();
            matches!(&shown.end, Some(Err(failure)) if failure.kind == Kind::Cancelled)
        };
        self.iter().filter(unwanted).map(|(job, _)| job).collect()
    }

    /// Whether there is room for what this user asks.
    ///
    /// # Errors
    ///
    /// `Busy`: his own is used up, or all of it.
    pub(crate) fn room_for(
        &self,
        uid: u32,
        draw: &Params,
        model: Option<&ModelInfo>,
    ) -> Result<(), Failure> {
        let more = cost(draw, None, model);
        let of = |own: bool| {
            let those = self.jobs.values().filter(move |entry| !own || entry.uid == uid);
            those.fold((0, 0), |(jobs, bytes), entry| (jobs + 1, bytes + entry.bytes))
        };
        let ((jobs, bytes), (own_jobs, own_bytes)) = (of(false), of(true));
        let (terms, fetch) =
            (&self.terms, "fetch some with `zimg wait`, or drop them with `zimg cancel`");
        let message = if own_jobs >= JOBS_PER_USER {
            format!("you already keep {own_jobs} detached jobs")
        } else if jobs >= JOBS_MAX {
            format!("{jobs} detached jobs are kept already")
        } else if own_bytes + more > terms.bytes_per_user {
            format!(
                "your detached jobs would take {}, and you may keep {}",
                mebibytes(own_bytes + more),
                mebibytes(terms.bytes_per_user)
            )
        } else if bytes + more > terms.bytes {
            format!(
                "all detached jobs would take {}, and {} may be kept",
                mebibytes(bytes + more),
                mebibytes(terms.bytes)
            )
        } else {
            return Ok(());
        };
        Err(Failure::new(Kind::Busy, message).hint(fetch))
    }
}

/// What a job will take on the disk.
fn cost(draw: &Params, started: Option<&Started>, model: Option<&ModelInfo>) -> u64 {
    OVERHEAD + words(draw) + image(draw, started, model) * u64::from(draw.images())
}

/// Bytes of one image.
fn image(draw: &Params, started: Option<&Started>, model: Option<&ModelInfo>) -> u64 {
    let side = |told: Option<u32>, asked: Option<u32>, usual: Option<u32>| {
        told.or(asked).or(usual).unwrap_or(USUAL_SIDE)
    };
    let width = side(started.map(|s| s.width), draw.width, model.map(|m| m.width));
    let height = side(started.map(|s| s.height), draw.height, model.map(|m| m.height));
    image_bytes(width, height).unwrap_or_default() as u64
}

fn words(draw: &Params) -> u64 {
    (draw.prompt.len() + draw.negative.as_ref().map_or(0, String::len)) as u64
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use zimg_protocol::messages::Priority;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn draw(count: u32) -> Params {
        Params { count: Some(count), width: Some(1024), height: Some(1024), ..Params::new("a fox") }
    }

    fn record(uid: u32, draw: Params) -> JobRecord {
        let submit = Generate {
            params: draw,
            priority: Priority::Batch,
            detach: true,
            previews: false,
            ..Generate::default()
        };
        JobRecord::new(uid, submit, 1_700_000_000)
    }

    fn kept() -> DetachedJobs {
        let time = Duration::from_secs(3600);
        DetachedJobs::new(Retention { time, bytes: 40 * MIB, bytes_per_user: 20 * MIB })
    }

    #[test]
    fn there_is_room_for_so_much_of_each_and_of_all() {
        let mut kept = kept();
        let take = |kept: &mut DetachedJobs, job: JobId, uid: u32, count: u32| {
            kept.room_for(uid, &draw(count), None)?;
            kept.insert(job, DetachedJob::new(record(uid, draw(count)), None));
            Ok::<(), Failure>(())
        };
        take(&mut kept, 1, 7, 5).unwrap();
        let failure = take(&mut kept, 2, 7, 2).unwrap_err();
        assert_eq!(failure.kind, Kind::Busy);
        assert_eq!(
            failure.message,
            "your detached jobs would take 22 MiB, and you may keep 20 MiB"
        );
        take(&mut kept, 3, 7, 1).unwrap();
        take(&mut kept, 4, 8, 6).unwrap();
        let failure = take(&mut kept, 5, 9, 2).unwrap_err();
        assert_eq!(failure.message, "all detached jobs would take 43 MiB, and 40 MiB may be kept");
        // A job that came to nothing takes next to nothing.
        kept.get_mut(4).unwrap().end(Err(Failure::new(Kind::Refused, "no")), 0);
        take(&mut kept, 6, 9, 6).unwrap();
    }

    #[test]
    fn small_jobs_are_counted() {
        let mut kept = kept();
        let small = Params { width: Some(64), height: Some(64), ..Params::new("a fox") };
        for job in 0..100 {
            kept.room_for(7, &small, None).unwrap();
            kept.insert(job, DetachedJob::new(record(7, small.clone()), None));
        }
        let failure = kept.room_for(7, &small, None).unwrap_err();
        assert_eq!(failure.message, "you already keep 100 detached jobs");
        kept.room_for(8, &small, None).unwrap();
    }

    #[test]
    fn what_has_ended_is_kept_for_its_time_by_no_clock() {
        let mut kept = kept();
        for (job, ended) in [(1, Some(6400)), (2, Some(6401)), (3, None)] {
            let mut entry = DetachedJob::new(record(7, draw(1)), None);
            if let Some(ended) = ended {
                entry.end(Ok(Timings::default()), ended);
            }
            kept.insert(job, entry);
        }
        kept.opened(10_000);
        assert_eq!(kept.expired(), [1]);
        kept.opened(20_000);
        assert_eq!(kept.expired(), [1, 2], "what has not ended is kept for ever");
        kept.opened(0);
        assert!(kept.expired().is_empty(), "an age that is lost expires nothing");
    }

    #[test]
    fn what_is_listed_is_short() {
        let long = Params { prompt: "é".repeat(9000), negative: Some("x".into()), ..draw(2) };
        let mut entry = DetachedJob::new(record(7, long), None);
        assert_eq!(entry.submit.params.prompt.len(), 18_000);
        assert_eq!(entry.info(1, 3).state, JobState::Waiting { position: 3 });
        let image = ImageInfo { index: 0, seed: 0, width: 1024, height: 1024, bytes: 3 * MIB };
        entry.shown.send_modify(|shown| shown.images.push(StoredImage { image, crc: 0 }));
        entry.end(Err(Failure::new(Kind::Internal, "y".repeat(9000)).hint("z")), 0);
        let info = entry.info(1, 0);
        assert_eq!((info.prompt.chars().count(), info.drawn, info.detached), (200, 1, true));
        assert_eq!(info.state, JobState::Failed(Failure::new(Kind::Internal, "y".repeat(200))));
        assert_eq!(entry.submit.params.prompt.len(), 400);
    }
}
