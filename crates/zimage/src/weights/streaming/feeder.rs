//! The feeder: reader threads that together fill one slot after the other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tch::Device;
use zimage_cuda::{CopyStream, Event};

use crate::error::{Error, Result};
use crate::weights::reader::{Chunk, Reader, threads};

/// The most bytes of a chunk: larger than those of loading, as copies of 2 MiB reached 50 GB/s of the
/// 53 that pinned files did (H200), in every denoising step.
pub(super) const CHUNK: usize = 4 << 20;

/// The threads. Dropping the feeder ends them after what they were given.
#[derive(Debug)]
pub(super) struct Feeder {
    threads: Vec<Thread>,
    /// One for each slot; empty on a CPU.
    copies: Vec<Arc<SlotCopies>>,
}

/// The copies to one slot of a GPU, by all threads.
#[derive(Debug)]
struct SlotCopies {
    ordinal: usize,
    stream: Arc<CopyStream>,
    /// The end of a fill.
    copied: Event,
}

#[derive(Debug)]
struct Thread {
    fills: Option<Sender<Arc<Fill>>>,
    handle: Option<JoinHandle<()>>,
}

/// A part on its way to a slot: shared by all threads, each of which takes chunks from it.
#[derive(Debug)]
pub(super) struct Fill {
    copies: Option<Arc<SlotCopies>>,
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
}

impl Feeder {
    /// As many threads as read the checkpoint, for so many slots.
    pub(super) fn new(device: Device, slots: usize) -> Result<Self> {
        let thread = |_| {
            let (fills, received) = mpsc::channel();
            let handle = thread::Builder::new()
                .name("feeder".to_owned())
                .spawn(move || serve(&received))
                .map_err(|e| Error::Internal(format!("a feeder thread cannot start: {e}")))?;
            Ok(Thread { fills: Some(fills), handle: Some(handle) })
        };
        let copies = |ordinal| -> Result<_> {
            let stream = Arc::new(CopyStream::new(ordinal)?);
            Ok(Arc::new(SlotCopies { ordinal, stream, copied: Event::new(ordinal)? }))
        };
        let copies = match device {
            Device::Cuda(ordinal) => (0..slots).map(|_| copies(ordinal)).collect::<Result<_>>()?,
            _ => Vec::new(),
        };
        Ok(Self { threads: (0..threads()).map(thread).collect::<Result<_>>()?, copies })
    }

    /// Starts to fill a slot; on a GPU once it has reached `released`, the event after which the slot may
    /// be overwritten.
    ///
    /// # Errors
    /// When the GPU fails.
    pub(super) fn fill(
        &self,
        slot: usize,
        released: Option<&Event>,
        chunks: Vec<Chunk>,
    ) -> Result<Arc<Fill>> {
        let copies = self.copies.get(slot).cloned();
        if let (Some(copies), Some(released)) = (&copies, released) {
            copies.stream.hold(released)?;
        }
        let threads = self.threads.len();
        let fill = Arc::new(Fill {
            copies,
            chunks,
            next: AtomicUsize::new(0),
            state: Mutex::new(FillState { threads, outcome: Ok(()) }),
            ended: Condvar::new(),
        });
        for thread in &self.threads {
            let sent = thread.fills.as_ref().map(|fills| fills.send(Arc::clone(&fill)));
            if !matches!(sent, Some(Ok(()))) {
                let ended = Error::Internal("a feeder thread has ended".to_owned());
                fill.end(Err(ended));
            }
        }
        Ok(fill)
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        for thread in &mut self.threads {
            drop(thread.fills.take());
        }
        for thread in &mut self.threads {
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
        if let Some(copies) = &self.copies {
            copies.stream.record(&copies.copied)?;
            copies.copied.hold_compute()?;
        }
        std::mem::replace(&mut state.outcome, Ok(()))
    }

    /// A thread has done its part.
    fn end(&self, outcome: Result<()>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if outcome.is_err() {
            // No chunks are left for the others.
            self.next.store(self.chunks.len(), Ordering::Relaxed);
            if state.outcome.is_ok() {
                state.outcome = outcome;
            }
        }
        state.threads -= 1;
        if state.threads == 0 {
            self.ended.notify_all();
        }
    }
}

/// One thread's work until the feeder is dropped.
fn serve(fills: &Receiver<Arc<Fill>>) {
    let mut reader = Reader::new(CHUNK);
    while let Ok(fill) = fills.recv() {
        fill.end(read(&fill, &mut reader));
    }
}

/// Takes chunks until none are left.
fn read(fill: &Fill, reader: &mut Reader) -> Result<()> {
    let take = || fill.chunks.get(fill.next.fetch_add(1, Ordering::Relaxed));
    let Some(first) = take() else { return Ok(()) };
    if let Some(copies) = &fill.copies {
        reader.uploader(copies.ordinal)?.turn_to(&copies.stream)?;
    }
    reader.load(first)?;
    while let Some(chunk) = take() {
        reader.load(chunk)?;
    }
    Ok(())
}
