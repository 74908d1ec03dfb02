//! A block of character cells, and the colours that they have.

/// The size of a block in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CellArea {
    pub(crate) columns: u32,
    pub(crate) rows: u32,
}

/// The colours of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColourDepth {
    /// 24 bits.
    True,
    /// xterm's 256, of which 216 are a cube and 24 are greys.
    Palette,
}
