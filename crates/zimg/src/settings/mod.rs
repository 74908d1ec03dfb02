//! The user's own defaults: `ZIMG_*` over the configuration file. Each key is the long name of an
//! option and is read as that option is, so there is one definition of both.

mod environment;
mod file;
mod names;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use clap::{Arg, Args, Command, FromArgMatches};
use zimg_client::{Failure, Kind, home, socket};

use self::names::{Named, resolved};
pub(crate) use self::names::{converted, key};
use crate::cli::{DrawOptions, is_converted, plainly};

/// The variable that names another file, or no file if it is empty.
pub(crate) const FILE_VARIABLE: &str = "ZIMG_CONFIG";
/// The daemon's socket: a key that is no option of `zimg draw`.
const SOCKET: &str = "socket";
/// Folders with checkpoints, separated as in PATH: a key that is no option of `zimg draw` either.
const MODEL_DIRS: &str = "model_dirs";
/// The keys that are no options of `zimg draw`, with their help.
const OTHER_KEYS: [(&str, &str); 2] =
    [(SOCKET, "The daemon's socket"), (MODEL_DIRS, "Folders with checkpoints, `:` between them")];
/// Keys whose values are paths: in any encoding, and from the home folder with `~/`.
const PATHS: [&str; 6] = ["output", "grid", "init", "mask", "control", SOCKET];
/// Options that are no settings.
const NO_SETTINGS: [&str; 1] = ["force"];

/// The origin of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SettingOrigin {
    /// This environment variable.
    Environment(String),
    /// This file.
    File(PathBuf),
}

/// One key that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserSetting {
    pub(crate) key: String,
    /// The value in the format of the file.
    pub(crate) value: String,
    pub(crate) origin: SettingOrigin,
}

/// A value from any origin.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SettingValue {
    /// Text, which is UTF-8 except for paths.
    Text(OsString),
    /// As text.
    Number(String),
    Switch(bool),
}

/// All keys that are set, those of the file first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct UserSettings {
    /// The path of the file, whether it exists or not.
    pub(crate) file: Option<PathBuf>,
    pub(crate) found: Vec<UserSetting>,
    /// What is ignored, a sentence each.
    pub(crate) told: Vec<String>,
    options: DrawOptions,
    socket: Option<PathBuf>,
    model_dirs: Vec<PathBuf>,
}

