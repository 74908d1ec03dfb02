//! Enlarging: the result of a first pass in the size of the second.

use image::imageops::FilterType;
use image::{DynamicImage, RgbImage};
use zimage::{Error, Image};

/// The pixels of an image in a larger size, by Lanczos' filter. It fills that size without distortion, and
/// what is too much is cut off on both sides: some pixels at most, as a first pass has a side that is
/// rounded up to 16.
///
/// Latents that are enlarged instead are no latents of an image, and need a strength above 0.5 to become
/// one again.
pub(crate) fn to(image: Image, (width, height): (u32, u32)) -> zimage::Result<Vec<u8>> {
    let Image { width: of_width, height: of_height, rgb } = image;
    let Some(pixels) = RgbImage::from_raw(of_width, of_height, rgb) else {
        return Err(Error::Internal(format!("an image is not {of_width}x{of_height}")));
    };
    let large = DynamicImage::ImageRgb8(pixels);
    Ok(large.resize_to_fill(width, height, FilterType::Lanczos3).into_rgb8().into_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of a colour that grows from left to right.
    fn ramp(width: u32, height: u32) -> Image {
        let rows = (0..height).flat_map(|_| (0..width).flat_map(|x| [x as u8; 3]));
        Image { width, height, rgb: rows.collect() }
    }

    #[test]
    fn it_is_enlarged_without_distortion() {
        let large = to(ramp(64, 48), (128, 96)).unwrap();
        assert_eq!(large.len(), 3 * 128 * 96);
        let row: Vec<u8> = large[..3 * 128].chunks(3).map(|pixel| pixel[0]).collect();
        assert!(row.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!((31..=32).contains(&row[64]) && row[127] >= 62, "{row:?}");
        // 48 rows are 92 of which 90 are wanted: one is cut on each side, and no column.
        assert_eq!(to(ramp(64, 48), (112, 80)).unwrap().len(), 3 * 112 * 80);
    }

    #[test]
    fn what_is_too_much_is_cut_on_both_sides() {
        let row = |size| {
            let large = to(ramp(64, 16), size).unwrap();
            let pixels: Vec<u8> = large.chunks(3).take(size.0 as usize).map(|p| p[0]).collect();
            (pixels[0], pixels[pixels.len() - 1])
        };
        let ((left, right), whole) = (row((96, 32)), row((128, 32)));
        assert!(whole.0 < 2 && whole.1 > 61, "{whole:?}");
        assert!((6..=10).contains(&left) && (53..=57).contains(&right), "{left} {right}");
    }
}
