//! The download of one file: continued where it stopped, verified, renamed to its blob.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use ureq::http::Method;

use crate::cache::CachedRepository;
use crate::digest::{ContentHash, Hasher};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::http::{Answer, Failed, Target, read_reason};
use crate::hub::{Hub, linked_hash, number};
use crate::names::{Commit, Repository};
use crate::plan::PlannedFile;
use crate::retry;
use crate::stop::Stop;

/// Bytes of one read.
const CHUNK: usize = 256 * 1024;
/// A server that sends less than this in [`WINDOW`] stalls is as good as stalled.
const BYTES_A_SECOND_MIN: u64 = 1024;
const WINDOW: u32 = 6;

/// The download of one file.
pub(crate) struct Download<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) repository: &'a Repository,
    pub(crate) commit: &'a Commit,
    pub(crate) cache: &'a CachedRepository,
    pub(crate) file: &'a PlannedFile,
    pub(crate) stop: &'a Stop,
    pub(crate) report: &'a dyn Fn(Event),
}

/// The beginning of the file on the disk, and its checksum so far.
struct Beginning {
    file: File,
    bytes: u64,
    hasher: Hasher,
    /// It has bytes that this download did not write.
    is_inherited: bool,
}

/// How reading an answer ended.
enum Ended {
    /// All bytes are there.
    Complete,
    /// The server has another part than the one asked for: begin again.
    Restart(String),
    /// It broke off.
    Broken(Error, Option<Duration>),
}

