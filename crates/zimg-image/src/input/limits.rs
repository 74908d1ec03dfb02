//! Limits of what is decoded, and of the process that decodes.

use std::time::Duration;

/// The most pixels that are decoded: those of a telephone with 200 megapixels.
pub(super) const PIXELS_MAX: u64 = 204_000_000;
/// The most that one buffer of a decoder may have.
pub(super) const BUFFER_MAX: u64 = 2 << 30;
/// The memory that decoding may take, with the program itself.
pub(super) const MEMORY_MAX: u64 = 4 << 30;
/// How long it may compute.
pub(super) const TIME_MAX: Duration = Duration::from_secs(30);
/// How long it may take on a machine that is busy.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(300);
