//! Colours where an image has none: around it, and in its transparent parts.

use image::RgbaImage;

use super::geometry::Area;

/// Red, green and blue times alpha, and alpha.
type Weighted = [f32; 4];

/// One step of a pyramid of ever smaller images.
struct Level {
    width: usize,
    height: usize,
    pixels: Vec<Weighted>,
}

/// The image without alpha: white behind its transparent parts, if that is asked for.
pub(super) fn whitened(canvas: &mut RgbaImage, at: Area) {
    for y in at.y..at.y + at.height {
        for x in at.x..at.x + at.width {
            let pixel = canvas.get_pixel_mut(x, y);
            let alpha = u32::from(pixel.0[3]);
            for value in &mut pixel.0[..3] {
                *value = ((u32::from(*value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
            }
            pixel.0[3] = 255;
        }
    }
}

/// The colours of all pixels; transparent ones have those around them, softly.
///
/// Averages of ever larger squares are filled in from the largest to the smallest (push-pull: Gortler
/// and others, The Lumigraph, 1996).
pub(super) fn filled(canvas: &RgbaImage) -> Vec<u8> {
    if canvas.pixels().all(|pixel| pixel.0[3] == 255) {
        return canvas.pixels().flat_map(|pixel| [pixel.0[0], pixel.0[1], pixel.0[2]]).collect();
    }
    let mut levels = vec![Level::of(canvas)];
    while let Some(last) = levels.last().filter(|last| last.width * last.height > 1) {
        levels.push(last.halved());
    }
    let mut above: Option<Level> = None;
    for mut level in levels.into_iter().rev() {
        for y in 0..level.height {
            for x in 0..level.width {
                let behind = above.as_ref().map_or([127.5; 4], |above| above.sampled(x, y));
                let pixel = &mut level.pixels[y * level.width + x];
                let missing = 1.0 - pixel[3];
                (0..3).for_each(|channel| pixel[channel] += missing * behind[channel]);
            }
        }
        above = Some(level);
    }
    let pixels = above.map(|level| level.pixels).unwrap_or_default();
    pixels
        .iter()
        .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
        .map(|v| v.round() as u8)
        .collect()
}

impl Level {
    fn of(canvas: &RgbaImage) -> Self {
        let pixels = canvas.pixels().map(|pixel| {
            let [red, green, blue, alpha] = pixel.0.map(f32::from);
            let alpha = alpha / 255.0;
            [red * alpha, green * alpha, blue * alpha, alpha]
        });
        let (width, height) = (canvas.width() as usize, canvas.height() as usize);
        Self { width, height, pixels: pixels.collect() }
    }

    /// Half as large; where there is any colour, it counts in full, so that it goes outwards.
    fn halved(&self) -> Self {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let mut sum = [0.0_f32; 4];
                for row in (2 * y)..(2 * y + 2).min(self.height) {
                    for pixel in &self.pixels
                        [row * self.width + 2 * x..row * self.width + (2 * x + 2).min(self.width)]
                    {
                        sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
                    }
                }
                let scale = 1.0 / sum[3].max(1.0);
                pixels.push(sum.map(|value| value * scale));
            }
        }
        Self { width, height, pixels }
    }

    /// The colour at a pixel of the level below, between the four that are nearest.
    fn sampled(&self, x: usize, y: usize) -> Weighted {
        let axis = |at: usize, length: usize| {
            let place = ((at as f32 + 0.5) / 2.0 - 0.5).clamp(0.0, (length - 1) as f32);
            let first = place as usize;
            (first, (first + 1).min(length - 1), place - first as f32)
        };
        let ((left, right, across), (top, bottom, down)) =
            (axis(x, self.width), axis(y, self.height));
        let at = |x: usize, y: usize| self.pixels[y * self.width + x];
        let mix = |a: Weighted, b: Weighted, share: f32| -> Weighted {
            std::array::from_fn(|channel| a[channel] + (b[channel] - a[channel]) * share)
        };
        mix(
            mix(at(left, top), at(right, top), across),
            mix(at(left, bottom), at(right, bottom), across),
            down,
        )
    }
}

#[cfg(test)]
mod tests {
    use image::Rgba;

    use super::*;

    #[test]
    fn transparent_parts_have_the_colours_around_them() {
        let mut canvas = RgbaImage::from_pixel(64, 48, Rgba([200, 100, 50, 255]));
        for (x, y) in [(0, 0), (20, 20), (63, 47)] {
            canvas.put_pixel(x, y, Rgba([0, 0, 255, 0]));
        }
        let rgb = filled(&canvas);
        assert!(rgb.chunks(3).all(|pixel| pixel == [200, 100, 50]));
        let nothing = filled(&RgbaImage::new(64, 64));
        assert!(nothing.iter().all(|value| *value == 128));
        // Left red, right blue: the middle is between them.
        let mut canvas = RgbaImage::new(64, 16);
        for y in 0..16 {
            canvas.put_pixel(0, y, Rgba([255, 0, 0, 255]));
            canvas.put_pixel(63, y, Rgba([0, 0, 255, 255]));
        }
        let rgb = filled(&canvas);
        let at = |x: usize| (rgb[3 * x], rgb[3 * x + 2]);
        assert_eq!((at(0), at(63)), ((255, 0), (0, 255)));
        assert!(at(8).0 > 200 && at(55).1 > 200, "{:?} {:?}", at(8), at(55));
    }

    #[test]
    fn white_is_behind_the_image_and_not_around_it() {
        let mut canvas = RgbaImage::new(64, 64);
        canvas.put_pixel(1, 1, Rgba([0, 0, 0, 128]));
        whitened(&mut canvas, Area { x: 1, y: 1, width: 2, height: 1 });
        assert_eq!(canvas.get_pixel(1, 1).0, [127, 127, 127, 255]);
        assert_eq!(canvas.get_pixel(2, 1).0, [255; 4]);
        assert_eq!(canvas.get_pixel(0, 0).0, [0; 4]);
    }
}
