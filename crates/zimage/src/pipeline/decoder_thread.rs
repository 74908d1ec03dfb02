//! Where the autoencoder lives: on a GPU on a thread of its own, else here.
//!
//! cuDNN makes its plans for each thread and takes its time: on two threads those of the
//! convolutions and those of the transformer are made side by side, 0.3 s sooner.

use std::cell::RefCell;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use tch::Device;

use crate::error::{Error, Result};
use crate::vae::Vae;

type Work = Box<dyn FnOnce(&mut Vae) + Send>;

/// The autoencoder, wherever it is.
#[derive(Debug)]
pub(super) struct DecoderThread(Place);

#[derive(Debug)]
enum Place {
    Here(Box<RefCell<Vae>>),
    There { work: Option<Sender<Work>>, thread: Option<JoinHandle<()>> },
}

/// An answer that may still be coming.
#[derive(Debug)]
pub(super) enum Answer<T> {
    There(Result<T>),
    Coming(Receiver<Result<T>>),
}

impl DecoderThread {
    pub(super) fn new(vae: Vae, device: Device) -> Result<Self> {
        let Device::Cuda(ordinal) = device else {
            return Ok(Self(Place::Here(Box::new(vae.into()))));
        };
        let (sender, work) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("decoder".to_owned())
            .spawn(move || serve(vae, ordinal, &work))
            .map_err(|e| Error::Internal(format!("a thread cannot be started: {e}")))?;
        Ok(Self(Place::There { work: Some(sender), thread: Some(thread) }))
    }

    /// Has something done with the autoencoder, after what was asked for before.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Vae) -> Result<T> + Send + 'static,
    ) -> Answer<T> {
        match &self.0 {
            Place::Here(vae) => Answer::There(question(&mut vae.borrow_mut())),
            Place::There { work, .. } => {
                let (sender, answer) = mpsc::channel();
                let question: Work = Box::new(move |vae| {
                    // Who does not wait for the answer does not miss it.
                    let _ = sender.send(question(vae));
                });
                // A thread that is gone leaves no answer.
                let _ = work.as_ref().map(|work| work.send(question));
                Answer::Coming(answer)
            }
        }
    }
}

impl Drop for DecoderThread {
    /// Its tensors must have ended before the memory that they lie in.
    fn drop(&mut self) {
        if let Place::There { work, thread } = &mut self.0 {
            drop(work.take());
            if let Some(thread) = thread.take() {
                let _ = thread.join();
            }
        }
    }
}

impl<T> Answer<T> {
    /// Waits for it.
    ///
    /// # Errors
    /// Those of the work; or when the thread has ended.
    pub(super) fn wait(self) -> Result<T> {
        match self {
            Self::There(answer) => answer,
            Self::Coming(answer) => answer.recv().unwrap_or_else(|_| {
                Err(Error::Internal("the decoder's thread has ended".to_owned()))
            }),
        }
    }
}

fn serve(mut vae: Vae, ordinal: usize, work: &Receiver<Work>) {
    // Without the context the first work fails, and says so.
    let _ = zimage_cuda::make_current(ordinal);
    while let Ok(work) = work.recv() {
        work(&mut vae);
    }
}
