//! The thread that waits for the disk, so that nobody else has to: requests in, answers out, one
//! after the other.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use zimg_protocol::messages::{Event, ImageInfo, JobId, Started};
use zimg_protocol::{Failure, Kind};

use super::record::{End, Record, StoredImage};
use super::shelf::{Found, Shelf};
use super::trouble::Trouble;
use crate::outbox::ClientId;

/// What is asked of the disk.
#[derive(Debug)]
pub(crate) enum Ask {
    /// To try again if there is nothing open; answered by `Opened`, if so.
    Open,
    /// Numbers for jobs.
    Numbers(u32),
    /// To keep a new job.
    Accept { job: JobId, record: Box<Record> },
    /// To keep an image.
    Image { job: JobId, started: Started, image: ImageInfo, pixels: Vec<u8> },
    /// To keep how a job ended.
    End { job: JobId, end: End },
    /// To take a job back to its first images.
    Unfinish { job: JobId, images: u32 },
    /// To forget a job with so many images.
    Forget { job: JobId, images: u32 },
    /// Whether there is room for an image of so many bytes of this job.
    Probe { job: JobId, bytes: u64 },
    /// To write down the folder's age in seconds; not answered.
    Lived(u64),
    /// A job in full.
    Record { job: JobId, to: oneshot::Sender<Result<Record, Failure>> },
    /// At most so many bytes of an image's pixels from an offset on.
    Pixels { job: JobId, kept: StoredImage, offset: u64, most: usize, to: oneshot::Sender<Read> },
    /// To close the folder, after all that was asked before; answered by `Closed`.
    Close,
}

/// Pixels, or why there are none.
pub(crate) type Read = Result<Bytes, Unread>;

/// Why there are no pixels.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The image is not what was kept, and is to be drawn again.
    Damaged(String),
    /// The system does not let them be read.
    Failed(Failure),
}

/// What became of it. What was asked for is on the disk before the answer says so.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The folder is open, or not and why. All that was known before is in it, or lost.
    Opened(Result<Found, Failure>),
    Numbers(Result<Range<JobId>, Failure>),
    Accepted {
        job: JobId,
        result: Result<(), Failure>,
    },
    Stored {
        job: JobId,
        bytes: u64,
        result: Result<StoredImage, Failure>,
    },
    Ended {
        job: JobId,
        result: Result<(), Failure>,
    },
    Unfinished {
        job: JobId,
        result: Result<Box<Record>, Failure>,
    },
    Probed {
        job: JobId,
        result: Result<(), Failure>,
    },
    Forgotten {
        job: JobId,
        result: Result<(), Failure>,
    },
    /// A delivery (`delivery.rs`) is over, and ends with this.
    Delivered {
        client: ClientId,
        job: JobId,
        end: Event,
    },
    /// A delivery came upon an image that is not what was kept.
    Damaged {
        job: JobId,
        image: u32,
    },
    /// Nothing is open any more.
    Closed,
}

/// The way to the thread; clones lead to the same.
#[derive(Clone, Debug)]
pub(crate) struct Store(std_mpsc::Sender<Ask>);

impl Store {
    /// Starts the thread, which opens the folder and answers `Opened`. It ends when it is asked to
    /// or the last `Store` is dropped, and all is done that was asked before.
    ///
    /// # Errors
    ///
    /// There is no room for a thread.
    pub(crate) fn start(
        folder: Result<PathBuf, Failure>,
        answers: mpsc::UnboundedSender<Answer>,
    ) -> std::io::Result<Self> {
        let (sender, asks) = std_mpsc::channel();
        thread::Builder::new().name("store".into()).spawn(move || {
            let nothing = Failure::new(Kind::Internal, "nothing is open yet");
            let mut keeper = Keeper { folder, answers, shelf: Err(nothing) };
            keeper.open();
            for ask in asks {
                if matches!(ask, Ask::Close) {
                    break;
                }
                keeper.hear(ask);
            }
            let Keeper { shelf, answers, .. } = keeper;
            drop(shelf);
            let _ = answers.send(Answer::Closed);
        })?;
        Ok(Self(sender))
    }

    /// Asks; the answer comes later.
    pub(crate) fn ask(&self, ask: Ask) {
        // The thread lives as long as this does.
        let _ = self.0.send(ask);
    }

