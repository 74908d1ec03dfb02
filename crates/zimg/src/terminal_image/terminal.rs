//! A terminal that shows images: its protocol, its size, and an image as its escape sequences.

use zimg_image::{Pixels, scaled};

use super::cells::{CellArea, ColourDepth};
use super::{blocks, iterm2, kitty, sixel};

/// Rows for text above and below an image.
const LINES_LEFT: u32 = 4;

/// The protocol of images in a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImageProtocol {
    Kitty,
    Iterm2,
    Sixel,
    /// Two pixels per character, in these colours.
    Blocks(ColourDepth),
}

/// The terminal: its protocol and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImageTerminal {
    pub(crate) protocol: ImageProtocol,
    /// In cells.
    pub(crate) columns: u32,
    /// In cells.
    pub(crate) rows: u32,
    /// A cell's width and height in pixels.
    pub(crate) cell: (u32, u32),
}

impl ImageTerminal {
    /// The cells for an image of this size in pixels: no larger than it is, by the pixels that
    /// the terminal shows of it, nor than the terminal.
    pub(crate) fn area(&self, width: u32, height: u32) -> CellArea {
        let most = (self.columns.max(1), self.rows.saturating_sub(LINES_LEFT).max(1));
        let (wide, high) = (f64::from(width), f64::from(height));
        let cell = (f64::from(self.cell.0), f64::from(self.cell.1));
        let scale = (f64::from(most.0) * cell.0 / wide).min(f64::from(most.1) * cell.1 / high);
        // A half block is two pixels: an image loses less where it takes more of them.
        let blocks = matches!(self.protocol, ImageProtocol::Blocks(_));
        let scale = scale.min(if blocks { cell.0 } else { 1.0 });
        let cells =
            |side: f64, cell: f64, most: u32| ((side * scale / cell).round() as u32).clamp(1, most);
        CellArea { columns: cells(wide, cell.0, most.0), rows: cells(high, cell.1, most.1) }
    }

    /// The escape sequences of the image at the cursor, whose position afterwards is undefined.
    pub(super) fn image(&self, image: u32, area: CellArea, pixels: Pixels<'_>) -> String {
        let size = (area.columns * self.cell.0, area.rows * self.cell.1);
        // More pixels than are shown would be wasted.
        let small = |pixels: Pixels<'_>| {
            let (width, height) = (pixels.width.min(size.0), pixels.height.min(size.1));
            (width, height, scaled(pixels, width, height))
        };
        match self.protocol {
            ImageProtocol::Kitty => {
                let (width, height, rgb) = small(pixels);
                kitty::image(image, area, Pixels { width, height, rgb: &rgb })
            }
            ImageProtocol::Iterm2 => {
                let (width, height, rgb) = small(pixels);
                iterm2::image(area, Pixels { width, height, rgb: &rgb })
            }
            ImageProtocol::Sixel => {
                let (width, height, rgb) = small(pixels);
                sixel::image(size, Pixels { width, height, rgb: &rgb })
            }
            ImageProtocol::Blocks(colours) => blocks::image(area, pixels, colours),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(columns: u32, rows: u32) -> ImageTerminal {
        ImageTerminal { protocol: ImageProtocol::Kitty, columns, rows, cell: (10, 20) }
    }

    #[test]
    fn an_image_fits_and_keeps_its_shape() {
        let area = |columns, rows, width, height| {
            let CellArea { columns, rows } = terminal(columns, rows).area(width, height);
            (columns, rows)
        };
        assert_eq!(area(80, 24, 256, 256), (26, 13));
        assert_eq!(area(80, 24, 1024, 1024), (40, 20));
        assert_eq!(area(80, 24, 2048, 64), (80, 1));
        assert_eq!(area(80, 24, 64, 2048), (1, 20));
        assert_eq!(area(0, 0, 1024, 1024), (1, 1));
        let blocks = ImageProtocol::Blocks(ColourDepth::True);
        let area = |width, height| {
            let terminal = ImageTerminal { protocol: blocks, ..terminal(100, 40) };
            let CellArea { columns, rows } = terminal.area(width, height);
            (columns, rows)
        };
        assert_eq!(area(1024, 1024), (72, 36));
        assert_eq!(area(64, 64), (64, 32));
    }
}
