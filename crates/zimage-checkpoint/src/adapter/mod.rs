//! Adapters: small files that change a model's linear maps (LoRA, LoKr, LoHa, DoRA), in every spelling.
//!
//! Sources of spellings: diffusers `loaders/lora_conversion_utils.py`
//! (`_convert_non_diffusers_z_image_lora_to_diffusers`), ComfyUI `comfy/lora.py`, peft
//! `utils/save_and_load.py`, LyCORIS `lycoris/modules`.

mod delta;
mod describe;
mod directories;
mod error;
mod foreign;
mod keys;
mod maps;
mod nearest;
mod read;
mod scale;

pub use delta::{DeltaForm, Factor, MapDelta};
pub use describe::{AdapterDescription, AdapterKind};
pub use directories::{AdapterDirectories, AdapterFile};
pub use error::AdapterError;
pub use maps::LinearMaps;
pub use nearest::nearest;
pub use read::Adapter;
