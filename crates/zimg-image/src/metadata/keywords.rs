//! Keywords of the PNG text chunks that carry metadata.

/// The A1111 parameters text, which other programs read.
pub(crate) const PARAMETERS_KEYWORD: &str = "parameters";
/// All generation metadata as JSON.
pub(crate) const JSON_KEYWORD: &str = "zimg";
