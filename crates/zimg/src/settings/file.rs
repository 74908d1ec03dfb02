//! Settings in the configuration file: TOML, one key for each option.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zimg_client::{Failure, Kind};

use super::{FILE_VARIABLE, SettingOrigin, SettingValue, wrong};

/// The path of the file: `ZIMG_CONFIG`, else `zimg/config.toml` in `$XDG_CONFIG_HOME`, else in
/// `~/.config`.
pub(super) fn path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(named) = variable(FILE_VARIABLE) {
        return (!named.is_empty()).then(|| named.into());
    }
    let given = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = given("XDG_CONFIG_HOME").or_else(|| Some(given("HOME")?.join(".config")))?;
    Some(folder.join("zimg/config.toml"))
}

/// The keys of the file at `path`. A missing file has no keys; if it is `named` it is an error.
pub(super) fn read(
    path: &Path,
    named: bool,
) -> Result<Vec<(String, SettingValue, SettingOrigin)>, Failure> {
    let shown = path.display();
    let config = |message: String| Failure::new(Kind::Config, message);
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        // After `sudo -u` the home directory is another user's, and its file is not readable.
        Err(error)
            if !named
                && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(config(format!("cannot read {shown}: {error}"))),
    };
    let text = zimg_text::decode(&bytes)
        .map_err(|error| config(error.describe(&shown.to_string())).hint(error.hint(path)))?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        config(format!("{shown}, line {line}: {}", error.message()))
    })?;
    let origin = SettingOrigin::File(path.to_owned());
    let mut found = Vec::with_capacity(table.len());
    for (key, value) in table {
        let value = match value {
            toml::Value::String(text) => SettingValue::Text(text.into()),
            toml::Value::Boolean(on) => SettingValue::Switch(on),
            toml::Value::Integer(number) => SettingValue::Number(number.to_string()),
            toml::Value::Float(number) => SettingValue::Number(number.to_string()),
            _ => return Err(wrong(&origin, &key, "it must be text, a number, true or false")),
        };
        found.push((key, value, origin.clone()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_where_the_system_has_such_files() {
        let at = |given: &[(&str, &str)]| {
            let given = given.to_owned();
            path(move |name| Some(given.iter().find(|pair| pair.0 == name)?.1.into()))
        };
        let home = ("HOME", "/h");
        assert_eq!(at(&[home]), Some("/h/.config/zimg/config.toml".into()));
        assert_eq!(at(&[home, ("XDG_CONFIG_HOME", "/x")]), Some("/x/zimg/config.toml".into()));
        assert_eq!(at(&[home, ("XDG_CONFIG_HOME", "x")]), at(&[home]), "not a relative one");
        assert_eq!(at(&[home, (FILE_VARIABLE, "c")]), Some("c".into()));
        assert_eq!(at(&[home, (FILE_VARIABLE, "")]), None);
        assert_eq!(at(&[]), None);
    }

    #[test]
    fn a_wrong_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        assert_eq!(read(&path, false), Ok(Vec::new()));
        assert!(read(&path, true).unwrap_err().message.starts_with("cannot read "));
        fs::write(&path, "steps = 4\nsize = \n").unwrap();
        let message = read(&path, false).unwrap_err().message;
        assert!(message.contains("c.toml, line 2: "), "{message}");
        let utf16: Vec<u8> = "steps = 4\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        fs::write(&path, utf16).unwrap();
        let failure = read(&path, false).unwrap_err();
        assert!(failure.message.ends_with("c.toml is UTF-16 text, expected UTF-8"), "{failure}");
        assert!(failure.hint.unwrap().starts_with("convert it: `iconv -f UTF-16LE -t UTF-8 /"));
        fs::write(&path, "\u{feff}steps = 4\r\nguidance = 1\r").unwrap();
        assert_eq!(read(&path, false).unwrap().len(), 2);
        fs::write(&path, "size = [1]").unwrap();
        assert!(read(&path, false).unwrap_err().message.contains("must be text, a number"));
        fs::write(&path, "guidance = 1.5\nround = true\noutput = 'a'").unwrap();
        let values: Vec<_> = read(&path, false).unwrap().into_iter().map(|found| found.1).collect();
        assert!(values.contains(&SettingValue::Number("1.5".to_owned())));
        assert!(values.contains(&SettingValue::Switch(true)));
        assert!(values.contains(&SettingValue::Text("a".into())));
    }
}
