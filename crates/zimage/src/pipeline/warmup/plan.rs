//! The warm-up plan: which stages are run at which sizes, when, in which order, and why.

use std::time::Duration;

use crate::params::{Limits, Params};

/// What is run before requests need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WarmupPlan {
    /// While the weights are loading, where that gains time: on a GPU, which computes while the
    /// CPU's threads read. On a CPU both need all cores, and float8 weights are made from
    /// weights that are there.
    pub while_loading: Option<LoadingWarmup>,
    /// Once the weights are there, before the first request.
    pub when_loaded: Vec<WarmupStep>,
    /// While no request comes, one at a time, likely ones first.
    pub when_idle: Vec<WarmupStep>,
}

/// What is run while the weights are loading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadingWarmup {
    /// Beside the initialization of cuBLAS (0.1 s on another thread): attention's plans, and the
    /// first size's decoding on the decoder's thread. Steps at the front that need no kernels
    /// ([`WarmupStep::Attention`]) run while those are still being compiled, so one of them comes
    /// first. A size that the model does not take is left out here and reported by its pass, and
    /// too little memory is no failure: passes may fit one after the other.
    pub plans: Vec<WarmupStep>,
    /// After it: whole passes.
    pub passes: Vec<WarmupStep>,
}

/// One stage, at one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WarmupStep {
    /// Builds cuDNN's plan of attention over an image's tokens and, if `tokens` is given, those of
    /// a prompt of up to that many, padded: some 0.05 s per number of tokens, for this thread alone.
    /// Without them it is the refiner's, which all images of the size need. Nothing on a CPU.
    Attention {
        /// The image's size.
        size: WarmupSize,
        /// The prompt's tokens.
        tokens: Option<usize>,
    },
    /// Starts a decoding on the decoder's thread, which takes longest (0.3 to 0.5 s): what follows
    /// runs beside it. Only where memory for both is certain, and for one size: that of another
    /// would be measured as a part of the first one's memory. Nothing on a CPU.
    StartDecode(WarmupSize),
    /// A prompt of each of these numbers of tokens, one block of each stack of the transformer,
    /// which all others are like, and a decoding beside both: all that a first image of the size
    /// would wait for.
    Pass {
        /// The image's size.
        size: WarmupSize,
        /// The prompts' tokens.
        tokens: Vec<usize>,
        /// Whether the memory of an image is measured afterwards.
        measure: Measure,
    },
    /// A preview: the first one finds out how latents encode colours.
    Preview,
}

/// Whether a pass is followed by one whose step and decoding run one after the other, as an
/// image's do: that gives back the memory of running them side by side (libtorch's cache would
/// keep it), takes what images of the size take, and measures it. 0.07 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Yes; and then a pass that does not fit side by side is no failure.
    Always,
    /// If no size was measured.
    IfUnknown,
    /// No.
    Never,
}

/// An image's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarmupSize {
    /// The model's default.
    Default,
    /// In pixels.
    Pixels {
        /// Width.
        width: u32,
        /// Height.
        height: u32,
    },
}

/// How long the parts of a pass took: far longer than those of later ones, which is its purpose.
#[derive(Clone, Copy, Debug, Default)]
pub struct WarmupTimings {
    /// The pass, and the measurement after it.
    pub total: Duration,
    /// Encoding a prompt.
    pub text: Duration,
    /// A step.
    pub step: Duration,
    /// Decoding, on a GPU beside the others.
    pub decode: Duration,
}

/// What warm-up reports while the weights are loading.
#[derive(Clone, Copy, Debug)]
pub enum WarmupEvent {
    /// cuBLAS, kernels and the first plans are there, after so long.
    Plans(Duration),
    /// A pass has ended.
    Pass(WarmupTimings),
}

impl WarmupStep {
    /// Whether the size is larger than the model makes images.
    pub fn exceeds(&self, limits: &Limits) -> bool {
        let (Self::Attention { size, .. } | Self::StartDecode(size) | Self::Pass { size, .. }) =
            self
        else {
            return false;
        };
        match size {
            WarmupSize::Default => false,
            WarmupSize::Pixels { width, height } => *width.max(height) > limits.side_max,
        }
    }

    /// Whether it runs the operations between matrix products.
    fn needs_kernels(&self) -> bool {
        !matches!(self, Self::Attention { .. })
    }
}

impl LoadingWarmup {
    /// The steps until kernels are needed, and the others.
    pub(in crate::pipeline) fn split_at_kernels(&self) -> (&[WarmupStep], &[WarmupStep]) {
        let first = self.plans.iter().position(WarmupStep::needs_kernels);
        self.plans.split_at(first.unwrap_or(self.plans.len()))
    }
}

impl WarmupSize {
    /// A request of this size, with the default number of steps.
    pub(super) fn params(self) -> Params {
        match self {
            Self::Default => Params::default(),
            Self::Pixels { width, height } => {
                Params { width: Some(width), height: Some(height), ..Params::default() }
            }
        }
    }
}
