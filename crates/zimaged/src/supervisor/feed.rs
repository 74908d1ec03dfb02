//! The feed of one subscriber: a detached job's images, from the store to the client, as fast as
//! the client reads.

use tokio::sync::{mpsc, watch};
use zimg_protocol::messages::{Event, JobId};
use zimg_protocol::{Failure, Kind};

use crate::events;
use crate::jobs::Published;
use crate::outbox::{ClientId, Outbox};
use crate::store::{ReadError, Store, StoreEvent, StoredImage};

/// Bytes that are read at a time: a client that reads slowly costs a few of these.
const PIECE: usize = 256 << 10;
/// Frames that may wait for the client before more is read.
const UNTAKEN: usize = 2;

/// A subscriber, and the job that it waits for.
#[derive(Debug)]
pub(crate) struct Feed {
    pub client: ClientId,
    pub job: JobId,
    pub outbox: Outbox,
    pub store: Store,
    pub published: watch::Receiver<Published>,
    pub supervisor: mpsc::UnboundedSender<StoreEvent>,
}

impl Feed {
    /// Sends each image when it is stored, and leaves the final event to the supervisor. Here a job
    /// that has ended is introduced first; one that has not, the supervisor introduces.
    pub(crate) async fn run(mut self, ended: bool) {
        let introduced = if ended { self.introduce().await } else { Ok(()) };
        let end = match introduced {
            Ok(()) => self.deliver().await.unwrap_or_else(Event::Failed),
            Err(failure) => Event::Failed(failure),
        };
        let Self { client, job, supervisor, .. } = self;
        // At shutdown the supervisor may be gone.
        let _ = supervisor.send(StoreEvent::Delivered { client, job, end });
    }

    async fn introduce(&self) -> Result<(), Failure> {
        let record = self.store.record(self.job).await?;
        self.outbox.event(Event::Asked(Box::new(record.submit.params)));
        self.outbox.event(Event::Accepted { job: self.job, position: 0 });
        if let Some(started) = record.started {
            self.outbox.event(Event::Started(started));
        }
        Ok(())
    }

    async fn deliver(&mut self) -> Result<Event, Failure> {
        let mut next = 0;
        loop {
            let (stored, end) = {
                let published = self.published.borrow_and_update();
                (published.images.get(next).cloned(), published.end.clone())
            };
            match (stored, end) {
                (Some(stored), _) if self.image(&stored).await? => next += 1,
                (None, Some(Ok(timings))) => return Ok(Event::Done(timings)),
                (None, Some(Err(failure))) => return Err(failure),
                // It is not stored yet, or is generated again.
                _ => self.published.changed().await.map_err(|_| forgotten(self.job))?,
            }
        }
    }

    /// Sends an image; false if it differs from what was stored, before any of it was sent.
    async fn image(&self, stored: &StoredImage) -> Result<bool, Failure> {
        let mut offset = 0;
        while offset < stored.image.bytes {
            self.outbox.at_most(UNTAKEN).await;
            if self.outbox.is_closed() {
                return Err(Failure::new(Kind::Cancelled, "the client has left"));
            }
            let pixels = match self.store.pixels(self.job, stored.clone(), offset, PIECE).await {
                Ok(pixels) => pixels,
                Err(ReadError::Damaged(what)) if offset == 0 => {
                    let (job, image) = (self.job, stored.image.index);
                    tracing::warn!(
                        event = events::IMAGE_DAMAGED,
                        job,
                        image,
                        "{what}; it is generated again"
                    );
                    let _ = self.supervisor.send(StoreEvent::ImageDamaged { job, image });
                    return Ok(false);
                }
                Err(ReadError::Damaged(what)) => return Err(Failure::new(Kind::Io, what)),
                Err(ReadError::Failed(failure)) => return Err(failure),
            };
            if offset == 0 {
                self.outbox.event(Event::Image(stored.image.clone()));
            }
            offset += pixels.len() as u64;
            self.outbox.pixels(pixels);
        }
        Ok(true)
    }
}

fn forgotten(job: JobId) -> Failure {
    Failure::new(Kind::Refused, format!("job {job} was deleted meanwhile"))
}
