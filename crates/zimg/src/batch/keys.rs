//! The keys of a batch's line: names of zimg and of other programs, with their values.

use serde_json::{Number, Value as Json};
use zimg_client::params::{Alias, ForeignSetting, PARAMETERS, Parameter, ValueKind, folded};
use zimg_client::{Failure, Kind};

use crate::cli::DrawOptions;
use crate::settings::{self, SettingValue};

/// Two numbers of images in one line of the web UI: rows and their length.
const FACTORS: [&str; 3] = ["batchsize", "batchcount", "niter"];

/// The prompt and the options of a line.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct BatchItem {
    pub(crate) prompt: String,
    pub(crate) options: DrawOptions,
    /// The seed is random, whatever the command line has.
    pub(crate) random_seed: bool,
    /// What is ignored, a sentence each.
    pub(crate) told: Vec<String>,
}

/// A line that is read key by key.
#[derive(Debug, Default)]
pub(super) struct Keys {
    item: BatchItem,
    prompt: Option<String>,
    sides: [Option<u32>; 2],
    /// The names that were given: ours, and as it was typed.
    given: Vec<(String, String)>,
    /// The number of images under a name of `FACTORS`.
    factor: u64,
}

impl Keys {
    /// Adds a key. `null` is the same as no key.
    ///
    /// # Errors
    ///
    /// `Refused`: there is no such key, it comes twice, or its value is invalid.
    pub(super) fn add(&mut self, key: &str, value: &Json) -> Result<(), Failure> {
        if value.is_null() {
            return Ok(());
        }
        if let Some((row, alias)) = Parameter::named_or_alias(key) {
            // A table has empty fields where a line has no value.
            if row.kind() != ValueKind::Text && *value == *"" {
                return Ok(());
            }
            return self.parameter(key, row, alias, value);
        }
        if let Some(own) = settings::key(key) {
            self.once(&own, key)?;
            return self.option(&own, key, &listed(&own, key, value)?);
        }
        if let Some(foreign) = ForeignSetting::named(key) {
            if foreign.is_harmless {
                self.item.told.push(format!("`{key}` is ignored: {}", foreign.why));
            } else if !is_off(value) {
                return Err(refused(format!("`{key}`: {}", foreign.why)));
            }
            return Ok(());
        }
        let near = near(&folded(key)).map(|near| format!(", but `{near}`")).unwrap_or_default();
        Err(refused(format!("`{key}`: there is no such setting{near}")))
    }

    /// The line.
    ///
    /// # Errors
    ///
    /// `Refused`: it has no prompt, or one side without the other.
    pub(super) fn finish(mut self) -> Result<BatchItem, Failure> {
        match self.sides {
            [Some(width), Some(height)] => {
                self.once("size", "width")?;
                self.item.options.size = Some((width, height));
            }
            [Some(_), None] => return Err(refused("`width` is given without `height`".to_owned())),
            [None, Some(_)] => return Err(refused("`height` is given without `width`".to_owned())),
            [None, None] => {}
        }
        self.item.prompt =
            self.prompt.ok_or_else(|| refused("the object has no `prompt`".to_owned()))?;
        Ok(self.item)
    }

    fn parameter(
        &mut self,
        key: &str,
        row: &'static Parameter,
        alias: Alias,
        value: &Json,
    ) -> Result<(), Failure> {
        if row.name == "count" && self.factor > 0 && FACTORS.contains(&&*folded(key)) {
            return self.times(key, value);
        }
        self.once(row.name, key)?;
        match (row.name, value) {
            ("prompt", Json::String(text)) => self.prompt = Some(text.clone()),
            ("prompt", _) => return Err(refused(format!("`{key}` is not a string"))),
            ("width", _) => self.sides[0] = Some(side(key, value)?),
            ("height", _) => self.sides[1] = Some(side(key, value)?),
            // Other programs' random seed.
            ("seed", _) if written(value).is_some_and(|text| text == "-1") => {
                self.item.random_seed = true;
            }
            _ => {
                let value = settings::converted(row, alias, setting(key, value)?)
                    .map_err(|why| refused(format!("`{key}`: {why}")))?;
                self.option(row.name, key, &value)?;
            }
        }
        if FACTORS.contains(&&*folded(key)) {
            self.factor = self.item.options.params.count.unwrap_or(1).into();
        }
        Ok(())
    }

