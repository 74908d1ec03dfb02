//! A contact sheet: several images on one, in rows.

use crate::pixels::{Pixels, scaled};

/// Pixels between images.
const GAP: u32 = 8;
/// The longest side of a sheet. More images become smaller.
const SIDE_MAX: u32 = 4096;
/// Between the images and in empty places.
const PAPER: u8 = 32;

/// A sheet that is being filled.
#[derive(Clone, Debug)]
pub struct ContactSheet {
    columns: u32,
    /// An image's width and height on the sheet.
    cell: (u32, u32),
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl ContactSheet {
    /// For `count` images of this size; as square as they let it be.
    pub fn new(count: u32, width: u32, height: u32) -> Self {
        let count = count.max(1);
        let columns = (1..=count)
            .min_by_key(|&columns| {
                let rows = count.div_ceil(columns);
                let (w, h) = (u64::from(columns * width), u64::from(rows * height));
                // The shorter the longer side the better, and then the fewer empty places.
                (w.max(h), columns * rows)
            })
            .unwrap_or(1);
        let rows = count.div_ceil(columns);
        let room = |cells: u32| (SIDE_MAX - GAP * (cells - 1)) / cells;
        let (wide, high) = (f64::from(width), f64::from(height));
        let scale = (f64::from(room(columns)) / wide).min(f64::from(room(rows)) / high).min(1.0);
        let cell = (((wide * scale) as u32).max(1), ((high * scale) as u32).max(1));
        let all = |cells: u32, side: u32| cells * side + (cells - 1) * GAP;
        let (width, height) = (all(columns, cell.0), all(rows, cell.1));
        let rgb = vec![PAPER; 3 * width as usize * height as usize];
        Self { columns, cell, width, height, rgb }
    }

    /// Puts the image with this index (from 0) in its place.
    pub fn put(&mut self, index: u32, image: Pixels<'_>) {
        let (left, top) = (
            index % self.columns * (self.cell.0 + GAP),
            index / self.columns * (self.cell.1 + GAP),
        );
        let small = scaled(image, self.cell.0, self.cell.1);
        let line = 3 * self.cell.0 as usize;
        for (y, row) in small.chunks_exact(line).enumerate() {
            let at = 3 * ((top as usize + y) * self.width as usize + left as usize);
            if let Some(place) = self.rgb.get_mut(at..at + line) {
                place.copy_from_slice(row);
            }
        }
    }

    /// What is on it.
    pub fn pixels(&self) -> Pixels<'_> {
        Pixels { width: self.width, height: self.height, rgb: &self.rgb }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(value: u8, width: u32, height: u32) -> Vec<u8> {
        vec![value; (3 * width * height) as usize]
    }

    #[test]
    fn four_are_a_square_with_each_in_its_place() {
        let mut sheet = ContactSheet::new(4, 64, 80);
        for i in 0..4 {
            let rgb = plain(100 + i as u8, 64, 80);
            sheet.put(i, Pixels { width: 64, height: 80, rgb: &rgb });
        }
        let Pixels { width, height, rgb } = sheet.pixels();
        assert_eq!((width, height), (136, 168));
        let at = |x: usize, y: usize| rgb[3 * (y * width as usize + x)];
        assert_eq!([at(0, 0), at(135, 0), at(0, 167), at(135, 167)], [100, 101, 102, 103]);
        assert_eq!([at(63, 79), at(64, 79), at(72, 88)], [100, PAPER, 103]);
    }

    #[test]
    fn many_become_smaller_and_an_empty_place_stays_empty() {
        let sheet = ContactSheet::new(256, 2048, 2048);
        assert!(sheet.width <= SIDE_MAX && sheet.height <= SIDE_MAX && sheet.width > 4000);
        let mut sheet = ContactSheet::new(3, 64, 64);
        let rgb = plain(200, 64, 64);
        (0..3).for_each(|i| sheet.put(i, Pixels { width: 64, height: 64, rgb: &rgb }));
        assert_eq!(sheet.pixels().rgb.last(), Some(&PAPER));
        for count in [1, 2, 3, 5, 7, 100, 255] {
            for (width, height) in [(2048, 64), (64, 2048), (1280, 720)] {
                let sheet = ContactSheet::new(count, width, height);
                assert!(sheet.width.max(sheet.height) <= SIDE_MAX, "{count} of {width}x{height}");
            }
        }
    }
}
