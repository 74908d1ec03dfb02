//! `GET status` and `GET parameters`: from these the page makes its form.

use axum::extract::State;
use serde_json::{Value as Json, json};
use zimg_client::params::{DefaultRule, PARAMETERS, Parameter, Range, Surface, Value};

use crate::App;
use crate::access::User;
use crate::status;

/// The largest integer that JavaScript's numbers hold exactly.
const SAFE: u64 = (1 << 53) - 1;

pub(super) async fn status(State(app): State<App>, _: User) -> axum::Json<Json> {
    let overview = app.daemon.overview_at_hand().await;
    let model = app.daemon.known_model();
    let expiries = app.daemon.expiries_at_hand().await;
    let overview = overview.as_ref().map(AsRef::as_ref);
    let expiries = expiries.as_deref().and_then(Option::as_ref);
    let front = app.config.front();
    axum::Json(status::value(overview, model.as_deref(), expiries, &front))
}

pub(super) async fn parameters(_: User) -> axum::Json<Json> {
    axum::Json(json!({"parameters": shown().map(parameter).collect::<Vec<_>>()}))
}

/// The parameters that users give.
fn shown() -> impl Iterator<Item = &'static Parameter> {
    PARAMETERS.iter().filter(|row| row.surface != Surface::Recorded)
}

/// A row of the table of parameters.
fn parameter(row: &Parameter) -> Json {
    let (mut min, mut max, mut multiple, mut bytes) = (Json::Null, Json::Null, 1, Json::Null);
    let kind = match row.range {
        Range::Text { max } => {
            bytes = max.into();
            "text"
        }
        Range::Integer { min: least, max: most, multiple: of } => {
            (min, max, multiple) = (integer(least), integer(most), of);
            "integer"
        }
        Range::Real { min: least, max: most } => {
            (min, max) = (least.into(), most.into());
            "real"
        }
        Range::Share => {
            (min, max) = (0.0.into(), 1.0.into());
            "real"
        }
        Range::Factor { max: most } => {
            (min, max) = (1.0.into(), most.into());
            "real"
        }
        Range::Flag => "flag",
        Range::Loras => "text",
    };
    json!({
        "name": row.name,
        "type": kind,
        "min": min,
        "max": max,
        "multiple": multiple,
        "max_bytes": bytes,
        "default": row.default.value().as_ref().map(value),
        "from_model": row.default == DefaultRule::Model,
        "required": row.default == DefaultRule::Required,
        "unit": row.unit,
        "advanced": matches!(row.surface, Surface::Option { advanced: true, .. }),
        "help": row.help,
        "details": row.details,
        "aliases": row.aliases.iter().map(|alias| alias.name).collect::<Vec<_>>(),
    })
}

/// A value of a parameter as JSON; integers that JavaScript would round are text.
pub(super) fn value(value: &Value) -> Json {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Integer(number) => integer(*number),
        Value::Real(number) => (*number).into(),
        Value::Flag(on) => (*on).into(),
    }
}

fn integer(number: u64) -> Json {
    if number > SAFE { number.to_string().into() } else { number.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_says_what_a_form_needs() {
        for row in shown() {
            let json = parameter(row);
            let has_range = !json["min"].is_null() && !json["max"].is_null();
            let is_number = matches!(json["type"].as_str(), Some("integer" | "real"));
            assert_eq!(has_range, is_number, "{}", row.name);
            let is_limited = matches!(row.range, Range::Text { .. });
            assert_eq!(!json["max_bytes"].is_null(), is_limited, "{}", row.name);
        }
        let seed = Parameter::named("seed").map(parameter).unwrap();
        assert_eq!(seed["max"], "18446744073709551615");
    }
}
