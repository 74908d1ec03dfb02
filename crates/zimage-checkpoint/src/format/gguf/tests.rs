//! Tests of the GGUF reader with headers made by hand.

use std::fs;

use super::super::MetadataValue;
use super::*;
use crate::encoding::{BlockType, Encoding, Number};
use crate::source::Source;

/// A file under construction.
#[derive(Clone)]
struct File {
    version: u32,
    keys: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    data: usize,
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn key(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [text(name), kind.to_le_bytes().to_vec(), value.to_vec()].concat()
}

fn list(name: &str, kind: u32, count: u64, elements: &[u8]) -> Vec<u8> {
    key(name, 9, &[&kind.to_le_bytes()[..], &count.to_le_bytes(), elements].concat())
}

fn tensor(name: &str, sides: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let sides = sides.iter().flat_map(|side| side.to_le_bytes()).collect::<Vec<_>>();
    let count = (sides.len() as u32 / 8).to_le_bytes();
    [&text(name)[..], &count, &sides, &kind.to_le_bytes(), &offset.to_le_bytes()].concat()
}

impl File {
    fn new(keys: &[Vec<u8>], tensors: &[Vec<u8>], data: usize) -> Self {
        Self { version: 3, keys: keys.to_vec(), tensors: tensors.to_vec(), data }
    }

    fn header(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.keys.len() as u64).to_le_bytes());
        bytes.extend(self.keys.concat());
        bytes.extend(self.tensors.concat());
        bytes
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header();
        bytes.resize(bytes.len().next_multiple_of(32) + self.data, 0);
        bytes
    }

    fn read(&self) -> Result<Header> {
        read_bytes(&self.bytes())
    }
}

fn read_bytes(bytes: &[u8]) -> Result<Header> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("W"), bytes).unwrap();
    let mut file = Source::Folder(folder.path().to_owned()).open("W").unwrap();
    file.label = "W".to_owned();
    read(&file)
}

/// What is said of the file, without its name.
fn said(result: Result<Header>) -> String {
    let said = result.unwrap_err().to_string();
    said.strip_prefix("W is not a valid GGUF file: ").unwrap_or(&said).to_owned()
}

#[test]
fn tensors_have_pytorchs_shapes_and_places_in_the_file() {
    let keys = [
        key("general.architecture", 8, &text("lumina2")),
        key("general.quantization_version", 4, &2u32.to_le_bytes()),
        key("x", 6, &1.5f32.to_le_bytes()),
        list("tokenizer.ggml.tokens", 8, 2, &[text("a"), text("b")].concat()),
        list("comfy.gguf.orig_shape.b", 5, 2, &[16i32.to_le_bytes(), 4i32.to_le_bytes()].concat()),
    ];
    let tensors = [tensor("b", &[64, 1], 30, 288), tensor("a", &[256, 2], 12, 0)];
    for version in [2, 3] {
        let file = File { version, ..File::new(&keys, &tensors, 416) };
        let Header { tensors, metadata, digest } = file.read().unwrap();
        let data = file.header().len().next_multiple_of(32) as u64;
        let [(a, first), (b, second)] = &tensors[..] else { panic!("{tensors:?}") };
        assert_eq!((a.as_str(), b.as_str()), ("a", "b"));
        assert_eq!(first.encoding, Encoding::Blocks(BlockType::Q4K));
        assert_eq!((&first.shape[..], first.offset, first.bytes), (&[2, 256][..], data, 288));
        assert_eq!(second.encoding, Encoding::Plain(Number::Bf16));
        assert_eq!((&second.shape[..], second.offset), (&[16, 4][..], data + 288));
        assert_eq!(metadata["general.architecture"].text(), Some("lumina2"));
        assert_eq!(metadata["x"], MetadataValue::Float(1.5));
        assert!(!metadata.contains_key("tokenizer.ggml.tokens"));
        assert_eq!(digest, crate::digest::sha256(&file.header()));
    }
}

#[test]
fn other_block_types_are_recognised_by_name() {
    let file = File::new(&[], &[tensor("a", &[256], 19, 0)], 50);
    let stored = &file.read().unwrap().tensors[0].1;
    assert_eq!((stored.encoding, stored.bytes), (Encoding::Unsupported("IQ1_S"), 50));
}

