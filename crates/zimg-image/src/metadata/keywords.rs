//! Keywords, labels and names by which metadata in a file is found.

/// The keyword of the A1111 parameters text, which other programs read.
pub(crate) const PARAMETERS_KEYWORD: &str = "parameters";
/// The keyword of all generation metadata as JSON.
pub(crate) const JSON_KEYWORD: &str = "zimg";
/// How zimg's own note in EXIF begins; the JSON follows, in version 0.1 after a NUL.
pub(crate) const MAKER_NOTE: &str = "zimg ";
/// The label of guidance in zimg's unit, beside the CFG scale in the parameters text. A text by
/// version 0.1 has none, and its CFG scale is guidance.
pub(crate) const GUIDANCE_LABEL: &str = "zimg guidance";
/// The program in texts whose CFG scale is guidance, unless they have the label.
pub(crate) const ZIMG_OF_OLD_UNIT: &str = "zimg 0.1.";
