//! Images' pixels: a file each beside the database, which knows their sums.
//!
//! Megabytes in the database would make it slow to check and keep it large; a file's room is free
//! at once. A file has its name only when all of it is on the disk, and the database speaks of it
//! only then; what it does not speak of is swept away.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zimg_protocol::messages::JobId;

use super::record::StoredImage;
use super::trouble::Trouble;

const SUFFIX: &str = ".rgb";
/// Bytes that are looked at at a time.
const PIECE: usize = 256 << 10;
const UNFINISHED: &str = ".rgb.new";

/// The folder of pixels.
#[derive(Debug)]
pub(super) struct Images(PathBuf);

impl Images {
    /// The folder, made if need be.
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        super::sync_folder_of(&folder)?;
        Ok(Self(folder))
    }

    /// Puts an image's pixels on the disk.
    pub(super) fn write(&self, job: JobId, index: u32, pixels: &[u8]) -> io::Result<()> {
        let unfinished = self.0.join(format!("{job}-{index}{UNFINISHED}"));
        let written = fill(&unfinished, pixels)
            .and_then(|()| fs::rename(&unfinished, self.path(job, index)))
            .and_then(|()| File::open(&self.0)?.sync_all());
        if written.is_err() {
            // On a full disk the part that was written is in the way.
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// Whether there is room for so many bytes now, and for what is then done.
    pub(super) fn probe(
        &self,
        bytes: u64,
        then: impl FnOnce() -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        // No job has the number 0.
        let probe = self.0.join(format!("0-0{UNFINISHED}"));
        let pixels = vec![0; usize::try_from(bytes).unwrap_or(PIECE)];
        let done = fill(&probe, &pixels).map_err(Trouble::Io).and_then(|()| then());
        let _ = fs::remove_file(&probe);
        done
    }

    /// Whether an image's pixels are as they were written.
    pub(super) fn check(&self, job: JobId, kept: &StoredImage) -> Result<(), Trouble> {
        let mut file = self.file(job, kept)?;
        let mut sum = crc32fast::Hasher::new();
        let mut bytes = 0;
        let mut piece = vec![0; PIECE];
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            bytes += read as u64;
            sum.update(&piece[..read]);
        }
        match bytes == kept.image.bytes && sum.finalize() == kept.crc {
            true => Ok(()),
            false => Err(changed(job, kept)),
        }
    }

    /// At most `most` bytes of an image's pixels from `offset` on.
    pub(super) fn read(
        &self,
        job: JobId,
        kept: &StoredImage,
        offset: u64,
        most: usize,
    ) -> Result<Vec<u8>, Trouble> {
        let left = kept.image.bytes.saturating_sub(offset);
        let mut pixels = vec![0; usize::try_from(left).unwrap_or(most).min(most)];
        match self.file(job, kept)?.read_exact_at(&mut pixels, offset) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(changed(job, kept)),
            other => Ok(other.map(|()| pixels)?),
        }
    }

    fn file(&self, job: JobId, kept: &StoredImage) -> Result<File, Trouble> {
        let index = kept.image.index;
        File::open(self.path(job, index)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Trouble::Damaged(format!("image {index} of job {job} is gone")),
            _ => error.into(),
        })
    }

    /// Removes a job's images from this index on.
    pub(super) fn remove(&self, job: JobId, indices: std::ops::Range<u32>) -> io::Result<()> {
        for index in indices {
            match fs::remove_file(self.path(job, index)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes what no job speaks of. Files that are not named as ours are left alone.
    pub(super) fn sweep(&self, known: &HashSet<(JobId, u32)>) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            let stale = match (named(name, SUFFIX), named(name, UNFINISHED)) {
                (Some(image), _) => !known.contains(&image),
                (None, unfinished) => unfinished.is_some(),
            };
            if stale {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn path(&self, job: JobId, index: u32) -> PathBuf {
        self.0.join(format!("{job}-{index}{SUFFIX}"))
    }
}

fn changed(job: JobId, kept: &StoredImage) -> Trouble {
    Trouble::Damaged(format!("image {} of job {job} has changed", kept.image.index))
}

fn fill(path: &Path, pixels: &[u8]) -> io::Result<()> {
    let mut file =
        File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(pixels)?;
    file.sync_all()
}

/// The job and index in a name with this suffix.
fn named(name: &str, suffix: &str) -> Option<(JobId, u32)> {
    let (job, index) = name.strip_suffix(suffix)?.split_once('-')?;
    Some((job.parse().ok()?, index.parse().ok()?))
}
