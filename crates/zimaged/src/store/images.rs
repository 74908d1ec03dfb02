//! Image files: the pixels of each stored image and of each image that a stored request has, beside
//! the database that has their checksums.
//!
//! Pixels in the database would make it slow to verify and would keep it large; a file's space is
//! free at once. A file is renamed into place only when it is on the disk, and the database refers
//! to it only then. Files that it does not refer to are removed.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zimg_protocol::limits::IMAGES_MAX;
use zimg_protocol::messages::JobId;

use super::error::{Damage, StoreError};
use super::record::StoredImage;
use super::sync::{sync, sync_parent};

const SUFFIX: &str = ".rgb";
/// Of the images that a request has.
const INPUT_SUFFIX: &str = ".input";
/// Bytes that are read at a time.
const PIECE: usize = 256 << 10;
const TEMPORARY_SUFFIX: &str = ".rgb.new";
const TEMPORARY_INPUT_SUFFIX: &str = ".input.new";

/// The directory of image files.
#[derive(Debug)]
pub(super) struct ImageFiles(PathBuf);

impl ImageFiles {
    /// Opens the directory, or creates it.
    pub(super) fn open(directory: PathBuf) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        sync_parent(&directory)?;
        Ok(Self(directory))
    }

    /// Writes an image's pixels to the disk.
    pub(super) fn write(&self, job: JobId, index: u32, pixels: &[u8]) -> io::Result<()> {
        let temporary = self.0.join(format!("{job}-{index}{TEMPORARY_SUFFIX}"));
        let written = write_file(&temporary, pixels)
            .and_then(|()| fs::rename(&temporary, self.path(job, index)))
            .and_then(|()| sync(&File::open(&self.0)?));
        if written.is_err() {
            // The part that was written would only take space on a full disk.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Writes the images of a request to the disk, all or none.
    pub(super) fn write_inputs<B: AsRef<[u8]>>(&self, job: JobId, images: &[B]) -> io::Result<()> {
        let written = (0..).zip(images).try_for_each(|(index, pixels)| {
            let temporary = self.0.join(format!("{job}-{index}{TEMPORARY_INPUT_SUFFIX}"));
            write_file(&temporary, pixels.as_ref())
                .and_then(|()| fs::rename(&temporary, self.input_path(job, index)))
                .inspect_err(|_| {
                    let _ = fs::remove_file(&temporary);
                })
        });
        let written = match images {
            [] => Ok(()),
            _ => written.and_then(|()| sync(&File::open(&self.0)?)),
        };
        if written.is_err() {
            let _ = self.remove_inputs(job);
        }
        written
    }

    /// Reads the images of a request, whose lengths and checksums the record has.
    pub(super) fn read_inputs(
        &self,
        job: JobId,
        expected: impl Iterator<Item = (usize, u32)>,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let read = |(index, (bytes, crc)): (u32, (usize, u32))| {
            let mut file =
                File::open(self.input_path(job, index)).map_err(|error| match error.kind() {
                    ErrorKind::NotFound => StoreError::from(Damage::InputMissing { job, index }),
                    _ => error.into(),
                })?;
            let mut pixels = Vec::with_capacity(bytes);
            // One more than there are, so that a longer file is seen.
            (&mut file).take(bytes as u64 + 1).read_to_end(&mut pixels)?;
            if pixels.len() != bytes || crc32fast::hash(&pixels) != crc {
                return Err(Damage::InputChanged { job, index }.into());
            }
            Ok(pixels)
        };
        (0..).zip(expected).map(read).collect()
    }

    /// Removes the images of a job's request.
    pub(super) fn remove_inputs(&self, job: JobId) -> io::Result<()> {
        let indices = 0..u32::try_from(IMAGES_MAX).unwrap_or(u32::MAX);
        remove_all(indices.map(|index| self.input_path(job, index)))
    }

    /// Checks that there is space for so many bytes and, with them in place, for what `then` does.
    pub(super) fn probe(
        &self,
        bytes: u64,
        then: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        // No job has the id 0.
        let probe = self.0.join(format!("0-0{TEMPORARY_SUFFIX}"));
        let pixels = vec![0; usize::try_from(bytes).unwrap_or(PIECE)];
        let done = write_file(&probe, &pixels).map_err(StoreError::Io).and_then(|()| then());
        let _ = fs::remove_file(&probe);
        done
    }

    /// Verifies an image's length and checksum.
    pub(super) fn verify(&self, job: JobId, stored: &StoredImage) -> Result<(), StoreError> {
        let mut file = self.file(job, stored)?;
        let mut checksum = crc32fast::Hasher::new();
        let mut bytes = 0;
        let mut piece = vec![0; PIECE];
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            bytes += read as u64;
            checksum.update(&piece[..read]);
        }
        match bytes == stored.image.bytes && checksum.finalize() == stored.crc {
            true => Ok(()),
            false => Err(changed(job, stored)),
        }
    }

    /// Reads at most `most` bytes of an image's pixels from `offset` on.
    pub(super) fn read(
        &self,
        job: JobId,
        stored: &StoredImage,
        offset: u64,
        most: usize,
    ) -> Result<Vec<u8>, StoreError> {
        let left = stored.image.bytes.saturating_sub(offset);
        let mut pixels = vec![0; usize::try_from(left).unwrap_or(most).min(most)];
        match self.file(job, stored)?.read_exact_at(&mut pixels, offset) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(changed(job, stored)),
            other => Ok(other.map(|()| pixels)?),
        }
    }

    fn file(&self, job: JobId, stored: &StoredImage) -> Result<File, StoreError> {
        let index = stored.image.index;
        File::open(self.path(job, index)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Damage::ImageMissing { job, index }.into(),
            _ => error.into(),
        })
    }

    /// Removes a job's images with these indices.
    pub(super) fn remove(&self, job: JobId, indices: std::ops::Range<u32>) -> io::Result<()> {
        remove_all(indices.map(|index| self.path(job, index)))
    }

    /// Removes the image files that no record refers to: images, and images of requests. Other files
    /// are left alone.
    pub(super) fn remove_unknown(
        &self,
        images: &HashSet<(JobId, u32)>,
        inputs: &HashSet<(JobId, u32)>,
    ) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            let unknown = |suffix, known: &HashSet<_>| {
                parse_name(name, suffix).is_some_and(|image| !known.contains(&image))
            };
            let temporary = |suffix| parse_name(name, suffix).is_some();
            if unknown(SUFFIX, images)
                || unknown(INPUT_SUFFIX, inputs)
                || temporary(TEMPORARY_SUFFIX)
                || temporary(TEMPORARY_INPUT_SUFFIX)
            {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn path(&self, job: JobId, index: u32) -> PathBuf {
        self.0.join(format!("{job}-{index}{SUFFIX}"))
    }

    fn input_path(&self, job: JobId, index: u32) -> PathBuf {
        self.0.join(format!("{job}-{index}{INPUT_SUFFIX}"))
    }
}

/// Removes files, as far as they are there.
fn remove_all(paths: impl Iterator<Item = PathBuf>) -> io::Result<()> {
    for path in paths {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn changed(job: JobId, stored: &StoredImage) -> StoreError {
    Damage::ImageChanged { job, index: stored.image.index }.into()
}

fn write_file(path: &Path, pixels: &[u8]) -> io::Result<()> {
    let mut file =
        File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(pixels)?;
    sync(&file)
}

/// The job id and image index in a file name with this suffix.
fn parse_name(name: &str, suffix: &str) -> Option<(JobId, u32)> {
    let (job, index) = name.strip_suffix(suffix)?.split_once('-')?;
    Some((job.parse().ok()?, index.parse().ok()?))
}
