//! Nothing is allocated on a liar's word: what a header costs is bounded by the file's real length.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use safetensors::tensor::Dtype;
use serde_json::json;
use tch::{Device, Kind};
use zimage::checkpoint::Component;
use zimage::weights::{Loader, Target};

use crate::folder::{Folder, INDEX, TEXT_ENCODER, TRANSFORMER, file_of, file_with_header};

thread_local! {
    /// Bytes that this thread holds now, and the most since they were last reset.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

struct Counting;

fn count(change: isize) {
    // A thread that ends may free after its counter is gone.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        held.set((now + change, most.max(now + change)));
    });
}

#[expect(unsafe_code, reason = "an allocator is unsafe to write")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as required of our caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as required of our caller.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most that `work` held beyond what was held before.
fn most_held<T>(work: impl FnOnce() -> T) -> (T, usize) {
    HELD.set((0, 0));
    let done = work();
    (done, HELD.get().1 as usize)
}

/// Parsed entries are larger than their text (`"a":{"dtype":"F32","shape":[],"data_offsets":[0,0]}`
/// becomes a name and 72 bytes, twice while it is checked), but by no more than this.
const FACTOR: usize = 6;

/// Labels, error texts and the like.
const SMALL: usize = 16 << 10;

/// Reads a hostile file: whatever comes of it is cheap. Says whether it was accepted.
fn is_cheap(folder: &Folder, component: Component, bytes: usize) -> bool {
    let checkpoint = folder.open().unwrap();
    let target = Target { device: Device::Cpu, kind: Kind::Float };
    let mut loader = Loader::new();
    let (weights, held) = most_held(|| loader.weights(&checkpoint, component, target));
    assert!(held <= FACTOR * bytes + SMALL, "{held} bytes were held for a file of {bytes}");
    let Ok(mut weights) = weights else { return false };
    // What was accepted can be read, whatever its numbers are.
    if weights.has("norm.weight") {
        let _ = weights.take("norm.weight", &[2]);
    }
    true
}

fn transformer_is_cheap(bytes: &[u8]) -> bool {
    let folder = Folder::new();
    folder.write(TRANSFORMER, bytes);
    is_cheap(&folder, Component::Transformer, bytes.len())
}

#[test]
fn lengths_that_lie_cost_nothing() {
    for length in [u64::MAX, 1 << 40, 100_000_000, 16 << 20, 1 << 20] {
        let mut file = length.to_le_bytes().to_vec();
        file.resize(1000, b' ');
        assert!(!transformer_is_cheap(&file));
    }
    for shape in ["[1099511627776]", "[4294967296,4294967295]", "[18446744073709551615]"] {
        let header = format!(
            r#"{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":[0,4398046511104]}}}}"#
        );
        assert!(!transformer_is_cheap(&file_with_header(&header, 24)));
    }
}

#[test]
fn many_tiny_tensors_cost_little() {
    let entries: Vec<String> = (0..20_000)
        .map(|i| {
            format!(
                r#""{i}":{{"dtype":"F32","shape":[],"data_offsets":[{},{}]}}"#,
                4 * i,
                4 * i + 4
            )
        })
        .collect();
    let header = format!("{{{}}}", entries.join(","));
    assert!(transformer_is_cheap(&file_with_header(&header, 80_000)));
}

#[test]
fn deep_json_is_refused() {
    let header = format!(r#"{{"__metadata__":{}"#, "[".repeat(1 << 20));
    assert!(!transformer_is_cheap(&file_with_header(&header, 0)));
}

/// How many bytes the tensors of `sample` have.
const SAMPLE_DATA: usize = 44;

fn sample() -> Vec<u8> {
    file_of(&[
        ("layers.0.weight", Dtype::F32, &[4, 2], vec![0; 32]),
        ("layers.0.bias", Dtype::BF16, &[4], vec![0; 8]),
        ("norm.weight", Dtype::F16, &[2], vec![0; 4]),
    ])
}

/// One change of a file: a byte set, bytes inserted, or a stretch removed.
#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Insert(usize, String),
    Remove(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    // Digits and JSON's own marks reach further into the parser than other bytes.
    let byte = prop_oneof![any::<u8>(), "[0-9{}\\[\\],:\"]".prop_map(|text| text.as_bytes()[0])];
    prop_oneof![
        (any::<usize>(), byte).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<usize>(), "[0-9{}\\[\\],:\"]{1,20}").prop_map(|(at, text)| Change::Insert(at, text)),
        (any::<usize>(), 1usize..20).prop_map(|(at, count)| Change::Remove(at, count)),
    ]
}

fn changed(mut file: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let len = file.len();
        match change {
            Change::Set(at, byte) if len > 0 => file[at % len] = *byte,
            Change::Insert(at, text) => {
                let at = at % (len + 1);
                file.splice(at..at, text.bytes());
            }
            Change::Remove(at, count) if len > 0 => {
                let at = at % len;
                file.drain(at..(at + count).min(len));
            }
            _ => {}
        }
    }
    file
}

/// Gives the header the length it now has, so that changes reach the parser.
fn with_true_length(mut file: Vec<u8>, data: usize) -> Vec<u8> {
    if file.len() >= 8 + data {
        let length = (file.len() - 8 - data) as u64;
        file[..8].copy_from_slice(&length.to_le_bytes());
    }
    file
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    proptest::collection::vec(change(), 1..4)
}

/// The same for as many random values as proptest is told to try.
fn for_many<T: std::fmt::Debug>(values: impl Strategy<Value = T>, test: impl Fn(T)) {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let tried = TestRunner::new(config).run(&values, |value| {
        test(value);
        Ok(())
    });
    if let Err(error) = tried {
        panic!("{error}");
    }
}

#[test]
fn changed_files_neither_panic_nor_cost() {
    let folder = Folder::new();
    for_many((changes(), any::<bool>()), |(changes, repair)| {
        let file = changed(sample(), &changes);
        let file = if repair { with_true_length(file, SAMPLE_DATA) } else { file };
        folder.write(TRANSFORMER, &file);
        is_cheap(&folder, Component::Transformer, file.len());
    });
}

#[test]
fn changed_text_encoders_neither_panic_nor_cost() {
    let folder = Folder::new();
    for_many(changes(), |changes| {
        let file = with_true_length(changed(sample(), &changes), SAMPLE_DATA);
        folder.write(TEXT_ENCODER, &file);
        is_cheap(&folder, Component::TextEncoder, file.len());
    });
}

#[test]
fn changed_lists_neither_panic_nor_cost() {
    let names = ["layers.0.weight", "layers.0.bias", "norm.weight"];
    let list = json!({"weight_map": BTreeMap::from(names.map(|name| (name, "1.safetensors")))});
    let list = list.to_string().into_bytes();
    let folder = Folder::new();
    folder.write("transformer/1.safetensors", &sample());
    folder.write(INDEX, &list);
    assert!(is_cheap(&folder, Component::Transformer, list.len() + sample().len()));
    for_many(changes(), |changes| {
        let list = changed(list.clone(), &changes);
        folder.write(INDEX, &list);
        is_cheap(&folder, Component::Transformer, list.len() + sample().len());
    });
}
