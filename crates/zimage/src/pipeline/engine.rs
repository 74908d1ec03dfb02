//! The engine: networks, the operations that compute them, and what is cached of their results.
//!
//! It is a pipeline without the tokenizer and the weights' memory, so warm-up can run on it while
//! both are still being read.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use super::controls::{ControlChoice, ControlInput, Controls, LoadedControl};
use super::cuda_graphs::{DenoiserGraphs, GraphCapture};
use super::decoder_thread::Answer;
use super::memory::{Fit, MemoryEstimate};
use super::networks::Networks;
use super::prompt_cache::PromptCache;
use crate::adapters::{AdapterChoice, Adapters};
use crate::error::Result;
use crate::ops::Ops;
use crate::params::ResolvedParams;
use crate::transformer::Context;

/// Everything that computes.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) networks: Networks,
    pub(super) ops: Ops,
    /// Behind a cell, as requests only read an engine, and what they cache does not change their
    /// results. An engine stays on one thread, and the caches' functions are given what they
    /// need of it: none borrows a second time.
    pub(super) caches: RefCell<Caches>,
    pub(super) adapters: RefCell<Adapters>,
    /// Whether the predictions of guidance are computed together.
    pub(super) guides_together: Cell<bool>,
    pub(super) controls: RefCell<Controls>,
    /// Measured by warm-up, on a GPU.
    pub(super) memory: MemoryEstimate,
    /// Sentences for the log that were not read yet. Reading them empties the list.
    remarks: RefCell<Vec<String>>,
}

/// Results that are computed once, and what speeds up computing them again.
#[derive(Debug, Default)]
pub(super) struct Caches {
    pub(super) prompts: PromptCache,
    pub(super) denoiser: DenoiserGraphs,
    pub(super) capture: GraphCapture,
    /// Sizes of latents that the decoder is warm for: rows and columns.
    pub(super) decoded: BTreeSet<(i64, i64)>,
}

impl Engine {
    /// An engine, and on a GPU the answer of the decoder, whose weights, which are read, it has
    /// laid out for the kernels.
    pub(super) fn new(
        networks: Networks,
        (ops, remarks): (Ops, Vec<String>),
    ) -> (Self, Option<Answer<()>>) {
        let layout = match &ops {
            Ops::Fused(kernels) => {
                let kernels = kernels.clone();
                Some(networks.decoder.ask(move |vae| vae.fuse(&kernels)))
            }
            Ops::Eager => None,
        };
        let engine = Self {
            networks,
            ops,
            caches: RefCell::default(),
            adapters: RefCell::default(),
            guides_together: Cell::new(false),
            controls: RefCell::default(),
            memory: MemoryEstimate::default(),
            remarks: RefCell::new(remarks),
        };
        (engine, layout)
    }

    /// Applies these adapters and no others to all that is computed from now on.
    pub(super) fn adapt(&self, choices: &[AdapterChoice]) -> Result<()> {
        let Self { networks, .. } = self;
        let options = (networks.transformer.kind(), networks.device);
        let mut adapters = self.adapters.borrow_mut();
        let applied = adapters.apply(choices, &networks.linear_maps, &networks.maps(), options);
        networks.transformer.set_modulation_adapters(adapters.modulation());
        if applied? && adapters.modulation() != 0 && networks.streamer.is_some() {
            self.modulate(networks.defaults.steps)?;
        }
        Ok(())
    }

    /// The ControlNet of a request with these parameters, read if it is not on the device.
    pub(super) fn control(
        &self,
        choice: &ControlChoice,
        params: &ResolvedParams,
    ) -> Result<Rc<LoadedControl>> {
        let Self { networks, memory, .. } = self;
        let mut controls = self.controls.borrow_mut();
        let loaded = controls.get(networks, choice, || {
            // Nothing of an earlier one is left.
            memory.set_control(0);
            memory.free_beside(networks, params)
        });
        memory.set_control(controls.bytes());
        loaded
    }

