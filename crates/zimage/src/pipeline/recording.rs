//! Launches that are recorded once and replayed: where the GPU is faster than its launches.

use tch::Device;
use zimage_cuda::{Graph, Pool};

use super::Pipeline;
use crate::error::{Error, Result};

/// A recorded computation and its result, which each replay computes anew in the same place.
#[derive(Debug)]
pub(super) struct Recording<T> {
    graph: Graph,
    result: T,
}

impl<T> Recording<T> {
    /// Computes again, from what lies in the places that the computation read.
    pub(super) fn replay(&mut self) -> Result<&T> {
        self.graph.replay()?;
        Ok(&self.result)
    }
}

/// What the recordings of a pipeline have in common.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pool: Option<Pool>,
    /// After one failed.
    given_up: bool,
}

impl Pipeline {
    /// Records what `work` does, which has been done before. None where there is no GPU, or if it
    /// cannot be recorded: then nothing is recorded any more, and a remark says so.
    pub(super) fn record<T>(
        &self,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<Option<Recording<T>>> {
        let Device::Cuda(ordinal) = self.device else { return Ok(None) };
        let recorder = &mut *self.recorder.borrow_mut();
        if recorder.given_up {
            return Ok(None);
        }
        // What the decoder launches meanwhile would spoil it.
        self.decoding.ask(|_| Ok(())).wait()?;
        match Graph::record(ordinal, recorder.pool, work) {
            Ok((mut graph, result)) => {
                if recorder.pool.is_none() {
                    recorder.pool = Some(graph.pool()?);
                }
                Ok(Some(Recording { graph, result }))
            }
            Err(Error::Torch(error)) => Err(Error::Torch(error)),
            Err(error) => {
                recorder.given_up = true;
                self.remarks.borrow_mut().push(format!("drawing without CUDA graphs: {error}"));
                Ok(None)
            }
        }
    }
}
