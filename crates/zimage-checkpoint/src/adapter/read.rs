//! Reading an adapter: its header, checked against the linear maps of a model.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::delta::{DeltaForm, Factor, MapDelta, columns, rows};
use super::describe::AdapterDescription;
use super::error::AdapterError;
use super::foreign;
use super::keys::Part;
use super::maps::{Found, LinearMaps, Target};
use super::nearest::nearest;
use super::scale::{PeftConfig, Scales};
use crate::content_check::check_weights;
use crate::encoding::{Encoding, Number};
use crate::format::{FileFormat, Header, safetensors};
use crate::layout::identify::contents;
use crate::source::{DataFile, open_regular};
use crate::stored_tensor::StoredTensor;

/// peft's configuration beside its file of weights.
const CONFIG: &str = "adapter_config.json";
/// The longest configuration that is read.
const CONFIG_LIMIT: u64 = 1 << 20;

/// An adapter whose header is read and fits the model; its numbers are still in the file.
#[derive(Debug)]
pub struct Adapter {
    /// The file that has the numbers.
    pub file: DataFile,
    /// The changes, by component and map; a map has one.
    pub deltas: Vec<MapDelta>,
    /// What lists say of it.
    pub description: AdapterDescription,
}

/// The parts of one spelling's map.
type Parts = BTreeMap<Part, StoredTensor>;

/// A spelling in the file, what it means, and its parts.
struct Change<'a> {
    spelling: &'a str,
    targets: &'a [Target],
    parts: &'a Parts,
}

impl Adapter {
    /// Opens an adapter, reads its header and checks it against the maps of a model.
    ///
    /// # Errors
    /// When the file cannot be read, is no adapter or one of another model, or does not fit this one in
    /// any key: no key is ignored but those of parts that are not computed.
    pub fn open(path: &Path, maps: &LinearMaps) -> Result<Self, AdapterError> {
        let file = open_regular(path, path.display().to_string())?;
        check_weights(&file)?;
        if FileFormat::of(&file)? == Some(FileFormat::Gguf) {
            let what = "a GGUF file".to_owned();
            return Err(AdapterError::NotAnAdapter { file: file.label, what });
        }
        let Header { tensors, metadata, .. } = safetensors::read(&file)?;
        let (groups, unknown) = grouped(tensors);
        if groups.values().all(|parts| parts.keys().all(|part| *part == Part::Alpha)) {
            return Err(not_an_adapter(file.label, &unknown));
        }
        if !unknown.is_empty() {
            return Err(AdapterError::UnknownKeys { file: file.label, names: unknown });
        }
        let (changes, unused) = matched(&file, &groups, maps)?;
        let scales = Scales::new(&metadata, config_beside(path));
        let mut deltas = BTreeMap::new();
        for change in chosen(&file, changes)? {
            for (place, target) in change.targets.iter().enumerate() {
                let delta =
                    Builder { file: &file, scales: &scales, change: &change, place, target }
                        .delta()?;
                deltas.insert((target.component as u8, target.map.clone()), delta);
            }
        }
        let deltas: Vec<MapDelta> = deltas.into_values().collect();
        let mut description = AdapterDescription::new(&deltas, maps, &metadata);
        description.bytes = file.len;
        if description.base_model.is_none() {
            description.base_model = scales.base_model();
        }
        if unused > 0 {
            let remark = format!("{unused} of its maps are in layers that are not computed");
            description.remarks.push(remark);
        }
        Ok(Self { file, deltas, description })
    }

    /// The bytes of the file from its first tensor to its last.
    pub fn data(&self) -> Range<u64> {
        let tensors = || self.deltas.iter().flat_map(MapDelta::tensors);
        let begin = tensors().map(|stored| stored.offset).min().unwrap_or(0);
        begin..tensors().map(|stored| stored.offset + stored.bytes).max().unwrap_or(begin)
    }
}

/// The file's tensors by spelling and part, and the names that are no part of an adapter.
fn grouped(tensors: Vec<(String, StoredTensor)>) -> (BTreeMap<String, Parts>, Vec<String>) {
    let mut groups: BTreeMap<String, Parts> = BTreeMap::new();
    let mut unknown = Vec::new();
    for (key, stored) in tensors {
        match Part::of(&key) {
            Some((spelling, part)) => {
                groups.entry(spelling).or_default().insert(part, stored);
            }
            None => unknown.push(key),
        }
    }
    (groups, unknown)
}

