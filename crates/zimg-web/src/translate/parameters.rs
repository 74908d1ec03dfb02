//! Generation parameters of a request, by their own name or another program's.

use serde_json::{Number, Value as Json};
use zimg_client::params::{Alias, Parameter, Params, Surface, Value, ValueKind};

use super::fields::expected;
use crate::problem::{Problem, Reason};

/// The parameters that a request has given, each once.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) params: Params,
    /// Each parameter with the name that the request has for it.
    names: Vec<(&'static str, String)>,
}

impl Given {
    /// Sets the parameter of which `name` is a name; false if there is none.
    ///
    /// # Errors
    ///
    /// A value of another type or out of range, or a parameter that was set under another name.
    pub(crate) fn set(&mut self, name: &str, json: &Json) -> Result<bool, Problem> {
        let found = Parameter::named_or_alias(name);
        // What is recorded of a request's files is not the client's to say.
        let Some((row, alias)) = found.filter(|(row, _)| row.surface != Surface::Recorded) else {
            return Ok(false);
        };
        let Some(value) = value(name, row, alias, json)? else { return Ok(true) };
        if let Some((_, other)) = self.names.iter().find(|(known, _)| *known == row.name) {
            let message = format!("`{name}` and `{other}` are one parameter, and both are given");
            return Err(Problem::new(Reason::Invalid, message).hint("leave one out").param(name));
        }
        self.params.set(row.name, value).map_err(|error| Problem::from(error).param(name))?;
        self.names.push((row.name, name.to_owned()));
        Ok(true)
    }

    /// Whether the parameter with this name is set, under whichever name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|(row, _)| *row == name)
    }

    /// The parameters, with a random seed where none is given; checked together.
    ///
    /// # Errors
    ///
    /// Seeds that would wrap.
    pub(crate) fn finish(self, random_seed: u32) -> Result<Params, Problem> {
        let seed = Some(self.params.seed.unwrap_or(random_seed.into()));
        let params = Params { seed, ..self.params };
        params.check().map_err(|error| Problem::from(error).param("seed"))?;
        Ok(params)
    }
}

/// The parameter's value from JSON; none where it asks for a random seed.
fn value(
    name: &str,
    row: &'static Parameter,
    alias: Alias,
    json: &Json,
) -> Result<Option<Value>, Problem> {
    let wrong = || expected(name, json, &alias.conversion.range(row.range).in_words());
    let value = match (row.kind(), json) {
        (ValueKind::Text, Json::Array(loras)) if row.name == "lora" => {
            let loras: Option<Vec<_>> = loras.iter().map(lora).collect();
            Value::Text(loras.ok_or_else(wrong)?.join(","))
        }
        (ValueKind::Text, Json::String(text)) => {
            Value::Text(zimg_text::normalized(text).into_owned())
        }
        (ValueKind::Integer, Json::Number(number)) => {
            // A1111's clients ask for a random seed by -1.
            if row.name == "seed" && number.as_f64() == Some(-1.0) {
                return Ok(None);
            }
            Value::Integer(whole(number).ok_or_else(wrong)?)
        }
        // JavaScript's numbers have 53 bits, seeds have 64.
        (ValueKind::Integer, Json::String(text)) if row.name == "seed" => {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            Value::Integer(text.parse().ok().filter(|_| digits).ok_or_else(wrong)?)
        }
        (ValueKind::Real, Json::Number(number)) => {
            Value::Real(number.as_f64().ok_or_else(wrong)? as f32)
        }
        (ValueKind::Flag, Json::Bool(on)) => Value::Flag(*on),
        _ => return Err(wrong()),
    };
    let value = alias.to_parameter(row, value).map_err(|error| Problem::from(error).param(name))?;
    match row.check(&value) {
        Ok(()) => Ok(Some(value)),
        // The request's own name, not the table's.
        Err(error) if name != row.name && matches!(json, Json::Number(_)) => {
            let problem = wrong();
            Err(match error.hint() {
                Some(hint) => problem.hint(hint),
                None => problem,
            })
        }
        Err(error) => Err(Problem::from(error).param(name)),
    }
}