impl Download<'_> {
    /// Brings the file into the cache.
    pub(crate) fn run(&self) -> Result<()> {
        let PlannedFile { path, bytes, hash, index, .. } = self.file;
        let _lock = self.cache.lock(hash, || (self.report)(Event::Locked { file: *index }))?;
        // Another program may have completed it while the lock was waited for.
        if self.cache.has(hash, *bytes) {
            (self.report)(Event::Start { file: *index, bytes: *bytes });
        } else {
            self.cache.adopt(hash);
            self.fetch(*bytes, hash)?;
        }
        self.cache.link(self.commit, path, hash)?;
        (self.report)(Event::Finished { file: *index });
        Ok(())
    }

    fn fetch(&self, bytes: u64, hash: &ContentHash) -> Result<()> {
        let at = self.cache.incomplete(hash);
        let mut beginning = self.open(&at)?;
        (self.report)(Event::Start { file: self.file.index, bytes: beginning.bytes });
        let mut mismatches = 0;
        loop {
            self.complete(&mut beginning, &at)?;
            let hasher = std::mem::replace(&mut beginning.hasher, hash.hasher(bytes));
            let found = hasher.finish();
            if found == hash.as_str() {
                break;
            }
            // An inherited beginning may be of another program's bug; a whole download is not.
            mismatches += u32::from(!beginning.is_inherited);
            self.restart(&mut beginning, &at, "its checksum is wrong".to_owned())?;
            if mismatches > 1 {
                let _ = fs::remove_file(&at);
                return Err(Error::Mismatch {
                    host: self.hub.host(),
                    file: self.file.path.to_string(),
                    found,
                    expected: hash.to_string(),
                });
            }
        }
        let blob = self.cache.blob(hash);
        beginning.file.sync_data().map_err(|error| Error::writing(&at, error))?;
        fs::rename(&at, &blob).map_err(|error| Error::writing(&blob, error))
    }

    /// Opens the beginning and computes its checksum.
    fn open(&self, at: &Path) -> Result<Beginning> {
        let PlannedFile { bytes, hash, .. } = self.file;
        let writing = |error| Error::writing(at, error);
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(at);
        let file = options.map_err(writing)?;
        let mut hasher = hash.hasher(*bytes);
        let length = file.metadata().map_err(writing)?.len();
        let mut done = 0;
        if length > *bytes {
            file.set_len(0).map_err(writing)?;
        } else {
            let mut chunk = vec![0; CHUNK];
            while done < length {
                self.stop.check()?;
                let part = CHUNK.min((length - done) as usize);
                file.read_exact_at(&mut chunk[..part], done).map_err(writing)?;
                hasher.update(&chunk[..part]);
                done += part as u64;
            }
        }
        Ok(Beginning { file, bytes: done, hasher, is_inherited: done > 0 })
    }

    /// Requests what is missing until nothing is.
    fn complete(&self, beginning: &mut Beginning, at: &Path) -> Result<()> {
        let PlannedFile { bytes, index, .. } = self.file;
        let timings = &self.hub.http.settings.timings;
        let (mut failures, mut restarts) = (0, 0);
        while beginning.bytes < *bytes {
            self.stop.check()?;
            let before = beginning.bytes;
            let (error, wait) = match self.ask(beginning) {
                Ok(Ended::Complete) => return Ok(()),
                Ok(Ended::Restart(reason)) if restarts < timings.attempts => {
                    restarts += 1;
                    self.restart(beginning, at, reason)?;
                    continue;
                }
                Ok(Ended::Restart(found)) => return Err(self.wrong(found)),
                Ok(Ended::Broken(error, wait)) | Err(Failed::Again { error, wait }) => {
                    (error, wait)
                }
                Err(Failed::Fatal(error)) => return Err(error),
            };
            failures = if beginning.bytes > before { 1 } else { failures + 1 };
            if failures >= timings.attempts {
                return Err(match error {
                    Error::Unreachable { host, reason } => {
                        Error::Interrupted { file: self.file.path.to_string(), host, reason }
                    }
                    other => other,
                });
            }
            let pause = wait.unwrap_or_else(|| retry::growing(timings.pause, failures));
            let pause = pause.min(timings.longest_wait);
            (self.report)(Event::Retry { file: *index, reason: error.to_string(), pause });
            self.stop.sleep(pause)?;
        }
        // An empty file has no bytes to ask for.
        Ok(())
    }

    /// Forgets all bytes.
    fn restart(&self, beginning: &mut Beginning, at: &Path, reason: String) -> Result<()> {
        let PlannedFile { bytes, hash, index, .. } = self.file;
        beginning.file.set_len(0).map_err(|error| Error::writing(at, error))?;
        let lost = beginning.bytes;
        beginning.bytes = 0;
        beginning.hasher = hash.hasher(*bytes);
        beginning.is_inherited = false;
        (self.report)(Event::Restart { file: *index, bytes: lost, reason });
        Ok(())
    }

    /// One request for what is missing.
    fn ask(&self, beginning: &mut Beginning) -> Result<Ended, Failed> {
        let PlannedFile { path, bytes, hash, remote, .. } = self.file;
        let object = path.to_string();
        let answer = self.hub.http.send(&Target {
            method: &Method::GET,
            url: &self.hub.address(self.repository, self.commit, remote),
            from: beginning.bytes,
            whole: None,
            object: &object,
            page: &self.hub.page(self.repository),
        })?;
        let text = |name: &str| answer.first.get(name)?.to_str().ok();
        if text("x-repo-commit").is_some_and(|commit| commit != self.commit.as_str()) {
            return Err(self.wrong("the file of another commit".to_owned()).into());
        }
        if let Some(other) = linked_hash(&answer.first).filter(|other| other != hash) {
            return Err(self.wrong(format!("a file with the checksum {other}")).into());
        }
        if answer.headers.get("content-encoding").is_some_and(|coding| coding != "identity") {
            return Err(self.wrong("a compressed copy".to_owned()).into());
        }
        let length = number(&answer.headers, "content-length");
        match answer.status {
            416 => return Ok(Ended::Restart("the server has no such part".to_owned())),
            206 if part(&answer) != Some((beginning.bytes, *bytes)) => {
                return Ok(Ended::Restart("the server sends another part".to_owned()));
            }
            // A server without parts sends all.
            200 if beginning.bytes > 0 => {
                return Ok(Ended::Restart("the server sends it from its start".to_owned()));
            }
            _ => {}
        }
        let missing = bytes - beginning.bytes;
        if let Some(length) = length.filter(|length| *length != missing) {
            let found = what_else(answer, format!("{length} bytes, not {missing},"));
            return Err(self.wrong(found).into());
        }
        Ok(self.read(answer, beginning)?)
    }

    /// Writes what comes.
    fn read(&self, answer: Answer, beginning: &mut Beginning) -> Result<Ended> {
        let PlannedFile { bytes, index, hash, .. } = self.file;
        let stall = self.hub.http.settings.timings.stall;
        let at = self.cache.incomplete(hash);
        let Answer { host, body, .. } = answer;
        let mut body = body.into_reader();
        let mut chunk = vec![0; CHUNK];
        let (mut since, mut came) = (Instant::now(), 0);
        let broken = |host, reason| Ok(Ended::Broken(Error::Unreachable { host, reason }, None));
        loop {
            self.stop.check()?;
            let part = match body.read(&mut chunk) {
                Ok(0) if beginning.bytes == *bytes => return Ok(Ended::Complete),
                Ok(0) => return broken(host, "it closed the connection".to_owned()),
                Ok(part) => &chunk[..part],
                Err(_) if beginning.bytes == *bytes => return Ok(Ended::Complete),
                Err(error) => return broken(host, read_reason(error, stall)),
            };
            let length = part.len() as u64;
            if length > bytes - beginning.bytes {
                return Err(self.wrong("more bytes than the file has".to_owned()));
            }
            let is_start = beginning.bytes == 0;
            if let Some(found) = is_start.then(|| recognised(part, *bytes)).flatten() {
                return Err(self.wrong(found.to_owned()));
            }
            let written = beginning.file.write_all_at(part, beginning.bytes);
            written.map_err(|error| Error::writing(&at, error))?;
            beginning.hasher.update(part);
            beginning.bytes += length;
            (self.report)(Event::Bytes { file: *index, bytes: length });
            came += length;
            let window = stall * WINDOW;
            if since.elapsed() >= window {
                if came < BYTES_A_SECOND_MIN * window.as_secs() {
                    let reason = format!("only {came} bytes came in {} s", window.as_secs());
                    return broken(host, reason);
                }
                (since, came) = (Instant::now(), 0);
            }
        }
    }

    fn wrong(&self, found: String) -> Error {
        Error::WrongContent { host: self.hub.host(), file: self.file.path.to_string(), found }
    }
}

