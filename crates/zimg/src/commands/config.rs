//! `zimg config`: prints the settings in force and their origins.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde::Serialize;
use zimg_client::{Failure, Kind};

use crate::cli::{CommonArgs, ConfigCommand};
use crate::exit::Exit;
use crate::settings::{FILE_VARIABLE, SettingOrigin, UserSettings, help, keys};
use crate::{format, json};

/// The `--json` event of one key.
#[derive(Serialize)]
#[serde(tag = "event", rename = "setting")]
struct SettingEvent<'a> {
    key: &'a str,
    value: Option<serde_json::Value>,
    origin: Option<&'a str>,
}

/// Prints the settings, or the path of the configuration file.
///
/// # Errors
///
/// A setting is invalid, or standard output is closed or full.
pub(crate) fn run(args: &ConfigCommand, common: &CommonArgs) -> Result<(), Exit> {
    let text = match args {
        ConfigCommand::Show { .. } if common.json => return lines(&UserSettings::read()?),
        ConfigCommand::Show { origin } => screen(&UserSettings::read()?, *origin),
        ConfigCommand::Path => {
            common.refuse_json("the path is text, not JSON")?;
            let none = || {
                let message = format!("there is no configuration file: {FILE_VARIABLE} is empty");
                Failure::new(Kind::Config, message)
            };
            return format::print_path(&UserSettings::read()?.file.ok_or_else(none)?);
        }
    };
    io::stdout().lock().write_all(text.as_bytes()).map_err(|error| Exit::stdout(&error))
}

/// Prints all keys as JSON.
fn lines(settings: &UserSettings) -> Result<(), Exit> {
    // A value in the format of the file is JSON, except floats such as `1.`.
    let parsed = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| text.into());
    keys().iter().try_for_each(|(key, _)| {
        let set = settings.found.iter().find(|setting| setting.key == *key);
        let origin = set.map(|setting| from(&setting.origin));
        let value = set.map(|setting| setting.value.as_str());
        json::print(&SettingEvent { key, value: value.map(parsed), origin: origin.as_deref() })
    })
}

fn from(origin: &SettingOrigin) -> String {
    match origin {
        SettingOrigin::Environment(name) => name.clone(),
        SettingOrigin::File(path) => path.display().to_string(),
    }
}

/// All keys in the format of the file; keys that are not set are comments.
fn screen(settings: &UserSettings, origin: bool) -> String {
    let mut text = String::new();
    for (key, arg) in keys() {
        let set = settings.found.iter().find(|setting| setting.key == key);
        // Writing to a string cannot fail.
        let _ = match set {
            Some(setting) if origin => {
                writeln!(text, "{key} = {}  # {}", setting.value, from(&setting.origin))
            }
            Some(setting) => writeln!(text, "{key} = {}", setting.value),
            None => {
                let help = match arg {
                    Some(arg) => arg.get_help().map(ToString::to_string).unwrap_or_default(),
                    None => help(&key).to_owned(),
                };
                writeln!(text, "# {key}: {help}")
            }
        };
    }
    text
}
