//! The feeder: reader threads that together fill one slot after the other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tch::Device;
use zimage_cuda::Event;

use crate::error::{Error, Result};
use crate::weights::reader::{Chunk, Reader, threads};

/// The threads. Dropping the feeder ends them after what they were given.
#[derive(Debug)]
pub(super) struct Feeder(Vec<Thread>);

#[derive(Debug)]
struct Thread {
    fills: Option<Sender<Arc<Fill>>>,
    handle: Option<JoinHandle<()>>,
}

/// A part on its way to a slot: shared by all threads, each of which takes chunks from it.
#[derive(Debug)]
pub(super) struct Fill {
    slot: usize,
    chunks: Vec<Chunk>,
    next: AtomicUsize,
    state: Mutex<FillState>,
    ended: Condvar,
}

#[derive(Debug)]
struct FillState {
    /// Threads that have not ended their part.
    threads: usize,
    outcome: Result<()>,
    /// On a GPU: the ends of the threads' copies.
    copied: Vec<Arc<Event>>,
}

impl Feeder {
    /// As many threads as read the checkpoint. On a GPU, `released` has the event of each slot after
    /// which it may be overwritten.
    pub(super) fn new(device: Device, released: &Arc<[Event]>) -> Result<Self> {
        let thread = |_| {
            let (fills, received) = mpsc::channel();
            let released = Arc::clone(released);
            let handle = thread::Builder::new()
                .name("feeder".to_owned())
                .spawn(move || serve(device, &released, &received))
                .map_err(|e| Error::Internal(format!("a feeder thread cannot start: {e}")))?;
            Ok(Thread { fills: Some(fills), handle: Some(handle) })
        };
        Ok(Self((0..threads()).map(thread).collect::<Result<_>>()?))
    }

    /// Starts to fill a slot, once the device has released it.
    pub(super) fn fill(&self, slot: usize, chunks: Vec<Chunk>) -> Arc<Fill> {
        let fill = Arc::new(Fill {
            slot,
            chunks,
            next: AtomicUsize::new(0),
            state: Mutex::new(FillState {
                threads: self.0.len(),
                outcome: Ok(()),
                copied: Vec::new(),
            }),
            ended: Condvar::new(),
        });
        for thread in &self.0 {
            let sent = thread.fills.as_ref().map(|fills| fills.send(Arc::clone(&fill)));
            if !matches!(sent, Some(Ok(()))) {
                let ended = Error::Internal("a feeder thread has ended".to_owned());
                fill.end(Err(ended), None);
            }
        }
        fill
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        for thread in &mut self.0 {
            drop(thread.fills.take());
        }
        for thread in &mut self.0 {
            if let Some(handle) = thread.handle.take() {
                let _ = handle.join();
            }
        }
    }
}

impl Fill {
    /// Waits until all copies are launched (on a CPU: done), and makes libtorch's later work wait
    /// for them.
    ///
    /// # Errors
    /// When a file could not be read, or the GPU failed.
    pub(super) fn wait(&self) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.threads > 0 {
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // Also after an error: the slot is used again, after the copies that were launched.
        for event in &state.copied {
            event.hold_compute()?;
        }
        std::mem::replace(&mut state.outcome, Ok(()))
    }

    /// A thread has done its part.
    fn end(&self, outcome: Result<()>, copied: Option<Arc<Event>>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if outcome.is_err() {
            // No chunks are left for the others.
            self.next.store(self.chunks.len(), Ordering::Relaxed);
            if state.outcome.is_ok() {
                state.outcome = outcome;
            }
        }
        state.copied.extend(copied);
        state.threads -= 1;
        if state.threads == 0 {
            self.ended.notify_all();
        }
    }
}

/// One thread's work until the feeder is dropped.
fn serve(device: Device, released: &[Event], fills: &Receiver<Arc<Fill>>) {
    let mut reader = Reader::default();
    // One event for each slot: it is recorded again only after libtorch was told to wait for it.
    let mut events: Vec<Option<Arc<Event>>> = vec![None; released.len()];
    while let Ok(fill) = fills.recv() {
        let gpu = match (device, released.get(fill.slot), events.get_mut(fill.slot)) {
            (Device::Cuda(ordinal), Some(released), Some(copied)) => {
                Some(GpuSlot { ordinal, released, copied })
            }
            _ => None,
        };
        match read(gpu, &fill, &mut reader) {
            Ok(copied) => fill.end(Ok(()), copied),
            Err(error) => fill.end(Err(error), None),
        }
    }
}

/// A slot in a GPU's memory.
struct GpuSlot<'a> {
    ordinal: usize,
    /// The slot may be overwritten after this.
    released: &'a Event,
    /// The end of this thread's copies to it; created for the first.
    copied: &'a mut Option<Arc<Event>>,
}

/// Takes chunks until none are left. The result, on a GPU, is the end of this thread's copies.
fn read(gpu: Option<GpuSlot<'_>>, fill: &Fill, reader: &mut Reader) -> Result<Option<Arc<Event>>> {
    let take = || fill.chunks.get(fill.next.fetch_add(1, Ordering::Relaxed));
    let Some(first) = take() else { return Ok(None) };
    if let Some(GpuSlot { ordinal, released, .. }) = &gpu {
        reader.uploader(*ordinal)?.hold(released)?;
    }
    reader.load(first)?;
    while let Some(chunk) = take() {
        reader.load(chunk)?;
    }
    let Some(GpuSlot { ordinal, copied, .. }) = gpu else { return Ok(None) };
    let event = match copied {
        Some(event) => event,
        None => copied.insert(Arc::new(Event::new(ordinal)?)),
    };
    reader.uploader(ordinal)?.record(event)?;
    Ok(Some(Arc::clone(event)))
}
