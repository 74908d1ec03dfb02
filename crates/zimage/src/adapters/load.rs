//! Loading an adapter: one read of its file, one copy to the device, and each change in the form in which it
//! is computed.

use std::collections::HashMap;

use tch::{Device, Kind, Tensor};

use super::maps::{Place, VisitedMap};
use crate::checkpoint::adapter::{Adapter, DeltaForm, Factor, MapDelta};
use crate::checkpoint::{Encoding, Number, StoredTensor};
use crate::error::{Error, Result};

/// An adapter's changes by the names of maps, on the device.
#[derive(Debug)]
pub(super) struct LoadedAdapter {
    pub(super) deltas: HashMap<String, LoadedDelta>,
    /// Bytes of its tensors.
    pub(super) bytes: usize,
}

/// The change of one map, for a weight of 1.
#[derive(Debug, Default)]
pub(super) struct LoadedDelta {
    pub(super) form: Option<LoadedForm>,
    /// What a row's factor is above 1, `[outputs]`, float32 (DoRA).
    pub(super) factors: Option<Tensor>,
    /// `[outputs]`.
    pub(super) bias: Option<Tensor>,
}

/// What is added to a weight; scales are in the factors.
#[derive(Debug)]
pub(super) enum LoadedForm {
    /// `[rank, inputs]` and `[outputs, rank]`.
    LowRank(Tensor, Tensor),
    /// `w1 ⊗ w2`.
    Kronecker(Tensor, Tensor),
    /// `[outputs, inputs]`.
    Dense(Tensor),
}

/// The bytes of an adapter's tensors on the device.
struct Bytes {
    bytes: Tensor,
    /// The offset of the first in the file.
    first: u64,
}

