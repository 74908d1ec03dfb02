//! The decoder's thread: on a GPU the autoencoder runs on a thread of its own, else on the
//! caller's.
//!
//! cuDNN builds its plans for each thread and takes its time: on two threads those of the
//! convolutions and those of the transformer are built concurrently, 0.3 s sooner.

use std::cell::RefCell;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use tch::Device;

use crate::error::{Error, Result};
use crate::vae::Vae;

type Task = Box<dyn FnOnce(&mut Vae) + Send>;

/// The autoencoder, on whichever thread it runs.
#[derive(Debug)]
pub(super) struct DecoderThread(Home);

#[derive(Debug)]
enum Home {
    /// The caller's thread. A cell, as callers share the pipeline and the autoencoder has state.
    Caller(Box<RefCell<Vae>>),
    /// Both are there until the drop, which ends the thread.
    Thread { tasks: Option<Sender<Task>>, thread: Option<JoinHandle<()>> },
}

/// The result of a task that may still be running.
#[derive(Debug)]
pub(super) enum Answer<T> {
    Ready(Result<T>),
    Pending(Receiver<Result<T>>),
}

impl DecoderThread {
    pub(super) fn new(vae: Vae, device: Device) -> Result<Self> {
        let Device::Cuda(ordinal) = device else {
            return Ok(Self(Home::Caller(Box::new(vae.into()))));
        };
        let (sender, tasks) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("decoder".to_owned())
            .spawn(move || serve(vae, ordinal, &tasks))
            .map_err(|e| Error::Internal(format!("the decoder's thread cannot start: {e}")))?;
        Ok(Self(Home::Thread { tasks: Some(sender), thread: Some(thread) }))
    }

    /// Runs a task with the autoencoder, after all tasks before it.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Vae) -> Result<T> + Send + 'static,
    ) -> Answer<T> {
        match &self.0 {
            Home::Caller(vae) => Answer::Ready(task(&mut vae.borrow_mut())),
            Home::Thread { tasks, .. } => {
                let (sender, answer) = mpsc::channel();
                let task: Task = Box::new(move |vae| {
                    // A caller that dropped the answer does not need it.
                    let _ = sender.send(task(vae));
                });
                // If the thread has ended, so has the answer's sender, and waiting fails.
                let _ = tasks.as_ref().map(|tasks| tasks.send(task));
                Answer::Pending(answer)
            }
        }
    }
}

impl Drop for DecoderThread {
    /// Waits for the thread: its tensors must be dropped before the memory that they lie in.
    fn drop(&mut self) {
        if let Home::Thread { tasks, thread } = &mut self.0 {
            drop(tasks.take());
            if let Some(thread) = thread.take() {
                let _ = thread.join();
            }
        }
    }
}

impl<T> Answer<T> {
    /// Waits for the result.
    ///
    /// # Errors
    /// Those of the task; or when the thread has ended.
    pub(super) fn wait(self) -> Result<T> {
        match self {
            Self::Ready(answer) => answer,
            Self::Pending(answer) => answer.recv().unwrap_or_else(|_| {
                Err(Error::Internal("the decoder's thread has ended".to_owned()))
            }),
        }
    }
}

fn serve(mut vae: Vae, ordinal: usize, tasks: &Receiver<Task>) {
    // Without the context the first task fails, and its error says so.
    let _ = zimage_cuda::make_current(ordinal);
    while let Ok(task) = tasks.recv() {
        task(&mut vae);
    }
}
