//! The linear maps of the networks in a fixed order, and where each named one lies among them.

use std::collections::HashMap;

use crate::nn::LinearMap;

/// What a map's results are a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapGroup {
    /// Prompt embeddings.
    Prompt,
    /// Modulation.
    Modulation,
    /// A denoising step.
    Step,
}

/// A linear map.
#[derive(Clone, Copy)]
pub(crate) struct VisitedMap<'a> {
    pub(crate) group: MapGroup,
    pub(crate) map: &'a dyn LinearMap,
    /// The factor of its inputs.
    pub(crate) factor: f64,
}

/// A named map: some rows of one that is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Which one is computed.
    pub(super) map: usize,
    /// Which part of it.
    pub(super) part: usize,
    /// Its first row.
    pub(super) row: i64,
    /// How many rows.
    pub(super) rows: i64,
}

/// Where each named map lies.
pub(super) fn places(maps: &[VisitedMap<'_>]) -> HashMap<String, Place> {
    let mut places = HashMap::new();
    for (number, visited) in maps.iter().enumerate() {
        let mut row = 0;
        for (part, (name, rows)) in visited.map.adapted().parts.iter().enumerate() {
            places.insert(name.clone(), Place { map: number, part, row, rows: *rows });
            row += rows;
        }
    }
    places
}
