//! Settings in the environment: `ZIMG_` and the key in capitals, such as `ZIMG_SIZE`.

use std::ffi::OsString;

use zimg_client::params::{ForeignSetting, Parameter};
use zimg_client::{Failure, Kind};

use super::{PATHS, SOCKET, SettingOrigin, SettingValue, argument, is_key, key, keys, needs_value};

/// Aliases of one short or common word: such variables are of other programs.
const COMMON_WORDS: [&str; 5] = ["images", "text", "positive", "w", "h"];

/// The keys with a variable that is not empty, and those of `names` that are names of other programs
/// for a key. `ZIMG_SOCKET` is not among them: finding the socket reads it.
pub(super) fn read(
    variable: impl Fn(&str) -> Option<OsString>,
    names: impl Iterator<Item = String>,
) -> Result<Vec<(String, SettingValue, SettingOrigin)>, Failure> {
    let mut found = Vec::new();
    let own = keys();
    let aliases = names.filter_map(|name| alias(&name)).filter(|key| !is_key(key));
    let aliases = aliases.map(|key| {
        let arg = Parameter::named_or_alias(&key).and_then(|(row, _)| argument(row.name));
        (key, arg)
    });
    for (key, arg) in own.into_iter().chain(aliases) {
        let name = name(&key);
        let Some(value) = variable(&name).filter(|value| !value.is_empty()) else { continue };
        if key == SOCKET {
            continue;
        }
        let takes_value = arg.is_some_and(|arg| needs_value(&arg));
        let value = match value.to_ascii_lowercase().to_str() {
            Some("1" | "true" | "yes" | "on") if !takes_value => SettingValue::Switch(true),
            Some("0" | "false" | "no" | "off") if !takes_value => SettingValue::Switch(false),
            None if !PATHS.contains(&&*key) => {
                return Err(Failure::new(Kind::Config, format!("{name} is not UTF-8")));
            }
            _ => SettingValue::Text(value),
        };
        found.push((key, value, SettingOrigin::Environment(name)));
    }
    Ok(found)
}

/// The name that another program has for a key, if the variable is one: `cfg_scale` of
/// `ZIMG_CFG_SCALE`.
fn alias(variable: &str) -> Option<String> {
    let name = variable.strip_prefix("ZIMG_")?.to_lowercase();
    let is_parameter =
        Parameter::named_or_alias(&name).is_some_and(|(row, _)| row.name != "prompt");
    let is_harmless = || ForeignSetting::named(&name).is_some_and(|foreign| foreign.is_harmless);
    let is_meant = is_parameter || key(&name).is_some() || is_harmless();
    (is_meant && !COMMON_WORDS.contains(&&*name)).then_some(name)
}

/// Checks that no variable is a misspelt key: other variables belong to other programs.
pub(super) fn check(names: impl Iterator<Item = String>) -> Result<(), Failure> {
    let known: Vec<_> = keys().iter().map(|(key, _)| name(key)).collect();
    for variable in names.filter(|name| name.starts_with("ZIMG_") && !known.contains(name)) {
        if alias(&variable).is_some() {
            continue;
        }
        let near = |name: &&String| strsim::osa_distance(name, &variable) == 1;
        if let Some(name) = known.iter().find(near) {
            let failure =
                Failure::new(Kind::Config, format!("{variable}: there is no such setting"));
            return Err(failure.hint(format!("there is {name}")));
        }
    }
    Ok(())
}

/// The variable of a key.
pub(super) fn name(key: &str) -> String {
    format!("ZIMG_{}", key.to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_as_the_key_wants_it() {
        let given = [
            ("ZIMG_STEPS", "1"),
            ("ZIMG_WAIT", "1"),
            ("ZIMG_SHOW", "off"),
            ("ZIMG_SIZE", ""),
            ("ZIMG_SOCKET", "/s"),
            ("ZIMG_OTHER", "x"),
            ("ZIMG_CFG_SCALE", "1"),
            ("ZIMG_CFG_NORMALIZATION", "1"),
            ("ZIMG_SAMPLER", "euler"),
            ("ZIMG_IMAGES", "/srv"),
            ("ZIMG_WIDTH", "64"),
        ];
        let names = given.iter().map(|pair| pair.0.to_owned());
        let variable = |name: &str| Some(given.iter().find(|pair| pair.0 == name)?.1.into());
        let found = read(variable, names).unwrap();
        let found: Vec<_> = found.into_iter().map(|(key, value, _)| (key, value)).collect();
        assert_eq!(found.len(), 7, "{found:?}");
        for (key, value) in
            [("cfg_scale", "1"), ("cfg_normalization", "1"), ("sampler", "euler"), ("width", "64")]
        {
            assert!(found.contains(&(key.to_owned(), SettingValue::Text(value.into()))), "{key}");
        }
        assert!(found.contains(&("steps".to_owned(), SettingValue::Text("1".into()))));
        assert!(found.contains(&("wait".to_owned(), SettingValue::Switch(true))));
        assert!(found.contains(&("show".to_owned(), SettingValue::Switch(false))));
    }

    #[test]
    fn a_slip_is_told_from_other_programs_variables() {
        let said =
            |name: &str| check([name.to_owned()].into_iter()).err().map(|f| (f.message, f.hint));
        let slip = said("ZIMG_SZIE").unwrap();
        assert_eq!(slip.0, "ZIMG_SZIE: there is no such setting");
        assert_eq!(slip.1.as_deref(), Some("there is ZIMG_SIZE"));
        for other in [
            "ZIMG_TEXT",
            "ZIMG_IMAGES",
            "ZIMG_SIZE",
            "ZIMG_SOCKET",
            "ZIMG_CONFIG",
            "ZIMG_OTHER",
            "ZIMG_CFG_SCALE",
            "ZIMG_SAMPLER",
            "ZIMAGED_SIZ",
        ] {
            assert_eq!(said(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_not_text_is_refused() {
        use std::os::unix::ffi::OsStringExt;
        let odd = |name: &str| (name == "ZIMG_SIZE").then(|| OsString::from_vec(vec![0xff]));
        assert_eq!(read(odd, [].into_iter()).unwrap_err().message, "ZIMG_SIZE is not UTF-8");
        let path = |name: &str| (name == "ZIMG_OUTPUT").then(|| OsString::from_vec(vec![0xff]));
        assert_eq!(
            read(path, [].into_iter()).unwrap()[0].1,
            SettingValue::Text(OsString::from_vec(vec![0xff]))
        );
    }
}
