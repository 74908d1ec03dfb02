//! The tensors of a GGUF file: their entries, and their places in the file.

use std::collections::BTreeMap;

use super::super::{Metadata, MetadataValue};
use super::cursor::{Bad, Cursor, Parsed};
use crate::encoding::{BlockType, Encoding, Number};
use crate::stored_tensor::StoredTensor;

/// The longest name; ggml's own limit is 63.
const NAME_LIMIT: u64 = 256;
/// The most dimensions, as in ggml.
const DIMENSIONS: u32 = 4;

/// A tensor's entry in the header.
pub(super) struct Entry {
    name: String,
    encoding: Encoding,
    /// Bytes and numbers of a block, also of encodings that are not read.
    block: (u64, u64),
    shape: Vec<i64>,
    numbers: u64,
    /// Counted from the first tensor's beginning.
    offset: u64,
}

/// Reads `count` entries.
pub(super) fn read(cursor: &mut Cursor<'_>, count: u64) -> Parsed<Vec<Entry>> {
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(entry(cursor)?);
    }
    Ok(entries)
}

fn entry(cursor: &mut Cursor<'_>) -> Parsed<Entry> {
    let name = cursor.text(NAME_LIMIT)?;
    let name = name
        .ok_or_else(|| Bad::Header(format!("a tensor's name is longer than {NAME_LIMIT} bytes")))?;
    let bad = |what: String| Bad::Header(format!("the tensor {} {what}", name.escape_debug()));
    if name.contains(char::is_control) {
        return Err(bad("has a control character in its name".to_owned()));
    }
    let dimensions = cursor.u32()?;
    if dimensions > DIMENSIONS {
        return Err(bad(format!("has {dimensions} dimensions, more than {DIMENSIONS}")));
    }
    // The fastest dimension comes first in the file, and last in PyTorch.
    let mut shape = Vec::new();
    let mut numbers: u64 = 1;
    for _ in 0..dimensions {
        let side = cursor.u64()?;
        let product = numbers.checked_mul(side).filter(|&all| all <= i64::MAX as u64);
        numbers = product.ok_or_else(|| bad("is too large".to_owned()))?;
        shape.insert(0, i64::try_from(side).map_err(|_| bad("is too large".to_owned()))?);
    }
    let kind = cursor.u32()?;
    let (encoding, block) =
        encoding_of(kind).ok_or_else(|| bad(format!("has the unknown type {kind}")))?;
    let width = shape.last().map_or(1, |&side| side as u64);
    if !width.is_multiple_of(block.1) {
        let block = block.1;
        return Err(bad(format!(
            "has rows of {width} numbers, which are no whole blocks of {block}"
        )));
    }
    let offset = cursor.u64()?;
    Ok(Entry { name, encoding, block, shape, numbers, offset })
}

/// The entries with their places in a file of `length` bytes whose header has `header` bytes.
pub(super) fn place(
    mut entries: Vec<Entry>,
    header: u64,
    alignment: u64,
    length: u64,
    metadata: &Metadata,
) -> Parsed<Vec<(String, StoredTensor)>> {
    let data = header.next_multiple_of(alignment);
    entries.sort_by_key(|entry| (entry.offset, entry.numbers));
    let mut end: u64 = 0;
    let mut placed = BTreeMap::new();
    let mut tensors = Vec::with_capacity(entries.len());
    for Entry { name, encoding, block, shape, numbers, offset } in entries {
        let bad = |what: String| Bad::Header(format!("the tensor {} {what}", name.escape_debug()));
        if placed.insert(name.clone(), ()).is_some() {
            return Err(Bad::Header(format!("it has the tensor {} twice", name.escape_debug())));
        }
        if !offset.is_multiple_of(alignment) {
            return Err(bad(format!("begins at {offset}, which is no multiple of {alignment}")));
        }
        if offset < end {
            return Err(bad("overlaps the one before it".to_owned()));
        }
        let bytes = (numbers / block.1).checked_mul(block.0);
        let ends = bytes.and_then(|bytes| offset.checked_add(bytes)?.checked_add(data));
        let (bytes, ends) = bytes.zip(ends).ok_or_else(|| bad("is too large".to_owned()))?;
        if ends > length {
            return Err(Bad::Truncated(ends));
        }
        end = offset + bytes;
        let shape = original_shape(&name, shape, metadata)?;
        let offset = data + offset;
        let companions = Vec::new();
        tensors.push((
            name,
            StoredTensor { encoding, shape, offset, bytes, first_row: 0, companions },
        ));
    }
    Ok(tensors)
}

/// The shape that city96's converter saved of a tensor whose shape it changed.
fn original_shape(name: &str, shape: Vec<i64>, metadata: &Metadata) -> Parsed<Vec<i64>> {
    match metadata.get(&format!("comfy.gguf.orig_shape.{name}")) {
        Some(MetadataValue::Integers(original)) => {
            let product = |shape: &[i64]| {
                shape.iter().try_fold(1i64, |all, &side| {
                    (side >= 0).then(|| all.checked_mul(side)).flatten()
                })
            };
            if product(original) == product(&shape) {
                return Ok(original.clone());
            }
            Err(Bad::Header(format!(
                "the tensor {} has the shape {shape:?}, but its original shape is {original:?}",
                name.escape_debug()
            )))
        }
        _ => Ok(shape),
    }
}

/// The encoding of ggml's type `kind`, with the bytes and the numbers of its blocks.
fn encoding_of(kind: u32) -> Option<(Encoding, (u64, u64))> {
    let plain = |number: Number| (Encoding::Plain(number), (number.bytes(), 1));
    let blocks = |block: BlockType| (Encoding::Blocks(block), (block.bytes(), block.numbers()));
    let unread = |name, bytes, numbers| (Encoding::Unsupported(name), (bytes, numbers));
    Some(match kind {
        0 => plain(Number::F32),
        1 => plain(Number::F16),
        2 => blocks(BlockType::Q4_0),
        3 => blocks(BlockType::Q4_1),
        6 => blocks(BlockType::Q5_0),
        7 => blocks(BlockType::Q5_1),
        8 => blocks(BlockType::Q8_0),
        9 => unread("Q8_1", 40, 32),
        10 => blocks(BlockType::Q2K),
        11 => blocks(BlockType::Q3K),
        12 => blocks(BlockType::Q4K),
        13 => blocks(BlockType::Q5K),
        14 => blocks(BlockType::Q6K),
        15 => unread("Q8_K", 292, 256),
        16 => unread("IQ2_XXS", 66, 256),
        17 => unread("IQ2_XS", 74, 256),
        18 => unread("IQ3_XXS", 98, 256),
        19 => unread("IQ1_S", 50, 256),
        20 => blocks(BlockType::Iq4Nl),
        21 => unread("IQ3_S", 110, 256),
        22 => unread("IQ2_S", 82, 256),
        23 => blocks(BlockType::Iq4Xs),
        24 => unread("I8", 1, 1),
        25 => unread("I16", 2, 1),
        26 => unread("I32", 4, 1),
        27 => unread("I64", 8, 1),
        28 => unread("F64", 8, 1),
        29 => unread("IQ1_M", 56, 256),
        30 => plain(Number::Bf16),
        34 => unread("TQ1_0", 54, 256),
        35 => unread("TQ2_0", 66, 256),
        39 => unread("MXFP4", 17, 32),
        40 => unread("NVFP4", 36, 64),
        41 => unread("Q1_0", 18, 128),
        _ => return None,
    })
}
