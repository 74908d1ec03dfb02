//! `docs/zimg-json.schema.json` against what zimg prints: the part of JSON Schema that it uses.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

const SCHEMA: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/zimg-json.schema.json"));

pub(crate) struct Schema(Value);

impl Schema {
    pub(crate) fn read() -> Self {
        Self(serde_json::from_str(SCHEMA).unwrap())
    }

    /// The events that it describes.
    pub(crate) fn events(&self) -> BTreeSet<String> {
        let definitions = self.0["$defs"].as_object().unwrap();
        definitions
            .keys()
            .filter_map(|name| name.strip_prefix("event_").map(str::to_owned))
            .collect()
    }

    /// Checks a line; its event's name. Fields that the schema does not name fail it too: zimg may
    /// add some, but not without describing them.
    pub(crate) fn check(&self, line: &str) -> String {
        let value: Value = serde_json::from_str(line).unwrap();
        let event = value["event"].as_str().unwrap_or_default().to_owned();
        let mut known = BTreeSet::from(["v".to_owned()]);
        let schema = &self.0["$defs"][format!("event_{event}")];
        assert!(schema.is_object(), "no event {event}: {line}");
        if let Err(why) = self.fits(schema, &value, &mut known) {
            panic!("{why}: {line}");
        }
        assert_eq!(value["v"], 1);
        let fields = value.as_object().unwrap().keys();
        let surplus: Vec<_> = fields.filter(|field| !known.contains(*field)).collect();
        assert!(surplus.is_empty(), "{surplus:?} are not described: {line}");
        event
    }

    /// Whether the value fits; the names of its described fields are added to `known`.
    fn fits(
        &self,
        schema: &Value,
        value: &Value,
        known: &mut BTreeSet<String>,
    ) -> Result<(), String> {
        for (word, rule) in schema.as_object().unwrap() {
            match word.as_str() {
                "description" => {}
                "$ref" => {
                    let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                    self.fits(&self.0["$defs"][name], value, known)?;
                }
                "allOf" => {
                    for part in rule.as_array().unwrap() {
                        self.fits(part, value, known)?;
                    }
                }
                "oneOf" => {
                    let tried = |part| {
                        let mut names = BTreeSet::new();
                        self.fits(part, value, &mut names).map(|()| names).ok()
                    };
                    let fitting: Vec<_> =
                        rule.as_array().unwrap().iter().filter_map(tried).collect();
                    let [names] = &fitting[..] else {
                        return Err(format!("{} of oneOf fit {value}", fitting.len()));
                    };
                    known.extend(names.iter().cloned());
                }
                "const" if rule == value => {}
                "enum" if rule.as_array().unwrap().contains(value) => {}
                "minimum" if value.is_null() || value.as_f64() >= rule.as_f64() => {}
                "type" if is_one_of(rule, value) => {}
                "required" => {
                    let missing = |name: &&Value| value.get(name.as_str().unwrap()).is_none();
                    if let Some(name) = rule.as_array().unwrap().iter().find(missing) {
                        return Err(format!("{name} is missing"));
                    }
                }
                "items" => {
                    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                        let mut inner = BTreeSet::new();
                        self.fits(rule, item, &mut inner).map_err(|why| format!("{n}: {why}"))?;
                        let names = item.as_object().into_iter().flat_map(Map::keys);
                        if let Some(surplus) = names.into_iter().find(|name| !inner.contains(*name))
                        {
                            return Err(format!("{n}: {surplus} is not described"));
                        }
                    }
                }
                "properties" => self.fields(rule.as_object().unwrap(), value, known)?,
                other => return Err(format!("{value} is not {other} {rule}")),
            }
        }
        Ok(())
    }

    fn fields(
        &self,
        rules: &Map<String, Value>,
        value: &Value,
        known: &mut BTreeSet<String>,
    ) -> Result<(), String> {
        for (name, rule) in rules {
            let Some(field) = value.get(name) else { continue };
            let mut inner = BTreeSet::new();
            self.fits(rule, field, &mut inner).map_err(|why| format!("{name}: {why}"))?;
            // What is inside is described to its end, too.
            if let Some(object) = field.as_object()
                && let Some(surplus) = object.keys().find(|name| !inner.contains(*name))
            {
                return Err(format!("{name}: {surplus} is not described"));
            }
            known.insert(name.clone());
        }
        Ok(())
    }
}

fn is_one_of(rule: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        other => panic!("{other} is no type"),
    };
    match rule {
        Value::Array(names) => names.iter().any(is),
        name => is(name),
    }
}
