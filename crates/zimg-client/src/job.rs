//! A job's updates: events checked and translated, and each image's pixels assembled.

use std::iter::FusedIterator;
use std::os::unix::net::UnixStream;

use zimg_protocol::limits::{COUNT_MAX, SIZE_MAX, image_bytes};
use zimg_protocol::messages::{
    Busy, Event, ImageInfo, JobId, Params, Preview, Request, Started, Step, Timings, Waiting,
};
use zimg_protocol::{Failure, Frame, Kind};

use crate::stream::{FrameStream, unexpected_frame};

/// A change of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// The daemon has accepted it. A detached job's last update.
    Accepted {
        /// The job's id.
        job: JobId,
        /// The number of jobs before it.
        position: u32,
    },
    /// It waits, and why. Only the latest counts.
    Waiting(Waiting),
    /// It runs; the resolved defaults.
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
    /// All images have come. An attached job's last update.
    Done(Timings),
    /// A preview of an unfinished image, if previews were requested. Only the latest counts.
    Preview(Preview),
    /// The job resumes after its worker died or an interactive job preempted it.
    Resumed {
        /// Which image, from 0.
        image: u32,
        /// Steps of it that are not repeated.
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

/// A job: an iterator of its updates, which ends after `Update::Done` or an error, and for a
/// detached job after `Update::Accepted`.
#[derive(Debug)]
pub struct Job {
    stream: FrameStream,
    /// The number of images, if it is known.
    count: Option<u32>,
    size: (Option<u32>, Option<u32>),
    detached: bool,
    busy: Option<Busy>,
    asked: Option<Box<Params>>,
    complete: u32,
    incoming: Option<IncomingImage>,
    ended: bool,
}

/// An image whose length was announced and checked, and the pixels that have come.
#[derive(Debug)]
struct IncomingImage {
    info: ImageInfo,
    bytes: usize,
    pixels: Vec<u8>,
}

/// Cancels a job from another thread.
#[derive(Debug)]
pub struct Canceller(UnixStream);

impl Canceller {
    /// Requests the job's end at the next step; it then ends with `Kind::Cancelled`.
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
    /// A job of so many images of this size, as far as the request says it.
    pub(crate) fn new(
        stream: FrameStream,
        (count, size): (u32, (Option<u32>, Option<u32>)),
        detached: bool,
    ) -> Self {
        Self { count: Some(count), size, detached, ..Self::subscribed(stream) }
    }

    /// A detached job, whose parameters the daemon sends first.
    pub(crate) fn subscribed(stream: FrameStream) -> Self {
        Self {
            stream,
            count: None,
            size: (None, None),
            detached: false,
            busy: None,
            asked: None,
            complete: 0,
            incoming: None,
            ended: false,
        }
    }

    /// The daemon's refusal with its estimate until there is a place, if that was the answer.
    pub fn busy(&self) -> Option<&Busy> {
        self.busy.as_ref()
    }

    /// The parameters of a job from [`Client::wait`](crate::Client::wait), once its first update has
    /// come.
    pub fn asked(&self) -> Option<&Params> {
        self.asked.as_deref()
    }

    /// A handle that cancels this job.
    ///
    /// # Errors
    ///
    /// `Io`: no file descriptor is left.
    pub fn canceller(&self) -> Result<Canceller, Failure> {
        self.stream
            .writer()
            .map(Canceller)
            .map_err(|error| Failure::new(Kind::Io, format!("cannot prepare to cancel: {error}")))
    }

    fn advance(&mut self) -> Result<Update, Failure> {
        loop {
            let update = match self.stream.receive()? {
                Frame::Pixels(pixels) => match self.pixels(&pixels)? {
                    Some(image) => Update::Image(image),
                    None => continue,
                },
                Frame::Event(Event::Image(image)) => {
                    self.announce(image)?;
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
                Frame::Event(Event::Preview(preview)) => Update::Preview(self.checked(preview)?),
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
                        return Err(violation(format!("done after {have} of {all} images")));
                    }
                    self.ended = true;
                    Update::Done(timings)
                }
                other => return Err(unexpected_frame(&other)),
            };
            return Ok(update);
        }
    }

    /// Accepts an image's head if it is the next image, in the requested size. After a worker's
    /// death the incoming image may start again.
    fn announce(&mut self, info: ImageInfo) -> Result<(), Failure> {
        let (width, height) = (info.width, info.height);
        let asked =
            self.size.0.is_none_or(|w| w == width) && self.size.1.is_none_or(|h| h == height);
        let bytes = image_bytes(width, height).filter(|&bytes| asked && bytes as u64 == info.bytes);
        let Some(bytes) = bytes else {
            return Err(violation(format!("an image of {width}x{height} in {} bytes", info.bytes)));
        };
        if info.index != self.complete || info.index >= self.count.unwrap_or(COUNT_MAX) {
            return Err(violation(format!("image {} in place of {}", info.index, self.complete)));
        }
        self.incoming = Some(IncomingImage { info, bytes, pixels: Vec::with_capacity(bytes) });
        Ok(())
    }

    /// A preview whose size, length and index are valid.
    fn checked(&self, preview: Preview) -> Result<Preview, Failure> {
        let Preview { image, width, height, rgb, .. } = &preview;
        let fits = (1..=SIZE_MAX / 8).contains(width) && (1..=SIZE_MAX / 8).contains(height);
        let bytes = rgb.len();
        if !fits || bytes != 3 * (width * height) as usize {
            return Err(violation(format!("a preview of {width}x{height} in {bytes} bytes")));
        }
        if *image >= self.count.unwrap_or(COUNT_MAX) {
            return Err(violation(format!("a preview of image {image}")));
        }
        Ok(preview)
    }

    /// Adds pixels, and returns the image that they complete.
    fn pixels(&mut self, more: &[u8]) -> Result<Option<Image>, Failure> {
        let Some(mut image) = self.incoming.take() else {
            return Err(violation("pixels of no image".to_owned()));
        };
        let missing = image.bytes - image.pixels.len();
        if more.is_empty() || more.len() > missing {
            return Err(violation(format!(
                "{} bytes of pixels where {missing} are missing",
                more.len()
            )));
        }
        image.pixels.extend_from_slice(more);
        if more.len() == missing {
            self.complete += 1;
            return Ok(Some(Image { info: image.info, pixels: image.pixels }));
        }
        self.incoming = Some(image);
        Ok(None)
    }
}

fn violation(what: String) -> Failure {
    Failure::new(Kind::Internal, format!("the daemon violates the protocol: it sent {what}"))
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
