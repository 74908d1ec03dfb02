//! Keys: a file of names and digests, which is read again when it has changed.
//!
//! One line a key: `NAME SHA256 [expires=YYYY-MM-DD]`; `#` begins a comment.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use zimg_client::limits::USER_BYTES;
use zimg_client::{Failure, Kind};

use super::digest::Digest;
use super::secret::random_text;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A longer file has more keys than one process serves.
const FILE_MAX: u64 = 1 << 20;

/// A key.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its user.
    pub name: Arc<str>,
    /// What is stored of it.
    pub digest: Digest,
    /// It is refused from then on.
    pub expires: Option<SystemTime>,
}

/// The keys in a file.
#[derive(Debug)]
pub struct Keys {
    path: PathBuf,
    read: Mutex<Read>,
}

#[derive(Debug)]
struct Read {
    keys: Arc<[Key]>,
    looked: Instant,
    /// Inode, length and time of the last change.
    identity: (u64, u64, i64, i64),
}

impl Keys {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// `Config`: it cannot be read, or a line is malformed.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let (identity, keys) = load(path)?;
        let read = Read { keys, looked: Instant::now(), identity };
        Ok(Self { path: path.to_owned(), read: Mutex::new(read) })
    }

    /// The keys that are valid now. A file that has become unreadable or malformed changes nothing.
    pub fn valid(&self) -> Vec<Key> {
        let now = SystemTime::now();
        let keys = self.current();
        keys.iter().filter(|key| key.expires.is_none_or(|end| now < end)).cloned().collect()
    }

    /// The key with this text. All are compared, each in constant time.
    pub fn find(&self, text: &str) -> Option<Key> {
        let digest = Digest::of(text.as_bytes());
        self.valid()
            .into_iter()
            .fold(None, |found, key| if key.digest.matches(&digest) { Some(key) } else { found })
    }

    /// The key with this name.
    pub fn named(&self, name: &str) -> Option<Key> {
        self.valid().into_iter().find(|key| &*key.name == name)
    }

    fn current(&self) -> Arc<[Key]> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.looked.elapsed() >= LOOK {
            read.looked = Instant::now();
            let changed = identity(&self.path).is_ok_and(|now| now != read.identity);
            if changed {
                match load(&self.path) {
                    Ok((identity, keys)) => (read.identity, read.keys) = (identity, keys),
                    Err(failure) => {
                        tracing::warn!(
                            event = crate::events::KEYS_UNREADABLE,
                            "{failure}; the keys read before stay"
                        );
                    }
                }
            }
        }
        Arc::clone(&read.keys)
    }
}

type Identity = (u64, u64, i64, i64);

