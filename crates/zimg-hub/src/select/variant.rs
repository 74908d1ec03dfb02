//! Variants of a model in files: the part of their names in which they differ.

use crate::disk::in_words;
use crate::listing::RemoteFile;

/// The name of a file without its suffix and its shared beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variant<'a> {
    pub(super) label: String,
    pub(super) file: &'a RemoteFile,
}

/// The variants of these files.
pub(super) fn variants<'a>(files: &[&'a RemoteFile]) -> Vec<Variant<'a>> {
    let stems: Vec<_> = files.iter().map(|file| stem(file.path.name())).collect();
    let shared = shared_beginning(&stems);
    let label = |stem: &str| match stem.get(shared..) {
        Some(rest) if !rest.is_empty() && files.len() > 1 => rest.to_owned(),
        _ => stem.to_owned(),
    };
    let labels = stems.iter().map(|stem| label(stem));
    labels.zip(files).map(|(label, file)| Variant { label, file }).collect()
}

/// The variants, as a sentence lists them.
pub(super) fn listed(variants: &[Variant<'_>]) -> String {
    let size = |variant: &Variant<'_>| {
        let bytes = variant.file.bytes().map_or(String::new(), |b| format!(" ({})", in_words(b)));
        format!("{}{bytes}", variant.label)
    };
    variants.iter().map(size).collect::<Vec<_>>().join(", ")
}

/// The variant that is meant: one that is named so, or whose name ends so after a separator. `Q4_K`
/// means `Q4_K_M` where there is no plain one, as in llama.cpp.
pub(super) fn meant<'v, 'a>(variants: &'v [Variant<'a>], asked: &str) -> Option<&'v Variant<'a>> {
    let asked = asked.to_ascii_lowercase();
    let named = |variant: &&Variant<'_>, asked: &str| {
        let name = stem(variant.file.path.name()).to_ascii_lowercase();
        let before = name.strip_suffix(asked);
        variant.label.eq_ignore_ascii_case(asked)
            || before.is_some_and(|before| before.is_empty() || before.ends_with(['-', '_', '.']))
    };
    let exact = variants.iter().find(|variant| named(variant, &asked));
    exact.or_else(|| variants.iter().find(|variant| named(variant, &format!("{asked}_m"))))
}

/// A file's name without its last suffix.
pub(super) fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Bytes that all names begin with, up to the last separator among them.
fn shared_beginning(names: &[&str]) -> usize {
    let Some((first, rest)) = names.split_first() else { return 0 };
    let same = |name: &&str| first.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
    let shared = rest.iter().map(same).min().unwrap_or_default();
    let separators = |c: char| matches!(c, '-' | '_' | '.');
    first.get(..shared).and_then(|text| text.rfind(separators)).map_or(0, |at| at + 1)
}
