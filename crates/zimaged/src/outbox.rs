//! What waits to be written to one client: the meeting point of the supervisor, which never
//! waits, and a client's writer, which may.
//!
//! LatestOnly is latest-only: a progress event that nobody has taken yet is replaced by the next
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
const FRAME_BYTES: usize = size_of::<Frame>();

/// One client's outgoing frames; clones are handles to the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<OutboxState>,
    /// Something was put in, taken out, or closed.
    changed: Notify,
}

#[derive(Debug, Default)]
struct OutboxState {
    frames: VecDeque<Frame>,
    /// Bytes of pixels in `frames`, and what their frames take.
    pixel_bytes: usize,
    /// Nothing more will be put in.
    closed: bool,
    /// The client is given up; nothing more will be written.
    disconnected: bool,
    /// The client has an accepted, unfinished job, or waits for an answer that takes its time.
    awaited: bool,
    /// Since when there is nothing to write.
    empty_since: Option<Instant>,
}

/// The client is given up because it takes its images too slowly.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Disconnected;

impl Outbox {
    /// Puts in an event.
    pub(crate) fn event(&self, event: Event) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        if let Some(stale) = state.made_stale_by(&event) {
            state.frames.remove(stale);
        }
        match event {
            Event::Accepted { .. } => state.awaited = true,
            Event::Done(_) | Event::Failed(_) | Event::Acknowledged => state.awaited = false,
            _ => {}
        }
        state.frames.push_back(Frame::Event(event));
        self.0.changed.notify_waiters();
    }

    /// The client waits for an answer that takes its time.
    pub(crate) fn expect_answer(&self) {
        self.state().awaited = true;
    }

    /// It has its answer.
    pub(crate) fn answered(&self) {
        self.state().awaited = false;
    }

    /// Puts in a chunk of pixels.
    pub(crate) fn pixels(&self, chunk: Bytes) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        state.pixel_bytes += FRAME_BYTES + chunk.len();
        state.frames.push_back(Frame::Pixels(chunk));
        self.0.changed.notify_waiters();
    }

    /// Puts in the last word; the connection ends when it is written.
    pub(crate) fn error(&self, failure: &Failure) {
        let mut state = self.state();
        if !state.closed {
            state.frames.push_back(Frame::Error(ErrorFrame::from(failure)));
            state.closed = true;
            self.0.changed.notify_waiters();
        }
    }

    /// Nothing more will come; the connection ends when all is written.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.0.changed.notify_waiters();
    }

    /// Gives the client up: what waits is forgotten.
    pub(crate) fn disconnect(&self) {
        *self.state() = OutboxState { closed: true, disconnected: true, ..OutboxState::default() };
        self.0.changed.notify_waiters();
    }

    /// Whether nothing more can be put in.
    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Bytes of pixels that wait, and what their frames take.
    pub(crate) fn pixel_bytes(&self) -> usize {
        self.state().pixel_bytes
    }

    /// The next frame to write; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`Disconnected`] when the client was given up.
    pub(crate) async fn next(&self) -> Result<Option<Frame>, Disconnected> {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            // Listens before it looks, so that nothing is missed in between.
            changed.as_mut().enable();
            {
                let mut state = self.state();
                if state.disconnected {
                    return Err(Disconnected);
                }
                if let Some(frame) = state.frames.pop_front() {
                    state.empty_since = None;
                    if let Frame::Pixels(chunk) = &frame {
                        state.pixel_bytes -= FRAME_BYTES + chunk.len();
                    }
                    self.0.changed.notify_waiters();
                    return Ok(Some(frame));
                }
                if state.closed {
                    return Ok(None);
                }
                state.empty_since.get_or_insert_with(Instant::now);
            }
            changed.await;
        }
    }

    /// How long the client has had all that it was promised and nothing is awaited to it; zero
    /// otherwise.
    pub(crate) fn idle(&self) -> Duration {
        let state = self.state();
        match state.empty_since {
            Some(since) if !state.awaited && state.frames.is_empty() => since.elapsed(),
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
                let state = self.state();
                if state.frames.len() <= frames || state.closed {
                    return;
                }
            }
            changed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, OutboxState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutboxState {
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
enum LatestOnly {
    Step,
    Preview,
    Resumed,
}

/// Whether the next event of this sort makes this one worthless.
fn progress(event: &Event) -> Option<LatestOnly> {
    match event {
        Event::Waiting(_) | Event::Step(_) | Event::Decoding { .. } => Some(LatestOnly::Step),
        Event::Preview(_) => Some(LatestOnly::Preview),
        Event::Resumed { .. } => Some(LatestOnly::Resumed),
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
        assert_eq!(outbox.pixel_bytes(), FRAME_BYTES + 3);
        assert_eq!(
            drain(&outbox).await,
            [
                Frame::Event(step(3)),
                Frame::Pixels(Bytes::from_static(b"rgb")),
                Frame::Event(Event::Decoding { image: 1 }),
                Frame::Event(Event::Done(Timings::default())),
            ]
        );
        assert_eq!(outbox.pixel_bytes(), 0);
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
        outbox.disconnect();
        outbox.event(step(1));
        assert_eq!(outbox.pixel_bytes(), 0);
        assert_eq!(outbox.next().await, Err(Disconnected));
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
