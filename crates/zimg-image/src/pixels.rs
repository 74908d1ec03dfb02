//! Borrowed pixels: 8-bit RGB of a width and a height, and scaling.

use crate::error::Error;

/// 8-bit RGB, rows from the top without padding: `rgb` has 3 · width · height bytes.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Red, green and blue of each pixel.
    pub rgb: &'a [u8],
}

impl Pixels<'_> {
    /// Checks that there are as many bytes as width and height say, and that neither is 0.
    ///
    /// # Errors
    ///
    /// [`Error::PixelCount`].
    pub fn check(&self) -> Result<(), Error> {
        let Self { width, height, rgb } = *self;
        let expected = 3 * u128::from(width) * u128::from(height);
        if expected == 0 || rgb.len() as u128 != expected {
            return Err(Error::PixelCount { width, height, bytes: rgb.len() });
        }
        Ok(())
    }
}

/// The image at another size: each pixel is the mean of what it covers.
pub fn scaled(image: Pixels<'_>, width: u32, height: u32) -> Vec<u8> {
    if (width, height) == (image.width, image.height) {
        return image.rgb.to_vec();
    }
    let span = |i: u32, of: u32, all: u32| {
        let from = (u64::from(i) * u64::from(all) / u64::from(of)) as usize;
        let to = (u64::from(i + 1) * u64::from(all)).div_ceil(u64::from(of)) as usize;
        from..to.max(from + 1)
    };
    let mut rgb = Vec::with_capacity(3 * width as usize * height as usize);
    for y in 0..height {
        let rows = span(y, height, image.height);
        for x in 0..width {
            let columns = span(x, width, image.width);
            let mut sum = [0_u64; 3];
            for row in rows.clone() {
                let line = row * image.width as usize;
                let pixels = &image.rgb[3 * (line + columns.start)..3 * (line + columns.end)];
                for pixel in pixels.chunks_exact(3) {
                    sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u64::from(*value));
                }
            }
            let area = (rows.len() * columns.len()) as u64;
            rgb.extend(sum.map(|sum| ((sum + area / 2) / area) as u8));
        }
    }
    rgb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_keeps_the_mean() {
        let rgb: Vec<u8> = [0, 100].iter().flat_map(|v| [*v; 3]).cycle().take(3 * 64).collect();
        let image = Pixels { width: 8, height: 8, rgb: &rgb };
        assert_eq!(scaled(image, 4, 4), [50; 48]);
        assert_eq!(scaled(image, 16, 8).len(), 3 * 16 * 8);
        assert_eq!(scaled(image, 8, 8), rgb);
    }
}
