//! Images in the terminal of standard error: a block of cells that is redrawn in place.

mod blocks;
mod cells;
mod detect;
mod iterm2;
mod kitty;
mod sixel;
mod terminal;

use std::io::{self, IsTerminal};

use self::cells::CellArea;
use self::terminal::{ImageProtocol, ImageTerminal};
use crate::cli::{DrawOptions, GraphicsArg};
use crate::interrupt::Interrupt;
use crate::stderr;
use zimg_image::Pixels;

/// Shows images and previews.
#[derive(Debug)]
pub(crate) struct TerminalImage {
    terminal: ImageTerminal,
    show: bool,
    preview: bool,
    block: Option<Block>,
}

/// The block of cells that was written last.
#[derive(Clone, Copy, Debug)]
struct Block {
    /// The index of its image.
    image: u32,
    area: CellArea,
    /// Lines of text below it.
    below: u32,
}

impl TerminalImage {
    /// From the options; none if they request no images, or standard error is not a terminal that
    /// shows them. Queries the terminal unless the environment names it.
    pub(crate) fn choose(options: &DrawOptions, interrupt: &Interrupt) -> Option<Self> {
        let enabled = |how: Option<GraphicsArg>| how.filter(|how| *how != GraphicsArg::None);
        let (show, preview) = (enabled(options.show), enabled(options.preview));
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

    /// Shows `pixels` as the image with index `image` and the final size `size`, over its last
    /// preview.
    pub(crate) fn draw(&mut self, image: u32, size: (u32, u32), pixels: Pixels<'_>) {
        let area = self.terminal.area(size.0, size.1);
        let mut text = String::new();
        match self.block {
            Some(block) if block.area == area && (block.image == image || !self.show) => {
                text += &up(area.rows + block.below);
            }
            _ => {
                // Makes room below the cursor first, so that nothing scrolls later.
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
        stderr::show(&text);
        if let Some(block) = &mut self.block {
            block.image = image;
        }
    }

    /// A line of text was printed below. A block that scrolls off the top cannot be redrawn.
    pub(crate) fn line_came(&mut self) {
        if let Some(block) = &mut self.block {
            block.below += 1;
            if block.below + block.area.rows >= self.terminal.rows {
                self.block = None;
            }
        }
    }

    /// The image is finished: it stays, or if only previews are shown it is removed.
    pub(crate) fn finished(&mut self) {
        if self.show {
            self.block = None;
        } else if let Some(block) = self.block.take_if(|block| block.below == 0) {
            let forget = match self.terminal.protocol {
                ImageProtocol::Kitty => kitty::forget(block.image),
                _ => String::new(),
            };
            stderr::show(&format!("{forget}{}\r\x1b[J", up(block.area.rows)));
        }
    }
}

fn up(rows: u32) -> String {
    format!("\x1b[{rows}A")
}
