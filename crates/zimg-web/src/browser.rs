//! Opening the page in the user's browser.
//!
//! Arguments of a process can be read by every user of the machine, so the browser gets the name of
//! a file that only its user can read, and the file leads on to the link (as Jupyter does).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The file, until it is dropped.
#[derive(Debug)]
pub(crate) struct Redirect(PathBuf);

/// Opens the link if there is a desktop; the file that leads to it lives as long as the server.
pub(crate) fn open(link: &str) -> Option<Redirect> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !is_set("DISPLAY") && !is_set("WAYLAND_DISPLAY") {
        return None;
    }
    let folder = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
    let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    let path = folder.join(format!("zimg-web-{}.html", std::process::id()));
    let redirect = write(&path, link).ok()?;
    let started = Command::new("xdg-open")
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    started.is_ok().then_some(redirect)
}

fn write(path: &Path, link: &str) -> io::Result<Redirect> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let redirect = Redirect(path.to_owned());
    // A link has no characters that HTML gives a meaning.
    writeln!(
        file,
        "<!doctype html><title>zimg</title><meta http-equiv=\"refresh\" content=\"0; url={link}\">"
    )?;
    Ok(redirect)
}

impl Drop for Redirect {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_the_users_alone_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.html");
        let redirect = write(&path, "http://127.0.0.1:1/#token=x").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(&path).unwrap().contains("url=http://127.0.0.1:1/#token=x"));
        assert!(write(&path, "").is_err(), "another program's file is not taken");
        drop(redirect);
        assert!(!path.exists());
    }
}
