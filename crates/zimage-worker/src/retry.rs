//! The stages of an image, each tried again with more room if memory was too small.

use zimage::{
    Conditioning, Error, ErrorKind, Fit, Generation, Image, Pipeline, Plan, Result, Snapshot,
};

use crate::log;

/// What the model is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Prompts.
    Encode,
    /// Noise, or latents that were saved.
    Start,
    /// A step of this number, from 1.
    Step(usize),
    /// Pixels.
    Decode,
}

/// The model, with patience.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stages<'a>(pub(crate) &'a Pipeline);

impl Stages<'_> {
    pub(crate) fn encode(self, plan: &Plan) -> Result<Conditioning> {
        self.run(Stage::Encode, || self.0.encode(plan))
    }

    pub(crate) fn start(
        self,
        work: impl Fn(&Pipeline) -> Result<Generation>,
    ) -> Result<Generation> {
        self.run(Stage::Start, || work(self.0))
    }

    /// A step; what is saved of it, with a preview if wished, unless it is the last: there the
    /// image follows.
    pub(crate) fn step(
        self,
        generation: &mut Generation,
        conditioning: &Conditioning,
        is_last: bool,
        with_preview: bool,
    ) -> Result<Option<Snapshot>> {
        // A step that fails leaves the drawing as it was.
        self.run(Stage::Step(generation.steps_done() + 1), || {
            if is_last {
                return self.0.step(generation, conditioning).map(|()| None);
            }
            self.0.step_with_snapshot(generation, conditioning, with_preview).map(Some)
        })
    }

    /// Pixels, in tiles if the whole does not fit; they are checked.
    pub(crate) fn decode(self, generation: &Generation, fit: Fit) -> Result<Image> {
        let whole = match fit {
            Fit::Whole => self.run(Stage::Decode, || self.0.decode(generation)).map(Some),
            Fit::Tiles => Ok(None),
        };
        let image = match whole {
            Ok(Some(image)) => image,
            Err(error) if !is_memory(&error) => return Err(error),
            Ok(None) | Err(_) => {
                log::line("the memory is too small for the whole image: it is decoded in tiles");
                self.0.make_room();
                self.once(Stage::Decode, || self.0.decode_in_tiles(generation))?
            }
        };
        #[cfg(feature = "faults")]
        let image = crate::faults::spoil(image);
        image.checked()
    }

    /// Whether the device still works after something failed.
    pub(crate) fn probe(self) -> Result<()> {
        #[cfg(feature = "faults")]
        crate::faults::probe()?;
        self.0.probe()
    }

    /// Does it, and once more with more room if there was too little.
    fn run<T>(self, stage: Stage, mut work: impl FnMut() -> Result<T>) -> Result<T> {
        match self.once(stage, &mut work) {
            Err(error) if is_memory(&error) => {
                log::line(format_args!("{error}; it is tried again with more room"));
                self.0.make_room();
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
