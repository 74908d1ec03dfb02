//! The outbox: frames that wait to be written to one client. The supervisor adds without blocking,
//! the connection's writer takes at the client's pace.
//!
//! Progress is latest-only: an unread progress event or preview is replaced by the next one.
//! Everything else stays in order. The supervisor limits the pixels (`pixel_bytes`,
//! `disconnect`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;
use zimg_protocol::frame::ErrorFrame;
use zimg_protocol::messages::Event;
use zimg_protocol::{Failure, Frame};

/// The id of a connection.
pub(crate) type ClientId = u64;

/// Memory of a frame beside its bytes, counted because a worker may send single pixels.
const FRAME_BYTES: usize = size_of::<Frame>();

/// One client's outgoing frames; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<OutboxState>,
    /// Signals a frame added or taken, and the closing.
    changed: Notify,
}

#[derive(Debug, Default)]
struct OutboxState {
    frames: VecDeque<Frame>,
    /// Memory of the pixel frames in `frames`.
    pixel_bytes: usize,
    /// No more frames are added.
    closed: bool,
    /// The client is disconnected; nothing more is written.
    disconnected: bool,
    /// The client waits for an unfinished job or another slow answer.
    awaited: bool,
    /// Since when there has been nothing to write.
    empty_since: Option<Instant>,
}

/// The client was disconnected because it reads its images too slowly.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Disconnected;

impl Outbox {
    /// Adds an event.
    pub(crate) fn event(&self, event: Event) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        if let Some(old) = state.replaced_by(&event) {
            state.frames.remove(old);
        }
        match event {
            Event::Accepted { .. } => state.awaited = true,
            Event::Done(_) | Event::Failed(_) | Event::Acknowledged => state.awaited = false,
            _ => {}
        }
        state.frames.push_back(Frame::Event(event));
        self.0.changed.notify_waiters();
    }

    /// Marks the client as waiting for a slow answer, so that it is not idle.
    pub(crate) fn expect_answer(&self) {
        self.state().awaited = true;
    }

    /// Marks the slow answer as given.
    pub(crate) fn answered(&self) {
        self.state().awaited = false;
    }

    /// Adds a chunk of pixels.
    pub(crate) fn pixels(&self, chunk: Bytes) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        state.pixel_bytes += FRAME_BYTES + chunk.len();
        state.frames.push_back(Frame::Pixels(chunk));
        self.0.changed.notify_waiters();
    }

    /// Adds an error frame; the connection is closed when it is written.
    pub(crate) fn error(&self, failure: &Failure) {
        let mut state = self.state();
        if !state.closed {
            state.frames.push_back(Frame::Error(ErrorFrame::from(failure)));
            state.closed = true;
            self.0.changed.notify_waiters();
        }
    }

    /// Adds nothing more; the connection is closed when all frames are written.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.0.changed.notify_waiters();
    }

    /// Disconnects the client and drops its frames.
    pub(crate) fn disconnect(&self) {
        *self.state() = OutboxState { closed: true, disconnected: true, ..OutboxState::default() };
        self.0.changed.notify_waiters();
    }

    /// Whether no more frames can be added.
    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Memory of the pixel frames that wait.
    pub(crate) fn pixel_bytes(&self) -> usize {
        self.state().pixel_bytes
    }

    /// The next frame to write; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`Disconnected`].
    pub(crate) async fn next(&self) -> Result<Option<Frame>, Disconnected> {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            // Subscribed before the check, so that no signal is missed in between.
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

    /// How long the client has had all its frames and has waited for no answer; zero
    /// otherwise.
    pub(crate) fn idle(&self) -> Duration {
        let state = self.state();
        match state.empty_since {
            Some(since) if !state.awaited && state.frames.is_empty() => since.elapsed(),
            _ => Duration::ZERO,
        }
    }

    /// Waits until at most this number of frames is unread.
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
    /// The unread frame that this event replaces: the last of its kind, if only progress came after
    /// it.
    fn replaced_by(&self, event: &Event) -> Option<usize> {
        let kind = progress(event)?;
        let end = self.frames.iter().enumerate().rev().map_while(|(place, frame)| match frame {
            Frame::Event(event) => Some((place, progress(event)?)),
            _ => None,
        });
        end.into_iter().find(|(_, other)| *other == kind).map(|(place, _)| place)
    }
}

/// Kinds of events of which only the latest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LatestOnly {
    Step,
    Preview,
    Resumed,
}

/// The kind of an event that the next one of this kind replaces.
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
    async fn unread_progress_is_replaced_and_order_is_preserved() {
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
    async fn at_most_one_event_of_each_kind_of_progress_waits() {
        let outbox = Outbox::default();
        let preview = |step| {
            let rgb = Bytes::from_static(&[0; 3]);
            Event::Preview(Preview { image: 0, step, width: 1, height: 1, rgb })
        };
        let waiting = Event::Waiting(Waiting::Preempted { position: 1 });
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
    async fn a_reader_is_woken_by_a_new_frame() {
        let outbox = Outbox::default();
        let reader = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.next().await }
        });
        tokio::task::yield_now().await;
        outbox.event(step(1));
        assert_eq!(reader.await.unwrap(), Ok(Some(Frame::Event(step(1)))));
    }

    #[tokio::test]
    async fn a_disconnected_client_gets_nothing_more() {
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
    async fn a_client_with_a_job_or_unread_frames_is_not_idle() {
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
    async fn a_full_outbox_blocks_the_reader() {
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