    /// A job in full.
    pub(crate) async fn record(&self, job: JobId) -> Result<Record, Failure> {
        let (to, answer) = oneshot::channel();
        self.ask(Ask::Record { job, to });
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// At most `most` bytes of an image's pixels from an offset on.
    pub(crate) async fn pixels(
        &self,
        job: JobId,
        kept: StoredImage,
        offset: u64,
        most: usize,
    ) -> Read {
        let (to, answer) = oneshot::channel();
        self.ask(Ask::Pixels { job, kept, offset, most, to });
        answer.await.unwrap_or_else(|_| Err(Unread::Failed(gone())))
    }
}

fn gone() -> Failure {
    Failure::new(Kind::Internal, "nothing is kept any more")
}

/// What lives on the thread.
struct Keeper {
    folder: Result<PathBuf, Failure>,
    answers: mpsc::UnboundedSender<Answer>,
    /// What is open, or why nothing is.
    shelf: Result<Shelf, Failure>,
}

impl Keeper {
    fn hear(&mut self, ask: Ask) {
        match ask {
            Ask::Open => self.open_if_need_be(),
            Ask::Numbers(count) => {
                let result = self.change(|shelf| shelf.numbers(count));
                self.answer(Answer::Numbers(result));
            }
            Ask::Accept { job, record } => {
                self.open_if_need_be();
                let result = self.change(|shelf| shelf.accept(job, &record));
                self.answer(Answer::Accepted { job, result });
            }
            Ask::Image { job, started, image, pixels } => {
                let result = self.change(|shelf| shelf.image(job, &started, &image, &pixels));
                self.answer(Answer::Stored { job, bytes: image.bytes, result });
            }
            Ask::End { job, end } => {
                let result = self.change(|shelf| shelf.end(job, end));
                self.answer(Answer::Ended { job, result });
            }
            Ask::Unfinish { job, images } => {
                let result = self.change(|shelf| shelf.unfinish(job, images));
                self.answer(Answer::Unfinished { job, result: result.map(Box::new) });
            }
            Ask::Forget { job, images } => {
                let result = self.change(|shelf| shelf.forget(job, images));
                self.answer(Answer::Forgotten { job, result });
            }
            Ask::Probe { job, bytes } => {
                self.open_if_need_be();
                let result = self.change(|shelf| shelf.probe(job, bytes));
                self.answer(Answer::Probed { job, result });
            }
            Ask::Lived(seconds) => {
                // Nothing depends on it but how long what has ended is kept.
                let _ = self.change(|shelf| shelf.lived(seconds));
            }
            Ask::Record { job, to } => {
                let _ = to.send(self.change(|shelf| shelf.record(job)));
            }
            Ask::Pixels { job, kept, offset, most, to } => {
                let _ = to.send(self.pixels(job, &kept, offset, most));
            }
            Ask::Close => {}
        }
    }

    fn pixels(&self, job: JobId, kept: &StoredImage, offset: u64, most: usize) -> Read {
        let shelf = self.shelf.as_ref().map_err(|failure| Unread::Failed(failure.clone()))?;
        shelf.read(job, kept, offset, most).map(Bytes::from).map_err(|trouble| {
            if let Trouble::Damaged(what) = trouble {
                return Unread::Damaged(what);
            }
            Unread::Failed(trouble.failure(shelf.path()))
        })
    }

    /// Does something with what is open. Where that turns out to be damaged, it is opened again,
    /// which checks it.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Shelf) -> Result<T, Trouble>,
    ) -> Result<T, Failure> {
        let shelf = self.shelf.as_mut().map_err(|failure| failure.clone())?;
        let trouble = match change(shelf) {
            Ok(changed) => return Ok(changed),
            Err(trouble) => trouble,
        };
        let failure = trouble.failure(shelf.path());
        if trouble.is_damage() {
            self.shelf = Err(failure.clone());
            self.open();
        }
        Err(failure)
    }

    fn open_if_need_be(&mut self) {
        if self.shelf.is_err() {
            self.open();
        }
    }

    fn open(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let opened = self.folder.clone().and_then(|folder| {
            Shelf::open(&folder, now.as_secs()).map_err(|trouble| trouble.failure(&folder))
        });
        let found = match opened {
            Ok((shelf, found)) => {
                self.shelf = Ok(shelf);
                Ok(found)
            }
            Err(failure) => {
                self.shelf = Err(failure.clone());
                Err(failure)
            }
        };
        self.answer(Answer::Opened(found));
    }

    fn answer(&self, answer: Answer) {
        // Nobody listens any more when the daemon ends.
        let _ = self.answers.send(answer);
    }
}
