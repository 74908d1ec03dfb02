//! `zimg config`: the settings that are in force, and where each comes from.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use zimg_client::{Failure, Kind};

use crate::json;
use crate::settings::{FILE_VARIABLE, Origin, Settings, keys};
use crate::stop::Stop;
use crate::typed::{Common, Config};

/// Prints the settings, or the file's path.
///
/// # Errors
///
/// A setting is wrong, or standard output is full.
pub(crate) fn run(typed: &Config, common: &Common) -> Result<(), Stop> {
    let text = match typed {
        Config::Show { .. } if common.json => return lines(&Settings::read()?),
        Config::Show { origin } => screen(&Settings::read()?, *origin),
        Config::Path => {
            common.refuse_json("the path is text, not JSON")?;
            let none = || {
                let message = format!("there is no configuration file: {FILE_VARIABLE} is empty");
                Failure::new(Kind::Config, message)
            };
            format!("{}\n", Settings::read()?.file.ok_or_else(none)?.display())
        }
    };
    io::stdout().lock().write_all(text.as_bytes()).map_err(|error| Stop::writing(&error))
}

/// All keys, as JSON.
fn lines(settings: &Settings) -> Result<(), Stop> {
    keys().iter().try_for_each(|(key, _)| {
        let set = settings.found.iter().find(|setting| setting.key == *key);
        let origin = set.map(|setting| from(&setting.origin));
        let value = set.map(|setting| setting.value.as_str());
        json::print(json::setting(key, value, origin.as_deref()))
    })
}

fn from(origin: &Origin) -> String {
    match origin {
        Origin::Environment(name) => name.clone(),
        Origin::File(path) => path.display().to_string(),
    }
}

/// All keys, in the form of the file; those that are not set as comments.
fn screen(settings: &Settings, origin: bool) -> String {
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
                    None => "The daemon's socket".to_owned(),
                };
                writeln!(text, "# {key}: {help}")
            }
        };
    }
    text
}
