//! Rotation by a Hadamard matrix that is a Kronecker power of comfy-kitchen's 4 × 4 one.
//!
//! `[[1, 1, 1, -1], [1, 1, -1, 1], [1, -1, 1, 1], [-1, 1, 1, 1]]`, divided by its square root of 4, is
//! its own inverse, and so are its powers (`_build_hadamard` of comfy-kitchen 0.2.40). The numbers
//! are small integers, so sums are exact in any order, and a GPU finds the same.

use std::ops::{Add, Sub};

/// Rotates each group of `size` numbers, a power of 4, without the division by its square root.
pub(crate) fn rotate<T: Copy + Add<Output = T> + Sub<Output = T>>(values: &mut [T], size: usize) {
    let mut step = 1;
    while step < size {
        for group in values.chunks_exact_mut(4 * step) {
            let (a, rest) = group.split_at_mut(step);
            let (b, rest) = rest.split_at_mut(step);
            let (c, d) = rest.split_at_mut(step);
            for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
                let sum = *a + *b + *c + *d;
                let without = |x: T| sum - (x + x);
                (*a, *b, *c, *d) = (without(*d), without(*c), without(*b), without(*a));
            }
        }
        step *= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the matrix has a −1 there.
    fn is_negative(mut row: usize, mut column: usize) -> bool {
        let mut negative = false;
        while row + column > 0 {
            negative ^= row % 4 + column % 4 == 3;
            (row, column) = (row / 4, column / 4);
        }
        negative
    }

    #[test]
    fn a_rotation_is_the_product_with_the_matrix_and_its_own_inverse() {
        for size in [4, 16, 64, 256] {
            let before: Vec<i32> = (0..2 * size as i32).map(|i| (i * 7919) % 255 - 127).collect();
            let mut after = before.clone();
            rotate(&mut after, size);
            for (group, column) in [(0, 0), (0, size - 1), (1, 1), (1, size / 2 + 1)] {
                let signed = |(row, &x): (usize, &i32)| {
                    // 4-digits with leading zeros: each (0, 0) has a 1.
                    if is_negative(row, column) { -x } else { x }
                };
                let sum: i32 = before[group * size..][..size].iter().enumerate().map(signed).sum();
                assert_eq!(after[group * size + column], sum, "{size}");
            }
            rotate(&mut after, size);
            let scaled: Vec<i32> = before.iter().map(|x| x * size as i32).collect();
            assert_eq!(after, scaled);
        }
    }
}
