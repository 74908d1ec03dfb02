//! The keys and values of a GGUF file.

use super::super::{Metadata, MetadataValue};
use super::cursor::{Bad, Cursor, Parsed};

/// The longest key.
const KEY_LIMIT: u64 = 1024;
/// The longest text that is returned; a chat template has some 4000 bytes.
const TEXT_LIMIT: u64 = 64 << 10;
/// The longest list that is returned: a shape. A vocabulary is skipped.
const LIST_LIMIT: u64 = 8;
/// The most keys; files have some 30, and 200 more for shapes.
const KEYS_LIMIT: u64 = 1 << 16;

/// The types of values.
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// Reads `keys` keys with their values.
pub(super) fn read(cursor: &mut Cursor<'_>, keys: u64) -> Parsed<Metadata> {
    if keys > KEYS_LIMIT {
        return Err(Bad::Header(format!("it has {keys} keys, more than {KEYS_LIMIT}")));
    }
    let mut metadata = Metadata::new();
    // Also of those that are not returned.
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..keys {
        let key = cursor.text(KEY_LIMIT)?;
        let key =
            key.ok_or_else(|| Bad::Header(format!("a key is longer than {KEY_LIMIT} bytes")))?;
        let kind = cursor.u32()?;
        let value = match kind {
            STRING => cursor.text(TEXT_LIMIT)?.map(MetadataValue::Text),
            ARRAY => array(cursor, &key)?,
            kind => Some(scalar(cursor, kind, &key)?),
        };
        if !names.insert(key.clone()) {
            return Err(Bad::Header(format!("it has the key {} twice", key.escape_debug())));
        }
        if let Some(value) = value {
            metadata.insert(key, value);
        }
    }
    Ok(metadata)
}

/// `general.alignment`, if it is there.
pub(super) fn alignment(metadata: &Metadata) -> Parsed<Option<u64>> {
    match metadata.get("general.alignment") {
        None => Ok(None),
        // A larger one than a huge page aligns nothing.
        Some(&MetadataValue::Integer(bytes))
            if (1..=2 << 20).contains(&bytes) && bytes.cast_unsigned().is_power_of_two() =>
        {
            Ok(Some(bytes.cast_unsigned()))
        }
        Some(_) => Err(Bad::Header("its general.alignment is no power of two".to_owned())),
    }
}

fn unknown(kind: u32, key: &str) -> Bad {
    Bad::Header(format!("the key {} has the unknown type {kind}", key.escape_debug()))
}

/// Bytes of a value of this type; none for texts and arrays.
fn bytes_of(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

fn scalar(cursor: &mut Cursor<'_>, kind: u32, key: &str) -> Parsed<MetadataValue> {
    let integer = |value: i64| Ok(MetadataValue::Integer(value));
    match kind {
        0 | 7 => integer(u8::from_le_bytes(cursor.bytes()?).into()),
        1 => integer(i8::from_le_bytes(cursor.bytes()?).into()),
        2 => integer(u16::from_le_bytes(cursor.bytes()?).into()),
        3 => integer(i16::from_le_bytes(cursor.bytes()?).into()),
        4 => integer(cursor.u32()?.into()),
        5 => integer(i32::from_le_bytes(cursor.bytes()?).into()),
        6 => Ok(MetadataValue::Float(f32::from_le_bytes(cursor.bytes()?).into())),
        // No key of a size has so large a number.
        10 => integer(i64::try_from(cursor.u64()?).unwrap_or(i64::MAX)),
        11 => integer(i64::from_le_bytes(cursor.bytes()?)),
        12 => Ok(MetadataValue::Float(f64::from_le_bytes(cursor.bytes()?))),
        _ => Err(unknown(kind, key)),
    }
}

fn array(cursor: &mut Cursor<'_>, key: &str) -> Parsed<Option<MetadataValue>> {
    let kind = cursor.u32()?;
    let each = match kind {
        ARRAY => {
            let key = key.escape_debug();
            return Err(Bad::Header(format!("the key {key} has a list of lists")));
        }
        STRING => 8,
        kind => bytes_of(kind).ok_or_else(|| unknown(kind, key))?,
    };
    let count = cursor.count("elements of a list", each)?;
    if kind == STRING {
        for _ in 0..count {
            let length = cursor.u64()?;
            cursor.skip(length)?;
        }
        return Ok(None);
    }
    if count > LIST_LIMIT {
        cursor.skip(count * each)?;
        return Ok(None);
    }
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(scalar(cursor, kind, key)?);
    }
    let integers = list.iter().map(|value| match value {
        MetadataValue::Integer(value) => Some(*value),
        _ => None,
    });
    Ok(integers.collect::<Option<Vec<_>>>().map(MetadataValue::Integers))
}
