//! Generation parameters: one table with each parameter's name, type, range, default, help and
//! metadata form, and the typed struct made from it.
//!
#![doc = include_str!("../README.md")]

mod check;
mod conversion;
mod error;
mod foreign;
mod hires;
pub mod limits;
mod lora;
mod parameter;
mod params;
mod table;
mod value;
mod wire;

pub use check::check_seeds;
pub use conversion::{cfg_of_guidance, decimal, guidance_of_cfg};
pub use error::ParamsError;
pub use foreign::{ForeignSetting, folded};
pub use hires::{SecondPass, first_step};
pub use lora::{LORA_WEIGHT_MAX, LORAS_MAX, LoraChoice};
pub use parameter::{Alias, Conversion, DefaultRule, Metadata, Parameter, Range, Surface};
pub use params::seed_of_image;
pub use table::{PARAMETERS, Params};
pub use value::{Value, ValueKind};
