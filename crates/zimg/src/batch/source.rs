//! The images of a batch, in order; each is resolved and checked when it is next.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use zimg_client::params::check_seeds;
use zimg_client::{Failure, Kind, Params, Priority, seed_of_image};

use super::entries::Entries;
use super::existing::{ExistingFile, ExpectedImage, inspect};
use super::item::{BatchItem, glance};
use crate::cli::DrawOptions;
use crate::job_spec::{JobSpec, SpecContext};
use crate::output::{Descriptor, ImageOutput, LocalTime, Output, has, inserted};

/// The pattern without `-o`, without extension.
const DEFAULT: &str = "{index:04}";

/// The entries of a batch, and the position in them.
pub(super) struct BatchSource {
    entries: Entries,
    /// The line of the current entry.
    line: u64,
    /// The number of all images, if they are known beforehand.
    all: Option<u64>,
    /// The current line, the index of its next image, and its number of images.
    item: Option<(BatchItem, u32, u32)>,
    /// The number of images before the next one.
    before: u64,
    /// Options and settings for all lines.
    options: DrawOptions,
    now: LocalTime,
    /// File names that are in use.
    names: HashSet<PathBuf>,
}

/// The next image of a batch.
pub(super) struct NextImage {
    /// Its line, from 1.
    pub(super) line: u64,
    /// Its number in the batch, from 1.
    pub(super) index: u64,
    pub(super) task: Result<ImageTask, Failure>,
    /// What is ignored in its line.
    pub(super) told: Vec<String>,
}

/// What to do for an image.
pub(super) enum ImageTask {
    /// Generate it.
    Generate(Box<JobSpec>),
    /// Nothing: it exists.
    Exists(PathBuf),
}

impl BatchSource {
    /// Opens a file, or for "-" standard input.
    ///
    /// # Errors
    ///
    /// `Io`: it cannot be read. `Refused`: it is no batch, or seeds would wrap.
    pub(super) fn open(path: &Path, options: DrawOptions) -> Result<Self, Failure> {
        let entries = Entries::open(path)?;
        let all = count(&entries, &options)?;
        let (item, now, names) = (None, LocalTime::local(), HashSet::new());
        Ok(Self { entries, line: 0, all, item, before: 0, options, now, names })
    }

    /// The number of all images, if they are known beforehand.
    pub(super) fn all(&self) -> Option<u64> {
        self.all
    }

    /// The next image; none at the end.
    pub(super) fn next(&mut self) -> Option<NextImage> {
        let (mut item, of_item, count) = match self.item.take() {
            Some(item) => item,
            None => match self.entries.next()? {
                Ok(entry) => {
                    self.line = entry.line;
                    match self.item(&entry.text) {
                        Ok((item, count)) => (item, 0, count),
                        Err(failure) => return Some(self.failed(failure)),
                    }
                }
                Err((line, failure)) => {
                    self.line = line;
                    return Some(self.failed(failure));
                }
            },
        };
        let told = std::mem::take(&mut item.told);
        let task = self.plan(&item, of_item);
        if of_item + 1 < count {
            self.item = Some((item, of_item + 1, count));
        }
        self.before += 1;
        Some(NextImage { line: self.line, index: self.before, task, told })
    }

    fn failed(&mut self, failure: Failure) -> NextImage {
        self.before += 1;
        NextImage { line: self.line, index: self.before, task: Err(failure), told: Vec::new() }
    }

    /// The parsed line and its number of images.
    fn item(&self, text: &str) -> Result<(BatchItem, u32), Failure> {
        let mut item = BatchItem::of(text)?;
        let own = item.options.output.is_some();
        let seeded = item.options.params.seed.is_some();
        item.options = item.options.or(self.options.clone());
        let count = item.options.params.count.unwrap_or(1);
        if item.random_seed {
            item.options.params.seed = None;
        }
        let seed = item.options.params.seed;
        // The count is checked first, since it bounds the loop.
        Params { count: Some(count), seed: seed.filter(|_| seeded), ..Params::new("") }.check()?;
        if let Some(seed) = seed.filter(|_| !seeded) {
            // One seed for all lines is incremented for each image.
            check_seeds(seed, self.before + u64::from(count))?;
            item.options.params.seed = Some(seed_of_image(seed, self.before));
        }
        if !own {
            item.options.output = item.options.output.map(numbered);
        }
        Ok((item, count))
    }

