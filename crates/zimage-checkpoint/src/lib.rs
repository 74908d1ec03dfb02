//! Finding, describing and verifying checkpoints of Z-Image, without libtorch.
//!
#![doc = include_str!("../README.md")]

pub mod adapter;
mod checkpoint;
mod component;
mod config;
mod content;
mod content_check;
pub mod control;
pub mod digest;
mod encoding;
mod error;
mod expand;
mod expected_tensors;
mod fingerprint;
mod format;
pub mod hugging_face;
mod int8;
mod inventory;
mod json;
mod kind;
mod layout;
mod location;
mod meant;
mod memory_plan;
mod misnamed;
mod prepare;
mod source;
mod stored_tensor;
mod tensor_index;
mod tokenizer;
mod verify;

pub use checkpoint::Checkpoint;
pub use component::Component;
pub use config::{SchedulerConfig, TextEncoderConfig, TransformerConfig, VaeConfig};
pub use content::Content;
pub use encoding::{BlockType, Encoding, Number, Rotation, ScaleScope, ScaledFormat};

pub use error::{Error, Result};
pub use expand::{Part, Piece, expand};
pub use expected_tensors::{Architecture, ExpectedTensor};
pub use fingerprint::FileFingerprint;
pub use format::{Metadata, MetadataValue, read_tensors};
pub use int8::{becomes_int8, make_int8, rotation_of};
pub use inventory::{ComponentInventory, Inventory};
pub use kind::{KindFinding, ModelKind};
pub use layout::LayoutKind;
pub use layout::identify::Foreign;
pub use location::{ModelFiles, ModelLocation};
pub use memory_plan::{
    ActivationBytes, BlockPart, CONTEXT_BYTES, Decode, DecoderFootprint, DeviceRates,
    EncoderFootprint, Forms, ImageSeconds, LEAST_SLOTS, MeasuredRates, MemoryBudget, MemoryPlan,
    ModelFootprint, ModelWork, PartBytes, PinnedMemory, PlanPreview, Residency, StripRule,
    TooSmall, gibibytes, is_block_matrix, is_streamed, queries_at_a_time,
};
pub use prepare::{
    PrepareError, PrepareOptions, PreparePlan, PreparedType, Verification, verify_prepared,
};
pub use source::{DataFile, Source};
pub use stored_tensor::{Companion, StoredTensor};
pub use tensor_index::TensorIndex;
pub use tokenizer::qwen3::json as qwen3_tokenizer;
