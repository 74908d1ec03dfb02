//! What waits to be written to one client: the meeting point of the supervisor, which never
//! waits, and a client's writer, which may.
//!
//! Progress is latest-only: a progress event that nobody has taken yet is replaced by the next
//! one, and so is a preview. Everything else is kept in order. How many pixels are kept is the supervisor's judgement
//! (`held`, `cut`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;
use zimg_protocol::frame::ErrorFrame;
use zimg_protocol::messages::Event;
use zimg_protocol::{Failure, Frame};

/// The number of a connection, whose outbox it is.
pub(crate) type ClientId = u64;

/// What a frame takes beside its bytes: a worker may cut an image into single ones.
const FRAME: usize = size_of::<Frame>();

/// One client's outgoing frames; clones are handles to the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    lines: Mutex<Lines>,
    /// Something was put in, taken out, or closed.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Lines {
    frames: VecDeque<Frame>,
    /// Bytes of pixels in `frames`, and what their frames take.
    pixels: usize,
    /// Nothing more will be put in.
    closed: bool,
    /// The client is given up; nothing more will be written.
    cut: bool,
    /// The client has an accepted, unfinished job, or waits for an answer that takes its time.
    owed: bool,
    /// Since when there is nothing to write.
    empty: Option<Instant>,
}

/// The client is given up because it takes its images too slowly.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cut;

impl Outbox {
    /// Puts in an event.
    pub(crate) fn event(&self, event: Event) {
        let mut lines = self.lines();
        if lines.closed {
            return;
        }
        if let Some(stale) = lines.made_stale_by(&event) {
            lines.frames.remove(stale);
        }
        match event {
            Event::Accepted { .. } => lines.owed = true,
            Event::Done(_) | Event::Failed(_) | Event::Acknowledged => lines.owed = false,
            _ => {}
        }
        lines.frames.push_back(Frame::Event(event));
        self.0.changed.notify_waiters();
    }

    /// The client waits for an answer that takes its time.
    pub(crate) fn owe(&self) {
        self.lines().owed = true;
    }

    /// It has its answer.
    pub(crate) fn owe_nothing(&self) {
        self.lines().owed = false;
    }

    /// Puts in a chunk of pixels.
    pub(crate) fn pixels(&self, chunk: Bytes) {
        let mut lines = self.lines();
        if lines.closed {
            return;
        }
        lines.pixels += FRAME + chunk.len();
        lines.frames.push_back(Frame::Pixels(chunk));
        self.0.changed.notify_waiters();
    }

    /// Puts in the last word; the connection ends when it is written.
    pub(crate) fn error(&self, failure: &Failure) {
        let mut lines = self.lines();
        if !lines.closed {
            lines.frames.push_back(Frame::Error(ErrorFrame::from(failure)));
            lines.closed = true;
            self.0.changed.notify_waiters();
        }
    }

    /// Nothing more will come; the connection ends when all is written.
    pub(crate) fn close(&self) {
        self.lines().closed = true;
        self.0.changed.notify_waiters();
    }

    /// Gives the client up: what waits is forgotten.
    pub(crate) fn cut(&self) {
        *self.lines() = Lines { closed: true, cut: true, ..Lines::default() };
        self.0.changed.notify_waiters();
    }

    /// Whether nothing more can be put in.
    pub(crate) fn is_closed(&self) -> bool {
        self.lines().closed
    }

    /// Bytes of pixels that wait, and what their frames take.
    pub(crate) fn held(&self) -> usize {
        self.lines().pixels
    }

    /// The next frame to write; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`Cut`] when the client was given up.
    pub(crate) async fn next(&self) -> Result<Option<Frame>, Cut> {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            // Listens before it looks, so that nothing is missed in between.
            changed.as_mut().enable();
            {
                let mut lines = self.lines();
                if lines.cut {
                    return Err(Cut);
                }
                if let Some(frame) = lines.frames.pop_front() {
                    lines.empty = None;
                    if let Frame::Pixels(chunk) = &frame {
                        lines.pixels -= FRAME + chunk.len();
                    }
                    self.0.changed.notify_waiters();
                    return Ok(Some(frame));
                }
                if lines.closed {
                    return Ok(None);
                }
                lines.empty.get_or_insert_with(Instant::now);
            }
            changed.await;
        }
    }

    /// How long the client has had all that it was promised and nothing is owed to it; zero
    /// otherwise.
    pub(crate) fn idle(&self) -> Duration {
        let lines = self.lines();
        match lines.empty {
            Some(since) if !lines.owed && lines.frames.is_empty() => since.elapsed(),
            _ => Duration::ZERO,
        }
    }

    /// Waits until at most `frames` frames wait: a client that does not read is not heard.
    pub(crate) async fn at_most(&self, frames: usize) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let lines = self.lines();
                if lines.frames.len() <= frames || lines.closed {
                    return;
                }
            }
            changed.await;
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// The frame that nobody need see any more once this event is there: the last of its sort, if
    /// nothing but progress came after it.
    fn made_stale_by(&self, event: &Event) -> Option<usize> {
        let sort = progress(event)?;
        let end = self.frames.iter().enumerate().rev().map_while(|(place, frame)| match frame {
            Frame::Event(event) => Some((place, progress(event)?)),
            _ => None,
        });
        end.into_iter().find(|(_, other)| *other == sort).map(|(place, _)| place)
    }
}