impl UserSettings {
    /// Reads the file and the environment.
    ///
    /// # Errors
    ///
    /// `Config`: an unknown key, or an invalid value.
    pub(crate) fn read() -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var_os(name);
        let path = file::path(variable);
        let mut settings = Self::default();
        if let Some(path) = &path {
            let found = file::read(path, std::env::var_os(FILE_VARIABLE).is_some())?;
            settings.take(found)?;
        }
        let names = || std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        environment::check(names())?;
        settings.take(environment::read(variable, names())?)?;
        settings.file = path;
        Ok(settings)
    }

    /// The options that are set. A strength is one of initial images alone.
    pub(crate) fn options(&self) -> DrawOptions {
        let mut options = self.options.clone();
        options.inputs.usual_strength = options.params.0.strength.take();
        options
    }

    /// The folders with checkpoints.
    pub(crate) fn model_dirs(&self) -> Vec<PathBuf> {
        self.model_dirs.clone()
    }

    /// The path of the daemon's socket: `given` on the command line, else the environment's, else
    /// the configuration file's, else the usual ones.
    ///
    /// # Errors
    ///
    /// `Usage`: the path is too long for a socket.
    pub(crate) fn find_socket(&self, given: Option<&Path>) -> Result<PathBuf, Failure> {
        let set = std::env::var_os(socket::VARIABLE).is_some_and(|value| !value.is_empty());
        let file = self.socket.as_deref().filter(|_| !set);
        socket::find(given.or(file))
    }

    /// Adds a layer that overrides those before. Its keys may have the names of other programs.
    fn take(&mut self, layer: Vec<(String, SettingValue, SettingOrigin)>) -> Result<(), Failure> {
        let mut over = DrawOptions::default();
        let mut given: Vec<(String, String)> = Vec::new();
        let mut sides: [Option<(u32, String, SettingOrigin)>; 2] = [None, None];
        for (name, value, origin) in layer {
            let (key, value) =
                match resolved(&name, value).map_err(|wrong| wrong.at(&origin, &name))? {
                    Named::Key(key, value) => (key, value),
                    Named::Side(side, pixels) => {
                        sides[side] = Some((pixels, name, origin));
                        continue;
                    }
                    Named::Ignored(why) => {
                        self.told.push(format!("{} is ignored: {why}", origin.place(&name)));
                        continue;
                    }
                    Named::Nothing => continue,
                };
            over = self.set(&mut given, key, &name, value, origin)?.or(over);
        }
        match sides {
            [Some((width, name, origin)), Some((height, ..))] => {
                let size = SettingValue::Text(format!("{width}x{height}").into());
                over = self.set(&mut given, "size".to_owned(), &name, size, origin)?.or(over);
            }
            [Some((_, name, origin)), None] => {
                return Err(wrong(&origin, &name, "it is given without the height"));
            }
            [None, Some((_, name, origin))] => {
                return Err(wrong(&origin, &name, "it is given without the width"));
            }
            [None, None] => {}
        }
        self.options = over.or(std::mem::take(&mut self.options));
        Ok(())
    }

    /// Sets a key under the name that it was `given` by in its layer, and returns its option.
    fn set(
        &mut self,
        given: &mut Vec<(String, String)>,
        key: String,
        name: &str,
        value: SettingValue,
        origin: SettingOrigin,
    ) -> Result<DrawOptions, Failure> {
        if let Some((_, before)) = given.iter().find(|(other, _)| *other == key) {
            let why = format!("`{before}` is given too, and is the same setting");
            return Err(wrong(&origin, name, &why));
        }
        let (value, options) = self.value(&key, name, value, &origin)?;
        given.push((key.clone(), name.to_owned()));
        self.found.retain(|setting| setting.key != key);
        self.found.push(UserSetting { key, value, origin });
        Ok(options)
    }

    /// The value of a key in the format of the file, and its option, if it is one.
    fn value(
        &mut self,
        key: &str,
        name: &str,
        value: SettingValue,
        origin: &SettingOrigin,
    ) -> Result<(String, DrawOptions), Failure> {
        let home = std::env::var_os("HOME");
        let expanded = |path: &OsStr| {
            home::expanded(path, home.as_deref()).map_err(|why| wrong(origin, name, &why))
        };
        let value = match value {
            SettingValue::Text(path) if PATHS.contains(&key) => {
                SettingValue::Text(expanded(&path)?)
            }
            other => other,
        };
        let shown = value.as_toml();
        match (key, value) {
            (SOCKET, SettingValue::Text(path)) => self.socket = Some(path.into()),
            (SOCKET, _) => return Err(wrong(origin, name, "it must be a path in quotes")),
            (MODEL_DIRS, SettingValue::Text(paths)) => {
                let paths = std::env::split_paths(&paths).filter(|p| !p.as_os_str().is_empty());
                let paths = paths.map(|path| expanded(path.as_os_str()).map(PathBuf::from));
                self.model_dirs = paths.collect::<Result<_, _>>()?;
            }
            (MODEL_DIRS, _) => return Err(wrong(origin, name, "it must be paths in quotes")),
            (_, value) => {
                let options = option(key, &value).map_err(|wrong| wrong.at(origin, name))?;
                return Ok((shown, options));
            }
        }
        Ok((shown, DrawOptions::default()))
    }
}

impl SettingValue {
    fn as_toml(&self) -> String {
        match self {
            // A JSON string is a basic string of TOML.
            Self::Text(text) => serde_json::Value::from(text.to_string_lossy()).to_string(),
            Self::Number(text) => text.clone(),
            Self::Switch(on) => on.to_string(),
        }
    }

    /// The value as an argument of the command line; none if the option has no such form.
    fn as_word(&self, arg: &Arg) -> Option<OsString> {
        let long = arg.get_long()?;
        let takes_value = arg.get_action().takes_values();
        let may_be_bare = !needs_value(arg);
        let has_none = arg.get_possible_values().iter().any(|value| value.matches("none", false));
        match self {
            Self::Switch(true) if may_be_bare => Some(format!("--{long}").into()),
            Self::Switch(false) if has_none => Some(format!("--{long}=none").into()),
            Self::Switch(false) if argument(&format!("no_{}", arg.get_id())).is_some() => {
                Some(format!("--no-{long}").into())
            }
            Self::Text(value) if takes_value => {
                let mut word = OsString::from(format!("--{long}="));
                word.push(value);
                Some(word)
            }
            Self::Number(value) if takes_value => Some(format!("--{long}={value}").into()),
            _ => None,
        }
    }
}

/// Why a setting is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvalidSetting {
    why: String,
    /// The similar key that exists.
    near: Option<String>,
}

