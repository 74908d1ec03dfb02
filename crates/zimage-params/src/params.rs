//! Access to parameters by name, their check, and what follows from them.

use std::{iter, mem};

use crate::check::check_seeds;
use crate::error::ParamsError;
use crate::parameter::Parameter;
use crate::table::{COUNT, PARAMETERS, Params};
use crate::value::{Value, ValueKind};

/// The seed of image `index` (from 0) of a request whose first image has the seed `first`.
pub const fn seed_of_image(first: u64, index: u64) -> u64 {
    first.wrapping_add(index)
}

/// Parameters from a list, in which each may come once.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) params: Params,
    seen: [bool; COUNT],
}

impl Given {
    pub(crate) fn add(&mut self, name: &str, value: Value) -> Result<(), ParamsError> {
        self.params.set(name, value)?;
        for (parameter, seen) in PARAMETERS.iter().zip(&mut self.seen) {
            if parameter.name == name && mem::replace(seen, true) {
                return Err(ParamsError::Duplicate { parameter });
            }
        }
        Ok(())
    }
}

impl Params {
    /// One image of this prompt, everything else left to its default.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self { prompt: prompt.into(), ..Self::default() }
    }

    /// The constant defaults; what only the model knows is open.
    pub fn constants() -> Self {
        let mut params = Self::default();
        for (row, field) in PARAMETERS.iter().zip(params.fields_mut()) {
            if let Some(value) = row.default.value() {
                field.set(value);
            }
        }
        params
    }

    /// Every row with its value, or none where it is left to its default.
    pub fn entries(&self) -> impl Iterator<Item = (&'static Parameter, Option<Value>)> + use<> {
        let values = self.fields().map(|field| field.get());
        PARAMETERS.iter().zip(values)
    }

    /// The rows that have a value, with it.
    pub fn given(&self) -> impl Iterator<Item = (&'static Parameter, Value)> + use<> {
        self.entries().filter_map(|(row, value)| Some((row, value?)))
    }

    /// The value of the parameter with this name; none where it is left to its default, and where
    /// there is no such parameter.
    pub fn get(&self, name: &str) -> Option<Value> {
        let index = PARAMETERS.iter().position(|row| row.name == name)?;
        self.fields().into_iter().nth(index)?.get()
    }

    /// Sets the parameter with this name; an integer stands for a real too. The range is checked by
    /// [`Params::check`].
    ///
    /// # Errors
    ///
    /// No such parameter, a value of another type, or one that is too large for any range.
    pub fn set(&mut self, name: &str, value: Value) -> Result<(), ParamsError> {
        let found = PARAMETERS.iter().zip(self.fields_mut()).find(|(row, _)| row.name == name);
        let Some((parameter, field)) = found else {
            return Err(ParamsError::Unknown { name: name.to_owned() });
        };
        let value = match (parameter.kind(), value) {
            // A number without a fraction may be written without one.
            (ValueKind::Real, Value::Integer(number)) => Value::Real(number as f32),
            (_, value) => value,
        };
        if value.kind() != parameter.kind() {
            return Err(ParamsError::WrongKind { parameter, found: value.kind() });
        }
        if !field.set(value.clone()) {
            return Err(ParamsError::out_of_range(parameter, parameter.range, &value));
        }
        Ok(())
    }

    /// Leaves the parameter with this name to its default.
    ///
    /// # Errors
    ///
    /// No such parameter.
    pub fn clear(&mut self, name: &str) -> Result<(), ParamsError> {
        let found = PARAMETERS.iter().zip(self.fields_mut()).find(|(row, _)| row.name == name);
        let Some((_, field)) = found else {
            return Err(ParamsError::Unknown { name: name.to_owned() });
        };
        field.clear();
        Ok(())
    }

    /// Parameters from names and values.
    ///
    /// # Errors
    ///
    /// An unknown name, a wrong type, or a name that comes twice.
    pub fn from_pairs<N: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, Value)>,
    ) -> Result<Self, ParamsError> {
        let mut given = Given::default();
        for (name, value) in pairs {
            given.add(name.as_ref(), value)?;
        }
        Ok(given.params)
    }

    /// These, and where they leave a parameter to its default, what `lower` has. The prompt stays.
    #[must_use]
    pub fn or(mut self, lower: &Self) -> Self {
        for (here, there) in iter::zip(self.fields_mut(), lower.fields()) {
            if here.get().is_none()
                && let Some(value) = there.get()
            {
                here.set(value);
            }
        }
        self
    }

    /// Every value against its range, and the seeds of all images against 2^64.
    ///
    /// # Errors
    ///
    /// The first that is outside, in the table's order.
    pub fn check(&self) -> Result<(), ParamsError> {
        self.given().try_for_each(|(row, value)| row.check(&value))?;
        if let (Some(width), Some(height)) = (self.width, self.height) {
            self.check_first_size((width, height))?;
        }
        check_seeds(self.first_seed(), self.images().into())
    }

    /// The first image's seed: 0 unless it is given.
    pub fn first_seed(&self) -> u64 {
        self.seed.unwrap_or_default()
    }

    /// The seed of image `index`, from 0.
    pub fn seed_of(&self, index: u32) -> u64 {
        seed_of_image(self.first_seed(), index.into())
    }

    /// How many images: one unless it is said.
    pub fn images(&self) -> u32 {
        self.count.unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foreign::folded;
    use crate::limits::{COUNT_MAX, PROMPT_BYTES};
    use crate::parameter::DefaultRule;

    fn message(change: impl FnOnce(&mut Params)) -> String {
        let mut params = Params::new("a fox");
        change(&mut params);
        params.check().unwrap_err().to_string()
    }

    #[test]
    fn defaults_and_extremes_pass() {
        Params::new("").check().unwrap();
        Params::constants().check().unwrap();
        let params = Params {
            negative: Some("y".repeat(PROMPT_BYTES)),
            width: Some(64),
            height: Some(2048),
            steps: Some(100),
            guidance: Some(100.0),
            guidance_normalization: Some(1.0),
            guidance_truncation: Some(0.0),
            seed: Some(u64::MAX - u64::from(COUNT_MAX) + 1),
            count: Some(COUNT_MAX),
            ..Params::new("x".repeat(PROMPT_BYTES))
        };
        params.check().unwrap();
        let params = params.or(&Params {
            strength: Some(1.0),
            variety_seed: Some(0),
            ..Params::constants()
        });
        assert_eq!(params.given().count(), PARAMETERS.len());
    }

    #[test]
    fn a_size_that_fits_is_near() {
        for (bad, good) in
            [(0, 64), (65, 64), (72, 80), (1000, 1008), (2047, 2048), (u32::MAX, 2048)]
        {
            let error = Params { height: Some(bad), ..Params::new("") }.check().unwrap_err();
            assert_eq!(error.hint(), Some(format!("the nearest valid value is {good}")));
            Params { height: Some(good), ..Params::new("") }.check().unwrap();
        }
    }

    #[test]
    fn each_field_is_refused_by_name() {
        let long = "x".repeat(PROMPT_BYTES + 1);
        assert_eq!(
            message(|p| p.prompt = long.clone()),
            "`prompt` has 65537 bytes, expected at most 65536 bytes"
        );
        assert_eq!(
            message(|p| p.negative = Some(long)),
            "`negative` has 65537 bytes, expected at most 65536 bytes"
        );
        for bad in [0, 16, 63, 72, 2049, 2064, u32::MAX] {
            assert_eq!(
                message(|p| p.width = Some(bad)),
                format!("`width` is {bad}, expected a multiple of 16 from 64 to 2048")
            );
            assert!(message(|p| p.height = Some(bad)).starts_with("`height` is "));
        }
        assert_eq!(
            message(|p| p.steps = Some(0)),
            "`steps` is 0, expected an integer from 1 to 100"
        );
        assert!(message(|p| p.steps = Some(101)).starts_with("`steps` is 101,"));
        assert_eq!(
            message(|p| p.count = Some(0)),
            "`count` is 0, expected an integer from 1 to 256"
        );
        assert!(message(|p| p.count = Some(257)).starts_with("`count` is 257,"));
        assert_eq!(
            message(|p| p.guidance = Some(f32::NAN)),
            "`guidance` is NaN, expected a number from 0 to 100"
        );
        for bad in [-0.1, 100.1, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(message(|p| p.guidance = Some(bad)).starts_with("`guidance` is "));
            let normalization = message(|p| p.guidance_normalization = Some(bad));
            assert!(normalization.starts_with("`guidance_normalization` is "));
            let truncation = message(|p| p.guidance_truncation = Some(bad));
            assert!(truncation.starts_with("`guidance_truncation` is "));
        }
    }

    #[test]
    fn every_parameter_is_read_and_set_by_name() {
        for row in &PARAMETERS {
            let mut params = Params::default();
            let value = match row.kind() {
                ValueKind::Text => Value::Text("x".to_owned()),
                ValueKind::Integer => Value::Integer(64),
                ValueKind::Real => Value::Real(1.0),
                ValueKind::Flag => Value::Flag(true),
            };
            params.set(row.name, value.clone()).unwrap();
            assert_eq!(params.get(row.name), Some(value.clone()), "{}", row.name);
            let mut given = params.given().filter(|(given, _)| given.name != "prompt");
            assert!(row.name == "prompt" || given.next().is_some_and(|(given, _)| given == row));
            row.check(&value).unwrap();
            let wrong = match row.kind() {
                ValueKind::Flag => Value::Integer(1),
                _ => Value::Flag(true),
            };
            let error = params.set(row.name, wrong).unwrap_err();
            assert!(matches!(error, ParamsError::WrongKind { .. }), "{error}");
            if row.name != "prompt" {
                params.clear(row.name).unwrap();
                assert_eq!(params.get(row.name), None);
            }
        }
        let error = Params::default().set("stepz", Value::Integer(1)).unwrap_err();
        assert_eq!(error.to_string(), "parameter `stepz` is unknown");
        let error = Params::default().set("steps", Value::Integer(1 << 32)).unwrap_err();
        assert_eq!(error.to_string(), "`steps` is 4294967296, expected an integer from 1 to 100");
    }

    #[test]
    fn strength_is_a_share_and_needs_an_initial_image() {
        let of = |strength| Params { strength: Some(strength), ..Params::new("") };
        for good in [f32::MIN_POSITIVE, 0.3, 1.0] {
            of(good).check().unwrap();
        }
        for (bad, hint) in [(0.0, None), (-0.5, None), (f32::NAN, None), (1.5, Some("1"))] {
            let error = of(bad).check().unwrap_err();
            let said = format!("`strength` is {bad}, expected a number above 0, at most 1");
            assert_eq!(error.to_string(), said);
            assert_eq!(error.hint(), hint.map(|hint| format!("the nearest valid value is {hint}")));
        }
        Params::new("").check_without_images().unwrap();
        let error = of(0.5).check_without_images().unwrap_err();
        assert_eq!(error.to_string(), "`strength` is 0.5 and there is no initial image");
        assert_eq!(error.hint().unwrap(), "give an initial image, or omit `strength`");
    }

    #[test]
    fn every_row_is_whole_and_names_are_unique() {
        let mut names = Vec::new();
        for row in &PARAMETERS {
            assert!(!row.help.is_empty() && !row.help.ends_with('.'), "{}", row.name);
            assert!(!row.value_name.is_empty(), "{}", row.name);
            names.push(row.name);
            names.extend(row.aliases.iter().map(|alias| alias.name));
            if let Some(value) = row.default.value() {
                row.check(&value).unwrap();
            }
            let required = row.default == DefaultRule::Required;
            assert_eq!(required, row.name == "prompt");
        }
        let count = names.len();
        let mut names: Vec<_> = names.into_iter().map(folded).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(Parameter::named_or_alias("cfg").unwrap().0.name, "guidance");
        assert_eq!(Parameter::named("cfg"), None);
    }

    #[test]
    fn control_characters_are_refused_by_name() {
        for (text, found) in [
            ("a\0b", "U+0000 (NUL) at character 2"),
            ("a\r\nb", "U+000D (carriage return) at character 2"),
            ("\u{1b}[0m", "U+001B (escape) at character 1"),
            ("é\u{7f}", "U+007F (delete) at character 2"),
            ("\u{85}", "U+0085 (next line) at character 1"),
        ] {
            let expected =
                |name| format!("`{name}` has the control character {found}, expected text");
            assert_eq!(message(|p| p.prompt = text.to_owned()), expected("prompt"));
            assert_eq!(message(|p| p.negative = Some(text.to_owned())), expected("negative"));
        }
        let ordinary = "a\tb\nc \u{feff}\u{202e} 👨\u{200d}👩 雪\u{a0}";
        Params { negative: Some(ordinary.to_owned()), ..Params::new(ordinary) }.check().unwrap();
    }

    #[test]
    fn seeds_of_a_series_stay_below_2_to_the_64() {
        let series = |seed, count| Params { seed: Some(seed), count, ..Params::new("") }.check();
        for (seed, count) in
            [(u64::MAX, None), (u64::MAX, Some(1)), (u64::MAX - 1, Some(2)), (0, Some(256))]
        {
            series(seed, count).unwrap();
        }
        let error = series(u64::MAX, Some(2)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`seed` is 18446744073709551615 and 2 images are asked for: seeds would exceed 2^64-1"
        );
        assert_eq!(error.hint().unwrap(), "use a seed of at most 18446744073709551614");
        assert!(series(u64::MAX - 254, Some(256)).is_err());
        series(u64::MAX - 255, Some(256)).unwrap();
    }

    #[test]
    fn pairs_give_parameters_back_and_are_refused_by_name() {
        let params = Params { seed: Some(7), guidance: Some(1.5), ..Params::new("a fox") };
        let pairs = || params.given().map(|(row, value)| (row.name, value));
        assert_eq!(Params::from_pairs(pairs()), Ok(params.clone()));
        let twice = Params::from_pairs(pairs().chain(pairs())).unwrap_err();
        assert_eq!(twice.to_string(), "`prompt` is given twice");
        let whole = Params::from_pairs([("guidance", Value::Integer(4))]).unwrap();
        assert_eq!(whole.guidance, Some(4.0));
        let wrong = Params::from_pairs([("seed", Value::Text("7".into()))]).unwrap_err();
        assert_eq!(wrong.to_string(), "`seed` is text, expected an integer");
    }

    #[test]
    fn seeds_count_up() {
        let params = Params { seed: Some(u64::MAX), ..Params::default() };
        assert_eq!((params.seed_of(0), params.seed_of(2)), (u64::MAX, 1));
        assert_eq!((Params::default().first_seed(), Params::default().images()), (0, 1));
    }

    #[test]
    fn what_is_open_is_filled_in_from_below() {
        let upper = Params { steps: Some(4), ..Params::new("a fox") };
        let lower = Params { steps: Some(8), seed: Some(3), ..Params::new("a hen") };
        let both = Params { steps: Some(4), seed: Some(3), ..Params::new("a fox") };
        assert_eq!(upper.or(&lower), both);
        assert_eq!(Params::constants().guidance_truncation, Some(1.0));
    }
}
