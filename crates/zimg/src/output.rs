//! Where the pictures go: all names, worked out and checked before anything is drawn.

use std::collections::HashSet;
use std::fs;
use std::io::{self, IsTerminal};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc::{O_NOCTTY, O_NONBLOCK};
use nix::unistd::{AccessFlags, eaccess};
use zimg_client::{Failure, Kind};

use crate::encode::Format;
use crate::words;

/// Where each picture goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// The one picture, as PNG.
    Stdout,
    /// One file a picture.
    Files(Vec<File>),
}

/// A file to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    /// A pipe or a device: written to as it stands, not replaced.
    pub(crate) special: bool,
}

impl Output {
    /// From `-o`, for `count` pictures with seeds from `seed` on.
    ///
    /// # Errors
    ///
    /// `Usage`: an unknown format or placeholder, pixels for a terminal, or several pictures for
    /// one stream. `CannotCreate`: a file is there already (unless `force`), or could not be
    /// created.
    pub(crate) fn plan(
        output: Option<&str>,
        seed: u64,
        count: u32,
        force: bool,
    ) -> Result<Self, Failure> {
        if output == Some("-") {
            if io::stdout().is_terminal() {
                return Err(terminal());
            }
            if count > 1 {
                return Err(usage(format!("standard output takes one picture, not {count}"))
                    .hint("give a file with -o FILE"));
            }
            return Ok(Self::Stdout);
        }
        let names = names(&pattern(output, count)?, seed, count)?;
        let mut directories = HashSet::new();
        let mut files = Vec::with_capacity(names.len());
        for path in names {
            files.push(check(path, force, &mut directories)?);
        }
        if count > 1 && files.iter().any(|file| file.special) {
            return Err(usage("a pipe or device takes one picture".to_owned()));
        }
        Ok(Self::Files(files))
    }
}

/// The pattern of `-o`: the default name without it or for a directory, numbered for several.
fn pattern(output: Option<&str>, count: u32) -> Result<String, Failure> {
    let Some(output) = output else { return Ok("zimg-{seed}.png".to_owned()) };
    if output.is_empty() {
        return Err(usage("-o needs the name of a file".to_owned()));
    }
    if output.ends_with('/') || Path::new(output).is_dir() {
        return Ok(format!("{}/zimg-{{seed}}.png", output.trim_end_matches('/')));
    }
    let differs = output.replace("{{", "").contains('{');
    if count == 1 || differs {
        return Ok(output.to_owned());
    }
    let digits = count.ilog10() + 1;
    let name_starts = output.rfind('/').map_or(0, |slash| slash + 1);
    let dot = output[name_starts..].rfind('.').map_or(output.len(), |dot| name_starts + dot);
    Ok(format!("{}-{{index:0{digits}}}{}", &output[..dot], &output[dot..]))
}

fn names(pattern: &str, seed: u64, count: u32) -> Result<Vec<PathBuf>, Failure> {
    (0..count)
        .map(|i| fill(pattern, seed.wrapping_add(i.into()), i + 1).map(PathBuf::from))
        .collect()
}

/// The pattern with this picture's seed and index (from 1) in place of the placeholders.
fn fill(pattern: &str, seed: u64, index: u32) -> Result<String, Failure> {
    let mut filled = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        filled += &rest[..at];
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("{{") {
            (filled, rest) = (filled + "{", after);
        } else if let Some(after) = rest.strip_prefix("}}") {
            (filled, rest) = (filled + "}", after);
        } else {
            let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let value = inside.and_then(|(name, _)| placeholder(name, seed, index));
            let Some((value, (_, after))) = value.zip(inside) else {
                return Err(usage(format!("-o {pattern} has a placeholder that is not known"))
                    .hint("{seed}, {index} and {index:04} are; {{ and }} stand for braces"));
            };
            (filled, rest) = (filled + &value, after);
        }
    }
    Ok(filled + rest)
}

