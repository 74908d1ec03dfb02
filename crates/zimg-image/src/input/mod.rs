//! Images that a job starts from: a file's bytes as pixels of the size that is generated, its mask,
//! and a sentence about what was done.

mod colour;
mod decode;
mod fault;
mod fill;
mod geometry;
mod isolated;
mod limits;
mod mask;
mod place;
mod read;
mod record;
mod request;

pub use fault::{InputError, InputFault, InputRole};
pub use geometry::size_of_shape;
pub use isolated::{DECODER, InputDecoder, run_decoder};
pub use read::read_input;
#[cfg(feature = "fuzzing")]
pub use read::read_input_within;
pub use record::{InputFile, InputRecord};
pub use request::{InputFit, InputImages, InputMargins, InputRequest, InputSize, MaskChoice};