/// Events of which only the latest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Step,
    Preview,
    Resumed,
}

/// Whether the next event of this sort makes this one worthless.
fn progress(event: &Event) -> Option<Progress> {
    match event {
        Event::Waiting(_) | Event::Step(_) | Event::Decoding { .. } => Some(Progress::Step),
        Event::Preview(_) => Some(Progress::Preview),
        Event::Resumed { .. } => Some(Progress::Resumed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use zimg_protocol::messages::{Preview, Step, Timings, Waiting};

    use super::*;

    fn step(step: u32) -> Event {
        Event::Step(Step { image: 0, step, of: 8, ms: 1.0 })
    }

    async fn drain(outbox: &Outbox) -> Vec<Frame> {
        outbox.close();
        let mut frames = Vec::new();
        while let Some(frame) = outbox.next().await.unwrap() {
            frames.push(frame);
        }
        frames
    }

    #[tokio::test]
    async fn untaken_progress_is_replaced_and_order_is_kept() {
        let outbox = Outbox::default();
        for n in 1..=3 {
            outbox.event(step(n));
        }
        outbox.pixels(Bytes::from_static(b"rgb"));
        outbox.event(step(4));
        outbox.event(Event::Decoding { image: 1 });
        outbox.event(Event::Done(Timings::default()));
        assert_eq!(outbox.held(), FRAME + 3);
        assert_eq!(
            drain(&outbox).await,
            [
                Frame::Event(step(3)),
                Frame::Pixels(Bytes::from_static(b"rgb")),
                Frame::Event(Event::Decoding { image: 1 }),
                Frame::Event(Event::Done(Timings::default())),
            ]
        );
        assert_eq!(outbox.held(), 0);
    }

    #[tokio::test]
    async fn of_each_sort_of_progress_one_waits_at_most() {
        let outbox = Outbox::default();
        let preview = |step| {
            let rgb = Bytes::from_static(&[0; 3]);
            Event::Preview(Preview { image: 0, step, width: 1, height: 1, rgb })
        };
        let waiting = Event::Waiting(Waiting::Overtaken { position: 1 });
        for n in 1..100 {
            for event in
                [waiting.clone(), Event::Resumed { image: 0, step: n }, step(n), preview(n)]
            {
                outbox.event(event);
            }
        }
        let expected = [Event::Resumed { image: 0, step: 99 }, step(99), preview(99)];
        assert_eq!(drain(&outbox).await, expected.map(Frame::Event));
    }

    #[tokio::test]
    async fn a_taker_is_woken_by_what_is_put_in() {
        let outbox = Outbox::default();
        let taker = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.next().await }
        });
        tokio::task::yield_now().await;
        outbox.event(step(1));
        assert_eq!(taker.await.unwrap(), Ok(Some(Frame::Event(step(1)))));
    }

    #[tokio::test]
    async fn a_cut_client_gets_nothing_more() {
        let outbox = Outbox::default();
        outbox.pixels(Bytes::from_static(b"rgb"));
        outbox.cut();
        outbox.event(step(1));
        assert_eq!(outbox.held(), 0);
        assert_eq!(outbox.next().await, Err(Cut));
    }

    #[tokio::test]
    async fn an_error_is_the_last_word() {
        let outbox = Outbox::default();
        let failure = Failure::new(zimg_protocol::Kind::Version, "no");
        outbox.error(&failure);
        outbox.event(step(1));
        assert_eq!(drain(&outbox).await, [Frame::Error(ErrorFrame::from(&failure))]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_a_job_or_something_to_take_is_not_idle() {
        let minute = Duration::from_secs(60);
        let outbox = Outbox::default();
        tokio::spawn({
            let outbox = outbox.clone();
            async move { while let Ok(Some(_)) = outbox.next().await {} }
        });
        tokio::time::sleep(minute).await;
        assert_eq!(outbox.idle(), minute);
        outbox.event(Event::Accepted { job: 1, position: 0 });
        tokio::time::sleep(minute).await;
        assert_eq!(outbox.idle(), Duration::ZERO);
        outbox.event(Event::Done(Timings::default()));
        assert_eq!(outbox.idle(), Duration::ZERO);
        tokio::time::sleep(minute).await;
        assert_eq!(outbox.idle(), minute);
    }

    #[tokio::test]
    async fn a_full_outbox_holds_the_reader_up() {
        let outbox = Outbox::default();
        for _ in 0..3 {
            outbox.event(Event::Done(Timings::default()));
        }
        let reader = outbox.at_most(2);
        tokio::pin!(reader);
        tokio::select! {
            biased;
            () = &mut reader => panic!("three frames wait"),
            () = tokio::task::yield_now() => {}
        }
        outbox.next().await.unwrap();
        reader.await;
    }
}