    /// Whether an image fits the memory that is free now, and how it can be decoded there. A ControlNet
    /// that the image does not use makes room for it.
    pub(super) fn fit(&self, params: &ResolvedParams) -> Result<Fit> {
        let fit = self.memory.fit(&self.networks, params);
        if matches!(fit, Ok(Fit::Whole)) || params.is_controlled || !self.free_control() {
            return fit;
        }
        self.memory.fit(&self.networks, params)
    }

    /// Drops the ControlNet that is on the device; false if there is none.
    fn free_control(&self) -> bool {
        let mut controls = self.controls.borrow_mut();
        let is_there = controls.bytes() > 0;
        controls.free();
        self.memory.set_control(0);
        is_there
    }

    /// Computes the modulations of so many steps, if they are not there and their layers stay in their
    /// file: these are then read once for all steps.
    pub(super) fn modulate(&self, steps: u32) -> Result<()> {
        let Self { networks, .. } = self;
        match networks.streamer {
            Some(_) => networks.transformer.modulate(&networks.times(steps)),
            None => Ok(()),
        }
    }

    /// A prompt as the transformer's layers see it, beside an image of this size.
    pub(super) fn context(&self, tokens: &[i64], params: &ResolvedParams) -> Result<Context> {
        let Self { networks, ops, .. } = self;
        let Caches { prompts, capture, .. } = &mut *self.caches.borrow_mut();
        let embeddings =
            prompts.embeddings(networks, ops, capture, (&self.adapters.borrow(), tokens))?;
        networks.transformer.context(embeddings, networks.grid(params))
    }

    /// The transformer's output at time `t` (0 = noise, 1 = image), which is minus the velocity:
    /// `[1, channels, height, width]` in float32, as `latents`.
    /// A control image steers it.
    pub(super) fn predict(
        &self,
        latents: &Tensor,
        t: f32,
        context: &Context,
        control: Option<&ControlInput>,
    ) -> Result<Tensor> {
        let Self { networks, ops, .. } = self;
        if let Some(control) = control {
            let control = control.control();
            let output = networks.transformer.forward_steered(ops, latents, t, context, control)?;
            return Ok(output.f_to_kind(Kind::Float)?);
        }
        let Caches { denoiser, capture, .. } = &mut *self.caches.borrow_mut();
        let adapters = self.adapters.borrow();
        denoiser.predict(networks, ops, capture, &adapters, (latents, t, context))
    }

    /// The transformer's outputs for several latents and prompts at one time, computed together: each as
    /// [`Engine::predict`] has it, to the last bits that products of more rows round differently.
    pub(super) fn predict_together(
        &self,
        all: &[(&Tensor, &Context)],
        t: f32,
    ) -> Result<Vec<Tensor>> {
        let Self { networks, ops, .. } = self;
        let modulations = networks.transformer.modulations(t)?;
        let outputs = networks.transformer.forward_together(ops, all, &modulations)?;
        outputs.iter().map(|output| Ok(output.f_to_kind(Kind::Float)?)).collect()
    }

    /// Drops what was computed from the weights, for weights that were not read yet when it was
    /// computed. How to compute it, as captured graphs, stays.
    pub(super) fn drop_results(&self) {
        self.caches.borrow_mut().prompts.clear();
        self.networks.transformer.forget();
    }

    /// Frees all memory that is held only because it may be useful; not the modulations, which are small,
    /// and for which layers that stay in their file would be read again.
    pub(super) fn free_caches(&self) {
        self.adapters.borrow_mut().free();
        self.free_control();
        let Caches { prompts, denoiser, .. } = &mut *self.caches.borrow_mut();
        *prompts = PromptCache::default();
        *denoiser = DenoiserGraphs::default();
        if let Device::Cuda(_) = self.networks.device {
            // If libtorch refuses, no more memory is free than before, and the caller notices.
            let _ = zimage_cuda::empty_cache();
        }
    }

    /// Adds a sentence for the log.
    pub(super) fn remark(&mut self, remark: Option<String>) {
        self.remarks.get_mut().extend(remark);
    }

    /// The sentences for the log since the last call.
    pub(super) fn take_remarks(&self) -> Vec<String> {
        let mut remarks = self.remarks.take();
        remarks.extend(self.caches.borrow_mut().capture.take_remark());
        remarks
    }
}
