//! Translation of other programs' requests into generation requests: fields, names, units, sizes,
//! and which settings have no effect.

mod context;
mod draw;
mod fields;
mod file;
mod ignored;
mod model_name;
mod parameters;
mod recent_failures;
mod served_model;
mod size;

pub(crate) use context::{Context, now};
pub(crate) use draw::{Draw, Unobeyed, unbegun};
pub(crate) use fields::{Fields, is_inactive};
pub(crate) use file::file_of;
pub(crate) use ignored::Ignored;
pub(crate) use model_name::accept_model;
pub(crate) use parameters::Given;
pub(crate) use recent_failures::RecentFailures;
pub(crate) use served_model::served_model;
pub(crate) use size::set_size;
