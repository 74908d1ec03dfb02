//! Encodings other than UTF-8 that the bytes themselves show.

/// An encoding of Unicode with units of more than one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Low byte first; what `>` of Windows PowerShell 5 writes.
    Utf16Le,
    /// High byte first.
    Utf16Be,
    /// Low byte first.
    Utf32Le,
    /// High byte first.
    Utf32Be,
}

/// Byte order marks. That of UTF-32 begins with that of UTF-16 and is looked for first.
const MARKS: [(&[u8], Encoding); 4] = [
    (b"\xff\xfe\0\0", Encoding::Utf32Le),
    (b"\0\0\xfe\xff", Encoding::Utf32Be),
    (b"\xff\xfe", Encoding::Utf16Le),
    (b"\xfe\xff", Encoding::Utf16Be),
];

impl Encoding {
    /// The encoding that a byte order mark names, and the bytes after the mark.
    pub fn marked(bytes: &[u8]) -> Option<(Self, &[u8])> {
        MARKS.iter().find_map(|(mark, encoding)| Some((*encoding, bytes.strip_prefix(*mark)?)))
    }

    /// The encoding of these bytes, if they have its byte order mark or show it by where they are
    /// zero. The end may be in the middle of a character.
    pub fn detect(bytes: &[u8]) -> Option<Self> {
        if let Some((encoding, _)) = Self::marked(bytes) {
            return Some(encoding);
        }
        if !bytes.contains(&0) {
            return None;
        }
        if let Some(encoding) = [Self::Utf32Le, Self::Utf32Be]
            .into_iter()
            .find(|encoding| bytes.len() >= 4 && encoding.units(bytes).all(is_assigned))
        {
            return Some(encoding);
        }
        let zeros = |place| bytes.iter().skip(place).step_by(2).filter(|byte| **byte == 0).count();
        let (first, second, pairs) = (zeros(0), zeros(1), bytes.len() / 2);
        // UTF-8 with a stray NUL has few of them; UTF-16 of other scripts too, but is no UTF-8.
        let least = if str::from_utf8(bytes).is_ok() { pairs * 2 / 3 + 1 } else { 1 };
        // A first line that is read to its LF ends in the middle of its last character.
        match (first, second) {
            _ if pairs == 0 => None,
            _ if second >= least.min(pairs) && second > 4 * first => Some(Self::Utf16Le),
            _ if first >= least.min(pairs) && first > 4 * second => Some(Self::Utf16Be),
            _ => None,
        }
    }

    /// The text of these bytes without a byte order mark; none if they are not valid.
    pub fn decode(self, bytes: &[u8]) -> Option<String> {
        let bytes = match Self::marked(bytes) {
            Some((encoding, rest)) if encoding == self => rest,
            _ => bytes,
        };
        if bytes.len() % self.unit() != 0 {
            return None;
        }
        match self {
            Self::Utf32Le | Self::Utf32Be => self.units(bytes).map(char::from_u32).collect(),
            Self::Utf16Le | Self::Utf16Be => {
                let units = self.units(bytes).filter_map(|unit| u16::try_from(unit).ok());
                char::decode_utf16(units).collect::<Result<_, _>>().ok()
            }
        }
    }

    /// The name of the encoding in sentences, without the byte order.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf16Le | Self::Utf16Be => "UTF-16",
            Self::Utf32Le | Self::Utf32Be => "UTF-32",
        }
    }

    /// The encoding's name for `iconv`, which takes a byte order mark off only where the name
    /// leaves the order open.
    pub(crate) fn iconv(self, is_marked: bool) -> &'static str {
        match self {
            _ if is_marked => self.name(),
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
            Self::Utf32Le => "UTF-32LE",
            Self::Utf32Be => "UTF-32BE",
        }
    }

    /// The number of bytes of a unit.
    fn unit(self) -> usize {
        match self {
            Self::Utf16Le | Self::Utf16Be => 2,
            Self::Utf32Le | Self::Utf32Be => 4,
        }
    }

    /// The complete units.
    fn units(self, bytes: &[u8]) -> impl Iterator<Item = u32> {
        bytes.chunks_exact(self.unit()).map(move |unit| {
            let add = |number: u32, byte: &u8| number << 8 | u32::from(*byte);
            match self {
                Self::Utf16Le | Self::Utf32Le => unit.iter().rev().fold(0, add),
                Self::Utf16Be | Self::Utf32Be => unit.iter().fold(0, add),
            }
        })
    }
}

/// Whether the number is of a plane that has characters: two characters of UTF-16 of which one is a
/// line end are no character of UTF-32 then.
fn is_assigned(unit: u32) -> bool {
    char::from_u32(unit).is_some() && matches!(unit >> 16, 0..=3 | 14)
}
