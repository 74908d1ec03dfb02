//! Entry points for fuzzing: not stable.

use crate::batch::BatchItem;

/// Parses a line of a batch; whether it is valid.
pub fn read_line(line: &str) -> bool {
    BatchItem::of(line).is_ok()
}
