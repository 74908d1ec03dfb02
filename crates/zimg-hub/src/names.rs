//! Names that become parts of URLs and paths: each type holds only what is safe in both.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Error, Result};

/// The longest name of a repository on the Hub, owner included.
const REPOSITORY_MAX: usize = 96;
/// The longest name of a branch or a tag that is taken.
const REVISION_MAX: usize = 200;
/// The longest path of a file, and the longest name in it: the limit of Linux.
const PATH_MAX: usize = 1024;
const NAME_MAX: usize = 255;

/// A model repository, `OWNER/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository(String);

impl Repository {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder in the cache: `models--OWNER--NAME`.
    pub(crate) fn folder(&self) -> String {
        format!("models--{}", self.0.replace('/', "--"))
    }
}

impl FromStr for Repository {
    type Err = Error;

    /// The rules are huggingface_hub's: `--` separates owner and name in the cache, `..` and `.git`
    /// are taken by git.
    fn from_str(text: &str) -> Result<Self> {
        let part = |part: &str| {
            let inside = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let end = |c: char| c.is_ascii_alphanumeric() || c == '_';
            part.chars().all(inside) && part.starts_with(end) && part.ends_with(end)
        };
        let parts: Vec<_> = text.split('/').collect();
        let is_name = parts.len() == 2
            && parts.iter().all(|text| part(text))
            && text.len() <= REPOSITORY_MAX
            && !text.contains("--")
            && !text.contains("..")
            && !text.ends_with(".git");
        if is_name {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::InvalidRepository { text: text.to_owned() })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A repository and perhaps a variant, as typed: `OWNER/NAME[:VARIANT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRequest {
    /// The repository.
    pub repository: Repository,
    /// Which of its checkpoints.
    pub variant: Option<String>,
}

impl FromStr for ModelRequest {
    type Err = Error;

    /// Also takes the address of the repository's page.
    fn from_str(text: &str) -> Result<Self> {
        let invalid = || Error::InvalidRepository { text: text.to_owned() };
        let bare = ["https://huggingface.co/", "https://hf.co/", "hf.co/", "huggingface.co/"]
            .into_iter()
            .find_map(|page| text.strip_prefix(page))
            .unwrap_or(text)
            .trim_end_matches('/');
        let (repository, variant) = match bare.split_once(':') {
            None => (bare, None),
            Some((_, "")) => return Err(invalid()),
            Some((repository, variant)) => (repository, Some(variant.to_owned())),
        };
        let repository = repository.parse().map_err(|_| invalid())?;
        Ok(Self { repository, variant })
    }
}

/// A branch, a tag or a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(String);

impl Default for Revision {
    fn default() -> Self {
        Self("main".to_owned())
    }
}

impl Revision {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Revision {
    type Err = Error;

    /// It becomes a path below `refs`, so it has no part that leads elsewhere.
    fn from_str(text: &str) -> Result<Self> {
        let usual = |c: char| c.is_ascii_alphanumeric() || "-_./+".contains(c);
        let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with('.');
        let is_name = text.len() <= REVISION_MAX
            && !text.starts_with('-')
            && text.chars().all(usual)
            && text.split('/').all(part);
        if is_name {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::InvalidRevision { text: text.to_owned() })
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A commit: 40 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit(String);

impl Commit {
    /// From the server's text, if it is one.
    pub fn parse(text: &str) -> Option<Self> {
        is_hex(text, 40).then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the text has just so many digits, in lower case as the Hub writes them.
pub(crate) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

/// The path of a file in a repository: relative, with no part that leads elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(String);

impl FilePath {
    /// From the server's text, if it is one.
    pub fn parse(text: &str) -> Option<Self> {
        let part = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.len() <= NAME_MAX
                && !part.chars().any(|c| c.is_control() || c == '\\')
        };
        (text.len() <= PATH_MAX && text.split('/').all(part)).then(|| Self(text.to_owned()))
    }

    /// The path with `/` between its parts.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The folders above it.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.0.rsplit('/').skip(1)
    }

    /// Below a folder.
    pub fn below(&self, folder: &Path) -> PathBuf {
        folder.join(&self.0)
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path as a part of a URL: all but unreserved characters (RFC 3986) is escaped. `slash` stays as
/// it is in a path, and is escaped in a single part.
pub(crate) fn escaped(text: &str, slash: bool) -> String {
    use fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut url, byte| {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        if plain || (slash && byte == b'/') {
            url.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
        url
    })
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn repositories_are_told_from_paths_and_options() {
        for name in ["Tongyi-MAI/Z-Image-Turbo", "a/b", "Comfy-Org/z_image_turbo", "a/b.c_"] {
            assert_eq!(name.parse::<Repository>().unwrap().as_str(), name);
        }
        for text in [
            "", "a", "/a", "a/", "a/b/c", "../b", "a/..", "a/.b", "a/-b", "a/b--c", "a/b..c",
            "a/b.git", "a/b c", "a/b\n", "a/b:c", "ä/b", "a/b/../c",
        ] {
            assert!(text.parse::<Repository>().is_err(), "{text:?}");
        }
        let long = format!("a/{}", "b".repeat(95));
        assert!(long.parse::<Repository>().is_err());
    }

    #[test]
    fn a_variant_follows_a_colon() {
        let read = |text: &str| {
            let ModelRequest { repository, variant } = text.parse().unwrap();
            (repository.to_string(), variant)
        };
        assert_eq!(read("a/b"), ("a/b".to_owned(), None));
        assert_eq!(read("a/b:Q4_K"), ("a/b".to_owned(), Some("Q4_K".to_owned())));
        assert_eq!(read("https://huggingface.co/a/b/"), ("a/b".to_owned(), None));
        assert_eq!(read("hf.co/a/b:Q8_0"), ("a/b".to_owned(), Some("Q8_0".to_owned())));
        for text in ["a/b:", ":a", "a:b", "https://example.org/a/b"] {
            let said = text.parse::<ModelRequest>().unwrap_err().to_string();
            assert!(said.contains(&format!("`{text}`")), "{said}");
        }
    }

    #[test]
    fn revisions_stay_below_refs() {
        for name in ["main", "v1.0", "refs/pr/1", "2f862278568d3f0a83167a16e5f11094da6dee72"] {
            assert_eq!(name.parse::<Revision>().unwrap().as_str(), name);
        }
        for text in ["", "..", "a/../b", "/a", "a//b", "a/", "-x", "a b", ".hidden", "a\\b"] {
            assert!(text.parse::<Revision>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn paths_that_lead_elsewhere_are_none() {
        for path in ["a", "vae/config.json", "a b/ü.json", "...", "a/..b"] {
            assert_eq!(FilePath::parse(path).unwrap().as_str(), path);
        }
        for path in [
            "",
            "/etc/passwd",
            "..",
            "../x",
            "a/../../x",
            "a/./b",
            "a//b",
            "a/",
            "a\\b",
            "a\0b",
            "a\nb",
        ] {
            assert_eq!(FilePath::parse(path), None, "{path:?}");
        }
        assert_eq!(FilePath::parse(&"a".repeat(256)), None);
    }

    proptest! {
        #[test]
        fn a_path_has_only_normal_parts(text in "[a./\\\\\0~é]{0,12}") {
            if let Some(path) = FilePath::parse(&text) {
                let below = path.below(Path::new("/cache"));
                prop_assert!(below.starts_with("/cache"));
                let normal = |part: Component<'_>| matches!(part, Component::Normal(_));
                prop_assert!(Path::new(path.as_str()).components().all(normal));
            }
        }
    }

    #[test]
    fn urls_have_no_other_characters() {
        assert_eq!(escaped("a b/c?d#é%", true), "a%20b/c%3Fd%23%C3%A9%25");
        assert_eq!(escaped("refs/pr/1", false), "refs%2Fpr%2F1");
    }
}
