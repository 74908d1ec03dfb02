//! Texts in an image file, as its container holds them: keyword and text, not yet interpreted. The
//! file is not trusted: counts and lengths are bounded, and no pixel is decoded.

mod encoding;
mod exif;
mod jpeg;
mod png;
mod unsound;
mod webp;
mod xmp;

pub use unsound::{LostText, MetadataDoubt};

use super::keywords::PARAMETERS_KEYWORD;

/// The most that one text may have, also after it was decompressed.
pub(super) const TEXT_MAX: usize = 4 << 20;
/// How many texts are read.
const COUNT_MAX: usize = 256;
/// The most that all texts together may have.
const TOTAL_MAX: usize = 16 << 20;
/// The most that is decompressed, decoded and searched for them.
const WORK_MAX: usize = 128 << 20;

/// Keywords of texts that cameras, editors and clocks write: those of the PNG specification (11.3.4.2),
/// ImageMagick's, and fields of EXIF.
const PLAIN_KEYWORDS: [&str; 19] = [
    "Title",
    "Author",
    "Copyright",
    "Creation Time",
    "Disclaimer",
    "Warning",
    "Source",
    "Software",
    "date:create",
    "date:modify",
    "date:timestamp",
    "signature",
    "label",
    field::XP_TITLE,
    field::SOFTWARE,
    field::MAKE,
    field::MODEL,
    field::MAKER_NOTE,
    field::CREATOR_TOOL,
];

/// EXIF and XMP fields under the name that this module gives them; the other keywords are those of
/// PNG text chunks.
pub(super) mod field {
    /// EXIF's comment, and XMP's.
    pub(crate) const USER_COMMENT: &str = "exif:UserComment";
    /// The writer's own field.
    pub(crate) const MAKER_NOTE: &str = "exif:MakerNote";
    /// EXIF's description.
    pub(crate) const IMAGE_DESCRIPTION: &str = "exif:ImageDescription";
    /// Windows' comment.
    pub(crate) const XP_COMMENT: &str = "exif:XPComment";
    /// Windows' title.
    pub(crate) const XP_TITLE: &str = "exif:XPTitle";
    /// The writing program.
    pub(crate) const SOFTWARE: &str = "exif:Software";
    /// The camera's maker; ComfyUI's workflow.
    pub(crate) const MAKE: &str = "exif:Make";
    /// The camera; ComfyUI's graph, SwarmUI's parameters.
    pub(crate) const MODEL: &str = "exif:Model";
    /// XMP's description.
    pub(crate) const DESCRIPTION: &str = "xmp:description";
    /// XMP's writing program.
    pub(crate) const CREATOR_TOOL: &str = "xmp:CreatorTool";
    /// The parameters text in stable-diffusion.cpp's XMP.
    pub(crate) const XMP_PARAMETERS: &str = "xmp:parameters";
    /// A JPEG's comment segment.
    pub(crate) const COMMENT: &str = "jpeg:comment";
}

/// A text with its keyword.
#[derive(Debug)]
struct FileText {
    keyword: String,
    text: String,
    doubt: Option<MetadataDoubt>,
}

/// The texts of a file, in its order.
#[derive(Debug, Default)]
pub(super) struct FileTexts {
    texts: Vec<FileText>,
    total: usize,
    work: usize,
    size: Option<(u32, u32)>,
    /// The doubt about the texts that are being read.
    doubt: Option<MetadataDoubt>,
    /// The doubtful texts that count.
    admitted: Option<MetadataDoubt>,
    lost: Option<LostText>,
}

