//! `~/` at the beginning of a path that no shell has expanded: in configuration files, in the
//! environment, in unit files, and in quotes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The path with `~` or `~/` at its beginning replaced by `home`, which is the variable HOME.
/// `./~` stays a folder of that name.
///
/// # Errors
///
/// A sentence: the home folder is another user's, or is not known.
pub fn expanded(path: &OsStr, home: Option<&OsStr>) -> Result<OsString, String> {
    let [b'~', rest @ ..] = path.as_bytes() else { return Ok(path.to_owned()) };
    let name = rest.split(|byte| *byte == b'/').next().unwrap_or(rest);
    if !name.is_empty() {
        // A file may have such a name, such as an editor's copy; a shell means a folder.
        if name.len() == rest.len() {
            return Ok(path.to_owned());
        }
        let name = String::from_utf8_lossy(name);
        return Err(format!(
            "begins with ~{name}/, but only ~/ is expanded: write the path of that folder, \
             or ./~{name}/ for a folder of this name"
        ));
    }
    let Some(home) = home.map(Path::new).filter(|home| home.is_absolute()) else {
        return Err("begins with ~/, but HOME is not set to a path: write the whole path".into());
    };
    let slashes = rest.iter().take_while(|byte| **byte == b'/').count();
    Ok(home.join(OsStr::from_bytes(&rest[slashes..])).into_os_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn only_the_users_own_home_is_expanded() {
        let of = |path: &str, home: &str| expanded(path.as_ref(), Some(home.as_ref()));
        for (path, expected) in [
            ("~/m", "/home/u/m"),
            ("~//m/", "/home/u/m/"),
            ("~/", "/home/u/"),
            ("~/{seed}.png", "/home/u/{seed}.png"),
            ("./~/m", "./~/m"),
            ("/~/m", "/~/m"),
            ("a~/m", "a~/m"),
            ("~$a.png", "~$a.png"),
            ("~", "/home/u/"),
            ("", ""),
            ("-", "-"),
        ] {
            assert_eq!(of(path, "/home/u").unwrap(), expected, "{path}");
        }
        for home in ["", "home"] {
            assert!(of("~/m", home).unwrap_err().contains("HOME is not set"), "{home}");
        }
        assert!(expanded("~/m".as_ref(), None).unwrap_err().contains("HOME is not set"));
        assert!(of("~eve/m", "/home/u").unwrap_err().starts_with("begins with ~eve/, but only"));
        let odd = OsString::from_vec(b"/h\xff".to_vec());
        let bytes = expanded(OsStr::from_bytes(b"~/\xe9"), Some(&odd)).unwrap();
        assert_eq!(bytes.as_bytes(), b"/h\xff/\xe9");
    }
}
