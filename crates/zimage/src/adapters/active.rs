//! The adapters that are applied now, and a cache of those that were applied before.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::rc::{Rc, Weak};

use tch::{Device, Kind};

use super::AdapterChoice;
use super::load::LoadedAdapter;
use super::maps::{MapGroup, VisitedMap, places};
use super::plan::{SidePlan, changes, fill};
use crate::checkpoint::FileFingerprint;
use crate::checkpoint::adapter::{Adapter, LinearMaps};
use crate::error::{Error, Result};
use crate::lru::LruCache;
use crate::nn::Side;

/// Bytes of cached adapters: some six of rank 32 on all linear maps at the real size.
const CACHE_BYTES: usize = 1 << 30;

/// Adapters on the device.
#[derive(Debug)]
pub(crate) struct Adapters {
    /// By what identifies their files.
    loaded: LruCache<FileFingerprint, Rc<LoadedAdapter>>,
    /// Memory of side products that is in use somewhere, by its shape.
    known: Vec<(u64, Weak<Sides>)>,
    active: Active,
}

/// The memory of all side products.
#[derive(Debug)]
pub(crate) struct Sides(Vec<Option<Side>>);

/// What is applied now.
#[derive(Debug, Default)]
struct Active {
    /// The files and weights.
    applied: Vec<(FileFingerprint, u32)>,
    /// Of the adapters that change prompt embeddings; 0 for none.
    prompt: u64,
    /// Of those that change modulation; 0 for none.
    modulation: u64,
    /// The shape of the side products; 0 for none.
    shape: u64,
    sides: Option<Rc<Sides>>,
}

impl Default for Adapters {
    fn default() -> Self {
        Self { loaded: LruCache::new(CACHE_BYTES), known: Vec::new(), active: Active::default() }
    }
}

impl Adapters {
    /// Applies these adapters and no others; false if they are applied already.
    ///
    /// # Errors
    /// When a file is no adapter of this model, or the device's memory is too small. Then none is applied.
    pub(crate) fn apply(
        &mut self,
        choices: &[AdapterChoice],
        names: &LinearMaps,
        maps: &[VisitedMap<'_>],
        options: (Kind, Device),
    ) -> Result<bool> {
        let applied = choices
            .iter()
            .map(|choice| Ok((fingerprint(&choice.path)?, choice.weight.to_bits())))
            .collect::<Result<Vec<_>>>()?;
        if applied == self.active.applied {
            return Ok(false);
        }
        self.remove(maps);
        if choices.is_empty() {
            return Ok(true);
        }
        let done = self.apply_new(choices, applied, names, maps, options);
        if done.is_err() {
            self.remove(maps);
        }
        done.map(|()| true)
    }

    fn apply_new(
        &mut self,
        choices: &[AdapterChoice],
        applied: Vec<(FileFingerprint, u32)>,
        names: &LinearMaps,
        maps: &[VisitedMap<'_>],
        options: (Kind, Device),
    ) -> Result<()> {
        let mut adapters = Vec::with_capacity(choices.len());
        for (choice, (fingerprint, _)) in choices.iter().zip(&applied) {
            let loaded = self.loaded.get_or_make(fingerprint.clone(), || {
                let adapter = Adapter::open(&choice.path, names)?;
                let loaded = LoadedAdapter::read(&adapter, (maps, &places(maps)), options)?;
                let bytes = loaded.bytes;
                Ok::<_, Error>((Rc::new(loaded), bytes))
            })?;
            adapters.push((Rc::clone(loaded), choice.weight));
        }
        let changes: Vec<_> = maps.iter().map(|visited| changes(visited, &adapters)).collect();
        let plans: Vec<_> =
            changes.iter().map(|parts| parts.as_ref().map(|parts| SidePlan::of(parts))).collect();
        let set = hash(
            &applied.iter().map(|(of, weight)| (format!("{of:?}"), weight)).collect::<Vec<_>>(),
        );
        let is_own = plans.iter().flatten().any(|plan| plan.own);
        // Memory that is not shared has a shape of its own.
        let shape = hash(&(&plans, is_own.then_some(set)));
        let found = self.known.iter().find(|(known, _)| *known == shape);
        let mut sides = match found.and_then(|(_, sides)| sides.upgrade()) {
            Some(sides) if !is_own => sides.shallow_clone(),
            _ => Sides(Vec::new()),
        };
        let is_new = sides.0.is_empty();
        for (at, (visited, parts)) in maps.iter().zip(&changes).enumerate() {
            if is_new {
                let side = match (&plans[at], parts) {
                    (Some(plan), Some(_)) => {
                        Some(plan.allocate(visited, visited.map.adapted().inputs, options)?)
                    }
                    _ => None,
                };
                sides.0.push(side);
            }
            if let (Some(side), Some(parts)) = (&mut sides.0[at], parts) {
                fill(side, visited, parts)?;
            }
        }
        for (visited, side) in maps.iter().zip(&sides.0) {
            visited.map.adapted().set(side.as_ref().map(Side::shallow_clone));
        }
        let touches = |group| {
            let changed =
                maps.iter().zip(&plans).any(|(of, plan)| of.group == group && plan.is_some());
            if changed { set } else { 0 }
        };
        let (prompt, modulation) = (touches(MapGroup::Prompt), touches(MapGroup::Modulation));
        let sides = Rc::new(sides);
        self.known.retain(|(known, sides)| *known != shape && sides.strong_count() > 0);
        self.known.push((shape, Rc::downgrade(&sides)));
        self.active = Active { applied, prompt, modulation, shape, sides: Some(sides) };
        Ok(())
    }

    /// Takes all side products off the maps.
    fn remove(&mut self, maps: &[VisitedMap<'_>]) {
        maps.iter().for_each(|visited| visited.map.adapted().set(None));
        self.active = Active::default();
    }

    /// Drops what is not applied now.
    pub(crate) fn free(&mut self) {
        self.loaded.clear();
    }

    /// What prompt embeddings depend on beside the prompt: the adapters that change them, or 0.
    pub(crate) fn prompt(&self) -> u64 {
        self.active.prompt
    }

    /// What modulation depends on beside the time: the adapters that change it, or 0.
    pub(crate) fn modulation(&self) -> u64 {
        self.active.modulation
    }

    /// What captured graphs depend on: the shape of the side products, or 0; and the memory that they read.
    pub(crate) fn shape(&self) -> (u64, Option<Rc<Sides>>) {
        (self.active.shape, self.active.sides.clone())
    }
}

impl Sides {
    fn shallow_clone(&self) -> Self {
        Self(self.0.iter().map(|side| side.as_ref().map(Side::shallow_clone)).collect())
    }
}

fn fingerprint(path: &Path) -> Result<FileFingerprint> {
    let metadata = fs::metadata(path).map_err(|source| {
        let file = path.display().to_string();
        crate::checkpoint::Error::Io { file, source }
    })?;
    Ok(FileFingerprint::of(path, &metadata))
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    // 0 is none.
    hasher.finish().max(1)
}
