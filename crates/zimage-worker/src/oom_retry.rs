//! Retry after out-of-memory: the stages of a generation, each run once more with freed caches if memory was too
//! small.

use zimage::{
    AdapterChoice, Conditioning, EncodedImages, Error, ErrorKind, Fit, Generation, Image,
    ImageInputs, Pipeline, ResolvedParams, Result, Snapshot,
};

use crate::log;
use crate::stage::Stage;

/// A pipeline whose stages are retried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryingPipeline<'a>(pub(crate) &'a Pipeline);

impl RetryingPipeline<'_> {
    /// Applies these LoRAs and no others.
    pub(crate) fn adapt(self, choices: &[AdapterChoice]) -> Result<()> {
        self.run(Stage::Adapt, || self.0.adapt(choices))
    }

    pub(crate) fn encode(self, params: &ResolvedParams) -> Result<Conditioning> {
        self.run(Stage::Encode, || self.0.encode(params))
    }

    /// Encodes the images of a request.
    pub(crate) fn encode_images(
        self,
        params: &ResolvedParams,
        images: &ImageInputs,
    ) -> Result<EncodedImages> {
        self.run(Stage::EncodeImages, || self.0.encode_images(params, images))
    }

    pub(crate) fn start(
        self,
        work: impl Fn(&Pipeline) -> Result<Generation>,
    ) -> Result<Generation> {
        self.run(Stage::Start, || work(self.0))
    }

    /// A step, and its snapshot, with a preview on request. The last step has none: the image
    /// follows.
    pub(crate) fn step(
        self,
        generation: &mut Generation,
        conditioning: &Conditioning,
        is_last: bool,
        with_preview: bool,
    ) -> Result<Option<Snapshot>> {
        // A step that fails leaves the generation as it was.
        self.run(Stage::Step(generation.steps_done() + 1), || {
            if is_last {
                return self.0.step(generation, conditioning).map(|()| None);
            }
            self.0.step_with_snapshot(generation, conditioning, with_preview).map(Some)
        })
    }

    /// Pixels, in strips if the whole does not fit; they are checked.
    pub(crate) fn decode(self, generation: &Generation, fit: Fit) -> Result<Image> {
        let whole = match fit {
            Fit::Whole => self.run(Stage::Decode, || self.0.decode(generation)).map(Some),
            Fit::Strips => Ok(None),
        };
        let in_strips = || self.0.decode_in_strips(generation);
        let image = match whole {
            Ok(Some(image)) => image,
            Ok(None) => self.run(Stage::Decode, in_strips)?,
            Err(error) if !is_memory(&error) => return Err(error),
            Err(_) => {
                log::line(
                    "the memory is too small for the decoder's whole maps: the image is decoded in strips",
                );
                self.0.free_caches();
                self.once(Stage::Decode, in_strips)?
            }
        };
        #[cfg(feature = "faults")]
        let image = crate::faults::spoil(image);
        // What is taken off a white sheet leaves a white sheet: then no device is at fault.
        if generation.has_initial_image() { Ok(image) } else { image.checked() }
    }

    /// Whether the device still works after something failed.
    pub(crate) fn probe(self) -> Result<()> {
        #[cfg(feature = "faults")]
        crate::faults::probe()?;
        self.0.probe()
    }

    /// Runs a stage, and once more with freed caches if there was too little memory.
    fn run<T>(self, stage: Stage, mut work: impl FnMut() -> Result<T>) -> Result<T> {
        match self.once(stage, &mut work) {
            Err(error) if is_memory(&error) => {
                log::line(format_args!("{error}; trying again with freed caches"));
                self.0.free_caches();
                self.once(stage, work)
            }
            other => other,
        }
    }

    #[cfg_attr(not(feature = "faults"), expect(unused_variables, reason = "for planted faults"))]
    fn once<T>(self, stage: Stage, mut work: impl FnMut() -> Result<T>) -> Result<T> {
        #[cfg(feature = "faults")]
        crate::faults::strike(stage, self.0.device())?;
        work()
    }
}

fn is_memory(error: &Error) -> bool {
    error.kind() == ErrorKind::Memory
}
