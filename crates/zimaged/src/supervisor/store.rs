//! The store as the supervisor has it: opened, asked, looked after, closed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::timeout;
use zimg_protocol::messages::JobId;
use zimg_protocol::{Failure, Kind};

use super::Supervisor;
use crate::jobs::detached::{DetachedJob, DetachedJobs, Retention};
use crate::jobs::id::{BLOCK, JobIds};
use crate::outbox::ClientId;
use crate::store::{Store, StoreContents, StoreEvent, StoreRequest};

/// How long clients are kept waiting at the start for a disk that takes its time.
const OPENING: Duration = Duration::from_secs(2);
/// How long a daemon that ends waits for what it has asked of the disk.
const CLOSING: Duration = Duration::from_secs(20);
/// The folder's age is written down when it has grown by so many seconds.
const AGE_S: u64 = 600;

/// The store, and what is known of it.
#[derive(Debug)]
pub(super) struct StoreHandle {
    pub handle: Store,
    pub answers: mpsc::UnboundedReceiver<StoreEvent>,
    /// For those who deliver.
    pub to_supervisor: mpsc::UnboundedSender<StoreEvent>,
    pub jobs: DetachedJobs,
    pub numbers: JobIds,
    /// What is wrong with the disk now.
    pub trouble: Option<Failure>,
    /// What became of jobs that were kept before.
    lost: Option<Failure>,
    /// Whether the folder is open; not known at the beginning.
    pub open: Option<bool>,
    /// Who is to be told that a job was accepted.
    pub accepting: Vec<(JobId, ClientId)>,
    /// Who is to be told that a job was forgotten.
    pub forgetting: Vec<(JobId, ClientId)>,
    /// When expired jobs and a bad disk are looked at next.
    pub next_look: Instant,
    written_age_s: u64,
}

impl StoreHandle {
    /// A store in this folder, which is being opened.
    ///
    /// # Errors
    ///
    /// There is no room for its thread.
    pub(super) fn start(
        folder: Result<PathBuf, Failure>,
        terms: Retention,
    ) -> std::io::Result<Self> {
        let (to_supervisor, answers) = mpsc::unbounded_channel();
        Ok(Self {
            handle: Store::start(folder, to_supervisor.clone())?,
            answers,
            to_supervisor,
            jobs: DetachedJobs::new(terms),
            numbers: JobIds::default(),
            trouble: None,
            lost: None,
            open: None,
            accepting: Vec::new(),
            forgetting: Vec::new(),
            next_look: Instant::now(),
            written_age_s: 0,
        })
    }

    /// Whether it is known what is kept, and jobs can have their numbers.
    fn is_known(&self) -> bool {
        self.open.is_some()
    }

    /// Why nothing can be kept, or found, now.
    pub(super) fn closed(&self) -> Failure {
        let unknown = || Failure::new(Kind::Busy, "it is not known yet which jobs are kept");
        self.trouble.clone().unwrap_or_else(|| unknown().hint("try again"))
    }

    /// A job's number.
    pub(super) fn number(&mut self) -> JobId {
        let number = self.numbers.next();
        self.ask_for_numbers();
        number
    }

    pub(super) fn ask_for_numbers(&mut self) {
        if self.open == Some(true) && self.numbers.want() {
            self.handle.send(StoreRequest::ReserveIds(BLOCK));
        }
    }

    /// Something was to be kept, or forgotten: what that says of the disk.
    pub(super) fn went(&mut self, result: &Result<(), Failure>) {
        match result {
            Err(failure) => self.trouble = Some(failure.clone()),
            Ok(()) if self.jobs.iter().all(|(_, entry)| entry.held.is_none()) => {
                self.trouble = None;
            }
            Ok(()) => {}
        }
    }

    /// What is wrong, for who asks how the daemon is.
    pub(super) fn trouble(&self) -> Option<Failure> {
        self.trouble.clone().or_else(|| self.lost.clone())
    }

    /// Jobs that have ended, and are not just being forgotten because nobody wants them.
    pub(super) fn finished(&self) -> usize {
        let unwanted = self.jobs.unwanted();
        let ended = self.jobs.iter().filter(|(_, entry)| entry.has_ended());
        ended.filter(|(job, _)| !unwanted.contains(job)).count()
    }
}

impl Supervisor {
    /// Waits until it is known what is kept, but not for long: then jobs that are not kept are
    /// drawn meanwhile.
    pub(super) async fn open_store(&mut self) {
        let opening = async {
            while !self.store.is_known() {
                match self.store.answers.recv().await {
                    Some(answer) => self.kept(answer),
                    None => return,
                }
            }
        };
        if timeout(OPENING, opening).await.is_err() {
            tracing::warn!("the disk with detached jobs is slow; they come when it answers");
        }
    }

