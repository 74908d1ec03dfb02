//! The checksum of an arena.

use tch::{Device, Kind, Tensor};
use zimage_checkpoint::digest::sha256;

use crate::error::Result;

/// 8-byte words in one sum: 1 MiB.
const WORDS: i64 = 1 << 17;

/// The SHA-256 of the sums, modulo 2⁶⁴, of each MiB's words of 8 bytes.
///
/// It is computed on the memory's own device, at the speed of the memory. It detects any changed
/// word, memory that was never written, and exchanged MiBs; it does not detect words exchanged within
/// a MiB. `bytes` is `[bytes]`, Uint8, a multiple of 8.
pub(crate) fn checksum(bytes: &Tensor) -> Result<String> {
    let words = bytes.f_view_dtype(Kind::Int64)?;
    let all = words.size()[0];
    let whole = all - all % WORDS;
    let mut all_sums = Vec::new();
    for (begin, count, width) in [(0, whole, WORDS), (whole, all - whole, all - whole)] {
        if count == 0 {
            continue;
        }
        let rows = words.f_narrow(0, begin, count)?.f_view([count / width, width])?;
        let sums = rows.f_sum_dim_intlist(&[1i64][..], false, Kind::Int64)?;
        for sum in Vec::<i64>::try_from(sums.f_to_device(Device::Cpu)?)? {
            all_sums.extend_from_slice(&sum.to_le_bytes());
        }
    }
    Ok(sha256(&all_sums))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(bytes: i64) -> Tensor {
        Tensor::randint(256, [bytes], (Kind::Uint8, Device::Cpu))
    }

    #[test]
    fn every_bit_counts_at_every_length() {
        for bytes in [8, 256, 8 * WORDS, 8 * WORDS + 256, 24 * WORDS] {
            let memory = memory(bytes);
            let before = checksum(&memory).unwrap();
            assert_eq!(checksum(&memory.copy()).unwrap(), before);
            for at in [0, bytes / 2, bytes - 1] {
                let changed = memory.copy();
                let mut byte = changed.get(at);
                let _ = byte.bitwise_xor_tensor_(&Tensor::from(0x80u8));
                assert_ne!(checksum(&changed).unwrap(), before, "byte {at} of {bytes}");
            }
        }
    }

    #[test]
    fn exchanged_mebibytes_are_detected() {
        let memory = memory(16 * WORDS);
        let turned = memory.roll([8 * WORDS], [0]);
        assert_ne!(checksum(&memory).unwrap(), checksum(&turned).unwrap());
    }
}
