//! Images in the terminal that standard error is: a block of cells that can be drawn over.

mod blocks;
mod detect;
mod iterm2;
mod kitty;
mod sixel;

use std::io::{self, IsTerminal, Write};

use crate::encode::{Pixels, scaled};
use crate::interrupt::Interrupt;
use crate::typed::{Graphics, Options};

/// Lines that are left for text above and below an image.
const LINES_LEFT: u32 = 4;

/// How a terminal takes images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Kitty,
    Iterm2,
    Sixel,
    /// Two pixels a character, in so many colours.
    Blocks(blocks::Colours),
}

/// The terminal: what it takes, and how large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terminal {
    pub(crate) protocol: Protocol,
    /// In cells.
    pub(crate) columns: u32,
    /// In cells.
    pub(crate) rows: u32,
    /// A cell's width and height in pixels.
    pub(crate) cell: (u32, u32),
}

/// Shows images, and what they are before they are finished.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: Terminal,
    show: bool,
    preview: bool,
    block: Option<Block>,
}

/// The block of cells that was drawn last.
#[derive(Clone, Copy, Debug)]
struct Block {
    /// Which image is in it.
    image: u32,
    area: Area,
    /// Lines of text that came below it.
    below: u32,
}

/// A block's size in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) columns: u32,
    pub(crate) rows: u32,
}

impl Screen {
    /// For what the options ask; none where they ask for nothing, or standard error is no
    /// terminal that shows it. Asks the terminal what it can, unless its environment says it.
    pub(crate) fn choose(options: &Options, interrupt: &Interrupt) -> Option<Self> {
        let wished = |how: Option<Graphics>| how.filter(|how| *how != Graphics::None);
        let (show, preview) = (wished(options.show), wished(options.preview));
        let how = show.or(preview)?;
        if !io::stderr().is_terminal() {
            return None;
        }
        let terminal = detect::terminal(how, interrupt)?;
        Some(Self { terminal, show: show.is_some(), preview: preview.is_some(), block: None })
    }

    /// Whether previews can be shown.
    pub(crate) fn previews(&self) -> bool {
        self.preview
    }

    /// Whether a finished image is shown.
    pub(crate) fn shows(&self) -> bool {
        self.show
    }

    /// Draws `pixels` as what image number `image`, which has `size` when it is finished,
    /// looks like: over what was drawn of it before.
    pub(crate) fn draw(&mut self, image: u32, size: (u32, u32), pixels: Pixels<'_>) {
        let area = self.terminal.area(size.0, size.1);
        let mut text = String::new();
        match self.block {
            Some(block) if block.area == area && (block.image == image || !self.show) => {
                text += &up(area.rows + block.below);
            }
            _ => {
                // Room below the cursor first, so that nothing scrolls while it is drawn.
                text += &"\n".repeat(area.rows as usize);
                text += &up(area.rows);
                self.block = Some(Block { image, area, below: 0 });
            }
        }
        let below = self.block.map_or(0, |block| block.below);
        text += "\r\x1b7";
        text += &self.terminal.image(image, area, pixels);
        text += "\x1b8";
        text += &format!("\x1b[{}B\r", area.rows + below);
        to_stderr(&text);
        if let Some(block) = &mut self.block {
            block.image = image;
        }
    }

    /// A line of text came below; above the top nothing can be drawn any more.
    pub(crate) fn line_came(&mut self) {
        if let Some(block) = &mut self.block {
            block.below += 1;
            if block.below + block.area.rows >= self.terminal.rows {
                self.block = None;
            }
        }
    }

    /// The image in the block is finished and stays; or, where only previews are shown, it goes
    /// with what is below it.
    pub(crate) fn finished(&mut self) {
        if self.show {
            self.block = None;
        } else if let Some(block) = self.block.take_if(|block| block.below == 0) {
            let forget = match self.terminal.protocol {
                Protocol::Kitty => kitty::forget(block.image),
                _ => String::new(),
            };
            to_stderr(&format!("{forget}{}\r\x1b[J", up(block.area.rows)));
        }
    }
}

fn up(rows: u32) -> String {
    format!("\x1b[{rows}A")
}

impl Terminal {
    /// The cells for an image of this size in pixels: no larger than it is, by the pixels that
    /// the terminal shows of it, nor than the terminal.
    pub(crate) fn area(&self, width: u32, height: u32) -> Area {
        let most = (self.columns.max(1), self.rows.saturating_sub(LINES_LEFT).max(1));
        let (wide, high) = (f64::from(width), f64::from(height));
        let cell = (f64::from(self.cell.0), f64::from(self.cell.1));
        let scale = (f64::from(most.0) * cell.0 / wide).min(f64::from(most.1) * cell.1 / high);
        // A half block is two pixels: an image loses less where it takes more of them.
        let blocks = matches!(self.protocol, Protocol::Blocks(_));
        let scale = scale.min(if blocks { cell.0 } else { 1.0 });
        let cells =
            |side: f64, cell: f64, most: u32| ((side * scale / cell).round() as u32).clamp(1, most);
        Area { columns: cells(wide, cell.0, most.0), rows: cells(high, cell.1, most.1) }
    }

    /// What draws the image from the cursor on, which may end anywhere.
    fn image(&self, image: u32, area: Area, pixels: Pixels<'_>) -> String {
        let size = (area.columns * self.cell.0, area.rows * self.cell.1);
        // Nothing is gained by sending more pixels than are shown.
        let small = |pixels: Pixels<'_>| {
            let (width, height) = (pixels.width.min(size.0), pixels.height.min(size.1));
            (width, height, scaled(pixels, width, height))
        };
        match self.protocol {
            Protocol::Kitty => {
                let (width, height, rgb) = small(pixels);
                kitty::image(image, area, Pixels { width, height, rgb: &rgb })
            }
            Protocol::Iterm2 => {
                let (width, height, rgb) = small(pixels);
                iterm2::image(area, Pixels { width, height, rgb: &rgb })
            }
            Protocol::Sixel => {
                let (width, height, rgb) = small(pixels);
                sixel::image(size, Pixels { width, height, rgb: &rgb })
            }
            Protocol::Blocks(colours) => blocks::image(area, pixels, colours),
        }
    }
}

/// An image that cannot be shown is no reason to stop drawing.
fn to_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(columns: u32, rows: u32) -> Terminal {
        Terminal { protocol: Protocol::Kitty, columns, rows, cell: (10, 20) }
    }

    #[test]
    fn an_image_fits_and_keeps_its_shape() {
        let area = |columns, rows, width, height| {
            let Area { columns, rows } = terminal(columns, rows).area(width, height);
            (columns, rows)
        };
        assert_eq!(area(80, 24, 256, 256), (26, 13));
        assert_eq!(area(80, 24, 1024, 1024), (40, 20));
        assert_eq!(area(80, 24, 2048, 64), (80, 1));
        assert_eq!(area(80, 24, 64, 2048), (1, 20));
        assert_eq!(area(0, 0, 1024, 1024), (1, 1));
        let blocks = Protocol::Blocks(blocks::Colours::True);
        let area = |width, height| {
            let terminal = Terminal { protocol: blocks, ..terminal(100, 40) };
            let Area { columns, rows } = terminal.area(width, height);
            (columns, rows)
        };
        assert_eq!(area(1024, 1024), (72, 36));
        assert_eq!(area(64, 64), (64, 32));
    }
}