fn identity(path: &Path) -> io::Result<Identity> {
    let found = fs::metadata(path)?;
    Ok((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}

fn load(path: &Path) -> Result<(Identity, Arc<[Key]>), Failure> {
    let shown = path.display();
    let unreadable = |error: io::Error| {
        Failure::new(Kind::Config, format!("cannot read the keys in {shown}: {error}"))
            .hint("`zimg-web --keys FILE --new-key NAME` writes the first one")
    };
    let identity = identity(path).map_err(unreadable)?;
    if identity.1 > FILE_MAX {
        let message = format!("{shown} has {} bytes, expected at most {FILE_MAX}", identity.1);
        return Err(Failure::new(Kind::Config, message));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let keys = parse(&text).map_err(|(line, what)| {
        Failure::new(Kind::Config, format!("{shown}, line {line}: {what}"))
            .hint("expected `NAME SHA256 [expires=YYYY-MM-DD]`")
    })?;
    Ok((identity, keys.into()))
}

/// The keys of a text, or the first line that is malformed and why.
pub(crate) fn parse(text: &str) -> Result<Vec<Key>, (usize, String)> {
    let mut keys: Vec<Key> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: String| (number + 1, what);
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        check_name(name).map_err(wrong)?;
        if keys.iter().any(|key| &*key.name == name) {
            return Err(wrong(format!("the name `{name}` is there twice")));
        }
        let digest = words.next().unwrap_or_default();
        let digest = Digest::from_hex(digest).ok_or_else(|| {
            let found = digest.len();
            wrong(format!("the digest has {found} characters, expected 64 hexadecimal digits"))
        })?;
        let mut expires = None;
        for word in words {
            let date = word.strip_prefix("expires=");
            let date = date.ok_or_else(|| wrong(format!("`{word}` is unknown")))?;
            let end = humantime::parse_rfc3339_weak(&format!("{date} 00:00:00"));
            expires = Some(end.map_err(|_| wrong(format!("`{date}` is not a date")))?);
        }
        keys.push(Key { name: name.into(), digest, expires });
    }
    Ok(keys)
}

fn check_name(name: &str) -> Result<(), String> {
    if name.len() > USER_BYTES {
        return Err(format!("the name has {} bytes, expected at most {USER_BYTES}", name.len()));
    }
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    match name.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(format!("the name has {c:?}, expected letters, digits, - _ . and @")),
        None if name.is_empty() => Err("the name is empty".to_owned()),
        None => Ok(()),
    }
}

/// A new key for a name: the key, which is shown once, and its line.
///
/// # Errors
///
/// `Usage`: the name is not possible. `Internal`: the system has no random numbers.
pub fn new_key(name: &str) -> Result<(String, String), Failure> {
    check_name(name).map_err(|what| Failure::new(Kind::Usage, what))?;
    let key = random_text().map_err(|error| Failure::new(Kind::Internal, error.to_string()))?;
    let key = format!("zimg-{key}");
    let line = format!("{name} {}\n", Digest::of(key.as_bytes()).to_hex());
    Ok((key, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(path: &Path, names: &[&str]) -> Vec<String> {
        let new: Vec<_> = names.iter().map(|name| new_key(name).unwrap()).collect();
        fs::write(path, new.iter().map(|(_, line)| &**line).collect::<String>()).unwrap();
        new.into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn a_key_is_found_by_its_text_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let texts = written(&path, &["ann", "bob"]);
        let keys = Keys::open(&path).unwrap();
        assert_eq!(&*keys.find(&texts[1]).unwrap().name, "bob");
        assert!(!fs::read_to_string(&path).unwrap().contains(&texts[0]));
        for wrong in ["", "ann", &texts[0][1..], &keys.named("ann").unwrap().digest.to_hex()] {
            assert!(keys.find(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_malformed_one_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let old = written(&path, &["ann"]);
        let keys = Keys::open(&path).unwrap();
        let look = || keys.read.lock().unwrap().looked -= LOOK;
        let new = written(&path, &["ann", "bob"]);
        look();
        assert!(keys.find(&old[0]).is_none() && keys.find(&new[1]).is_some());
        fs::write(&path, "ann nothing").unwrap();
        look();
        assert!(keys.find(&new[1]).is_some());
        fs::remove_file(&path).unwrap();
        look();
        assert!(keys.find(&new[1]).is_some());
    }

    #[test]
    fn malformed_lines_are_named() {
        let digest = "0".repeat(64);
        let lines = [
            (String::new(), Ok(0)),
            (format!("# none\n\nann {digest} # Ann\n"), Ok(1)),
            (format!("安 {digest} expires=2100-01-31"), Ok(1)),
            ("ann".to_owned(), Err(1)),
            (format!("\nann {digest}0"), Err(2)),
            (format!("ann {digest} expires=tomorrow"), Err(1)),
            (format!("ann {digest} share=2"), Err(1)),
            (format!("ann {digest}\nann {digest}"), Err(2)),
            (format!("a/b {digest}"), Err(1)),
            (format!("{} {digest}", "a".repeat(USER_BYTES + 1)), Err(1)),
        ];
        for (text, expected) in lines {
            let found = parse(&text).map(|keys| keys.len()).map_err(|(line, _)| line);
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn an_expired_key_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let (key, line) = new_key("ann").unwrap();
        let with = |date: &str| {
            fs::write(&path, format!("{} expires={date}", line.trim_end())).unwrap();
            Keys::open(&path).unwrap().find(&key).is_some()
        };
        assert!(with("2999-12-31"));
        assert!(!with("2020-01-01"));
    }
}
