//! The value of the parameter `lora`: names of adapters with weights, as `ink:0.8,pixel`.

use std::fmt;

/// The most adapters of a request.
pub const LORAS_MAX: usize = 8;
/// The longest name in bytes.
pub(crate) const LORA_NAME_BYTES: usize = 255;
/// The weights are from minus this to this.
pub const LORA_WEIGHT_MAX: f32 = 16.0;

/// An adapter and its weight.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraChoice {
    /// Its name, as `zimg loras` lists it.
    pub name: String,
    /// The factor of what it adds; 1 is as it was trained.
    pub weight: f32,
}

impl LoraChoice {
    /// The adapters of a value, in its order; none of an empty one, and no result if it is not valid.
    ///
    /// A weight follows the last colon, so that names may have colons; they have no commas.
    pub fn list(value: &str) -> Option<Vec<Self>> {
        if value.trim().is_empty() {
            return Some(Vec::new());
        }
        let all = value.split(',').map(Self::of).collect::<Option<Vec<_>>>()?;
        (all.len() <= LORAS_MAX).then_some(all)
    }

    fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        let (name, weight) = match text.rsplit_once(':') {
            Some((name, weight)) => (name.trim_end(), weight.trim().parse().ok()?),
            None => (text, 1.0),
        };
        let valid = !name.is_empty()
            && name.len() <= LORA_NAME_BYTES
            && (-LORA_WEIGHT_MAX..=LORA_WEIGHT_MAX).contains(&weight);
        valid.then(|| Self { name: name.to_owned(), weight })
    }
}

impl fmt::Display for LoraChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.weight {
            1.0 => f.write_str(&self.name),
            weight => write!(f, "{}:{weight}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_weights_are_told_apart() {
        for (value, expected) in [
            ("", Some(&[][..])),
            (" ", Some(&[])),
            ("ink", Some(&[("ink", 1.0)])),
            ("ink:0.8", Some(&[("ink", 0.8)])),
            ("styles/ink: -1 , pixel:2", Some(&[("styles/ink", -1.0), ("pixel", 2.0)])),
            ("a:b:0.5", Some(&[("a:b", 0.5)])),
            ("ink:0", Some(&[("ink", 0.0)])),
            ("ink:", None),
            ("ink:x", None),
            (":1", None),
            ("ink,,pixel", None),
            ("ink:17", None),
            ("ink:NaN", None),
            ("ink:inf", None),
            ("a,a,a,a,a,a,a,a,a", None),
        ] {
            let found = LoraChoice::list(value);
            let expected = expected.map(|all| {
                let choice = |(name, weight): &(&str, f32)| LoraChoice {
                    name: (*name).to_owned(),
                    weight: *weight,
                };
                all.iter().map(choice).collect::<Vec<_>>()
            });
            assert_eq!(found, expected, "{value:?}");
            for choice in found.unwrap_or_default() {
                assert_eq!(LoraChoice::list(&choice.to_string()), Some(vec![choice]));
            }
        }
        assert_eq!(LoraChoice::list(&"x".repeat(300)), None);
    }
}
