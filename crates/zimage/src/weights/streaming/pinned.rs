//! Pinned files: blocks are copied by the GPU from the page cache itself, whose pages are locked.
//!
//! For blocks that the device has as the file has them: no thread reads, and the link has its full
//! speed, 55 GB/s where reader threads reach 49. Locked pages are not free for other programs, so it
//! is done only on request.

use std::sync::Arc;

use tch::{Device, Kind};
use zimage_checkpoint::DataFile;
use zimage_cuda::{CopyStream, Event, MappedFile};

use super::slots::Slots;
use crate::error::{Error, Result};
use crate::weights::arena::ArenaAddress;
use crate::weights::reader::Read;

/// The files, and the stream that copies from them.
#[derive(Debug)]
pub(super) struct PinnedFiles {
    // Before the files that it copies from.
    stream: CopyStream,
    files: Vec<(Arc<DataFile>, MappedFile)>,
    /// One for each slot.
    copied: Vec<Arc<Event>>,
}

impl PinnedFiles {
    /// Pins the files of these reads; none on a CPU, or if a read is not a plain copy of a file on
    /// disk.
    ///
    /// # Errors
    /// When the driver refuses to pin as much.
    pub(super) fn new<'a>(
        device: Device,
        reads: impl Iterator<Item = &'a Read>,
        slots: &Slots,
    ) -> Result<Option<Self>> {
        let Device::Cuda(ordinal) = device else { return Ok(None) };
        let mut files: Vec<(Arc<DataFile>, MappedFile)> = Vec::new();
        for read in reads {
            let Some(descriptor) = read.file.descriptor().filter(|_| read.is_copy()) else {
                return Ok(None);
            };
            if !files.iter().any(|(file, _)| Arc::ptr_eq(file, &read.file)) {
                let mapped = MappedFile::new(ordinal, descriptor, read.file.len as usize)?;
                files.push((Arc::clone(&read.file), mapped));
            }
        }
        let event = |_| Ok::<_, Error>(Arc::new(Event::new(ordinal)?));
        let copied = (0..slots.count()).map(event).collect::<Result<_>>()?;
        Ok(Some(Self { stream: CopyStream::new(ordinal)?, files, copied }))
    }

    /// Starts to copy a block to a slot, once that is released. The result is the end of the copies.
    ///
    /// # Errors
    /// When the GPU fails.
    pub(super) fn copy(
        &self,
        reads: &[(usize, Read)],
        slot: usize,
        slots: &Slots,
    ) -> Result<Arc<Event>> {
        let fault = || Error::Internal("a streamed block is not pinned".to_owned());
        let copied = self.copied.get(slot).ok_or_else(fault)?;
        self.stream.hold(slots.released().get(slot).ok_or_else(fault)?)?;
        for (offset, read) in reads {
            let file = self.files.iter().find(|(file, _)| Arc::ptr_eq(file, &read.file));
            let (_, file) = file.ok_or_else(fault)?;
            let ArenaAddress::Cuda(to, at) = slots.address(slot, *offset) else {
                return Err(fault());
            };
            let bytes = read.stored.bytes as usize;
            self.stream.copy((file, read.stored.offset), bytes, (&to, at))?;
        }
        self.stream.record(copied)?;
        Ok(Arc::clone(copied))
    }
}

impl Read {
    /// Whether it copies the bytes that the file has.
    fn is_copy(&self) -> bool {
        let has_kind = crate::weights::cast::kind_of(self.stored.encoding) == Some(self.to);
        self.int8.is_none() && (self.to == Kind::Uint8 || has_kind)
    }
}
