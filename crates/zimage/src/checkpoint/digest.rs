//! Digests of what is small, and sums of what is large.

use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use crate::error::Result;

/// Words of 8 bytes that have one sum: 1 MiB.
const WORDS: i64 = 1 << 17;

/// SHA-256 in hexadecimal digits.
pub(super) fn of(bytes: &[u8]) -> String {
    hexadecimal(Sha256::digest(bytes).as_slice())
}

/// The SHA-256 of the sums, modulo 2⁶⁴, of each MiB's words of 8 bytes.
///
/// It runs where the bytes lie, at the speed of their memory. One word that changed, however, is
/// found, and so is what was never written, or stands where another MiB was; words that changed
/// places within their MiB are not. `bytes` is `[bytes]`, Uint8, a multiple of 8.
pub(super) fn of_memory(bytes: &Tensor) -> Result<String> {
    let words = bytes.f_view_dtype(Kind::Int64)?;
    let all = words.size()[0];
    let whole = all - all % WORDS;
    let mut digest = Sha256::new();
    for (begin, count, width) in [(0, whole, WORDS), (whole, all - whole, all - whole)] {
        if count == 0 {
            continue;
        }
        let rows = words.f_narrow(0, begin, count)?.f_view([count / width, width])?;
        let sums = rows.f_sum_dim_intlist(&[1i64][..], false, Kind::Int64)?;
        for sum in Vec::<i64>::try_from(sums.f_to_device(Device::Cpu)?)? {
            digest.update(sum.to_le_bytes());
        }
    }
    Ok(hexadecimal(digest.finalize().as_slice()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(bytes: i64) -> Tensor {
        Tensor::randint(256, [bytes], (Kind::Uint8, Device::Cpu))
    }

    #[test]
    fn sha_256_is_that_of_the_standard() {
        // FIPS 180-4's example.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of(b"abc"), expected);
    }

    #[test]
    fn any_bit_counts_and_any_length() {
        for bytes in [8, 256, 8 * WORDS, 8 * WORDS + 256, 24 * WORDS] {
            let memory = memory(bytes);
            let before = of_memory(&memory).unwrap();
            assert_eq!(of_memory(&memory.copy()).unwrap(), before);
            for at in [0, bytes / 2, bytes - 1] {
                let changed = memory.copy();
                let mut byte = changed.get(at);
                let _ = byte.bitwise_xor_tensor_(&Tensor::from(0x80u8));
                assert_ne!(of_memory(&changed).unwrap(), before, "byte {at} of {bytes}");
            }
        }
    }

    #[test]
    fn what_lies_elsewhere_is_something_else() {
        let memory = memory(16 * WORDS);
        let turned = memory.roll([8 * WORDS], [0]);
        assert_ne!(of_memory(&memory).unwrap(), of_memory(&turned).unwrap());
    }
}
