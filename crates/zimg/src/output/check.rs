//! Check that a file can be created, before anything is generated.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc::{EILSEQ, EINVAL, ENAMETOOLONG, O_NOCTTY, O_NONBLOCK};
use nix::unistd::{AccessFlags, eaccess, geteuid};
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use zimg_client::{Failure, Kind};
use zimg_text::shell_word;

use super::error::{terminal, usage};
use super::file::{OutputFile, directory_of};
use super::probe::probe;
use zimg_image::ImageFormat;

/// Attributes of a file that nothing replaces (chattr(1)).
const KEEPING: StatxAttributes = StatxAttributes::IMMUTABLE.union(StatxAttributes::APPEND);

/// Checks that a file can be created at `path`.
///
/// `otherwise` is the format of a name without extension.
pub(super) fn check(
    path: PathBuf,
    otherwise: Option<ImageFormat>,
    force: bool,
) -> Result<OutputFile, Failure> {
    let shown = path.display();
    let file = |path: PathBuf, special: bool| {
        let format = ImageFormat::of(&path).or(otherwise).or(special.then_some(ImageFormat::Png));
        match format {
            Some(format) => Ok(OutputFile { path, format, special }),
            None => Err(usage(format!("{} has no known image extension", path.display()))
                .hint("end it in .png, .jpg, .webp, .ppm or .raw, or give --format")),
        }
    };
    match fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => return Err(no_file(format!("{shown} is a directory"))),
        Ok(meta) if !meta.is_file() => {
            try_special(&path, meta.file_type())?;
            return file(path, true);
        }
        Ok(_) if force => {
            // Follows a link, so that its target and not the link is replaced.
            let link = path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
            let real = if link { path.canonicalize().ok() } else { None };
            let real = real.unwrap_or_else(|| path.clone());
            let planned = file(path, false)?;
            try_directory(&real, true)?;
            try_replacing(&real)?;
            return Ok(OutputFile { path: real, ..planned });
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(no_file(format!("cannot create {shown}: {error}")));
        }
        // A dangling link exists, too.
        _ if !force && path.symlink_metadata().is_ok() => {
            return Err(no_file(format!("{shown} exists already"))
                .hint("--force replaces it, -o FILE gives another name"));
        }
        _ => {}
    }
    let file = file(path, false)?;
    try_directory(&file.path, false)?;
    Ok(file)
}

/// Checks that a pipe or device can take an image: not a disk, which it would overwrite, and not a
/// terminal.
fn try_special(path: &Path, kind: fs::FileType) -> Result<(), Failure> {
    let shown = path.display();
    if kind.is_socket() || kind.is_block_device() {
        let what = if kind.is_socket() { "a socket" } else { "a disk" };
        return Err(no_file(format!("{shown} is {what}"))
            .hint("-o - writes to standard output, from where any program takes it"));
    }
    eaccess(path, AccessFlags::W_OK)
        .map_err(|error| no_file(format!("cannot write to {shown}: {}", error.desc())))?;
    // A pipe is not opened: its reader would see the end of a file.
    if kind.is_char_device() { try_device(path) } else { Ok(()) }
}

/// Opens a device as [`save`](super::save()) does, and writes no byte, for which a full one has no
/// space either. `/dev/tty` without a terminal and a device without a driver do not open.
fn try_device(path: &Path) -> Result<(), Failure> {
    let mut open = fs::OpenOptions::new();
    let open = open.write(true).custom_flags(O_NOCTTY | O_NONBLOCK);
    let cannot =
        |error: &io::Error| no_file(format!("cannot write to {}: {error}", path.display()));
    let mut device = open.open(path).map_err(|error| cannot(&error))?;
    if device.is_terminal() {
        return Err(terminal(path.display()));
    }
    match device.write(&[]) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(cannot(&error)),
        _ => Ok(()),
    }
}

/// Checks that a file can be placed at `path`, by placing another one beside it.
fn try_directory(path: &Path, force: bool) -> Result<(), Failure> {
    let Err(error) = probe(path, force) else { return Ok(()) };
    let directory = directory_of(path);
    let shown = directory.display();
    Err(match error.error() {
        error if error.kind() == io::ErrorKind::NotFound && !directory.exists() => {
            no_file(format!("the directory {shown} does not exist"))
                .hint(format!("create it with `mkdir -p {}`", shell_word(directory)))
        }
        // The name is too long, or has characters that the file system does not take.
        error if matches!(error.raw_os_error(), Some(ENAMETOOLONG | EILSEQ | EINVAL)) => {
            no_file(format!("cannot create {}: {error}", path.display()))
        }
        error => no_file(format!("cannot write to the directory {shown}: {error}")),
    })
}

/// Checks that the file there is not kept by an attribute or by its folder, which the probe with
/// another file does not show.
fn try_replacing(path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    let flags = StatxFlags::BASIC_STATS;
    let attributes = statx(CWD, path, AtFlags::empty(), flags).map(|found| found.stx_attributes);
    if attributes.is_ok_and(|found| found.intersects(KEEPING)) {
        let hint = format!("`chattr -ia {}` lifts that, as root", shell_word(path));
        return Err(no_file(format!("{shown} cannot be replaced: it is immutable or append-only"))
            .hint(hint));
    }
    let (Ok(file), Ok(folder)) = (fs::metadata(path), fs::metadata(directory_of(path))) else {
        return Ok(());
    };
    let keeps = keeps_for_owners(folder.mode(), [file.uid(), folder.uid()], geteuid().as_raw());
    if keeps {
        let message = format!("{shown} cannot be replaced: it belongs to another user");
        return Err(no_file(message).hint("-o FILE gives another name"));
    }
    Ok(())
}

/// Whether a folder with this mode lets a user replace no file of others (unlink(2), the sticky bit).
fn keeps_for_owners(mode: u32, owners: [u32; 2], user: u32) -> bool {
    mode & 0o1000 != 0 && user != 0 && !owners.contains(&user)
}

fn no_file(message: String) -> Failure {
    Failure::new(Kind::CannotCreate, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sticky_folder_keeps_the_files_of_others() {
        for (mode, owners, user, keeps) in [
            (0o41777, [1, 0], 2, true),
            (0o41777, [2, 0], 2, false),
            (0o41777, [1, 2], 2, false),
            (0o41777, [1, 0], 0, false),
            (0o40777, [1, 0], 2, false),
        ] {
            assert_eq!(keeps_for_owners(mode, owners, user), keeps, "{mode:o} {owners:?} {user}");
        }
    }
}
