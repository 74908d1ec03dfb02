//! One job's way: from the request to `Done`, with each image's pixels put together.

use std::iter::FusedIterator;
use std::os::unix::net::UnixStream;

use zimg_protocol::limits::{COUNT_MAX, SIZE_MAX, image_bytes};
use zimg_protocol::messages::{
    Busy, Event, ImageInfo, JobId, Params, Preview, Request, Started, Step, Timings, Waiting,
};
use zimg_protocol::{Failure, Frame, Kind};

use crate::connection::{Client, out_of_turn};

/// What happens to a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// The daemon has it; `position` jobs are before it. A detached job's last update.
    Accepted {
        /// The job's number.
        job: JobId,
        /// How many are before it.
        position: u32,
    },
    /// It waits, and why. The latest counts.
    Waiting(Waiting),
    /// It has the worker; what the defaults became.
    Started(Started),
    /// A denoising step is done.
    Step(Step),
    /// The image with this index is being decoded to pixels.
    Decoding {
        /// Which image, from 0.
        image: u32,
    },
    /// A finished image.
    Image(Image),
    /// All images have come. The last update.
    Done(Timings),
    /// How an image looks so far, if previews were wished. The latest counts.
    Preview(Preview),
    /// The job goes on where it was, after its worker died or a more urgent job went first.
    Resumed {
        /// Which image, from 0.
        image: u32,
        /// Steps of it that need not be done again.
        step: u32,
    },
}

/// A finished image.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Its index, seed, width and height.
    pub info: ImageInfo,
    /// 8-bit RGB, rows from the top without padding: 3 · width · height bytes.
    pub pixels: Vec<u8>,
}

/// A job: an iterator of what happens to it, which ends after `Update::Done` or an error, and if
/// it is detached after `Update::Accepted`.
#[derive(Debug)]
pub struct Job {
    client: Client,
    /// How many images are to come, if that is known here.
    count: Option<u32>,
    size: (Option<u32>, Option<u32>),
    detached: bool,
    busy: Option<Busy>,
    asked: Option<Box<Params>>,
    complete: u32,
    receiving: Option<Receiving>,
    ended: bool,
}

/// An image of which `bytes` in all are announced and allowed, and `pixels` have come.
#[derive(Debug)]
struct Receiving {
    info: ImageInfo,
    bytes: usize,
    pixels: Vec<u8>,
}

/// Cancels a job from another thread.
#[derive(Debug)]
pub struct Canceller(UnixStream);

impl Canceller {
    /// Asks the daemon to stop the job at the next step; it then ends with `Kind::Cancelled`.
    ///
    /// # Errors
    ///
    /// `Io`: the connection is gone.
    pub fn cancel(&mut self) -> Result<(), Failure> {
        Frame::Request(Request::Cancel)
            .write(&mut self.0)
            .map_err(|error| Failure::new(Kind::Io, format!("cannot cancel the job: {error}")))
    }
}

impl Job {
    pub(crate) fn new(client: Client, draw: &Params, detached: bool) -> Self {
        let (count, size) = (Some(draw.images()), (draw.width, draw.height));
        Self { count, size, detached, ..Self::any(client) }
    }

    /// A job of which only the daemon knows what it is.
    pub(crate) fn any(client: Client) -> Self {
        Self {
            client,
            count: None,
            size: (None, None),
            detached: false,
            busy: None,
            asked: None,
            complete: 0,
            receiving: None,
            ended: false,
        }
    }

    /// How long there is no place for the job, if that was the daemon's answer.
    pub fn busy(&self) -> Option<&Busy> {
        self.busy.as_ref()
    }

    /// What a job that is waited for draws, once its first update has come.
    pub fn asked(&self) -> Option<&Params> {
        self.asked.as_deref()
    }

    /// A handle that cancels this job.
    ///
    /// # Errors
    ///
    /// `Io`: no file descriptor is left.
    pub fn canceller(&self) -> Result<Canceller, Failure> {
        self.client
            .writer()
            .map(Canceller)
            .map_err(|error| Failure::new(Kind::Io, format!("cannot prepare to cancel: {error}")))
    }