#[test]
fn an_alignment_moves_the_data() {
    let alignment = key("general.alignment", 4, &256u32.to_le_bytes());
    let file = File::new(&[alignment], &[tensor("a", &[8], 0, 256)], 1000);
    let header = file.read().unwrap();
    assert_eq!(header.tensors[0].1.offset, 512);
}

#[test]
fn every_lie_is_refused_in_a_sentence() {
    let one = |keys: &[Vec<u8>]| File::new(keys, &[], 0);
    let of = |tensors: &[Vec<u8>]| File::new(&[], tensors, 64);
    let version = |version| File { version, ..File::new(&[], &[], 0) };
    let alignment = |value: u32| one(&[key("general.alignment", 4, &value.to_le_bytes())]);
    for (file, reason) in [
        (version(1), "its version is 1; versions 2 and 3 are read"),
        (version(4), "its version is 4; versions 2 and 3 are read"),
        (version(3 << 24), "its numbers are big-endian; only little-endian files are read"),
        (alignment(0), "its general.alignment is no power of two"),
        (alignment(48), "its general.alignment is no power of two"),
        (alignment(1 << 30), "its general.alignment is no power of two"),
        (one(&[key("a", 13, &[])]), "the key a has the unknown type 13"),
        (one(&[list("a", 13, 0, &[])]), "the key a has the unknown type 13"),
        (one(&[list("a", 9, 0, &[])]), "the key a has a list of lists"),
        (one(&[key("a", 0, &[1]), key("a", 0, &[2])]), "it has the key a twice"),
        (
            one(&[key("a", 8, &u64::MAX.to_le_bytes())]),
            "its header needs 18446744073709551615 bytes at 45, but 19 follow",
        ),
        (
            one(&[list("a", 0, 1 << 40, &[])]),
            "its header claims 1099511627776 elements of a list, but only 15 bytes follow",
        ),
        (of(&[tensor("a", &[1; 5], 0, 0)]), "the tensor a has 5 dimensions, more than 4"),
        (of(&[tensor("a", &[1 << 40, 1 << 40], 0, 0)]), "the tensor a is too large"),
        (of(&[tensor("a", &[u64::MAX], 0, 0)]), "the tensor a is too large"),
        (of(&[tensor("a", &[8], 99, 0)]), "the tensor a has the unknown type 99"),
        (of(&[tensor("a\n", &[8], 0, 0)]), "the tensor a\\n has a control character in its name"),
        (
            of(&[tensor("a", &[8], 8, 0)]),
            "the tensor a has rows of 8 numbers, which are no whole blocks of 32",
        ),
        (of(&[tensor("a", &[8], 0, 8)]), "the tensor a begins at 8, which is no multiple of 32"),
        (of(&[tensor("a", &[8], 0, 0), tensor("a", &[8], 0, 32)]), "it has the tensor a twice"),
        (
            of(&[tensor("a", &[9], 0, 0), tensor("b", &[8], 0, 32)]),
            "the tensor b overlaps the one before it",
        ),
        (
            of(&[tensor("a", &[8], 0, 0), tensor("b", &[8], 0, 0)]),
            "the tensor b overlaps the one before it",
        ),
        (
            of(&[tensor("a", &[1 << 30], 0, 0)]),
            "W is cut short: it should have 4294967360 bytes and has 128",
        ),
        (of(&[tensor("a", &[8], 0, u64::MAX - 31)]), "the tensor a is too large"),
    ] {
        assert_eq!(said(file.read()), reason);
    }
}

#[test]
fn counts_that_lie_cost_nothing() {
    let mut bytes = File::new(&[], &[], 0).bytes();
    bytes[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    let claim = "its header claims 18446744073709551615 tensors, but only 16 bytes follow";
    assert_eq!(said(read_bytes(&bytes)), claim);
    bytes[8..16].fill(0);
    bytes[16..24].copy_from_slice(&1000u64.to_le_bytes());
    assert_eq!(said(read_bytes(&bytes)), "its header claims 1000 keys, but only 8 bytes follow");
    for length in 4..24 {
        assert!(read_bytes(&bytes[..length]).is_err(), "{length}");
    }
}
