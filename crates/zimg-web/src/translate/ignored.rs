//! Settings that a request has and that have no effect, as an answer names them.

use serde::Serialize;

/// A setting without an effect. Its value is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Ignored {
    /// The name that the request has for it.
    pub(crate) name: String,
    /// Why: a sentence without a full stop.
    pub(crate) why: String,
}

impl Ignored {
    /// The longest name that is repeated.
    const NAME_BYTES: usize = 64;
    /// The most settings that an answer names.
    pub(crate) const MAX: usize = 32;

    pub(crate) fn new(name: &str, why: impl Into<String>) -> Self {
        let ends = name.char_indices().map(|(at, c)| at + c.len_utf8());
        let end = ends.take_while(|end| *end <= Self::NAME_BYTES).last().unwrap_or(0);
        Self { name: name[..end].to_owned(), why: why.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(Ignored::new("style", "x").name, "style");
        assert_eq!(Ignored::new(&"€".repeat(40), "x").name, "€".repeat(21));
        assert_eq!(Ignored::new("", "x").name, "");
    }
}
