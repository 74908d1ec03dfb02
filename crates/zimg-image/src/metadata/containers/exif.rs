//! EXIF blocks: the fields that have text, read on after faults.
//!
//! Other programs write blocks that strict readers refuse: piexif's have no offset of the next IFD
//! after the last one (hMatoba/Piexif issue 116), Fooocus has the comment in the first IFD as ASCII,
//! and editors leave offsets that lead nowhere. Each field is read by itself, as bytes, whatever
//! type it is said to have (EXIF 2.3, 4.6.2; TIFF 6.0, section 2).

use super::encoding::ByteOrder;
use super::{FileTexts, LostText, encoding, field, xmp};

/// The field that has the offset of the IFD with EXIF's own fields.
const EXIF_IFD: u16 = 0x8769;
const XMP_PACKET: u16 = 0x02bc;
/// The fields that are read.
const FIELDS: [(u16, &str); 9] = [
    (0x9286, field::USER_COMMENT),
    (0x927c, field::MAKER_NOTE),
    (0x010e, field::IMAGE_DESCRIPTION),
    (0x9c9c, field::XP_COMMENT),
    (0x9c9b, field::XP_TITLE),
    (0x0131, field::SOFTWARE),
    (0x010f, field::MAKE),
    (0x0110, field::MODEL),
    (XMP_PACKET, "exif:XMP"),
];
/// Bytes that some writers put before the TIFF header, once or twice.
const IDENTIFIER: &[u8] = b"Exif\0\0";
/// How many IFDs are read: the first, EXIF's, and what a damaged file may claim.
const IFDS_MAX: usize = 8;

/// The texts of a block, with or without its identifier.
pub(super) fn read(mut block: &[u8], texts: &mut FileTexts) {
    while let Some(rest) = block.strip_prefix(IDENTIFIER) {
        block = rest;
    }
    let Some(tiff) = Tiff::of(block) else { return };
    let mut pending = vec![tiff.u32(4)];
    for _ in 0..IFDS_MAX {
        let Some(offset) = pending.pop() else { break };
        tiff.read_ifd(offset, texts, &mut pending);
    }
}

/// A TIFF structure: bytes, which offsets count from their beginning.
struct Tiff<'a> {
    bytes: &'a [u8],
    order: ByteOrder,
}

