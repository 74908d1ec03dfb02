//! The store's actor thread: requests in, events out, one after the other, so that disk I/O never
//! blocks the supervisor.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use zimg_protocol::messages::{Event, ImageInfo, JobId, Started};
use zimg_protocol::{Failure, Kind};

use super::error::StoreError;
use super::job_store::{JobStore, StoreContents};
use super::record::{JobEnd, JobRecord, StoredImage};
use crate::outbox::ClientId;
use crate::request_images::RequestImages;

/// A request to the store.
#[derive(Debug)]
pub(crate) enum StoreRequest {
    /// Opens the store again if it is not open; answered by `Opened` if so.
    Open,
    /// Reserves job ids.
    ReserveIds(u32),
    /// Stores a new job with the images of its request.
    Accept { job: JobId, record: Box<JobRecord>, inputs: RequestImages },
    /// Reads the images of a job's request.
    ReadInputs { job: JobId },
    /// Stores the next image of a job.
    StoreImage { job: JobId, started: Started, image: ImageInfo, pixels: Vec<u8> },
    /// Stores how a job ended.
    End { job: JobId, end: JobEnd },
    /// Reduces a job to its first `images` and makes it unfinished again.
    Truncate { job: JobId, images: u32 },
    /// Deletes a job with this number of images.
    Delete { job: JobId, images: u32 },
    /// Checks whether an image of this job with so many bytes fits on the disk.
    Probe { job: JobId, bytes: u64 },
    /// Stores the directory's age in seconds; not answered.
    SaveAge(u64),
    /// Reads a whole record.
    ReadRecord { job: JobId, to: oneshot::Sender<Result<JobRecord, Failure>> },
    /// Reads at most `most` bytes of an image's pixels from `offset` on.
    ReadPixels {
        job: JobId,
        image: StoredImage,
        offset: u64,
        most: usize,
        to: oneshot::Sender<ReadResult>,
    },
    /// Closes the store after all earlier requests; answered by `Closed`.
    Close,
}

/// Pixels, or why they cannot be read.
pub(crate) type ReadResult = Result<Bytes, ReadError>;

/// Why pixels cannot be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The file differs from what was stored: an image has to be generated again, and a job without
    /// the images of its request cannot begin.
    Damaged(String),
    /// The system refuses the read.
    Failed(Failure),
}

/// The outcome of a request. What was asked for is on the disk before the event says so.
#[derive(Debug)]
pub(crate) enum StoreEvent {
    /// The store was opened, with everything it contains, or not.
    Opened(Result<StoreContents, Failure>),
    /// Job ids that no other job has.
    IdsReserved(Result<Range<JobId>, Failure>),
    Accepted {
        job: JobId,
        result: Result<(), Failure>,
    },
    ImageStored {
        job: JobId,
        bytes: u64,
        result: Result<StoredImage, Failure>,
    },
    Ended {
        job: JobId,
        result: Result<(), Failure>,
    },
    Truncated {
        job: JobId,
        result: Result<Box<JobRecord>, Failure>,
    },
    Probed {
        job: JobId,
        result: Result<(), Failure>,
    },
    Deleted {
        job: JobId,
        result: Result<(), Failure>,
    },
    /// The images of a job's request.
    InputsRead {
        job: JobId,
        result: Result<Vec<Bytes>, ReadError>,
    },
    /// A delivery (`delivery.rs`) is over, and ends with this event.
    Delivered {
        client: ClientId,
        job: JobId,
        end: Event,
    },
    /// A delivery found an image that differs from what was stored.
    ImageDamaged {
        job: JobId,
        image: u32,
    },
    /// The store is closed.
    Closed,
}

/// A handle to the actor; clones lead to the same thread.
#[derive(Clone, Debug)]
pub(crate) struct Store(std_mpsc::Sender<StoreRequest>);

impl Store {
    /// Starts the thread, which opens the store in `directory` and answers `Opened`. It ends at
    /// `Close`, or when the last handle is dropped, after all earlier requests.
    ///
    /// # Errors
    ///
    /// The system cannot create a thread.
    pub(crate) fn start(
        directory: Result<PathBuf, Failure>,
        events: mpsc::UnboundedSender<StoreEvent>,
    ) -> std::io::Result<Self> {
        let (sender, requests) = std_mpsc::channel();
        thread::Builder::new().name("store".into()).spawn(move || {
            let not_open = Failure::new(Kind::Internal, "the job store is not open yet");
            let mut actor = StoreActor { directory, events, store: Err(not_open) };
            actor.open();
            for request in requests {
                if matches!(request, StoreRequest::Close) {
                    break;
                }
                actor.handle(request);
            }
            let StoreActor { store, events, .. } = actor;
            drop(store);
            let _ = events.send(StoreEvent::Closed);
        })?;
        Ok(Self(sender))
    }

    /// Sends a request; its event comes later.
    pub(crate) fn send(&self, request: StoreRequest) {
        // The thread lives as long as this handle.
        let _ = self.0.send(request);
    }

