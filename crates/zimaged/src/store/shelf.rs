//! Everything that is kept, as one thing: the folder, the database in it and the images beside.
//!
//! All of this waits for the disk; `thread.rs` does it for those who must not.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use zimg_protocol::messages::{ImageInfo, JobId, Started};

use super::database::{Database, Opened};
use super::folder::Folder;
use super::images::Images;
use super::record::{End, Record, StoredImage};
use super::reserve::Reserve;
use super::trouble::Trouble;
use crate::jobs::id::BLOCK;

/// An open folder.
#[derive(Debug)]
pub(crate) struct Shelf {
    folder: Folder,
    database: Database,
    images: Images,
    reserve: Reserve,
}

/// What was found when a folder was opened.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The jobs, by their numbers, which is the order in which they were asked for.
    pub jobs: Vec<(JobId, Record)>,
    /// How many seconds daemons have kept this folder.
    pub lived_s: u64,
    /// Numbers for jobs, which none has had; none if the disk is full.
    pub numbers: Range<JobId>,
    /// What was damaged, and where it has been put.
    pub aside: Option<(Trouble, PathBuf)>,
}

impl Shelf {
    /// Opens the folder, or makes it. What is damaged is moved aside, and a new one begins.
    ///
    /// # Errors
    ///
    /// The system does not let it be done, another daemon has it, or a newer one has written it:
    /// then nothing was changed.
    pub(crate) fn open(path: &Path, unix_s: u64) -> Result<(Self, Found), Trouble> {
        let folder = Folder::open(path)?;
        let mut aside = None;
        let beheaded = folder.is_beheaded()?;
        let opened = match folder.database().try_exists()? {
            true => Database::open(&folder.database()).map(Some),
            false if beheaded => {
                Err(Trouble::Damaged("there are images, but no list of them".into()))
            }
            false => Ok(None),
        };
        let Opened { database, jobs, lived_s } = match opened {
            Ok(Some(opened)) => opened,
            Err(trouble) if !trouble.is_damage() => return Err(trouble),
            new => {
                // No counter comes to the seconds since 1970: where the counter is lost, numbers
                // that it may have given out are not given again.
                let mut first = 1;
                if let Err(trouble) = new {
                    aside = Some((trouble, folder.move_aside(unix_s)?));
                    first = unix_s.max(first);
                }
                Database::create(&folder.database(), first)?;
                Database::open(&folder.database())?
            }
        };
        let images = Images::open(folder.images())?;
        let known: HashSet<_> = jobs
            .iter()
            .flat_map(|(job, record)| record.indices().map(|index| (*job, index)))
            .collect();
        images.sweep(&known)?;
        let reserve = Reserve::fill(folder.reserve());
        let mut shelf = Self { folder, database, images, reserve };
        // What is kept can be fetched from a full disk, too.
        let numbers = shelf.numbers(BLOCK).unwrap_or_default();
        Ok((shelf, Found { jobs, lived_s, numbers, aside }))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Numbers for jobs, which none has had.
    pub(crate) fn numbers(&mut self, count: u32) -> Result<Range<JobId>, Trouble> {
        self.database.numbers(count)
    }

    /// Keeps a new job.
    pub(crate) fn accept(&mut self, job: JobId, record: &Record) -> Result<(), Trouble> {
        self.database.insert(job, record)
    }

    /// Keeps the next image of a job.
    pub(crate) fn image(
        &mut self,
        job: JobId,
        started: &Started,
        image: &ImageInfo,
        pixels: &[u8],
    ) -> Result<StoredImage, Trouble> {
        self.images.write(job, image.index, pixels)?;
        let kept = StoredImage { image: image.clone(), crc: crc32fast::hash(pixels) };
        let kept_in_row = self.database.update(job, |record| {
            if record.images.len() < image.index as usize {
                return Err(io::Error::other("the image before it is not there").into());
            }
            record.started = Some(started.clone());
            record.images.truncate(image.index as usize);
            record.images.push(kept.clone());
            Ok(())
        });
        if kept_in_row.is_err() {
            // On a full disk it is in the way.
            let _ = self.images.remove(job, image.index..image.index + 1);
        }
        kept_in_row.map(|_| kept)
    }

    /// Keeps how a job ended.
    pub(crate) fn end(&mut self, job: JobId, end: End) -> Result<(), Trouble> {
        let ended = self.database.update(job, |record| {
            record.end = Some(end);
            Ok(())
        });
        ended.map(|_| ())
    }

    /// A job in full.
    pub(crate) fn record(&mut self, job: JobId) -> Result<Record, Trouble> {
        self.database.record(job)
    }

    /// At most `most` bytes of an image's pixels from `offset` on.
    ///
    /// # Errors
    ///
    /// [`Trouble::is_damage`], if it is not what was kept; this is looked at where it begins.
    pub(crate) fn read(
        &self,
        job: JobId,
        kept: &StoredImage,
        offset: u64,
        most: usize,
    ) -> Result<Vec<u8>, Trouble> {
        if offset == 0 {
            self.images.check(job, kept)?;
        }
        self.images.read(job, kept, offset, most)
    }

    /// Takes a job back to where it had only its first `images`: the next one is damaged, and is
    /// to be drawn again.
    pub(crate) fn unfinish(&mut self, job: JobId, images: u32) -> Result<Record, Trouble> {
        self.database.update(job, |record| {
            record.images.truncate(images as usize);
            record.end = None;
            Ok(())
        })
    }

    /// Whether there is room for an image of so many bytes, and for the job's row to speak of it.
    pub(crate) fn probe(&mut self, job: JobId, bytes: u64) -> Result<(), Trouble> {
        let database = &mut self.database;
        self.images.probe(bytes, || database.update(job, |_| Ok(())).map(|_| ()))
    }

    /// Forgets a job with this many images. It is gone when this returns without an error.
    pub(crate) fn forget(&mut self, job: JobId, images: u32) -> Result<(), Trouble> {
        if let Err(trouble) = self.database.remove(job) {
            if trouble.is_damage() {
                return Err(trouble);
            }
            // Forgetting takes a little room itself, for the time being: there is a reserve.
            self.images.remove(job, 0..images)?;
            let database = &mut self.database;
            self.reserve.lend(|| database.remove(job))?;
        }
        // If not now, they are swept away when the folder is opened next.
        let _ = self.images.remove(job, 0..images);
        Ok(())
    }

    /// Writes down the folder's age in seconds.
    pub(crate) fn lived(&mut self, seconds: u64) -> Result<(), Trouble> {
        self.database.lived(seconds)
    }
}