impl<'a> Tiff<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let order = match bytes.get(..4)? {
            b"II*\0" => ByteOrder::Little,
            b"MM\0*" => ByteOrder::Big,
            _ => return None,
        };
        Some(Self { bytes, order })
    }

    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.get(at..)?.first_chunk().copied()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.array(at)?;
        Some(match self.order {
            ByteOrder::Big => u16::from_be_bytes(bytes),
            ByteOrder::Little => u16::from_le_bytes(bytes),
        })
    }

    /// 0 beyond the end.
    fn u32(&self, at: usize) -> usize {
        let bytes = self.array(at).unwrap_or_default();
        (match self.order {
            ByteOrder::Big => u32::from_be_bytes(bytes),
            ByteOrder::Little => u32::from_le_bytes(bytes),
        }) as usize
    }

    /// Reads the entries that are there, however many are claimed, and appends the IFDs that they
    /// lead to.
    fn read_ifd(&self, offset: usize, texts: &mut FileTexts, pending: &mut Vec<usize>) {
        const ENTRY: usize = 12;
        let Some(count) = self.u16(offset).filter(|_| offset > 0) else { return };
        let start = offset + 2;
        for entry in (start..).step_by(ENTRY).take(count.into()) {
            let (Some(tag), Some(kind)) = (self.u16(entry), self.u16(entry + 2)) else { return };
            if tag == EXIF_IFD {
                pending.push(self.u32(entry + 8));
            } else if let Some((_, name)) = FIELDS.iter().find(|(known, _)| *known == tag) {
                self.read_field(tag, name, self.value(entry, kind), texts);
            }
        }
    }

    /// The bytes of an entry's value: cut where the block ends.
    fn value(&self, entry: usize, kind: u16) -> &'a [u8] {
        let size = match kind {
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            // Bytes, text, undefined, UTF-8 of EXIF 3.0, and what no standard has.
            _ => 1,
        };
        let length = self.u32(entry + 4).saturating_mul(size);
        let start = if length <= 4 { entry + 8 } else { self.u32(entry + 8) };
        let rest = self.bytes.get(start..).unwrap_or_default();
        &rest[..length.min(rest.len())]
    }

    fn read_field(&self, tag: u16, name: &str, value: &[u8], texts: &mut FileTexts) {
        if value.len() > super::TEXT_MAX {
            return texts.lose(LostText::TooLong(name.to_owned()));
        }
        if !texts.admits(value.len()) {
            return;
        }
        if tag == XMP_PACKET {
            return xmp::read(&encoding::unlabelled(value), texts);
        }
        let windows = [field::XP_COMMENT, field::XP_TITLE].contains(&name);
        // Windows' fields are UTF-16 in this order in every file.
        let order = if windows { ByteOrder::Little } else { self.order };
        // A maker's note is whatever the writer wants; zimg's has a NUL after its name.
        let text = match name {
            field::MAKER_NOTE => encoding::eight_bit(value),
            _ => encoding::comment(value, order),
        };
        texts.add(name, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ein Fuchs ❄\nSteps: 8, Seed: 7, Size: 64x64";

    /// A block with one field in this IFD, as piexif lays it out when `next` is empty.
    fn block(order: ByteOrder, kind: u16, value: &[u8], next: &[u8]) -> Vec<u8> {
        let u16 = |n: u16| match order {
            ByteOrder::Big => n.to_be_bytes(),
            ByteOrder::Little => n.to_le_bytes(),
        };
        let u32 = |n: usize| match order {
            ByteOrder::Big => u32::try_from(n).unwrap().to_be_bytes(),
            ByteOrder::Little => u32::try_from(n).unwrap().to_le_bytes(),
        };
        let head: &[u8] = if order == ByteOrder::Big { b"MM\0*" } else { b"II*\0" };
        let mut bytes = [head, &u32(8)].concat();
        // The first IFD: one entry, the pointer to EXIF's at 26.
        bytes.extend([&u16(1)[..], &u16(EXIF_IFD), &u16(4), &u32(1), &u32(26), &u32(0)].concat());
        let after = 26 + 2 + 12 + next.len();
        bytes.extend([&u16(1)[..], &u16(0x9286), &u16(kind), &u32(value.len())].concat());
        bytes.extend([&u32(after)[..], next, value].concat());
        bytes
    }

    fn read_comment(block: &[u8]) -> Option<String> {
        let mut texts = FileTexts::default();
        read(block, &mut texts);
        texts.get(field::USER_COMMENT).map(str::to_owned)
    }

    #[test]
    fn a_comment_is_read_whatever_its_type_and_with_or_without_a_next_ifd() {
        for order in [ByteOrder::Big, ByteOrder::Little] {
            for kind in [1, 2, 7, 129, 999] {
                for next in [&[][..], &[0; 4], &[0xff; 4]] {
                    let value: Vec<u8> = TEXT.encode_utf16().flat_map(u16::to_be_bytes).collect();
                    let value = [b"UNICODE\0".as_slice(), &value].concat();
                    let block = block(order, kind, &value, next);
                    assert_eq!(read_comment(&block).as_deref(), Some(TEXT), "{order:?} {kind}");
                    let named = [IDENTIFIER, IDENTIFIER, &block].concat();
                    assert_eq!(read_comment(&named).as_deref(), Some(TEXT));
                }
            }
        }
    }

    #[test]
    fn a_block_is_read_as_far_as_it_goes() {
        let whole = block(ByteOrder::Little, 7, TEXT.as_bytes(), &[]);
        assert_eq!(read_comment(&whole).as_deref(), Some(TEXT));
        let cut = read_comment(&whole[..whole.len() - 3]).unwrap();
        assert_eq!(cut, TEXT[..TEXT.len() - 3]);
        assert_eq!(read_comment(&whole[..30]), None);
        assert_eq!(read_comment(b"II*\0"), None);
        // An IFD that leads to itself.
        let mut loops = whole;
        loops[18..22].copy_from_slice(&8_u32.to_le_bytes());
        assert_eq!(read_comment(&loops), None);
    }
}