/// A LoRA of a list: its name, or an object with its name and weight.
fn lora(json: &Json) -> Option<String> {
    if let Json::String(name) = json {
        return Some(name.clone());
    }
    let field = |names: [&str; 2]| names.iter().find_map(|name| json.get(*name));
    let name = field(["name", "path"])?.as_str()?;
    match field(["weight", "scale"]) {
        None => Some(name.to_owned()),
        Some(weight) => Some(format!("{name}:{}", weight.as_f64()? as f32)),
    }
}

/// The whole number, which may be written with a fraction of zero.
fn whole(number: &Number) -> Option<u64> {
    number.as_u64().or_else(|| {
        let real = number.as_f64()?;
        let exact = real.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&real);
        exact.then_some(real as u64)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(name: &str, json: Json) -> Result<Params, Problem> {
        let mut given = Given::default();
        assert!(given.set(name, &json)?, "{name}");
        given.finish(7)
    }

    #[test]
    fn loras_are_text_or_a_list() {
        let list = json!(["ink:0.8", {"name": "pixel", "weight": 0.5}, {"path": "x"}]);
        assert_eq!(set("loras", list).unwrap().lora.as_deref(), Some("ink:0.8,pixel:0.5,x"));
        assert_eq!(set("lora", json!("ink")).unwrap().lora.as_deref(), Some("ink"));
        for wrong in [json!([7]), json!([{"weight": 1}]), json!({"name": "x"})] {
            assert!(set("lora", wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_and_units_are_those_of_the_table() {
        assert_eq!(set("num_inference_steps", json!(4)).unwrap().steps, Some(4));
        assert_eq!(set("steps", json!(4.0)).unwrap().steps, Some(4));
        assert_eq!(set("cfg_scale", json!(7)).unwrap().guidance, Some(6.0));
        assert_eq!(set("cfg_scale", json!(1.1)).unwrap().guidance, Some(0.1));
        assert_eq!(set("guidance_scale", json!(4)).unwrap().guidance, Some(4.0));
        assert_eq!(set("negative_prompt", json!("a\r\nb")).unwrap().negative, Some("a\nb".into()));
        assert!(!Given::default().set("stepz", &json!(4)).unwrap());
    }

    #[test]
    fn seeds_have_64_bits_or_are_random() {
        for (json, seed) in [
            (json!(5), 5),
            (json!(u64::MAX), u64::MAX),
            (json!("18446744073709551615"), u64::MAX),
            (json!(-1), 7),
            (json!(-1.0), 7),
        ] {
            assert_eq!(set("seed", json.clone()).unwrap().seed, Some(seed), "{json}");
        }
        for bad in
            [json!(-2), json!(1.5), json!(1e30), json!("x"), json!(""), json!("-1"), json!([])]
        {
            assert_eq!(set("seed", bad.clone()).unwrap_err().parameter(), Some("seed"), "{bad}");
        }
        let mut given = Given::default();
        given.set("seed", &json!(u64::MAX)).unwrap();
        given.set("n_iter", &json!(2)).unwrap();
        assert!(given.finish(0).is_err());
    }

    #[test]
    fn values_out_of_range_are_refused_under_the_name_that_was_given() {
        for (name, bad) in [
            ("num_inference_steps", json!(0)),
            ("num_inference_steps", json!(101)),
            ("steps", json!(-3)),
            ("steps", json!("8")),
            ("steps", json!(7.5)),
            ("steps", json!(1e300)),
            ("guidance_scale", json!(-0.5)),
            ("guidance_scale", json!(1e300)),
            ("cfg_scale", json!(0.5)),
            ("cfg_scale", json!(102)),
            ("image_width", json!(100)),
            ("prompt", json!(7)),
            ("prompt", json!("a\u{0}b")),
            ("negative_prompt", json!(["x"])),
        ] {
            let problem = set(name, bad.clone()).unwrap_err();
            assert_eq!(problem.parameter(), Some(name), "{bad}");
            assert!(problem.message().contains("expected "), "{}", problem.message());
        }
        let problem = set("image_width", json!(100)).unwrap_err();
        assert!(problem.message().starts_with("`image_width` is 100, expected"), "{problem:?}");
        assert_eq!(problem.ours()["error"]["hint"], "the nearest valid value is 96");
    }

    #[test]
    fn one_parameter_has_one_value() {
        let mut given = Given::default();
        given.set("steps", &json!(4)).unwrap();
        let problem = given.set("num_inference_steps", &json!(4)).unwrap_err();
        assert!(problem.message().contains("`steps`"), "{}", problem.message());
    }
}