    /// Reads a whole record.
    pub(crate) async fn record(&self, job: JobId) -> Result<JobRecord, Failure> {
        let (to, record) = oneshot::channel();
        self.send(StoreRequest::ReadRecord { job, to });
        record.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Reads at most `most` bytes of an image's pixels from `offset` on.
    pub(crate) async fn pixels(
        &self,
        job: JobId,
        image: StoredImage,
        offset: u64,
        most: usize,
    ) -> ReadResult {
        let (to, pixels) = oneshot::channel();
        self.send(StoreRequest::ReadPixels { job, image, offset, most, to });
        pixels.await.unwrap_or_else(|_| Err(ReadError::Failed(closed())))
    }
}

/// Why pixels of a store were not read.
fn unread(store: &JobStore, error: StoreError) -> ReadError {
    match error {
        StoreError::Damaged(damage) => ReadError::Damaged(damage.to_string()),
        other => ReadError::Failed(other.failure(store.path())),
    }
}

fn closed() -> Failure {
    Failure::new(Kind::Internal, "the job store is closed")
}

/// What the thread owns.
struct StoreActor {
    directory: Result<PathBuf, Failure>,
    events: mpsc::UnboundedSender<StoreEvent>,
    store: Result<JobStore, Failure>,
}

impl StoreActor {
    fn handle(&mut self, request: StoreRequest) {
        let event = match request {
            StoreRequest::Open => return self.open_if_closed(),
            StoreRequest::ReserveIds(count) => {
                StoreEvent::IdsReserved(self.run(|store| store.reserve_ids(count)))
            }
            StoreRequest::Accept { job, record, inputs } => {
                self.open_if_closed();
                let result = self.run(|store| store.accept(job, *record, inputs.pixels()));
                StoreEvent::Accepted { job, result }
            }
            StoreRequest::ReadInputs { job } => {
                StoreEvent::InputsRead { job, result: self.inputs(job) }
            }
            StoreRequest::StoreImage { job, started, image, pixels } => {
                let result = self.run(|store| store.store_image(job, &started, &image, &pixels));
                StoreEvent::ImageStored { job, bytes: image.bytes, result }
            }
            StoreRequest::End { job, end } => {
                StoreEvent::Ended { job, result: self.run(|store| store.end(job, end)) }
            }
            StoreRequest::Truncate { job, images } => {
                let result = self.run(|store| store.truncate(job, images));
                StoreEvent::Truncated { job, result: result.map(Box::new) }
            }
            StoreRequest::Delete { job, images } => {
                StoreEvent::Deleted { job, result: self.run(|store| store.delete(job, images)) }
            }
            StoreRequest::Probe { job, bytes } => {
                self.open_if_closed();
                StoreEvent::Probed { job, result: self.run(|store| store.probe(job, bytes)) }
            }
            StoreRequest::SaveAge(seconds) => {
                // Only the expiry of ended jobs depends on it.
                let _ = self.run(|store| store.save_age(seconds));
                return;
            }
            StoreRequest::ReadRecord { job, to } => {
                let _ = to.send(self.run(|store| store.record(job)));
                return;
            }
            StoreRequest::ReadPixels { job, image, offset, most, to } => {
                let _ = to.send(self.pixels(job, &image, offset, most));
                return;
            }
            StoreRequest::Close => return,
        };
        self.emit(event);
    }

    fn pixels(&self, job: JobId, image: &StoredImage, offset: u64, most: usize) -> ReadResult {
        let store = self.store.as_ref().map_err(|failure| ReadError::Failed(failure.clone()))?;
        store.read(job, image, offset, most).map(Bytes::from).map_err(|error| unread(store, error))
    }

    fn inputs(&mut self, job: JobId) -> Result<Vec<Bytes>, ReadError> {
        let record = self.run(|store| store.record(job)).map_err(ReadError::Failed)?;
        let store = self.store.as_ref().map_err(|failure| ReadError::Failed(failure.clone()))?;
        store.read_inputs(job, &record).map_err(|error| unread(store, error))
    }

    /// Runs an operation on the open store. A store that turns out to be damaged is opened again,
    /// which checks it.
    fn run<T>(
        &mut self,
        operation: impl FnOnce(&mut JobStore) -> Result<T, StoreError>,
    ) -> Result<T, Failure> {
        let store = self.store.as_mut().map_err(|failure| failure.clone())?;
        let error = match operation(store) {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let failure = error.failure(store.path());
        if error.is_damage() {
            self.store = Err(failure.clone());
            self.open();
        }
        Err(failure)
    }

    fn open_if_closed(&mut self) {
        if self.store.is_err() {
            self.open();
        }
    }

    fn open(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let opened = self.directory.clone().and_then(|directory| {
            JobStore::open(&directory, now.as_secs()).map_err(|error| error.failure(&directory))
        });
        let contents = match opened {
            Ok((store, contents)) => {
                self.store = Ok(store);
                Ok(contents)
            }
            Err(failure) => {
                self.store = Err(failure.clone());
                Err(failure)
            }
        };
        self.emit(StoreEvent::Opened(contents));
    }

    fn emit(&self, event: StoreEvent) {
        // At shutdown the receiver may be gone.
        let _ = self.events.send(event);
    }
}
