//! The job store: the locked directory, its database and its image files behind one type.
//!
//! Every operation blocks on the disk; the actor thread (`actor.rs`) runs them.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use zimg_protocol::messages::{ImageInfo, JobId, Started};

use super::IDS_RESERVED;
use super::database::{Database, OpenedDatabase};
use super::directory::StateDirectory;
use super::error::{Damage, StoreError};
use super::images::ImageFiles;
use super::record::{JobEnd, JobRecord, StoredImage};
use super::reserve::ReserveFile;

/// An open store.
#[derive(Debug)]
pub(crate) struct JobStore {
    directory: StateDirectory,
    database: Database,
    images: ImageFiles,
    reserve: ReserveFile,
}

/// What an opened store contains.
#[derive(Debug, Default)]
pub(crate) struct StoreContents {
    /// The jobs in the order of their ids, which is the order of acceptance.
    pub jobs: Vec<(JobId, JobRecord)>,
    /// The directory's age: the seconds that daemons have run with it.
    pub lived_s: u64,
    /// Unused job ids; none if the disk is full.
    pub numbers: Range<JobId>,
    /// What was damaged, and where the damaged files have been moved.
    pub aside: Option<(StoreError, PathBuf)>,
}

impl JobStore {
    /// Opens the store in `path`, or creates it. Damaged files are moved aside and replaced by an
    /// empty store.
    ///
    /// # Errors
    ///
    /// The system refuses it, another daemon has locked the directory, or a newer one has written
    /// it. Nothing is changed then.
    pub(crate) fn open(path: &Path, unix_s: u64) -> Result<(Self, StoreContents), StoreError> {
        let directory = StateDirectory::open(path)?;
        let mut aside = None;
        let orphaned = directory.has_orphaned_images()?;
        let opened = match directory.database().try_exists()? {
            true => Database::open(&directory.database()).map(Some),
            false if orphaned => Err(Damage::NoDatabase.into()),
            false => Ok(None),
        };
        let OpenedDatabase { database, jobs, lived_s } = match opened {
            Ok(Some(opened)) => opened,
            Err(error) if !error.is_damage() => return Err(error),
            new => {
                // With the counter lost, ids start at the seconds since 1970, which no counter
                // reaches: ids that were given out are not given out again.
                let mut first = 1;
                if let Err(error) = new {
                    aside = Some((error, directory.move_aside(unix_s)?));
                    first = unix_s.max(first);
                }
                Database::create(&directory.database(), first)?;
                Database::open(&directory.database())?
            }
        };
        let images = ImageFiles::open(directory.images())?;
        let known = |indices: fn(&JobRecord) -> Range<u32>| -> HashSet<_> {
            let of = |(job, record): &(JobId, JobRecord)| {
                let job = *job;
                indices(record).map(move |index| (job, index))
            };
            jobs.iter().flat_map(of).collect()
        };
        images.remove_unknown(&known(JobRecord::indices), &known(JobRecord::input_indices))?;
        let reserve = ReserveFile::fill(directory.reserve());
        let mut store = Self { directory, database, images, reserve };
        // On a full disk there are no new ids, but stored jobs can still be fetched.
        let numbers = store.reserve_ids(IDS_RESERVED).unwrap_or_default();
        Ok((store, StoreContents { jobs, lived_s, numbers, aside }))
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Job ids that no job has had.
    pub(crate) fn reserve_ids(&mut self, count: u32) -> Result<Range<JobId>, StoreError> {
        self.database.reserve_ids(count)
    }

    /// Stores a new job with the images of its request.
    pub(crate) fn accept(
        &mut self,
        job: JobId,
        mut record: JobRecord,
        inputs: &[Bytes],
    ) -> Result<(), StoreError> {
        self.images.write_inputs(job, inputs)?;
        record.inputs = inputs.iter().map(|pixels| crc32fast::hash(pixels)).collect();
        self.database.insert(job, &record).inspect_err(|_| {
            // The files would only take space on a full disk.
            let _ = self.images.remove_inputs(job);
        })
    }

    /// Reads the images of a job's request.
    ///
    /// # Errors
    ///
    /// [`StoreError::is_damage`] if a file differs from what was stored.
    pub(crate) fn read_inputs(
        &self,
        job: JobId,
        record: &JobRecord,
    ) -> Result<Vec<Bytes>, StoreError> {
        let bytes = record.submit.images.iter().map(|image| image.bytes().unwrap_or_default());
        let expected = bytes.zip(record.inputs.iter().copied());
        let images = self.images.read_inputs(job, expected)?;
        Ok(images.into_iter().map(Bytes::from).collect())
    }

    /// Stores the next image of a job.
    pub(crate) fn store_image(
        &mut self,
        job: JobId,
        started: &Started,
        image: &ImageInfo,
        pixels: &[u8],
    ) -> Result<StoredImage, StoreError> {
        self.images.write(job, image.index, pixels)?;
        let stored = StoredImage { image: image.clone(), crc: crc32fast::hash(pixels) };
        let updated = self.database.update(job, |record| {
            if record.images.len() < image.index as usize {
                return Err(io::Error::other("the image before it is not there").into());
            }
            record.started = Some(started.clone());
            record.images.truncate(image.index as usize);
            record.images.push(stored.clone());
            Ok(())
        });
        if updated.is_err() {
            // The file would only take space on a full disk.
            let _ = self.images.remove(job, image.index..image.index + 1);
        }
        updated.map(|_| stored)
    }

    /// Stores how a job ended.
    pub(crate) fn end(&mut self, job: JobId, end: JobEnd) -> Result<(), StoreError> {
        let ended = self.database.update(job, |record| {
            record.end = Some(end);
            Ok(())
        });
        ended.map(|_| ())
    }

    /// Reads a whole record.
    pub(crate) fn record(&mut self, job: JobId) -> Result<JobRecord, StoreError> {
        self.database.record(job)
    }

    /// Reads at most `most` bytes of an image's pixels from `offset` on. A read from the start
    /// verifies the whole file first.
    ///
    /// # Errors
    ///
    /// [`StoreError::is_damage`] if the file differs from what was stored.
    pub(crate) fn read(
        &self,
        job: JobId,
        image: &StoredImage,
        offset: u64,
        most: usize,
    ) -> Result<Vec<u8>, StoreError> {
        if offset == 0 {
            self.images.verify(job, image)?;
        }
        self.images.read(job, image, offset, most)
    }

    /// Reduces a job to its first `images` and makes it unfinished again: the next image is
    /// damaged and has to be generated again.
    pub(crate) fn truncate(&mut self, job: JobId, images: u32) -> Result<JobRecord, StoreError> {
        self.database.update(job, |record| {
            record.images.truncate(images as usize);
            record.end = None;
            Ok(())
        })
    }

    /// Checks that the disk has space for an image of so many bytes and for its row's update.
    pub(crate) fn probe(&mut self, job: JobId, bytes: u64) -> Result<(), StoreError> {
        /// What the update that names the image takes more than one that changes nothing: without it a
        /// probe could succeed, and the job be generated, again and again.
        const ROW_GROWS: u64 = 16 << 10;
        let database = &mut self.database;
        self.images
            .probe(bytes.saturating_add(ROW_GROWS), || database.update(job, |_| Ok(())).map(|_| ()))
    }

    /// Deletes a job with this number of images. It is gone when this returns without an error.
    pub(crate) fn delete(&mut self, job: JobId, images: u32) -> Result<(), StoreError> {
        if let Err(error) = self.database.remove(job) {
            if error.is_damage() {
                return Err(error);
            }
            // SQLite needs some space to delete a row: the reserve file provides it.
            self.images.remove(job, 0..images)?;
            self.images.remove_inputs(job)?;
            let database = &mut self.database;
            self.reserve.lend(|| database.remove(job))?;
        }
        // Files that remain are removed when the store is opened next.
        let _ = self.images.remove(job, 0..images);
        let _ = self.images.remove_inputs(job);
        Ok(())
    }

    /// Stores the directory's age in seconds.
    pub(crate) fn save_age(&mut self, seconds: u64) -> Result<(), StoreError> {
        self.database.save_age(seconds)
    }
}