    /// Waits until everything is on the disk that was to be kept.
    pub(super) async fn close_store(&mut self) {
        self.store.handle.send(StoreRequest::SaveAge(self.store.jobs.lived_s()));
        self.store.handle.send(StoreRequest::Close);
        let closing = async {
            while let Some(answer) = self.store.answers.recv().await {
                if matches!(answer, StoreEvent::Closed) {
                    return;
                }
                self.kept(answer);
            }
        };
        if timeout(CLOSING, closing).await.is_err() {
            tracing::warn!("the disk does not take the last of the detached jobs");
        }
    }

    /// What the store says.
    pub(super) fn kept(&mut self, answer: StoreEvent) {
        match answer {
            StoreEvent::Opened(Ok(found)) => self.opened(found),
            StoreEvent::Opened(Err(failure)) => {
                match self.store.open {
                    Some(false) => {}
                    _ if failure.kind == Kind::Config => tracing::info!("{failure}"),
                    _ => tracing::warn!("no detached jobs: {failure}"),
                }
                self.store.open = Some(false);
                self.store.trouble = Some(failure);
            }
            StoreEvent::IdsReserved(result) => {
                self.store.went(&result.as_ref().map(|_| ()).map_err(Clone::clone));
                self.store.numbers.come(result.ok());
            }
            StoreEvent::Accepted { job, result } => self.accepted(job, result),
            StoreEvent::ImageStored { job, bytes, result } => self.stored(job, bytes, result),
            StoreEvent::Ended { job, result } => self.ended(job, result),
            StoreEvent::Truncated { job, result } => self.unfinished(job, result),
            StoreEvent::Deleted { job, result } => self.forgotten(job, result),
            StoreEvent::Probed { job, result } => self.probed(job, result),
            StoreEvent::Delivered { client, job, end } => self.delivered(client, job, end),
            StoreEvent::ImageDamaged { job, image } => self.damaged(job, image),
            StoreEvent::Closed => {}
        }
    }

    /// The folder is open: what is not in it that was is lost, and what is to be drawn is drawn.
    fn opened(&mut self, found: StoreContents) {
        self.store.open = Some(true);
        self.store.trouble = None;
        self.store.jobs.opened(found.lived_s);
        self.store.written_age_s = found.lived_s;
        self.store.numbers.come(Some(found.numbers));
        if let Some((trouble, aside)) = found.aside {
            let failure = Failure::new(
                Kind::Io,
                format!("detached jobs were damaged and are lost: {trouble}"),
            )
            .hint(format!("what is left of them is in {}", aside.display()));
            tracing::error!("{failure}; what is left of them is in {}", aside.display());
            self.store.lost = Some(failure);
        }
        let there = |job: &JobId| found.jobs.iter().any(|(found, _)| found == job);
        let coming = |job: &JobId| self.store.accepting.iter().any(|(coming, _)| coming == job);
        let known = self.store.jobs.iter().map(|(job, _)| job);
        let lost: Vec<_> = known.filter(|job| !there(job) && !coming(job)).collect();
        for job in lost {
            self.lose_kept(job);
        }
        let mut to_draw = 0;
        for (job, record) in found.jobs {
            if self.store.jobs.get(job).is_none() {
                let unfinished = record.end.is_none();
                self.store.jobs.insert(job, DetachedJob::new(record, self.worker.model.as_ref()));
                if unfinished {
                    to_draw += 1;
                    self.draw_again(job);
                }
            }
        }
        let kept = self.store.jobs.iter().count();
        tracing::info!(kept, to_draw, "detached jobs");
        self.store.ask_for_numbers();
    }

    fn lose_kept(&mut self, job: JobId) {
        let failure = Failure::new(Kind::Io, format!("job {job} was lost: the disk was damaged"));
        self.drop_unfinished(job);
        if let Some(entry) = self.store.jobs.get_mut(job) {
            entry.end(Err(failure), 0);
        }
        self.store.jobs.remove(job);
    }

    /// Now and then: what has expired is forgotten, and a disk that took nothing is tried again.
    pub(super) fn look_after_kept(&mut self) {
        self.store.next_look = Instant::now() + self.config.timeouts.disk_check;
        let expired = self.store.jobs.expired().into_iter();
        let expired = expired.filter(|job| self.followers(*job).next().is_none());
        let expired: Vec<_> = expired.inspect(|job| tracing::info!(job, "expired")).collect();
        // What was not forgotten the first time is tried again.
        for job in self.store.jobs.unwanted().into_iter().chain(expired) {
            if let Some(entry) = self.store.jobs.get(job) {
                let images = entry.submit.params.images();
                self.store.handle.send(StoreRequest::Delete { job, images });
            }
        }
        match self.store.open {
            Some(true) => self.probe(),
            _ => self.store.handle.send(StoreRequest::Open),
        }
        let age_s = self.store.jobs.lived_s();
        if age_s >= self.store.written_age_s + AGE_S
            && self.store.jobs.iter().any(|(_, entry)| entry.has_ended())
        {
            self.store.written_age_s = age_s;
            self.store.handle.send(StoreRequest::SaveAge(age_s));
        }
        self.store.ask_for_numbers();
    }
}
