//! What must be true of any bytes at all: no panic, no more memory than the bytes ask for, and
//! what is understood is written again as it was. The fuzzers in `tests/fuzz` try them by the
//! million, `tests/tests/security/corpus.rs` what they have found worth keeping.
//!
//! A program that uses them has [`Counting`] as its allocator.

mod adapters;
mod configuration;
mod conversation;
mod counting;
mod decode;
mod http;
mod layouts;
mod store;
mod weights;
mod wire;

pub use adapters::adapters;
pub use configuration::configuration;
pub use conversation::worker;
pub use counting::{Counting, most_held};
pub use decode::decode;
pub use http::http;
pub use layouts::layouts;
pub use store::{jobs, record};
pub use weights::{gguf, safetensors};
pub use wire::{frames, hello, requests};

/// What may be held beyond what the bytes themselves ask for.
pub const SLACK: usize = 64 << 10;

/// An oracle: panics when it is contradicted, and says whether the bytes were understood, so that
/// a corpus is known to reach more than the refusals.
pub type Oracle = fn(&[u8]) -> bool;

/// All of them, by the names of their fuzzers and of the folders in `tests/fuzz/corpus`.
pub const ALL: [(&str, Oracle); 13] = [
    ("hello", hello),
    ("frames", frames),
    ("requests", requests),
    ("worker", worker),
    ("configuration", configuration),
    ("record", record),
    ("jobs", jobs),
    ("gguf", gguf),
    ("safetensors", safetensors),
    ("layouts", layouts),
    ("adapters", adapters),
    ("decode", decode),
    ("http", http),
];

/// The text with the number -0.0 as the default that it equals, which is left out when it is written.
fn without_negative_zeros(text: &str) -> String {
    text.replace("-0.0", "0.0")
}

/// What `f` gives, which may hold as much as `bytes` and [`SLACK`].
fn within<T>(bytes: usize, f: impl FnOnce() -> T) -> T {
    let (value, held) = most_held(f);
    assert!(held <= bytes + SLACK, "{held} bytes were held, and {bytes} asked for");
    value
}