fn not_an_adapter(file: String, names: &[String]) -> AdapterError {
    let what = match contents(names.iter().map(String::as_str)) {
        Err(foreign) => foreign.what.to_owned(),
        Ok(contents) if !contents.is_empty() => "a model or a part of one".to_owned(),
        Ok(_) => "a file without any part of an adapter".to_owned(),
    };
    AdapterError::NotAnAdapter { file, what }
}

/// What each spelling means, and how many are in layers that are not computed.
fn matched<'a>(
    file: &DataFile,
    groups: &'a BTreeMap<String, Parts>,
    maps: &'a LinearMaps,
) -> Result<(Vec<Change<'a>>, usize), AdapterError> {
    let (mut changes, mut unmatched, mut unused) = (Vec::new(), Vec::new(), 0);
    for (spelling, parts) in groups {
        match maps.find(spelling) {
            Found::Maps(targets) => changes.push(Change { spelling, targets, parts }),
            Found::Unused => unused += 1,
            Found::Nothing => unmatched.push(spelling.clone()),
        }
    }
    if unmatched.is_empty() {
        return Ok((changes, unused));
    }
    let file = file.label.clone();
    if changes.is_empty()
        && let Some(what) = foreign::model(groups.keys().map(String::as_str))
    {
        return Err(AdapterError::OtherModel { file, what });
    }
    let near = nearest(&unmatched[0], maps.names(), 2);
    let nearest = near.into_iter().map(str::to_owned).collect();
    Err(AdapterError::Unmatched { file, all: groups.len(), names: unmatched, nearest })
}

/// One change for each map: where a map is there apart and fused, or under its own and another name, the
/// first is taken, as in diffusers, since programs write both with the same contents.
fn chosen<'a>(file: &DataFile, changes: Vec<Change<'a>>) -> Result<Vec<Change<'a>>, AdapterError> {
    let mut by_map: BTreeMap<&str, Vec<&Change<'_>>> = BTreeMap::new();
    for change in &changes {
        for target in change.targets {
            by_map.entry(&target.map).or_default().push(change);
        }
    }
    let is_own = |change: &Change<'_>| {
        let folded = |text: &str| text.replace('.', "_");
        change.targets.len() == 1
            && folded(change.spelling).ends_with(&folded(&change.targets[0].map))
    };
    let mut dropped = Vec::new();
    for (map, several) in by_map.into_iter().filter(|(_, several)| several.len() > 1) {
        let own: Vec<_> = several.iter().filter(|change| is_own(change)).collect();
        let [_] = own[..] else {
            let [first, second] = [several[0], several[1]].map(|c| c.spelling.to_owned());
            let (file, map) = (file.label.clone(), map.to_owned());
            return Err(AdapterError::Twice { file, map, first, second });
        };
        dropped.extend(several.iter().filter(|c| !is_own(c)).map(|c| c.spelling.to_owned()));
    }
    let kept = |change: &Change<'_>| !dropped.iter().any(|spelling| spelling == change.spelling);
    Ok(changes.into_iter().filter(kept).collect())
}

fn config_beside(path: &Path) -> Option<PeftConfig> {
    let file = path.with_file_name(CONFIG);
    let file =
        open_regular(&file, CONFIG.to_owned()).ok().filter(|file| file.len <= CONFIG_LIMIT)?;
    let mut bytes = vec![0; file.len as usize];
    file.read_exact_at(&mut bytes, 0).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// One map's delta under construction.
struct Builder<'a> {
    file: &'a DataFile,
    scales: &'a Scales,
    change: &'a Change<'a>,
    /// Which of the spelling's maps.
    place: usize,
    target: &'a Target,
}

