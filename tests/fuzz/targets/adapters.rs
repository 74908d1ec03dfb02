//! Files of adapters.

#![no_main]

use libfuzzer_sys::fuzz_target;
use zimg_tests::fuzzing::{self, Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fuzz_target!(|bytes: &[u8]| {
    let _ = fuzzing::adapters(bytes);
});