impl LoadedAdapter {
    /// Reads an adapter for the maps of these networks.
    pub(super) fn read(
        adapter: &Adapter,
        (maps, places): (&[VisitedMap<'_>], &HashMap<String, Place>),
        (kind, device): (Kind, Device),
    ) -> Result<Self> {
        let bytes = Bytes::read(adapter, device)?;
        let mut deltas = HashMap::new();
        for delta in &adapter.deltas {
            let place = places.get(&delta.map).ok_or_else(|| {
                Error::Internal(format!("the map {} is in no network", delta.map))
            })?;
            let loaded = bytes.delta(delta, (&maps[place.map], place), kind)?;
            deltas.insert(delta.map.clone(), loaded);
        }
        let bytes = deltas.values().flat_map(LoadedDelta::tensors).map(bytes_of).sum();
        Ok(Self { deltas, bytes })
    }
}

impl LoadedDelta {
    fn tensors(&self) -> Vec<&Tensor> {
        let form: [Option<&Tensor>; 2] = match &self.form {
            Some(LoadedForm::LowRank(a, b) | LoadedForm::Kronecker(a, b)) => [Some(a), Some(b)],
            Some(LoadedForm::Dense(all)) => [Some(all), None],
            None => [None, None],
        };
        form.into_iter().chain([self.factors.as_ref(), self.bias.as_ref()]).flatten().collect()
    }
}

fn bytes_of(tensor: &Tensor) -> usize {
    tensor.numel() * tensor.f_kind().map_or(4, |kind| kind.elt_size_in_bytes())
}

impl Bytes {
    fn read(adapter: &Adapter, device: Device) -> Result<Self> {
        let range = adapter.data();
        let mut bytes = vec![0; (range.end - range.start) as usize];
        adapter.file.read_exact_at(&mut bytes, range.start)?;
        let bytes = Tensor::f_from_data_size(&bytes, &[bytes.len() as i64], Kind::Uint8)?;
        Ok(Self { bytes: bytes.f_to_device(device)?, first: range.start })
    }

    /// A tensor of the file as a matrix, or a vector, in float32.
    fn matrix(&self, stored: &StoredTensor) -> Result<Tensor> {
        let kind = match stored.encoding {
            Encoding::Plain(Number::F32) => Kind::Float,
            Encoding::Plain(Number::Bf16) => Kind::BFloat16,
            Encoding::Plain(Number::F16) => Kind::Half,
            Encoding::Plain(Number::F8E4m3) => Kind::Float8e4m3fn,
            Encoding::Plain(Number::F8E5m2) => Kind::Float8e5m2,
            other => return Err(Error::Internal(format!("an adapter of the type {other}"))),
        };
        let begin = (stored.offset - self.first) as i64;
        let bytes = self.bytes.f_narrow(0, begin, stored.bytes as i64)?;
        // Files may have tensors at any byte.
        let bytes = if begin % 8 == 0 { bytes } else { bytes.f_detach_copy()? };
        let rows = stored.shape.first().copied().unwrap_or(1);
        Ok(bytes.f_view_dtype(kind)?.f_view([rows, -1])?.f_to_kind(Kind::Float)?)
    }

    fn factor(&self, factor: &Factor) -> Result<Tensor> {
        match factor {
            Factor::Whole(matrix) => self.matrix(matrix),
            Factor::Product(left, right) => Ok(self.matrix(left)?.f_mm(&self.matrix(right)?)?),
        }
    }

    fn delta(
        &self,
        delta: &MapDelta,
        (visited, place): (&VisitedMap<'_>, &Place),
        kind: Kind,
    ) -> Result<LoadedDelta> {
        let mut form = delta.form.as_ref().map(|form| self.form(form)).transpose()?;
        let mut factors = None;
        if let Some(norms) = &delta.magnitude {
            let norms = self.matrix(norms)?;
            let weight = visited.map.numbers()?.f_narrow(0, place.row, place.rows)?;
            let weight = weight.f_to_kind(Kind::Float)?;
            (form, factors) = weight_decomposed(&weight, form, &norms)?;
        }
        let form = form.map(|form| form.to_kind(kind)).transpose()?;
        let bias = delta.bias.as_ref().map(|(bias, scale)| {
            let bias = self.matrix(bias)?.f_flatten(0, 1)?.f_mul_scalar(*scale)?;
            Ok::<_, Error>(bias.f_to_kind(kind)?)
        });
        Ok(LoadedDelta { form, factors, bias: bias.transpose()? })
    }

    /// A form in float32.
    fn form(&self, form: &DeltaForm) -> Result<LoadedForm> {
        Ok(match form {
            DeltaForm::LowRank { down, up, scale } => {
                LoadedForm::LowRank(self.matrix(down)?, self.matrix(up)?.f_mul_scalar(*scale)?)
            }
            // A product by elements of two products is one product of all pairs of their ranks:
            // (Σ aᵢbᵢ) ∘ (Σ cⱼdⱼ) = Σ (aᵢ∘cⱼ)(bᵢ∘dⱼ).
            DeltaForm::Hadamard { w1a, w1b, w2a, w2b, scale } => {
                let [w1a, w1b] = [self.matrix(w1a)?, self.matrix(w1b)?];
                let [w2a, w2b] = [self.matrix(w2a)?, self.matrix(w2b)?];
                let up = w1a.f_unsqueeze(2)?.f_mul(&w2a.f_unsqueeze(1)?)?.f_flatten(1, 2)?;
                let down = w1b.f_unsqueeze(1)?.f_mul(&w2b.f_unsqueeze(0)?)?.f_flatten(0, 1)?;
                LoadedForm::LowRank(down, up.f_mul_scalar(*scale)?)
            }
            DeltaForm::Kronecker { w1, w2, scale } => {
                LoadedForm::Kronecker(self.factor(w1)?.f_mul_scalar(*scale)?, self.factor(w2)?)
            }
            DeltaForm::Dense(all) => LoadedForm::Dense(self.matrix(all)?),
        })
    }
}

impl LoadedForm {
    fn to_kind(&self, kind: Kind) -> Result<Self> {
        // A copy, so that nothing holds the bytes of the whole file.
        let copy = |tensor: &Tensor| -> Result<Tensor> {
            Ok(tensor.f_to_dtype(kind, false, true)?.f_contiguous()?)
        };
        Ok(match self {
            Self::LowRank(down, up) => Self::LowRank(copy(down)?, copy(up)?),
            Self::Kronecker(w1, w2) => Self::Kronecker(copy(w1)?, copy(w2)?),
            Self::Dense(all) => Self::Dense(copy(all)?),
        })
    }

    /// `[outputs, inputs]`.
    fn dense(&self) -> Result<Tensor> {
        Ok(match self {
            Self::LowRank(down, up) => up.f_mm(down)?,
            Self::Kronecker(w1, w2) => w1.f_kron(w2)?,
            Self::Dense(all) => all.f_detach_copy()?,
        })
    }
}

/// DoRA: the changed weight `W + Δ` with rows of these norms, as `g·(W + Δ)`; what is added, and `g - 1`.
///
/// Sources: peft `tuners/lora/dora.py`, LyCORIS `functional/general.py` (`weight_decompose`).
fn weight_decomposed(
    weight: &Tensor,
    form: Option<LoadedForm>,
    norms: &Tensor,
) -> Result<(Option<LoadedForm>, Option<Tensor>)> {
    let delta = match &form {
        Some(form) => form.dense()?,
        None => weight.f_zeros_like()?,
    };
    let changed = weight.f_add(&delta)?;
    let norm =
        |dim: i64| changed.f_square()?.f_sum_dim_intlist(&[dim][..], true, Kind::Float)?.f_sqrt();
    if norms.size()[0] == 1 && weight.size()[0] != 1 {
        // Norms of columns scale the inputs, which the map's own product has unscaled.
        let scaled = changed.f_mul(&norms.f_div(&norm(0)?)?)?;
        return Ok((Some(LoadedForm::Dense(scaled.f_sub(weight)?)), None));
    }
    let factors = norms.f_view([-1, 1])?.f_div(&norm(1)?)?;
    let form = match form {
        Some(LoadedForm::LowRank(down, up)) => Some(LoadedForm::LowRank(down, up.f_mul(&factors)?)),
        Some(_) => Some(LoadedForm::Dense(delta.f_mul(&factors)?)),
        None => None,
    };
    Ok((form, Some(factors.f_sub_scalar(1.0)?.f_flatten(0, 1)?)))
}