    /// Resolves the image with this index in the line.
    fn plan(&mut self, item: &BatchItem, of_item: u32) -> Result<ImageTask, Failure> {
        let mut options = item.options.clone();
        let seed = options.params.seed.map(|seed| seed_of_image(seed, of_item.into()));
        (options.params.seed, options.params.count) = (seed, Some(1));
        let output = options.output.as_deref();
        if seed.is_none() && output.is_some_and(|output| has(output, "seed")) {
            let message = "-o has {seed}, but the batch has no seed: a second run could not find finished images";
            return Err(Failure::new(Kind::Usage, message)
                .hint("give a seed with --seed N or in each line, or use {index} in -o"));
        }
        let force = options.force;
        // Existing files are inspected below, not refused here.
        options.force = true;
        let context = SpecContext {
            default: DEFAULT.as_ref(),
            index: self.before + 1,
            now: &self.now,
            priority: Priority::Batch,
        };
        let mut plan = JobSpec::of(item.prompt.clone(), &options, context)?;
        plan.wait = true;
        let Output { images: ImageOutput::Files(files), .. } = &plan.output else {
            let message = "a batch writes files, not standard output";
            return Err(Failure::new(Kind::Usage, message).hint("give a file name with -o"));
        };
        let Some(file) = files.first() else {
            return Err(Failure::new(
                Kind::Internal,
                "internal error: the image has no output file",
            ));
        };
        if !file.special && !self.names.insert(file.path.clone()) {
            let message =
                format!("several images would have the file name {}", file.path.display());
            return Err(Failure::new(Kind::Usage, message));
        }
        if file.special || force {
            return Ok(ImageTask::Generate(Box::new(plan)));
        }
        let expected = ExpectedImage {
            format: file.format,
            params: &plan.draw,
            seeded: seed.is_some(),
            metadata: plan.metadata,
        };
        let there = inspect(&file.path, expected)?;
        plan.force = there == ExistingFile::Incomplete;
        match there {
            ExistingFile::Complete => Ok(ImageTask::Exists(file.path.clone())),
            ExistingFile::Missing | ExistingFile::Incomplete => {
                Ok(ImageTask::Generate(Box::new(plan)))
            }
        }
    }
}

/// The number of images of a batch, if all entries are known.
///
/// # Errors
///
/// `Refused`: the seeds of the lines that have none would wrap.
fn count(entries: &Entries, options: &DrawOptions) -> Result<Option<u64>, Failure> {
    let Some(entries) = entries.known() else { return Ok(None) };
    let (mut all, mut seeds) = (0_u64, 0);
    for entry in entries {
        let (images, is_seeded) = glance(&entry.text, options.params.count.unwrap_or(1).into());
        all = all.saturating_add(images);
        if !is_seeded {
            seeds = all;
        }
    }
    if let Some(seed) = options.params.seed {
        check_seeds(seed, seeds)?;
    }
    Ok(Some(all))
}

/// A pattern with a different name for each image.
fn numbered(output: OsString) -> OsString {
    // A directory gets the default names; a descriptor or a device is written to.
    let special = fs::metadata(&output).is_ok_and(|meta| !meta.is_file());
    if ["index", "seed", "prompt"].iter().any(|name| has(&output, name))
        || special
        || output.as_bytes().ends_with(b"/")
        || Descriptor::named(Path::new(&output)).is_some()
    {
        return output;
    }
    inserted(&output, &format!("-{DEFAULT}"))
}