    /// A second number of images multiplies the first.
    fn times(&mut self, key: &str, value: &Json) -> Result<(), Failure> {
        let factor = self.factor;
        self.factor = 0;
        self.option("count", key, &setting(key, value)?)?;
        let count = factor * u64::from(self.item.options.params.count.unwrap_or(1));
        self.item.options.params.count = Some(u32::try_from(count).unwrap_or(u32::MAX));
        Ok(())
    }

    fn option(&mut self, own: &str, key: &str, value: &SettingValue) -> Result<(), Failure> {
        let option =
            settings::option(own, value).map_err(|wrong| refused(format!("`{key}`: {wrong}")))?;
        self.item.options = option.or(std::mem::take(&mut self.item.options));
        Ok(())
    }

    /// Notes that a name is given, for the first time.
    fn once(&mut self, own: &str, key: &str) -> Result<(), Failure> {
        if let Some((_, before)) = self.given.iter().find(|(given, _)| given == own) {
            return Err(refused(if before == key {
                format!("`{key}` is given twice")
            } else {
                format!("`{before}` and `{key}` are both given, and are the same parameter")
            }));
        }
        self.given.push((own.to_owned(), key.to_owned()));
        Ok(())
    }
}

/// The number of images of these keys, and whether they have a seed, without validation.
pub(super) fn glance(pairs: &[(String, Json)], otherwise: u64) -> (u64, bool) {
    let of = |name: &'static str| {
        pairs.iter().filter(move |(key, value)| {
            !value.is_null()
                && Parameter::named_or_alias(key).is_some_and(|(row, _)| row.name == name)
        })
    };
    let counts: Vec<u64> =
        of("count").filter_map(|(_, value)| written(value)?.parse().ok()).collect();
    let count = if counts.is_empty() { otherwise } else { counts.iter().product() };
    (count, of("seed").next().is_some())
}

fn refused(why: String) -> Failure {
    Failure::new(Kind::Refused, why)
}

/// A value as a setting has it.
fn setting(key: &str, value: &Json) -> Result<SettingValue, Failure> {
    match value {
        Json::String(text) => Ok(SettingValue::Text(text.clone().into())),
        Json::Number(number) => Ok(SettingValue::Number(whole(number))),
        Json::Bool(on) => Ok(SettingValue::Switch(*on)),
        _ => Err(refused(format!("`{key}` is not a string, a number, true or false"))),
    }
}

/// The same, where margins may be a list of numbers.
fn listed(own: &str, key: &str, value: &Json) -> Result<SettingValue, Failure> {
    match value {
        Json::Array(sides) if own == "outpaint" && sides.iter().all(Json::is_number) => {
            let sides: Vec<String> = sides.iter().filter_map(written).collect();
            Ok(SettingValue::Text(sides.join(",").into()))
        }
        _ => setting(key, value),
    }
}

/// A number as it is written: one without a fraction has no point, as pandas and JavaScript write
/// them with one or with an exponent.
fn whole(number: &Number) -> String {
    // Beyond 2^53 a float does not say which integer it was.
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(real) if real.fract() == 0.0 && real.abs() < 9_007_199_254_740_992.0 => {
            format!("{real:.0}")
        }
        _ => number.to_string(),
    }
}

/// The text of a number, or a text that may be one.
fn written(value: &Json) -> Option<String> {
    match value {
        Json::Number(number) => Some(whole(number)),
        Json::String(text) => Some(text.trim().to_owned()),
        _ => None,
    }
}

fn side(key: &str, value: &Json) -> Result<u32, Failure> {
    let number = written(value).and_then(|text| text.parse().ok());
    number.ok_or_else(|| refused(format!("`{key}` is not a number of pixels")))
}

/// Whether a setting of another program is switched off by its value.
fn is_off(value: &Json) -> bool {
    match value {
        Json::Array(list) => list.is_empty(),
        Json::Object(map) => map.is_empty(),
        Json::Null => true,
        _ => setting("", value).is_ok_and(|value| value.is_off()),
    }
}

/// The known key that this folded name is a slip away from.
fn near(name: &str) -> Option<String> {
    let own = settings::keys().into_iter().map(|(own, _)| own);
    let names = PARAMETERS.iter().flat_map(|row| {
        [row.name].into_iter().chain(row.aliases.iter().map(|alias| alias.name)).map(str::to_owned)
    });
    own.chain(names)
        .map(|known| (strsim::damerau_levenshtein(&folded(&known), name), known))
        .filter(|(distance, known)| *distance <= 2.min(known.len() / 3))
        .min()
        .map(|(_, known)| known)
}
