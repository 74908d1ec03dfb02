//! Oracle of adapters: files of LoRAs, with and without peft's configuration beside them.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use tempfile::TempDir;
use zimage_checkpoint::Checkpoint;
use zimage_checkpoint::adapter::{Adapter, AdapterError, LinearMaps, MapDelta};

use super::within;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/reference/plain");
/// What a reader holds whatever the file has: a page of a header, and the names that are near another.
const PAGE: usize = 512 << 10;

/// A file is an adapter of the small model, whose numbers lie within it, or is refused in one
/// sentence. The first two bytes say how long the configuration beside it is, which follows them.
pub fn adapters(bytes: &[u8]) -> bool {
    static MAPS: OnceLock<Option<(LinearMaps, TempDir)>> = OnceLock::new();
    let maps = MAPS.get_or_init(|| {
        let checkpoint = Checkpoint::open(Path::new(MODEL)).ok()?;
        Some((LinearMaps::of(&checkpoint), tempfile::tempdir().ok()?))
    });
    let (Some((maps, folder)), Some((length, rest))) = (maps, bytes.split_first_chunk()) else {
        return false;
    };
    let length = usize::from(u16::from_le_bytes(*length));
    let Some((config, file)) = rest.split_at_checked(length) else { return false };
    let [path, beside] =
        ["adapter.safetensors", "adapter_config.json"].map(|name| folder.path().join(name));
    if fs::write(&path, file).is_err() || fs::write(&beside, config).is_err() {
        return false;
    }
    // A key becomes a name, a shape and an entry of a tree; one that is unknown is compared with all.
    match within(1024 * bytes.len() + PAGE, || Adapter::open(&path, maps)) {
        Ok(adapter) => {
            lies_within(&adapter, file.len() as u64);
            true
        }
        Err(error) => {
            let sentence = error.to_string();
            assert!(!sentence.is_empty() && !sentence.contains('\n'), "{sentence}");
            assert!(sentence.len() < 4096 + 4 * bytes.len(), "{sentence}");
            matches!(error, AdapterError::Unmatched { .. } | AdapterError::Shape { .. })
        }
    }
}

fn lies_within(adapter: &Adapter, length: u64) {
    let data = adapter.data();
    assert!(data.start <= data.end && data.end <= length, "{data:?} of {length}");
    assert!(!adapter.deltas.is_empty());
    for delta in &adapter.deltas {
        let MapDelta { map, form, magnitude, bias, .. } = delta;
        assert!(form.is_some() || magnitude.is_some() || bias.is_some(), "{map}");
        for stored in delta.tensors() {
            let end = stored.offset + stored.bytes;
            assert!(data.start <= stored.offset && end <= data.end, "{map}: {stored:?}");
        }
    }
}