impl InvalidSetting {
    /// The failure of the setting at `origin`.
    fn at(self, origin: &SettingOrigin, key: &str) -> Failure {
        let failure = wrong(origin, key, &self.why);
        match self.near {
            Some(name) => failure.hint(format!("there is `{name}`")),
            None => failure,
        }
    }
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)?;
        self.near.as_ref().map_or(Ok(()), |name| write!(f, ", but `{name}`"))
    }
}

/// Parses the value of a key as its option does.
///
/// # Errors
///
/// The key is unknown, or the value is invalid.
pub(crate) fn option(key: &str, value: &SettingValue) -> Result<DrawOptions, InvalidSetting> {
    let plain = |why: String| InvalidSetting { why, near: None };
    let Some(arg) = argument(key) else {
        let near = keys()
            .into_iter()
            .map(|(name, _)| (strsim::damerau_levenshtein(&name, key), name))
            .filter(|(distance, _)| *distance <= 2)
            .min()
            .map(|(_, name)| name);
        return Err(InvalidSetting { why: "there is no such setting".to_owned(), near });
    };
    let word = value
        .as_word(&arg)
        .ok_or_else(|| plain("it is no switch, and needs a value".to_owned()))?;
    parsed(&word).map_err(plain)
}

/// All keys with their options.
pub(crate) fn keys() -> Vec<(String, Option<Arg>)> {
    let mut keys: Vec<_> = arguments()
        .into_iter()
        .filter(|arg| !arg.get_id().as_str().starts_with("no_"))
        .map(|arg| (arg.get_id().to_string(), Some(arg)))
        .collect();
    keys.extend(OTHER_KEYS.map(|(key, _)| (key.to_owned(), None)));
    keys
}

fn is_key(name: &str) -> bool {
    keys().iter().any(|(key, _)| key == name)
}

/// The help of a key that is no option.
pub(crate) fn help(key: &str) -> &'static str {
    OTHER_KEYS.iter().find(|(name, _)| *name == key).map_or("", |(_, help)| help)
}

/// Whether the option needs a value.
fn needs_value(arg: &Arg) -> bool {
    let least = arg.get_num_args().map_or(1, |values| values.min_values());
    arg.get_action().takes_values() && least > 0
}

fn arguments() -> Vec<Arg> {
    let command = DrawOptions::augment_args(Command::new("settings"));
    command
        .get_arguments()
        .filter(|arg| {
            let name = arg.get_id().as_str();
            !NO_SETTINGS.contains(&name) && !is_converted(name)
        })
        .cloned()
        .collect()
}

fn argument(key: &str) -> Option<Arg> {
    arguments().into_iter().find(|arg| arg.get_id() == key)
}

/// Parses one option as the command line does.
fn parsed(word: &OsStr) -> Result<DrawOptions, String> {
    let command = DrawOptions::augment_args(Command::new("settings").no_binary_name(true));
    let matches = command.try_get_matches_from([word]);
    matches.and_then(|matches| DrawOptions::from_arg_matches(&matches)).map_err(|error| {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        // `invalid value 'x' for '--size <WxH>': why`
        plainly(line.strip_prefix("error: ").unwrap_or(line)).replace("--", "")
    })
}

fn wrong(origin: &SettingOrigin, key: &str, why: &str) -> Failure {
    Failure::new(Kind::Config, format!("{}: {why}", origin.place(key)))
}

