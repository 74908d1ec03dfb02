//! The files of a repository at one commit, as the Hub's API lists them.

use std::collections::HashSet;

use serde::Deserialize;

use crate::digest::ContentHash;
use crate::names::{Commit, FilePath};

/// The most files that a list may have: the largest model repositories have some thousands.
const FILES_MAX: usize = 50_000;
/// The largest file that is believed in: the Hub takes files of up to 500 GB.
const BYTES_MAX: u64 = 1 << 40;

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its path.
    pub path: FilePath,
    /// Its length and checksum; some mirrors do not list them, and the file's headers have them.
    pub content: Option<(u64, ContentHash)>,
}

impl RemoteFile {
    /// Its length, if it is known.
    pub fn bytes(&self) -> Option<u64> {
        self.content.as_ref().map(|(bytes, _)| *bytes)
    }
}

/// All files of a repository at one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The commit.
    pub commit: Commit,
    /// The files.
    pub files: Vec<RemoteFile>,
}

impl Listing {
    /// The file at this path.
    pub fn find(&self, path: &str) -> Option<&RemoteFile> {
        self.files.iter().find(|file| file.path.as_str() == path)
    }

    /// Reads the answer of `/api/models/REPOSITORY/revision/REVISION?blobs=true`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let answer: Answer =
            serde_json::from_slice(json).map_err(|error| match error.classify() {
                serde_json::error::Category::Data => error.to_string(),
                _ => "it is no JSON".to_owned(),
            })?;
        let commit = Commit::parse(&answer.sha).ok_or_else(|| shown("commit", &answer.sha))?;
        if answer.siblings.len() > FILES_MAX {
            return Err(format!("it has {} files", answer.siblings.len()));
        }
        let mut seen = HashSet::new();
        let mut files = Vec::with_capacity(answer.siblings.len());
        for sibling in answer.siblings {
            let name = &sibling.rfilename;
            let path = FilePath::parse(name).ok_or_else(|| shown("file name", name))?;
            if !seen.insert(path.clone()) {
                return Err(format!("it has {path} twice"));
            }
            let content = sibling.content()?;
            files.push(RemoteFile { path, content });
        }
        // A folder in the place of a file could not be written.
        let is_folder = |file: &RemoteFile| {
            let above =
                file.path.as_str().match_indices('/').map(|(at, _)| &file.path.as_str()[..at]);
            above.filter_map(FilePath::parse).any(|folder| seen.contains(&folder))
        };
        match files.iter().find(|file| is_folder(file)) {
            Some(file) => Err(format!("it has {} below a file", file.path)),
            None => Ok(Self { commit, files }),
        }
    }
}

fn shown(what: &str, text: &str) -> String {
    let text: String = text.chars().take(80).collect();
    format!("it has the {what} `{}`", text.escape_default())
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    #[serde(alias = "oid")]
    sha256: String,
    size: Option<u64>,
}

impl Sibling {
    fn content(self) -> Result<Option<(u64, ContentHash)>, String> {
        let name = self.rfilename;
        let (bytes, digits, length) = match self.lfs {
            Some(lfs) => (lfs.size.or(self.size), Some(lfs.sha256), 64),
            None => (self.size, self.blob_id, 40),
        };
        let (Some(bytes), Some(digits)) = (bytes, digits) else { return Ok(None) };
        let hash = ContentHash::parse(&digits).filter(|hash| hash.as_str().len() == length);
        let hash = hash.ok_or_else(|| format!("{name}: {}", shown("checksum", &digits)))?;
        if bytes > BYTES_MAX {
            return Err(format!("{name} has {bytes} bytes"));
        }
        Ok(Some((bytes, hash)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "2f862278568d3f0a83167a16e5f11094da6dee72";

    fn listing(siblings: &str) -> Result<Listing, String> {
        Listing::parse(format!(r#"{{"sha":"{COMMIT}","siblings":[{siblings}]}}"#).as_bytes())
    }

    #[test]
    fn lengths_and_checksums_are_those_of_the_content() {
        let sha256 = "a".repeat(64);
        let files = listing(&format!(
            r#"{{"rfilename":"w","size":7,"blobId":"{COMMIT}","lfs":{{"sha256":"{sha256}","size":7,"pointerSize":134}}}},
               {{"rfilename":"c.json","size":3,"blobId":"{COMMIT}"}}, {{"rfilename":"m"}}"#
        ))
        .unwrap()
        .files;
        assert_eq!(files[0].content, Some((7, ContentHash::Sha256(sha256))));
        assert_eq!(files[1].content, Some((3, ContentHash::GitBlob(COMMIT.to_owned()))));
        assert_eq!(files[2].content, None);
    }

    #[test]
    fn hostile_lists_are_refused() {
        for (siblings, why) in [
            (r#"{"rfilename":"../x"}"#, "it has the file name `../x`"),
            (r#"{"rfilename":"/etc/passwd"}"#, "it has the file name `/etc/passwd`"),
            (r#"{"rfilename":"a\u001b[2J"}"#, r"it has the file name `a\u{1b}[2J`"),
            (r#"{"rfilename":"a"},{"rfilename":"a"}"#, "it has a twice"),
            (r#"{"rfilename":"a"},{"rfilename":"a/b/c"}"#, "it has a/b/c below a file"),
            (
                r#"{"rfilename":"a","size":1,"blobId":"../../x"}"#,
                "a: it has the checksum `../../x`",
            ),
            (r#"{"rfilename":"a","size":1,"lfs":{"sha256":"aa"}}"#, "a: it has the checksum `aa`"),
            (
                &format!(r#"{{"rfilename":"a","size":18446744073709551615,"blobId":"{COMMIT}"}}"#),
                "a has 18446744073709551615 bytes",
            ),
        ] {
            assert_eq!(listing(siblings).unwrap_err(), why);
        }
        for json in ["", "<!DOCTYPE html>", "{", &format!("{{\"x\":{}", "[".repeat(100_000))] {
            assert_eq!(Listing::parse(json.as_bytes()).unwrap_err(), "it is no JSON");
        }
        assert!(Listing::parse(b"[]").unwrap_err().contains("invalid length"));
        let commit = Listing::parse(br#"{"sha":"../../x","siblings":[]}"#).unwrap_err();
        assert_eq!(commit, "it has the commit `../../x`");
    }
}
