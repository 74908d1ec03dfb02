//! The images of a batch, in order; each is resolved and checked when it is next.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use zimg_client::{Failure, Kind, Priority, seed_of_image};

use super::existing::{ExistingFile, inspect};
use super::item::{self, BatchItem};
use crate::cli::DrawOptions;
use crate::job_spec::{JobSpec, SpecContext};
use crate::output::{ImageOutput, LocalTime, Output, has};

/// The names without `-o`, less the extension.
const DEFAULT: &str = "{index:04}";

/// Where a batch comes from, and how far it is read.
pub(super) struct BatchSource {
    lines: Box<dyn BufRead + Send>,
    line: u64,
    /// Images of the present line that are still to come, and their index in it.
    item: Option<(BatchItem, u32, u32)>,
    /// Images before this one.
    before: u64,
    /// What was typed and is set, for all lines.
    options: DrawOptions,
    now: LocalTime,
    /// Names that are given away.
    names: HashSet<PathBuf>,
}

/// An image's turn.
pub(super) struct NextImage {
    /// The line that asks for it, from 1.
    pub(super) line: u64,
    /// Its number in the batch, from 1.
    pub(super) index: u64,
    pub(super) task: Result<ImageTask, Failure>,
}

/// What is to be done.
pub(super) enum ImageTask {
    /// Draw it.
    Generate(Box<JobSpec>),
    /// Nothing: it is there.
    Exists(PathBuf),
}

impl BatchSource {
    /// Of a file, or with "-" of standard input.
    ///
    /// # Errors
    ///
    /// `Io`: it cannot be opened. `Usage`: file names would have unknown seeds.
    pub(super) fn open(path: &Path, options: DrawOptions) -> Result<Self, Failure> {
        let lines: Box<dyn BufRead + Send> = if path == Path::new("-") {
            Box::new(BufReader::new(std::io::stdin()))
        } else {
            let file = fs::File::open(path).map_err(|error| unreadable(path, &error))?;
            Box::new(BufReader::new(file))
        };
        let now = LocalTime::local();
        Ok(Self { lines, line: 0, item: None, before: 0, options, now, names: HashSet::new() })
    }

    /// The next image; none when all had their turn.
    pub(super) fn next(&mut self) -> Option<NextImage> {
        let (item, of_item, count) = match self.item.take() {
            Some(item) => item,
            None => match item::next(&mut *self.lines, &mut self.line) {
                Ok(None) => return None,
                Ok(Some(text)) => match self.item(&text) {
                    Ok((item, count)) => (item, 0, count),
                    Err(failure) => return Some(self.failed(failure)),
                },
                // What cannot be read any more is the last turn.
                Err(failure) => {
                    if failure.kind == Kind::Io {
                        self.lines = Box::new(std::io::empty());
                    }
                    return Some(self.failed(failure));
                }
            },
        };
        let task = self.plan(&item, of_item);
        if of_item + 1 < count {
            self.item = Some((item, of_item + 1, count));
        }
        self.before += 1;
        Some(NextImage { line: self.line, index: self.before, task })
    }

    fn failed(&mut self, failure: Failure) -> NextImage {
        self.before += 1;
        NextImage { line: self.line, index: self.before, task: Err(failure) }
    }

    /// What a line asks for, and how many images.
    fn item(&self, text: &str) -> Result<(BatchItem, u32), Failure> {
        let mut item = BatchItem::of(text)?;
        let own = item.options.output.is_some();
        let seeded = item.options.params.seed.is_some();
        item.options = item.options.or(self.options.clone());
        let count = item.options.params.count.unwrap_or(1);
        // Within the limits, whatever else is wrong.
        zimg_client::Params { count: Some(count), ..zimg_client::Params::new("") }.check()?;
        if let Some(seed) = item.options.params.seed.filter(|_| !seeded) {
            // One seed for all is counted through, as that of several images is.
            item.options.params.seed = Some(seed_of_image(seed, self.before));
        }
        if !own {
            item.options.output = item.options.output.map(numbered);
        }
        Ok((item, count))
    }

    /// The image of an item with this index in it.
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
        // Files that are there are looked at and not refused.
        options.force = true;
        let context = SpecContext {
            default: DEFAULT,
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
        let there = inspect(&file.path, file.format, &plan.draw, seed.is_some())?;
        plan.force = there == ExistingFile::Incomplete;
        match there {
            ExistingFile::Complete => Ok(ImageTask::Exists(file.path.clone())),
            ExistingFile::Missing | ExistingFile::Incomplete => {
                Ok(ImageTask::Generate(Box::new(plan)))
            }
        }
    }
}

/// How many images a file's batch has, if it is a file that can be read twice.
pub(super) fn count(path: &Path, options: &DrawOptions) -> Option<u64> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut lines = BufReader::new(fs::File::open(path).ok()?);
    let (mut all, mut number) = (0, 0);
    loop {
        match item::next(&mut lines, &mut number) {
            Ok(None) => return Some(all),
            Ok(Some(text)) => {
                all += item::images(&text, options.params.count.unwrap_or(1).into());
            }
            Err(failure) if failure.kind == Kind::Io => return None,
            Err(_) => all += 1,
        }
    }
}

/// A pattern that gives every image another name.
fn numbered(output: String) -> String {
    if ["index", "seed", "prompt"].iter().any(|name| has(&output, name)) || output == "-" {
        return output;
    }
    // A directory gets the default names; a device is written to as it is.
    let special = fs::metadata(&output).is_ok_and(|meta| !meta.is_file());
    if output.ends_with('/') || special {
        return output;
    }
    let name_starts = output.rfind('/').map_or(0, |slash| slash + 1);
    let dot = output[name_starts..].rfind('.').map_or(output.len(), |dot| name_starts + dot);
    format!("{}-{DEFAULT}{}", &output[..dot], &output[dot..])
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Kind::Io, format!("cannot read {}: {error}", path.display()))
}
