//! Names of other programs for the keys, and their values in zimg's units: one table for settings
//! files, environment variables and the lines of a batch.

use zimg_client::params::{Alias, Conversion, ForeignSetting, Parameter, Value, folded};

use super::{InvalidSetting, SettingValue, is_key, keys};

/// Options that are no parameters, under names of other programs.
const OPTIONS: &[(&str, &str)] = &[
    ("aspectratio", "aspect"),
    ("imagesize", "size"),
    ("resolution", "size"),
    ("imageformat", "format"),
    ("outputformat", "format"),
    ("initimage", "init"),
    ("initimg", "init"),
    ("initialimage", "init"),
    ("maskimage", "mask"),
    ("maskinvert", "invert_mask"),
];

/// What a name and its value are here.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Named {
    /// This key has this value.
    Key(String, SettingValue),
    /// The width is 0, the height 1: both together are a size.
    Side(usize, u32),
    /// It changes nothing, and a sentence says why.
    Ignored(&'static str),
    /// It is what no setting is.
    Nothing,
}

/// The key of zimg's that is meant by a name that is no parameter's.
pub(crate) fn key(name: &str) -> Option<String> {
    let name = folded(name);
    let own = keys().into_iter().map(|(own, _)| own).find(|own| folded(own) == name);
    let other = || OPTIONS.iter().find(|(other, _)| *other == name).map(|(_, own)| own.to_string());
    own.or_else(other)
}

/// The value under the parameter's own name.
///
/// # Errors
///
/// Why the value is none of the alias.
pub(crate) fn converted(
    row: &'static Parameter,
    alias: Alias,
    value: SettingValue,
) -> Result<SettingValue, String> {
    match (row.name, &value) {
        // diffusers has a switch or a number.
        ("guidance_normalization", SettingValue::Switch(on)) => {
            return Ok(SettingValue::Number(u8::from(*on).to_string()));
        }
        _ if alias.conversion == Conversion::Same => return Ok(value),
        _ => {}
    }
    let number = value.number().ok_or("it is not a number")?;
    let ours = alias.to_parameter(row, Value::Real(number)).map_err(|error| {
        let said = error.to_string();
        let name = format!("`{}` ", alias.name);
        said.strip_prefix(&name).map_or_else(|| said.clone(), |what| format!("it {what}"))
    })?;
    Ok(SettingValue::Number(ours.to_string()))
}

/// What a name and its value are here; the name itself where nothing is known of it.
///
/// # Errors
///
/// The value is none, or another program's setting has no counterpart.
pub(super) fn resolved(name: &str, value: SettingValue) -> Result<Named, InvalidSetting> {
    let plain = |why: String| InvalidSetting { why, near: None };
    if is_key(name) && Parameter::named(name).is_none() {
        return Ok(Named::Key(name.to_owned(), value));
    }
    if let Some((row, alias)) = Parameter::named_or_alias(name) {
        let side = ["width", "height"].iter().position(|side| *side == row.name);
        if let Some(side) = side {
            let pixels = value.text().and_then(|text| text.trim().parse().ok());
            let pixels = pixels.ok_or_else(|| plain("it is not a number of pixels".to_owned()))?;
            return Ok(Named::Side(side, pixels));
        }
        // Other programs' random seed.
        if row.name == "seed" && value.text().is_some_and(|text| text.trim() == "-1") {
            return Ok(Named::Nothing);
        }
        if is_key(row.name) {
            let value = converted(row, alias, value).map_err(plain)?;
            return Ok(Named::Key(row.name.to_owned(), value));
        }
    } else if let Some(own) = key(name) {
        return Ok(Named::Key(own, value));
    } else if let Some(foreign) = ForeignSetting::named(name) {
        return match (foreign.is_harmless, value.is_off()) {
            (true, _) => Ok(Named::Ignored(foreign.why)),
            (false, true) => Ok(Named::Nothing),
            (false, false) => Err(plain(foreign.why.to_owned())),
        };
    }
    Ok(Named::Key(name.to_owned(), value))
}

impl SettingValue {
    /// A number, or text that may be one.
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => text.to_str(),
            Self::Number(number) => Some(number),
            Self::Switch(_) => None,
        }
    }

    fn number(&self) -> Option<f32> {
        self.text()?.trim().parse().ok()
    }

    /// Whether the value switches a setting of another program off.
    pub(crate) fn is_off(&self) -> bool {
        match self {
            Self::Switch(on) => !on,
            Self::Number(number) => matches!(number.parse(), Ok(0.0 | -1.0)),
            Self::Text(text) => matches!(
                text.to_string_lossy().to_lowercase().as_str(),
                "" | "none" | "false" | "off" | "0" | "automatic"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use zimg_client::params::PARAMETERS;

    use super::*;

    fn number(text: &str) -> SettingValue {
        SettingValue::Number(text.to_owned())
    }

    /// Every alias of the table, in each way of writing it.
    #[test]
    fn every_alias_of_a_key_is_that_key_in_its_unit() {
        let mut seen = 0;
        for row in PARAMETERS.iter().filter(|row| is_key(row.name)) {
            for alias in row.aliases {
                let value = if alias.conversion == Conversion::Same { "2" } else { "3" };
                for name in [alias.name.to_owned(), alias.name.to_uppercase(), folded(alias.name)] {
                    let found = resolved(&name, number(value)).unwrap();
                    assert_eq!(found, Named::Key(row.name.to_owned(), number("2")), "{name}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 40, "{seen}");
        for (name, own) in OPTIONS {
            assert_eq!(key(name).as_deref(), Some(*own));
        }
    }

    #[test]
    fn sides_seeds_and_switches_are_as_in_a_batch() {
        let of = |name: &str, value| resolved(name, value);
        assert_eq!(of("image_width", number("640")), Ok(Named::Side(0, 640)));
        assert_eq!(of("height", SettingValue::Text("480".into())), Ok(Named::Side(1, 480)));
        assert_eq!(of("seed", number("-1")), Ok(Named::Nothing));
        let on = Named::Key("guidance_normalization".to_owned(), number("1"));
        assert_eq!(of("cfg_normalization", SettingValue::Switch(true)), Ok(on));
        assert!(matches!(of("sampler", SettingValue::Text("euler".into())), Ok(Named::Ignored(_))));
        assert_eq!(of("refiner", SettingValue::Text("none".into())), Ok(Named::Nothing));
        assert!(of("refiner", SettingValue::Text("x".into())).is_err());
        assert!(of("cfg_scale", SettingValue::Switch(true)).is_err());
        assert!(of("cfg_scale", number("0.5")).is_err());
        assert!(of("width", SettingValue::Text("wide".into())).is_err());
    }
}
