//! Parameters in serde's terms: a list of (name, value) pairs, of the given parameters alone.
//!
//! New rows therefore change nothing about old lists, and an unknown name is an error that names
//! it. JSON for people is made elsewhere, by the table's names.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::params::Given;
use crate::table::Params;
use crate::value::Value;

impl Serialize for Params {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // The codec asks for the length of a list beforehand.
        let pairs: Vec<_> = self.given().map(|(row, value)| (row.name, value)).collect();
        pairs.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Params;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of parameters")
            }

            // No name may come twice, so the list is no longer than the table.
            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Params, A::Error> {
                let mut given = Given::default();
                while let Some((name, value)) = from.next_element::<(String, Value)>()? {
                    given.add(&name, value).map_err(A::Error::custom)?;
                }
                Ok(given.params)
            }
        }
        from.deserialize_seq(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(params: &Params) -> String {
        serde_json::to_string(params).unwrap()
    }

    #[test]
    fn only_what_is_given_is_written() {
        let params = Params { steps: Some(4), guidance: Some(0.5), ..Params::new("a fox") };
        let text =
            r#"[["prompt",{"Text":"a fox"}],["steps",{"Integer":4}],["guidance",{"Real":0.5}]]"#;
        assert_eq!(json(&params), text);
        assert_eq!(serde_json::from_str::<Params>(text).unwrap(), params);
    }

    #[test]
    fn a_list_is_refused_by_name() {
        for (text, part) in [
            (r#"[["stepz",{"Integer":4}]]"#, "parameter `stepz` is unknown"),
            (r#"[["steps",{"Real":4}]]"#, "`steps` is a number, expected an integer"),
            (r#"[["seed",{"Integer":4}],["seed",{"Integer":4}]]"#, "`seed` is given twice"),
        ] {
            let error = serde_json::from_str::<Params>(text).unwrap_err().to_string();
            assert!(error.starts_with(part), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_list_is_read_or_refused(text: String, number: u64, real: f32) {
            for value in [Value::Text(text.clone()), Value::Integer(number), Value::Real(real)] {
                for name in [text.as_str(), "seed", "prompt", "steps", "guidance"] {
                    if let Ok(params) = Params::from_pairs([(name, value.clone())]) {
                        let _ = params.check();
                        let read: Params = serde_json::from_str(&json(&params)).unwrap();
                        prop_assert_eq!(json(&read), json(&params));
                    }
                }
            }
        }
    }
}