impl SettingOrigin {
    /// The setting of this name, in sentences.
    fn place(&self, name: &str) -> String {
        match self {
            Self::Environment(variable) => variable.clone(),
            Self::File(path) => format!("`{name}` in {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::GraphicsArg;

    fn layer(values: &[(&str, SettingValue)]) -> Vec<(String, SettingValue, SettingOrigin)> {
        let origin = SettingOrigin::File("/c.toml".into());
        values
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone(), origin.clone()))
            .collect()
    }

    fn taken(layers: &[&[(&str, SettingValue)]]) -> Result<UserSettings, Failure> {
        let mut settings = UserSettings::default();
        for values in layers {
            settings.take(layer(values))?;
        }
        Ok(settings)
    }

    fn words(text: &str) -> SettingValue {
        SettingValue::Text(text.into())
    }

    #[test]
    fn every_key_is_read_as_its_option() {
        let options = taken(&[&[
            ("size", words("640x480")),
            ("steps", SettingValue::Number("4".to_owned())),
            ("strength", SettingValue::Number("0.5".to_owned())),
            ("show", SettingValue::Switch(true)),
            ("preview", SettingValue::Switch(false)),
            ("metadata", SettingValue::Switch(false)),
            ("grid", SettingValue::Switch(true)),
            ("output", words("~/{seed}.png")),
        ]])
        .unwrap()
        .options();
        assert_eq!((options.size, options.params.steps), (Some((640, 480)), Some(4)));
        assert_eq!(options.show, Some(GraphicsArg::Auto));
        assert_eq!(options.preview, Some(GraphicsArg::None));
        assert!(options.no_metadata);
        assert_eq!((options.params.strength, options.inputs.usual_strength), (None, Some(0.5)));
        assert_eq!(options.grid.as_deref(), Some(OsStr::new("")));
        let home = PathBuf::from(std::env::var_os("HOME").unwrap());
        assert_eq!(options.output, Some(home.join("{seed}.png").into_os_string()));
    }

    #[test]
    fn a_later_layer_wins_and_says_where_it_is_from() {
        let settings = taken(&[
            &[("aspect", words("16:9")), ("steps", SettingValue::Number("4".to_owned()))],
            &[("size", words("64x64")), ("steps", SettingValue::Number("5".to_owned()))],
        ])
        .unwrap();
        let options = settings.options();
        assert_eq!(
            (options.aspect, options.size, options.params.steps),
            (None, Some((64, 64)), Some(5))
        );
        assert_eq!(settings.found.len(), 3);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let message = |key, value| {
            let failure = taken(&[&[(key, value)]]).unwrap_err();
            assert_eq!(failure.kind, Kind::Config);
            (failure.message, failure.hint.unwrap_or_default())
        };
        let (said, hint) = message("szie", words("64x64"));
        assert_eq!(said, "`szie` in /c.toml: there is no such setting");
        assert_eq!(hint, "there is `size`");
        let (said, _) = message("cfg_scale", words("high"));
        assert_eq!(said, "`cfg_scale` in /c.toml: it is not a number");
        let (said, _) = message("width", SettingValue::Number("64".to_owned()));
        assert_eq!(said, "`width` in /c.toml: it is given without the height");
        let (said, _) = message("styles", words("film"));
        assert!(said.ends_with("there are no styles: write the style into the prompt"), "{said}");
        assert!(message("size", words("big")).0.contains("a size is WxH in pixels"));
        assert!(message("size", SettingValue::Switch(true)).0.contains("needs a value"));
        assert!(message("force", SettingValue::Switch(true)).0.contains("no such setting"));
        assert!(message("socket", SettingValue::Switch(true)).0.contains("must be a path"));
    }

    #[test]
    fn names_of_other_programs_are_keys_in_their_unit() {
        let number = |text: &str| SettingValue::Number(text.to_owned());
        let settings = taken(&[&[
            ("cfg_scale", number("7")),
            ("num_inference_steps", number("9")),
            ("width", number("640")),
            ("Height", number("480")),
            ("sampler", words("euler")),
            ("refiner", SettingValue::Switch(false)),
        ]])
        .unwrap();
        let options = settings.options();
        assert_eq!((options.params.guidance, options.params.steps), (Some(6.0), Some(9)));
        assert_eq!(options.size, Some((640, 480)));
        let told = "`sampler` in /c.toml is ignored: there is one sampler, Euler on the model's own \
                    schedule";
        assert_eq!(settings.told, [told]);
        let shown: Vec<_> = settings.found.iter().map(|set| (&*set.key, &*set.value)).collect();
        assert_eq!(shown, [("guidance", "6"), ("steps", "9"), ("size", "\"640x480\"")]);
        // A nearer layer counts, whatever the names are.
        let both = [&[("guidance", number("2"))][..], &[("cfg", number("2"))]];
        assert_eq!(taken(&both).unwrap().options().params.guidance, Some(1.0));
        let twice = taken(&[&[("guidance", number("2")), ("cfg", number("2"))]]).unwrap_err();
        let said = "`cfg` in /c.toml: `guidance` is given too, and is the same setting";
        assert_eq!(twice.message, said);
    }

    #[test]
    fn folders_are_separated_as_in_path() {
        let settings = taken(&[&[("model_dirs", words("/m/ComfyUI/models::/srv/models"))]]);
        let expected = ["/m/ComfyUI/models", "/srv/models"];
        assert_eq!(settings.unwrap().model_dirs(), expected.map(PathBuf::from));
        let wrong = taken(&[&[("model_dirs", SettingValue::Switch(true))]]).unwrap_err();
        assert!(wrong.message.contains("it must be paths in quotes"), "{wrong:?}");
    }

    #[test]
    fn a_key_can_be_told_from_the_list() {
        let keys: Vec<_> = keys().into_iter().map(|(name, _)| name).collect();
        assert!(keys.iter().any(|name| name == "guidance_truncation"));
        assert!(keys.iter().all(|name| name != "force" && !name.starts_with("no_")), "{keys:?}");
    }
}
