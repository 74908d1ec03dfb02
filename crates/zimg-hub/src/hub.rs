//! The Hub: the list of a repository's files, and where each file is.

use std::io::Read;

use ureq::http::{HeaderMap, Method};

use crate::digest::ContentHash;
use crate::environment::HubSettings;
use crate::error::{Error, Result};
use crate::http::{Answer, Failed, HttpClient, Target, read_reason};
use crate::listing::{Listing, RemoteFile};
use crate::names::{Commit, Repository, Revision, escaped};
use crate::retry;
use crate::stop::Stop;

/// The longest answer of the API: 50,000 files of 300 bytes.
const ANSWER_MAX: u64 = 16 * 1024 * 1024;
/// Connections that fail before the server counts as unreachable: a user waits for the first answer.
const CONNECTIONS: u32 = 3;

/// A connection to the Hub, or to a mirror.
#[derive(Debug)]
pub struct Hub {
    pub(crate) http: HttpClient,
}

impl Hub {
    /// With these settings; nothing is sent yet.
    ///
    /// # Errors
    /// `Offline`, or a proxy that is no address.
    pub fn new(settings: HubSettings) -> Result<Self> {
        Ok(Self { http: HttpClient::new(settings)? })
    }

    /// The server's name.
    pub fn host(&self) -> String {
        self.http.settings.endpoint.origin.to_string()
    }

    /// The page of a repository.
    pub(crate) fn page(&self, repository: &Repository) -> String {
        self.http.settings.endpoint.join(repository.as_str())
    }

    /// The files of a repository.
    ///
    /// # Errors
    /// No connection, no such repository, no access, or an answer that is not valid.
    pub fn list(
        &self,
        repository: &Repository,
        revision: &Revision,
        stop: &Stop,
    ) -> Result<Listing> {
        let path = format!(
            "api/models/{}/revision/{}?blobs=true",
            escaped(repository.as_str(), true),
            escaped(revision.as_str(), false)
        );
        let object = match revision == &Revision::default() {
            true => format!("the repository {repository}"),
            false => format!("the revision {revision} of {repository}"),
        };
        let target = Target {
            method: &Method::GET,
            url: &self.http.settings.endpoint.join(&path),
            from: 0,
            whole: Some(self.http.settings.timings.answer),
            object: &object,
            page: &self.page(repository),
        };
        let (json, host) = self.repeated(stop, || {
            let answer = self.http.send(&target)?;
            let host = answer.host.clone();
            Ok((self.body(answer, &object)?, host))
        })?;
        Listing::parse(&json).map_err(|reason| Error::BadAnswer { host, object, reason })
    }

    /// The length and the checksum of a file that a mirror does not list.
    ///
    /// # Errors
    /// As [`Hub::list`].
    pub(crate) fn content(
        &self,
        repository: &Repository,
        commit: &Commit,
        file: &RemoteFile,
        stop: &Stop,
    ) -> Result<(u64, ContentHash)> {
        let url = self.address(repository, commit, file);
        let object = file.path.to_string();
        let target = Target {
            method: &Method::HEAD,
            url: &url,
            from: 0,
            whole: Some(self.http.settings.timings.answer),
            object: &object,
            page: &self.page(repository),
        };
        let answer = self.repeated(stop, || self.http.send(&target))?;
        let bytes = number(&answer.first, "x-linked-size")
            .or_else(|| number(&answer.headers, "content-length"));
        let hash = linked_hash(&answer.first).or_else(|| etag(&answer.headers));
        bytes.zip(hash).ok_or_else(|| Error::BadAnswer {
            host: answer.host,
            object,
            reason: "it names no length or no checksum, so the file could not be verified"
                .to_owned(),
        })
    }

    /// The address of a file.
    pub(crate) fn address(
        &self,
        repository: &Repository,
        commit: &Commit,
        file: &RemoteFile,
    ) -> String {
        let path = format!("{repository}/resolve/{commit}/{}", escaped(file.path.as_str(), true));
        self.http.settings.endpoint.join(&path)
    }

    /// Repeats a short request until it succeeds or is seen to fail.
    fn repeated<T>(&self, stop: &Stop, ask: impl Fn() -> Result<T, Failed>) -> Result<T> {
        let timings = &self.http.settings.timings;
        let mut failures = 0;
        loop {
            let (error, wait) = match ask() {
                Ok(found) => return Ok(found),
                Err(Failed::Fatal(error)) => return Err(error),
                Err(Failed::Again { error, wait }) => (error, wait),
            };
            failures += 1;
            if failures >= CONNECTIONS.min(timings.attempts) {
                return Err(error);
            }
            let pause = wait.unwrap_or_else(|| retry::growing(timings.pause, failures));
            stop.sleep(pause.min(timings.longest_wait))?;
        }
    }

    /// The whole body of an answer of the API.
    fn body(&self, answer: Answer, object: &str) -> Result<Vec<u8>, Failed> {
        let Answer { host, body, .. } = answer;
        let stall = self.http.settings.timings.stall;
        let mut json = Vec::new();
        if let Err(error) = body.into_reader().take(ANSWER_MAX + 1).read_to_end(&mut json) {
            let error = Error::Unreachable { host, reason: read_reason(error, stall) };
            return Err(Failed::Again { error, wait: None });
        }
        if json.len() as u64 > ANSWER_MAX {
            let reason = format!("it is longer than {} MB", ANSWER_MAX / 1_000_000);
            return Err(Error::BadAnswer { host, object: object.to_owned(), reason }.into());
        }
        Ok(json)
    }
}

/// The checksum that the endpoint names beside a redirect: the file's own, not the storage's.
pub(crate) fn linked_hash(headers: &HeaderMap) -> Option<ContentHash> {
    tag(headers, "x-linked-etag")
}

/// The checksum in an ordinary ETag.
pub(crate) fn etag(headers: &HeaderMap) -> Option<ContentHash> {
    tag(headers, "etag")
}

fn tag(headers: &HeaderMap, name: &str) -> Option<ContentHash> {
    let value = headers.get(name)?.to_str().ok()?;
    ContentHash::parse(value.trim_start_matches("W/").trim_matches('"'))
}

/// A header that is a number.
pub(crate) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}
