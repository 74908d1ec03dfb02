//! Text from outside: what its bytes are, and which of its characters are no text.
//!
#![doc = include_str!("../README.md")]

mod characters;
mod decode;
mod encoding;
mod file_type;
mod shell;

pub use characters::{Control, Invisible, control, invisible};
pub use decode::{TextError, decode, normalized};
pub use encoding::Encoding;
pub use shell::shell_word;