impl FileTexts {
    /// The texts of a PNG, JPEG or WebP file; none if the bytes are of another.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let mut texts = Self::default();
        if let Some(chunks) = bytes.strip_prefix(png::SIGNATURE) {
            png::read(chunks, &mut texts);
        } else if bytes.starts_with(jpeg::SIGNATURE) {
            jpeg::read(bytes, &mut texts);
        } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            webp::read(&bytes[12..], &mut texts);
        } else {
            return None;
        }
        Some(texts)
    }

    /// A parameters text alone.
    pub(super) fn of_parameters(text: &str) -> Self {
        let mut texts = Self::default();
        texts.add(PARAMETERS_KEYWORD, text);
        texts
    }

    /// Width and height as the file's head says.
    pub(super) fn size(&self) -> Option<(u32, u32)> {
        self.size
    }

    /// What is there and was not read: the first of it.
    pub(super) fn lost(&self) -> Option<&LostText> {
        self.lost.as_ref()
    }

    /// Lets texts with this doubt count beside those without, and says whether there are any.
    pub(super) fn admit(&mut self, doubt: MetadataDoubt) -> bool {
        self.admitted = Some(doubt);
        self.texts.iter().any(|text| text.doubt == Some(doubt))
    }

    /// Counts bytes that are about to be read; false when a file has too many.
    fn admits(&mut self, bytes: usize) -> bool {
        self.work = self.work.saturating_add(bytes);
        let admits = self.work <= WORK_MAX;
        if !admits {
            self.lose(LostText::TooMuch);
        }
        admits
    }

    fn lose(&mut self, text: LostText) {
        self.lost.get_or_insert(text);
    }

    /// Takes a text, with its line ends as `\n`, unless there is too much already.
    fn add(&mut self, keyword: &str, text: &str) {
        if text.len() > TEXT_MAX {
            return self.lose(LostText::TooLong(LostText::keyword(keyword.as_bytes())));
        }
        let text = encoding::normalized(text);
        let total = self.total + keyword.len() + text.len();
        if self.texts.len() == COUNT_MAX || total > TOTAL_MAX {
            return self.lose(LostText::TooMuch);
        }
        self.total = total;
        self.texts.push(FileText { keyword: keyword.to_owned(), text, doubt: self.doubt });
    }

    /// The text with this keyword; of several the last, as in programs that read them into a map.
    pub(super) fn get(&self, keyword: &str) -> Option<&str> {
        self.with(keyword).next_back()
    }

    /// The texts that may say how an image was made although no program is known that writes them so:
    /// not those of cameras, editors and clocks.
    pub(super) fn others(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_other = |text: &&FileText| {
            let (keyword, lower) = (&*text.keyword, text.text.trim());
            let is_plain = PLAIN_KEYWORDS.iter().any(|plain| keyword.eq_ignore_ascii_case(plain));
            text.doubt.is_none() && !lower.is_empty() && !is_plain && !keyword.contains("::")
        };
        self.texts.iter().filter(is_other).map(|text| (&*text.keyword, &*text.text))
    }

    /// All texts with this keyword.
    pub(super) fn with<'a>(&'a self, keyword: &str) -> impl DoubleEndedIterator<Item = &'a str> {
        let counts = move |text: &&FileText| {
            text.keyword == keyword && (text.doubt.is_none() || text.doubt == self.admitted)
        };
        self.texts.iter().filter(counts).map(|text| &*text.text)
    }
}

/// The tail of `bytes` after the first NUL, and the head before it.
fn split_at_nul(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_is_left_out() {
        let mut texts = FileTexts::default();
        texts.add("a", &"x".repeat(TEXT_MAX + 1));
        assert_eq!(texts.get("a"), None);
        assert_eq!(texts.lost(), Some(&LostText::TooLong("a".to_owned())));
        for _ in 0..2 * COUNT_MAX {
            texts.add("a", "x");
        }
        assert_eq!(texts.texts.len(), COUNT_MAX);
        let mut texts = FileTexts::default();
        for _ in 0..8 {
            texts.add("a", &"x".repeat(TEXT_MAX - 1));
        }
        assert_eq!(texts.texts.len(), TOTAL_MAX / TEXT_MAX);
        assert_eq!(texts.lost(), Some(&LostText::TooMuch));
    }
}
