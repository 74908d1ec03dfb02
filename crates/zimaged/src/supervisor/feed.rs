//! A detached job's images, on their way from the disk to one who waits for them, as fast as he
//! takes them.

use tokio::sync::{mpsc, watch};
use zimg_protocol::messages::{Event, JobId};
use zimg_protocol::{Failure, Kind};

use crate::jobs::detached::Shown;
use crate::outbox::{ClientId, Outbox};
use crate::store::{ReadError, Store, StoreEvent, StoredImage};

/// Bytes that are read at a time: what one who reads slowly costs is a few of these.
const PIECE: usize = 256 << 10;
/// Frames that may wait for him before more is read.
const UNTAKEN: usize = 2;

/// One who waits for a job.
#[derive(Debug)]
pub(crate) struct Feed {
    pub client: ClientId,
    pub job: JobId,
    pub outbox: Outbox,
    pub store: Store,
    pub shown: watch::Receiver<Shown>,
    pub supervisor: mpsc::UnboundedSender<StoreEvent>,
}

impl Feed {
    /// Delivers each image when it is there, and leaves the last word to the supervisor. A job
    /// that has ended is introduced first; that of one that has not is the supervisor's, who
    /// speaks of it meanwhile.
    pub(crate) async fn run(mut self, ended: bool) {
        let introduced = if ended { self.introduce().await } else { Ok(()) };
        let end = match introduced {
            Ok(()) => self.deliver().await.unwrap_or_else(Event::Failed),
            Err(failure) => Event::Failed(failure),
        };
        let Self { client, job, supervisor, .. } = self;
        // Without a supervisor there is nobody to speak to either.
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
            let (kept, end) = {
                let shown = self.shown.borrow_and_update();
                (shown.images.get(next).cloned(), shown.end.clone())
            };
            match (kept, end) {
                (Some(kept), _) if self.image(&kept).await? => next += 1,
                (None, Some(Ok(timings))) => return Ok(Event::Done(timings)),
                (None, Some(Err(failure))) => return Err(failure),
                // It is not there yet, or is to be drawn again.
                _ => self.shown.changed().await.map_err(|_| forgotten(self.job))?,
            }
        }
    }

    /// Sends an image; false if it is not what was kept, before any of it was sent.
    async fn image(&self, kept: &StoredImage) -> Result<bool, Failure> {
        let mut offset = 0;
        while offset < kept.image.bytes {
            self.outbox.at_most(UNTAKEN).await;
            if self.outbox.is_closed() {
                return Err(Failure::new(Kind::Cancelled, "nobody waits any more"));
            }
            let pixels = match self.store.pixels(self.job, kept.clone(), offset, PIECE).await {
                Ok(pixels) => pixels,
                Err(ReadError::Damaged(what)) if offset == 0 => {
                    tracing::warn!("{what}; it is drawn again");
                    let (job, image) = (self.job, kept.image.index);
                    let _ = self.supervisor.send(StoreEvent::ImageDamaged { job, image });
                    return Ok(false);
                }
                Err(ReadError::Damaged(what)) => return Err(Failure::new(Kind::Io, what)),
                Err(ReadError::Failed(failure)) => return Err(failure),
            };
            if offset == 0 {
                self.outbox.event(Event::Image(kept.image.clone()));
            }
            offset += pixels.len() as u64;
            self.outbox.pixels(pixels);
        }
        Ok(true)
    }
}

fn forgotten(job: JobId) -> Failure {
    Failure::new(Kind::Refused, format!("job {job} was forgotten meanwhile"))
}