/// `seed`, `index` or either with a width like `index:04`.
fn placeholder(name: &str, seed: u64, index: u32) -> Option<String> {
    let (name, width) = match name.split_once(':') {
        Some((name, width)) => (name, width.strip_prefix('0')?.parse().ok()?),
        None => (name, 0),
    };
    let value = match name {
        "seed" => seed,
        "index" => index.into(),
        _ => return None,
    };
    (width <= 20).then(|| format!("{value:0width$}"))
}

/// That a file can come to be at `path`; each directory is tried once.
fn check(path: PathBuf, force: bool, tried: &mut HashSet<PathBuf>) -> Result<File, Failure> {
    let shown = path.display();
    let file = |path: PathBuf, special: bool| {
        let format = Format::of(&path).or(special.then_some(Format::Png));
        match format {
            Some(format) => Ok(File { path, format, special }),
            None => Err(usage(format!("{} names no format that zimg knows", path.display()))
                .hint("end it in .png, .jpg, .webp or .ppm")),
        }
    };
    match fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => return Err(no_file(format!("{shown} is a directory"))),
        Ok(meta) if !meta.is_file() => {
            try_special(&path, meta.file_type())?;
            return file(path, true);
        }
        Ok(_) if force => {
            // Through links to the file itself, so that it and not the link is replaced.
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            let planned = file(path, false)?;
            try_directory(&real, tried)?;
            return Ok(File { path: real, ..planned });
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(no_file(format!("cannot create {shown}: {error}")));
        }
        // A link to nowhere is there all the same.
        _ if !force && path.symlink_metadata().is_ok() => {
            return Err(no_file(format!("{shown} exists already"))
                .hint("--force replaces it, -o FILE gives another name"));
        }
        _ => {}
    }
    let file = file(path, false)?;
    try_directory(&file.path, tried)?;
    Ok(file)
}

/// That a pipe or device takes a picture: not a disk, of which a picture would be the ruin, and
/// not a terminal.
fn try_special(path: &Path, kind: fs::FileType) -> Result<(), Failure> {
    let shown = path.display();
    if kind.is_socket() || kind.is_block_device() {
        let what = if kind.is_socket() { "a socket" } else { "a disk" };
        return Err(no_file(format!("{shown} is {what}")));
    }
    eaccess(path, AccessFlags::W_OK)
        .map_err(|error| no_file(format!("cannot write to {shown}: {}", error.desc())))?;
    // A pipe without a reader is waited for when there is something to write.
    let mut open = fs::OpenOptions::new();
    open.write(true).custom_flags(O_NOCTTY | O_NONBLOCK);
    if kind.is_char_device() && open.open(path).is_ok_and(|device| device.is_terminal()) {
        return Err(terminal());
    }
    Ok(())
}

/// That the directory of `path` takes a file: creates one without a name, which is gone at once.
fn try_directory(path: &Path, tried: &mut HashSet<PathBuf>) -> Result<(), Failure> {
    let directory = directory_of(path);
    if !tried.insert(directory.to_owned()) {
        return Ok(());
    }
    let shown = directory.display();
    match tempfile::tempfile_in(directory) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !directory.exists() => {
            Err(no_file(format!("the directory {shown} does not exist"))
                .hint(format!("create it with `mkdir -p {}`", words::quoted(directory))))
        }
        Err(error) => Err(no_file(format!("cannot write to the directory {shown}: {error}"))),
    }
}

/// The directory that `path` lies in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn terminal() -> Failure {
    usage("a picture is no text for a terminal".to_owned())
        .hint("give a file with -o FILE, or pipe the picture to another program")
}

fn usage(message: String) -> Failure {
    Failure::new(Kind::Usage, message)
}