    fn advance(&mut self) -> Result<Update, Failure> {
        loop {
            let update = match self.client.receive()? {
                Frame::Pixels(pixels) => match self.pixels(&pixels)? {
                    Some(image) => Update::Image(image),
                    None => continue,
                },
                Frame::Event(Event::Image(image)) => {
                    self.announced(image)?;
                    continue;
                }
                Frame::Event(Event::Accepted { job, position }) => {
                    self.ended = self.detached;
                    Update::Accepted { job, position }
                }
                Frame::Event(Event::Waiting(waiting)) => Update::Waiting(waiting),
                Frame::Event(Event::Started(started)) => Update::Started(started),
                Frame::Event(Event::Step(step)) => Update::Step(step),
                Frame::Event(Event::Decoding { image }) => Update::Decoding { image },
                Frame::Event(Event::Preview(preview)) => Update::Preview(self.looks(preview)?),
                Frame::Event(Event::Resumed { image, step }) => Update::Resumed { image, step },
                Frame::Event(Event::Asked(draw)) if self.count.is_none() => {
                    (self.count, self.size) = (Some(draw.images()), (draw.width, draw.height));
                    self.asked = Some(draw);
                    continue;
                }
                Frame::Event(Event::Failed(failure)) => return Err(failure),
                Frame::Event(Event::Busy(busy)) => {
                    let failure = busy.failure.clone();
                    self.busy = Some(busy);
                    return Err(failure);
                }
                Frame::Event(Event::Done(timings)) => {
                    if let (have, Some(all)) = (self.complete, self.count)
                        && have < all
                    {
                        return Err(lie(format!("done after {have} of {all} images")));
                    }
                    self.ended = true;
                    Update::Done(timings)
                }
                other => return Err(out_of_turn(&other)),
            };
            return Ok(update);
        }
    }

    /// An image will come: only the next one, of a size that was asked for and is possible.
    /// The one under way may begin anew, after a worker's death.
    fn announced(&mut self, info: ImageInfo) -> Result<(), Failure> {
        let (width, height) = (info.width, info.height);
        let asked =
            self.size.0.is_none_or(|w| w == width) && self.size.1.is_none_or(|h| h == height);
        let bytes = image_bytes(width, height).filter(|&bytes| asked && bytes as u64 == info.bytes);
        let Some(bytes) = bytes else {
            return Err(lie(format!("an image of {width}x{height} in {} bytes", info.bytes)));
        };
        if info.index != self.complete || info.index >= self.count.unwrap_or(COUNT_MAX) {
            return Err(lie(format!("image {} in place of {}", info.index, self.complete)));
        }
        self.receiving = Some(Receiving { info, bytes, pixels: Vec::with_capacity(bytes) });
        Ok(())
    }

    /// A preview, if it has the pixels that it says.
    fn looks(&self, preview: Preview) -> Result<Preview, Failure> {
        let Preview { image, width, height, rgb, .. } = &preview;
        let fits = (1..=SIZE_MAX / 8).contains(width) && (1..=SIZE_MAX / 8).contains(height);
        let bytes = rgb.len();
        if !fits || bytes != 3 * (width * height) as usize {
            return Err(lie(format!("a preview of {width}x{height} in {bytes} bytes")));
        }
        if *image >= self.count.unwrap_or(COUNT_MAX) {
            return Err(lie(format!("a preview of image {image}")));
        }
        Ok(preview)
    }

    /// The image, when these pixels complete it.
    fn pixels(&mut self, more: &[u8]) -> Result<Option<Image>, Failure> {
        let Some(mut image) = self.receiving.take() else {
            return Err(lie("pixels of no image".to_owned()));
        };
        let missing = image.bytes - image.pixels.len();
        if more.is_empty() || more.len() > missing {
            return Err(lie(format!("{} bytes of pixels where {missing} are missing", more.len())));
        }
        image.pixels.extend_from_slice(more);
        if more.len() == missing {
            self.complete += 1;
            return Ok(Some(Image { info: image.info, pixels: image.pixels }));
        }
        self.receiving = Some(image);
        Ok(None)
    }
}

fn lie(what: String) -> Failure {
    Failure::new(
        Kind::Internal,
        format!("the daemon does not keep to the protocol: it sent {what}"),
    )
}

impl Iterator for Job {
    type Item = Result<Update, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let update = self.advance();
        self.ended |= update.is_err();
        Some(update)
    }
}

impl FusedIterator for Job {}
