//! Casts and expansions of numbers in host memory; the rounding is libtorch's.

use tch::{Device, Kind, Tensor};
use zimage_checkpoint::{Encoding, Number, Piece};

use crate::error::{Error, Result};

/// Numbers in one call of libtorch. From 32768 on libtorch would use its own threads, but the caller
/// already is one of many.
const NUMBERS: usize = 16384;

/// The encoding of bytes that are read as they are, to a tensor of bytes.
pub(super) const BYTES: Encoding = Encoding::Plain(Number::F8E4m3);

/// The kind of plain numbers that libtorch casts.
pub(super) fn kind_of(encoding: Encoding) -> Option<Kind> {
    match encoding {
        Encoding::Plain(Number::F32) => Some(Kind::Float),
        Encoding::Plain(Number::Bf16) => Some(Kind::BFloat16),
        Encoding::Plain(Number::F16) => Some(Kind::Half),
        _ => None,
    }
}

/// The number type of a kind that weights are loaded to.
pub(super) fn number_of(kind: Kind) -> Option<Number> {
    match kind {
        Kind::Float => Some(Number::F32),
        Kind::BFloat16 => Some(Number::Bf16),
        Kind::Half => Some(Number::F16),
        _ => None,
    }
}

/// Expands a piece of a tensor, whose bytes are `from`, to `to`.
pub(super) fn expand(piece: &Piece, from: &[u8], to: &mut [u8], to_kind: Kind) -> Result<()> {
    match number_of(to_kind) {
        Some(number) if zimage_checkpoint::expand(piece, from, number, to) => Ok(()),
        _ => Err(Error::Internal(format!("a tensor in {} cannot be expanded", piece.encoding))),
    }
}

/// Casts `from` to `to`; both hold the same count of numbers.
#[expect(unsafe_code, reason = "tch has no safe tensor over borrowed memory")]
pub(super) fn cast(from: &[u8], from_kind: Kind, to: &mut [u8], to_kind: Kind) -> Result<()> {
    let (narrow, wide) = (from_kind.elt_size_in_bytes(), to_kind.elt_size_in_bytes());
    let numbers = from.len() / narrow;
    if from.len() != numbers * narrow || to.len() != numbers * wide {
        return Err(Error::Internal("source and target of a cast differ in length".to_owned()));
    }
    for (from, to) in from.chunks(NUMBERS * narrow).zip(to.chunks_mut(NUMBERS * wide)) {
        let size = [(from.len() / narrow) as i64];
        let view = |memory: *const u8, kind| {
            // SAFETY: the slice has as many numbers, any bytes are numbers of these kinds, and the
            // tensor ends before the slice does.
            unsafe { Tensor::f_from_blob(memory, &size, &[1], kind, Device::Cpu) }
        };
        // The pointer that is written through comes from the exclusive borrow.
        let mut target = view(to.as_mut_ptr(), to_kind)?;
        target.f_copy_(&view(from.as_ptr(), from_kind)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use zimage_checkpoint::StoredTensor;

    use super::*;

    const KINDS: [Kind; 3] = [Kind::Float, Kind::BFloat16, Kind::Half];

    /// All 65536 halves, or floats of as many patterns: ties, NaN, infinities, subnormals.
    fn patterns(kind: Kind) -> Vec<u8> {
        match kind {
            Kind::Float => (0..=u16::MAX)
                .flat_map(|high| {
                    [0u32, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x1000, 0x3000]
                        .map(|low| u32::from(high) << 16 | low)
                })
                .flat_map(u32::to_le_bytes)
                .collect(),
            _ => (0..=u16::MAX).flat_map(u16::to_le_bytes).collect(),
        }
    }

    fn bits(tensor: &Tensor) -> Vec<i64> {
        let whole = if tensor.kind() == Kind::Float { Kind::Int } else { Kind::Int16 };
        Vec::try_from(tensor.view_dtype(whole).to_kind(Kind::Int64)).unwrap()
    }

    #[test]
    fn every_pair_is_libtorchs_cast_to_the_bit() {
        for from in KINDS {
            let bytes = patterns(from);
            let numbers = bytes.len() / from.elt_size_in_bytes();
            let stored = Tensor::from_data_size(&bytes, &[numbers as i64], from);
            for to in KINDS {
                let mut ours = vec![0; numbers * to.elt_size_in_bytes()];
                cast(&bytes, from, &mut ours, to).unwrap();
                let ours = Tensor::from_data_size(&ours, &[numbers as i64], to);
                assert!(bits(&ours) == bits(&stored.to_kind(to)), "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn expansion_rounds_as_libtorch() {
        let bytes = patterns(Kind::Float);
        let numbers = (bytes.len() / 4) as i64;
        let stored = StoredTensor {
            encoding: Encoding::Plain(Number::F32),
            shape: vec![numbers],
            offset: 0,
            bytes: bytes.len() as u64,
            first_row: 0,
            companions: Vec::new(),
        };
        let stored_tensor = Tensor::from_data_size(&bytes, &[numbers], Kind::Float);
        // NaN aside, of which libtorch has several.
        let is_number = stored_tensor.isnan().logical_not();
        for to in KINDS {
            let mut ours = vec![0; numbers as usize * to.elt_size_in_bytes()];
            expand(&stored.piece().unwrap(), &bytes, &mut ours, to).unwrap();
            let ours = Tensor::from_data_size(&ours, &[numbers], to);
            let wanted = stored_tensor.to_kind(to);
            let equal = ours.masked_select(&is_number);
            assert!(bits(&equal) == bits(&wanted.masked_select(&is_number)), "to {to:?}");
        }
    }

    #[test]
    fn lengths_that_differ_are_refused() {
        assert!(cast(&[0; 8], Kind::Float, &mut [0; 6], Kind::Half).is_err());
        assert!(cast(&[0; 7], Kind::Float, &mut [0; 2], Kind::Half).is_err());
    }
}