fn no_file(message: String) -> Failure {
    Failure::new(Kind::CannotCreate, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(output: Option<&str>, count: u32) -> Vec<String> {
        let names = names(&pattern(output, count).unwrap(), 7, count).unwrap();
        names.iter().map(|name| name.display().to_string()).collect()
    }

    #[test]
    fn names_come_from_the_pattern() {
        assert_eq!(planned(None, 1), ["zimg-7.png"]);
        assert_eq!(planned(None, 2), ["zimg-7.png", "zimg-8.png"]);
        assert_eq!(planned(Some("a.png"), 1), ["a.png"]);
        assert_eq!(planned(Some("a.b.png"), 2), ["a.b-1.png", "a.b-2.png"]);
        assert_eq!(planned(Some("d.x/a"), 2), ["d.x/a-1", "d.x/a-2"]);
        assert_eq!(planned(Some("a.png"), 12)[8..10], ["a-09.png", "a-10.png"]);
        assert_eq!(planned(Some("{seed}/{index:04}.png"), 2), ["7/0001.png", "8/0002.png"]);
        assert_eq!(planned(Some("{{x}}-{index}.png"), 2), ["{x}-1.png", "{x}-2.png"]);
        assert_eq!(planned(Some("{{x}}.png"), 2), ["{x}-1.png", "{x}-2.png"]);
        assert_eq!(planned(Some("é{seed}ü.png"), 1), ["é7ü.png"]);
        assert_eq!(planned(Some("/tmp/"), 1), ["/tmp/zimg-7.png"]);
    }

    #[test]
    fn seeds_wrap_as_the_protocol_has_it() {
        let names = names("{seed}", u64::MAX, 2).unwrap();
        assert_eq!(names, [PathBuf::from("18446744073709551615"), PathBuf::from("0")]);
    }

    #[test]
    fn unknown_placeholders_are_refused() {
        for bad in ["{x}", "{", "}", "{seed", "{index:4}", "{index:}", "{index:099}", "{}"] {
            assert_eq!(fill(bad, 1, 1).unwrap_err().kind, Kind::Usage, "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_created_is_said_before_drawing() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        let plan = |name: &str, count, force| Output::plan(Some(&at(name)), 7, count, force);
        fs::write(at("there-2.png"), "").unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("link.png")).unwrap();

        let failure = plan("there.png", 3, false).unwrap_err();
        assert_eq!(failure.message, format!("{} exists already", at("there-2.png")));
        assert_eq!(failure.kind, Kind::CannotCreate);
        assert!(plan("there.png", 3, true).is_ok());
        assert!(plan("link.png", 1, false).unwrap_err().message.ends_with("exists already"));

        let failure = plan("no/a.png", 1, false).unwrap_err();
        assert_eq!(failure.kind, Kind::CannotCreate);
        assert_eq!(failure.hint, Some(format!("create it with `mkdir -p {}`", at("no"))));

        for name in ["a", "a.gif", ".png", "a."] {
            assert_eq!(plan(name, 1, false).unwrap_err().kind, Kind::Usage, "{name}");
        }
        let failure = plan(&format!("{}.png", "x".repeat(300)), 1, false).unwrap_err();
        assert_eq!(failure.kind, Kind::CannotCreate);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is left behind");
    }

    #[test]
    fn force_writes_through_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real.png"), directory.path().join("link.png"));
        fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let Output::Files(files) = Output::plan(link.to_str(), 1, 1, true).unwrap() else {
            panic!("not a file");
        };
        assert_eq!(files[0].path, real.canonicalize().unwrap());
    }

    #[test]
    fn sockets_and_places_without_files_are_refused_before_drawing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.png");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let failure = Output::plan(path.to_str(), 1, 1, true).unwrap_err();
        assert_eq!(failure.kind, Kind::CannotCreate);
        assert!(failure.message.ends_with("a.png is a socket"), "{}", failure.message);
        let failure = Output::plan(Some("/proc/a.png"), 1, 1, false).unwrap_err();
        assert_eq!(failure.kind, Kind::CannotCreate);
        assert!(failure.message.starts_with("cannot write to "), "{}", failure.message);
    }

    #[test]
    fn devices_are_written_to_as_they_are() {
        let file = File { path: "/dev/null".into(), format: Format::Png, special: true };
        for force in [false, true] {
            let plan = Output::plan(Some("/dev/null"), 1, 1, force).unwrap();
            assert_eq!(plan, Output::Files(vec![file.clone()]));
        }
    }
}
