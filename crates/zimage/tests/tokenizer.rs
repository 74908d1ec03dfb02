//! The same token ids as the reference, over a few thousand strings.
//!
//! `tests/fixtures/tokenizer/strings.json` (by `contrib/lab/reference/make_token_fixture.py`) has the
//! strings and a digest of the reference's ids, for the small tokenizer of the parity fixture and
//! for Qwen3's, which comes with the program.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;

use zimage::PromptTokenizer;

/// A string, and the digests for the small tokenizer and for Qwen3's.
type Row = (String, String, String);

fn rows() -> Vec<Row> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/tokenizer/strings.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// FNV-1a (64 bits) of the ids as little-endian 32-bit numbers.
fn digest(ids: &[i64]) -> String {
    let bytes = ids.iter().flat_map(|&id| u32::try_from(id).unwrap().to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{hash:016x}")
}

fn compare(json: &[u8], expected: impl Fn(&Row) -> &str) {
    let tokenizer = PromptTokenizer::from_bytes(json).unwrap();
    let rows = rows();
    assert!(rows.len() >= 3000, "{} strings", rows.len());
    let differing: Vec<_> = rows
        .iter()
        .filter(|row| digest(&tokenizer.encode(&row.0).unwrap()) != expected(row))
        .map(|row| &row.0)
        .collect();
    let shown = &differing[..differing.len().min(5)];
    assert!(differing.is_empty(), "{} strings differ, as {shown:?}", differing.len());
}

#[test]
fn ids_are_the_references() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/reference");
    let small = std::fs::read(folder.join("plain/tokenizer/tokenizer.json")).unwrap();
    compare(&small, |row| &row.1);
    compare(&zimage::checkpoint::qwen3_tokenizer(), |row| &row.2);
}

#[test]
fn digests_are_the_published_function() {
    // FNV-1a of no bytes, and of the four zero bytes of one id 0.
    assert_eq!(digest(&[]), "cbf29ce484222325");
    assert_eq!(digest(&[0]), "4d25767f9dce13f5");
}