/// The first byte and the length of the whole, by `Content-Range: bytes 5-9/10`. Without it, or with
/// `*` for the length, nothing is known.
fn part(answer: &Answer) -> Option<(u64, u64)> {
    let range = answer.headers.get("content-range")?.to_str().ok()?;
    let (range, whole) = range.trim().strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, whole.parse().ok()?))
}

/// What an answer of the wrong length is, else `length`.
fn what_else(answer: Answer, length: String) -> String {
    let is_page = answer.headers.get("content-type").and_then(|value| value.to_str().ok());
    if is_page.is_some_and(|value| value.to_ascii_lowercase().starts_with("text/html")) {
        return PAGE.to_owned();
    }
    let mut beginning = Vec::new();
    let read = answer.body.into_reader().take(512).read_to_end(&mut beginning);
    let found = read.ok().and_then(|_| recognised(&beginning, u64::MAX));
    found.map_or(length, str::to_owned)
}

const PAGE: &str = "a web page, perhaps a log-in,";
const POINTER: &str = "a Git LFS pointer";
/// A pointer is shorter (<https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>), and no weights
/// are.
const POINTER_MAX: u64 = 1024;

/// What the beginning of a file of this length shows that it is, if it is no file of a checkpoint.
fn recognised(beginning: &[u8], bytes: u64) -> Option<&'static str> {
    let text = beginning.trim_ascii_start();
    let begins = |with: &[u8]| text.get(..with.len()).is_some_and(|b| b.eq_ignore_ascii_case(with));
    if begins(b"<!doctype html") || begins(b"<html") {
        return Some(PAGE);
    }
    (bytes > POINTER_MAX && begins(b"version https://git-lfs.github.com/spec/")).then_some(POINTER)
}