impl Builder<'_> {
    fn delta(&self) -> Result<MapDelta, AdapterError> {
        for (part, stored) in self.change.parts {
            if !matches!(stored.encoding, Encoding::Plain(_)) {
                return Err(self.unsupported(format!(
                    "{} of type {}",
                    part.name(),
                    stored.encoding
                )));
            }
        }
        if self.change.parts.contains_key(&Part::Other) {
            return Err(self.unsupported("a Tucker decomposition, OFT, GLoRA or IA3".to_owned()));
        }
        let form = self.form()?;
        let bias = match (self.part(Part::Bias), self.part(Part::UpBias), &form) {
            (Some(bias), ..) => Some((self.of_rows(bias, Part::Bias)?, 1.0)),
            (None, Some(bias), Some(DeltaForm::LowRank { scale, .. })) => {
                Some((self.of_rows(bias, Part::UpBias)?, *scale))
            }
            (None, Some(_), _) => return Err(self.incomplete(Part::UpBias, Part::Up)),
            (None, None, _) => None,
        };
        let magnitude = match self.part(Part::Magnitude) {
            // Columns are those of all rows.
            Some(norms) if norms.shape == [1, self.inputs()] => Some(norms.clone()),
            norms => norms.map(|norms| self.of_rows(norms, Part::Magnitude)).transpose()?,
        };
        Ok(MapDelta {
            component: self.target.component,
            map: self.target.map.clone(),
            shape: self.target.shape,
            form,
            magnitude,
            bias,
        })
    }

    fn form(&self) -> Result<Option<DeltaForm>, AdapterError> {
        if let Some((down, up)) = self.pair(Part::Down, Part::Up)? {
            return self.low_rank(down, up).map(Some);
        }
        if let Some((w1a, w1b)) = self.pair(Part::HadamardW1A, Part::HadamardW1B)? {
            let w2a = self.needed(Part::HadamardW2A, Part::HadamardW1A)?;
            let w2b = self.needed(Part::HadamardW2B, Part::HadamardW1A)?;
            let (w1a, w2a) =
                (self.of_rows(w1a, Part::HadamardW1A)?, self.of_rows(w2a, Part::HadamardW2A)?);
            self.fits(Part::HadamardW1B, w1b, [columns(&w1a), self.inputs()])?;
            self.fits(Part::HadamardW2B, w2b, [columns(&w2a), self.inputs()])?;
            let scale = self.scale(Some(rows(w1b)))?;
            let (w1b, w2b) = (w1b.clone(), w2b.clone());
            return Ok(Some(DeltaForm::Hadamard { w1a, w1b, w2a, w2b, scale }));
        }
        let w1 = self.factor([Part::KroneckerW1, Part::KroneckerW1A, Part::KroneckerW1B])?;
        let w2 = self.factor([Part::KroneckerW2, Part::KroneckerW2A, Part::KroneckerW2B])?;
        match (w1, w2) {
            (Some(w1), Some(w2)) => self.kronecker(w1, w2).map(Some),
            (Some(_), None) => Err(self.incomplete(Part::KroneckerW1, Part::KroneckerW2)),
            (None, Some(_)) => Err(self.incomplete(Part::KroneckerW2, Part::KroneckerW1)),
            (None, None) => match self.part(Part::Difference) {
                Some(whole) => {
                    let whole = self.of_rows(whole, Part::Difference)?;
                    self.fits(Part::Difference, &whole, self.target.shape)?;
                    Ok(Some(DeltaForm::Dense(whole)))
                }
                // A magnitude alone scales rows, a bias alone is added.
                None if self.has_bias_or_norms() => Ok(None),
                None => Err(self.incomplete(Part::Alpha, Part::Down)),
            },
        }
    }

    /// LoRA; of a fused map with one product for all of its rows, or with one for each of its parts.
    fn low_rank(&self, down: &StoredTensor, up: &StoredTensor) -> Result<DeltaForm, AdapterError> {
        let up = self.of_rows(up, Part::Up)?;
        let (rank, all) = (columns(&up), self.change.targets.len() as i64);
        let down = if all > 1 && rows(down) == all * rank {
            let place = self.place as i64;
            down.narrow_rows(place * rank..(place + 1) * rank)?
        } else {
            down.clone()
        };
        self.fits(Part::Down, &down, [rank, self.inputs()])?;
        let scale = self.scale(Some(rank))?;
        Ok(DeltaForm::LowRank { down, up, scale })
    }

    /// LoKr; of a fused map, rows of the first factor.
    fn kronecker(&self, w1: Factor, w2: Factor) -> Result<DeltaForm, AdapterError> {
        let rank = w2.rank().or_else(|| w1.rank());
        let all = self.change.targets.len() as i64;
        let share = w1.shape()[0] / all;
        let part = |matrix: &StoredTensor| {
            let place = self.place as i64;
            matrix.narrow_rows(place * share..(place + 1) * share)
        };
        let w1 = match w1 {
            w1 if all == 1 => w1,
            Factor::Whole(matrix) => Factor::Whole(part(&matrix)?),
            Factor::Product(left, right) => Factor::Product(part(&left)?, right),
        };
        let ([a, b], [c, d]) = (w1.shape(), w2.shape());
        let [outputs, inputs] = self.target.shape;
        if a * c != outputs || b * d != inputs {
            return Err(AdapterError::Shape {
                file: self.file.label.clone(),
                map: self.change.spelling.to_owned(),
                part: "lokr_w2",
                found: vec![c, d],
                expected: format!("{outputs} x {inputs} by the {a} x {b} of lokr_w1"),
            });
        }
        let scale = self.scale(rank)?;
        Ok(DeltaForm::Kronecker { w1, w2, scale })
    }

    fn factor(&self, [whole, left, right]: [Part; 3]) -> Result<Option<Factor>, AdapterError> {
        if let Some(whole) = self.part(whole) {
            return Ok(Some(Factor::Whole(whole.clone())));
        }
        let Some((a, b)) = self.pair(left, right)? else { return Ok(None) };
        self.fits(right, b, [columns(a), columns(b)])?;
        Ok(Some(Factor::Product(a.clone(), b.clone())))
    }

    fn has_bias_or_norms(&self) -> bool {
        [Part::Bias, Part::UpBias, Part::Magnitude].iter().any(|part| self.part(*part).is_some())
    }

    fn inputs(&self) -> i64 {
        self.target.shape[1]
    }

    fn part(&self, part: Part) -> Option<&StoredTensor> {
        self.change.parts.get(&part)
    }

    /// Two parts that belong together; none if neither is there.
    fn pair(
        &self,
        first: Part,
        second: Part,
    ) -> Result<Option<(&StoredTensor, &StoredTensor)>, AdapterError> {
        match (self.part(first), self.part(second)) {
            (Some(first), Some(second)) => Ok(Some((first, second))),
            (Some(_), None) => Err(self.incomplete(first, second)),
            (None, Some(_)) => Err(self.incomplete(second, first)),
            (None, None) => Ok(None),
        }
    }

    fn needed(&self, part: Part, beside: Part) -> Result<&StoredTensor, AdapterError> {
        self.part(part).ok_or_else(|| self.incomplete(beside, part))
    }

    /// The rows of this map in a part that has those of all maps of the spelling.
    fn of_rows(&self, stored: &StoredTensor, part: Part) -> Result<StoredTensor, AdapterError> {
        let outputs = |target: &Target| target.shape[0];
        let all: i64 = self.change.targets.iter().map(outputs).sum();
        let first: i64 = self.change.targets[..self.place].iter().map(outputs).sum();
        if rows(stored) != all {
            return Err(self.misshapen(part, stored, format!("{all} rows")));
        }
        Ok(stored.narrow_rows(first..first + self.target.shape[0])?)
    }

    fn fits(
        &self,
        part: Part,
        stored: &StoredTensor,
        [height, width]: [i64; 2],
    ) -> Result<(), AdapterError> {
        if (rows(stored), columns(stored)) == (height, width) && height > 0 {
            return Ok(());
        }
        Err(self.misshapen(part, stored, format!("{height} x {width}")))
    }

    fn scale(&self, rank: Option<i64>) -> Result<f64, AdapterError> {
        let alpha = self.part(Part::Alpha).map(|alpha| self.number(alpha)).transpose()?;
        let scale = self.scales.of(&self.target.map, alpha, rank);
        if scale.is_finite() {
            Ok(scale)
        } else {
            Err(self.unsupported(format!("a scale of {scale}")))
        }
    }

    /// The one number of a tensor.
    fn number(&self, stored: &StoredTensor) -> Result<f64, AdapterError> {
        let mut bytes = [0; 4];
        let length = (stored.bytes as usize).min(4);
        self.file.read_exact_at(&mut bytes[..length], stored.offset)?;
        let half = u16::from_le_bytes([bytes[0], bytes[1]]);
        match stored.encoding {
            Encoding::Plain(Number::F32) => Ok(f64::from(f32::from_le_bytes(bytes))),
            Encoding::Plain(Number::Bf16) => Ok(f64::from(f32::from_bits(u32::from(half) << 16))),
            Encoding::Plain(Number::F16) => Ok(of_half(half)),
            other => Err(self.unsupported(format!("an alpha of type {other}"))),
        }
    }

    fn misshapen(&self, part: Part, stored: &StoredTensor, expected: String) -> AdapterError {
        AdapterError::Shape {
            file: self.file.label.clone(),
            map: self.change.spelling.to_owned(),
            part: part.name(),
            found: stored.shape.clone(),
            expected,
        }
    }

    fn incomplete(&self, found: Part, missing: Part) -> AdapterError {
        AdapterError::Incomplete {
            file: self.file.label.clone(),
            map: self.change.spelling.to_owned(),
            found: found.name(),
            missing: missing.name(),
        }
    }

    fn unsupported(&self, what: String) -> AdapterError {
        let (file, map) = (self.file.label.clone(), self.change.spelling.to_owned());
        AdapterError::Unsupported { file, map, what }
    }
}

/// A number of IEEE 754's half precision.
fn of_half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023) / 1024.0);
    match exponent {
        0 => sign * fraction * 2f64.powi(-14),
        31 => f64::NAN,
        _ => sign * (1.0 + fraction) * 2f64.powi(exponent - 15),
    }
}
