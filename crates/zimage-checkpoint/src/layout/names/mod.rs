//! Names of tensors in other layouts, mapped to the canonical ones, which are diffusers'.
//!
//! A map needs a stored name and the tensor's rows: fused tensors are several canonical ones.

pub(crate) mod text_encoder;
pub(crate) mod transformer;
pub(crate) mod vae;

use std::ops::Range;

/// The canonical tensors that a stored one is, in the order of its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mapped {
    /// One of this name.
    Whole(String),
    /// Several, each of the rows that it is.
    Rows(Vec<(String, Range<i64>)>),
}

impl Mapped {
    /// `names`, each of which is an equal share of `rows`; none if they cannot be shared equally.
    fn shares(names: &[String], rows: i64) -> Option<Self> {
        let share = rows / names.len() as i64;
        let part =
            |(i, name): (usize, &String)| (name.clone(), share * i as i64..share * (i as i64 + 1));
        (share * names.len() as i64 == rows && share > 0)
            .then(|| Self::Rows(names.iter().enumerate().map(part).collect()))
    }
}

/// `name` with the first of `parts` that it contains replaced.
fn replaced(name: &str, parts: &[(&str, &str)]) -> String {
    match parts.iter().find(|(from, _)| name.contains(from)) {
        Some((from, to)) => name.replacen(from, to, 1),
        None => name.to_owned(),
    }
}

/// `name` with the first of `begins` that it begins with replaced.
fn begun(name: &str, begins: &[(&str, &str)]) -> String {
    let found = begins.iter().find_map(|(from, to)| Some((name.strip_prefix(from)?, to)));
    found.map_or_else(|| name.to_owned(), |(rest, to)| format!("{to}{rest}"))
}
