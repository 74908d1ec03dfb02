//! Parameters as JSON: an object of names and values, as requests have it and jobs show it.

use serde_json::{Map, Value as Json};
use zimg_client::Params;
use zimg_client::params::{Parameter, Surface, Value, ValueKind};

use super::status::value;
use crate::problem::Problem;

/// The parameters of an object. Integers may be text, since JavaScript's numbers are not exact
/// above 2^53; null is as if it were not there, and so is what zimg-web itself records of the files
/// of a request, which jobs show.
pub(crate) fn from_json(object: &Map<String, Json>) -> Result<Params, Problem> {
    let mut params = Params::default();
    for (name, json) in object {
        let unknown = || {
            let shown: String = name.chars().take(64).collect();
            Problem::invalid(format!("parameter `{shown}` is unknown")).param(shown)
        };
        let row = Parameter::named(name).ok_or_else(unknown)?;
        if json.is_null() || row.surface == Surface::Recorded {
            continue;
        }
        let value = of_kind(row.kind(), json).ok_or_else(|| {
            let message = format!("`{}` is not {}", row.name, row.kind());
            Problem::invalid(message).param(row.name)
        })?;
        params.set(row.name, value)?;
    }
    if params.get("prompt").is_none() || !object.contains_key("prompt") {
        return Err(Problem::invalid("`prompt` is missing").param("prompt"));
    }
    params.check()?;
    Ok(params)
}

fn of_kind(kind: ValueKind, json: &Json) -> Option<Value> {
    Some(match kind {
        ValueKind::Text => Value::Text(json.as_str()?.to_owned()),
        ValueKind::Integer => Value::Integer(match json {
            Json::String(digits) => digits.parse().ok()?,
            Json::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?))?,
            _ => return None,
        }),
        ValueKind::Real => Value::Real(json.as_f64()? as f32),
        ValueKind::Flag => Value::Flag(json.as_bool()?),
    })
}

/// An integer that was written as 8.0.
fn whole(number: f64) -> Option<u64> {
    let fits = number >= 0.0 && number <= (1_u64 << 53) as f64 && number.fract() == 0.0;
    fits.then_some(number as u64)
}

/// The parameters that are given; the seed is text always.
pub(crate) fn to_json(params: &Params) -> Map<String, Json> {
    let given = params.given().map(|(row, given)| {
        let json = match given {
            Value::Integer(seed) if row.name == "seed" => seed.to_string().into(),
            other => value(&other),
        };
        (row.name.to_owned(), json)
    });
    given.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: &Json) -> Result<Params, Problem> {
        from_json(json.as_object().unwrap())
    }

    #[test]
    fn what_is_shown_is_what_was_asked() {
        let asked = json!({"prompt": "a fox", "seed": "18446744073709551615", "width": 64,
            "guidance": 1.5, "negative": "blur"});
        assert_eq!(Json::Object(to_json(&read(&asked).unwrap())), asked);
        let loose = json!({"prompt": "a fox", "seed": 7, "steps": 8.0, "height": null});
        let params = read(&loose).unwrap();
        assert_eq!((params.seed, params.steps, params.height), (Some(7), Some(8), None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = [
            (json!({}), "prompt"),
            (json!({"prompt": 7}), "prompt"),
            (json!({"prompt": "a", "stepss": 7}), "stepss"),
            (json!({"prompt": "a", "num_inference_steps": 7}), "num_inference_steps"),
            (json!({"prompt": "a", "steps": 0}), "steps"),
            (json!({"prompt": "a", "steps": -1}), "steps"),
            (json!({"prompt": "a", "steps": 1.5}), "steps"),
            (json!({"prompt": "a", "steps": 1e300}), "steps"),
            (json!({"prompt": "a", "seed": "1e3"}), "seed"),
            (json!({"prompt": "a", "seed": [1]}), "seed"),
            (json!({"prompt": "a", "width": 63}), "width"),
            (json!({"prompt": "a", "guidance": "much"}), "guidance"),
        ];
        for (json, param) in wrong {
            let problem = read(&json).unwrap_err();
            assert_eq!(problem.ours()["error"]["param"], param, "{json}");
        }
    }
}
