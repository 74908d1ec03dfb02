//! What the table says of a parameter.

use crate::lora::{LORA_WEIGHT_MAX, LORAS_MAX, LoraChoice};
use crate::value::{Value, ValueKind};

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    /// The name: of the field, of the option (with `-` for `_`), of the configuration key and of
    /// the batch key, on the wire and in zimg's metadata.
    pub name: &'static str,
    /// Which values are valid.
    pub range: Range,
    /// What holds when no value is given.
    pub default: DefaultRule,
    /// What an integer or a real counts, such as "pixels".
    pub unit: Option<&'static str>,
    /// One sentence for the short help and for documentation, without a full stop.
    pub help: &'static str,
    /// Further sentences for the long help.
    pub details: Option<&'static str>,
    /// What stands for the value in help, such as "N".
    pub value_name: &'static str,
    /// The parameter's names in other programs.
    pub aliases: &'static [Alias],
    /// How the command line takes it.
    pub surface: Surface,
    /// How generation metadata has it.
    pub metadata: Metadata,
}

/// Which values of a parameter are valid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// Text of at most `max` bytes of UTF-8.
    Text {
        /// Bytes.
        max: usize,
    },
    /// Integers from `min` to `max` that are multiples of `multiple`.
    Integer {
        /// The lowest.
        min: u64,
        /// The highest.
        max: u64,
        /// 1: all of them.
        multiple: u64,
    },
    /// Finite numbers from `min` to `max`.
    Real {
        /// The lowest.
        min: f32,
        /// The highest.
        max: f32,
    },
    /// Numbers above 0, to 1.
    Share,
    /// Factors from 1 to `max`, which people write as 2 or as 2x.
    Factor {
        /// The highest.
        max: f32,
    },
    /// True or false.
    Flag,
    /// Names of LoRAs with weights: text that [`LoraChoice::list`] reads.
    Loras,
}

/// What holds when no value is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DefaultRule {
    /// The parameter must be given.
    Required,
    /// The model's own default.
    Model,
    /// The empty text.
    Empty,
    /// This integer.
    Integer(u64),
    /// This number.
    Real(f32),
    /// Off.
    Off,
}

/// A name of a parameter in another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The name, with `_`.
    pub name: &'static str,
    /// How a value under that name becomes a value of ours.
    pub conversion: Conversion,
}

/// How an alias's value becomes the parameter's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// It is the same number or text.
    Same,
    /// It is the CFG scale of other programs, which is one more than guidance.
    CfgScale,
}

/// How the command line takes a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// As the argument without a name.
    Positional,
    /// As a part of `--size`.
    Size,
    /// As an option of its own name.
    Option {
        /// Its short form.
        short: Option<char>,
        /// Whether only `--help` lists it, and `-h` does not.
        advanced: bool,
    },
    /// Not at all: front ends fill it in.
    Recorded,
}

/// How generation metadata has a parameter. In zimg's JSON its key is the parameter's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// Not at all.
    No,
    /// In zimg's JSON.
    Json,
    /// In zimg's JSON, and in AUTOMATIC1111's `parameters` text under this label.
    Label(&'static str),
    /// The same, but in the text only when it is not its default.
    LabelUnlessDefault(&'static str),
    /// In zimg's JSON, but only where it is given: images without it are described as before there
    /// was such a parameter.
    JsonIfGiven,
    /// The same, and in the text under this label.
    LabelIfGiven(&'static str),
    /// In zimg's JSON; the `parameters` text has it in a form of its own: the prompts before the
    /// settings, both sides as `Size: WxH`.
    Special,
}

impl Alias {
    /// Another name for the same value.
    pub const fn same(name: &'static str) -> Self {
        Self { name, conversion: Conversion::Same }
    }

    /// A name whose value is a CFG scale.
    pub const fn cfg_scale(name: &'static str) -> Self {
        Self { name, conversion: Conversion::CfgScale }
    }
}

impl Metadata {
    /// Whether metadata has the parameter.
    pub fn is_recorded(self) -> bool {
        self != Self::No
    }

    /// Whether metadata leaves the parameter out where it is not given.
    pub fn is_only_if_given(self) -> bool {
        matches!(self, Self::JsonIfGiven | Self::LabelIfGiven(_))
    }

    /// Whether the `parameters` text has it only where it differs from its default, if at all.
    pub fn is_optional(self) -> bool {
        matches!(self, Self::Json | Self::LabelUnlessDefault(_)) || self.is_only_if_given()
    }

    /// The label in the `parameters` text, if the parameter has one.
    pub fn label(self) -> Option<&'static str> {
        match self {
            Self::Label(label) | Self::LabelUnlessDefault(label) | Self::LabelIfGiven(label) => {
                Some(label)
            }
            Self::No | Self::Json | Self::JsonIfGiven | Self::Special => None,
        }
    }
}

impl DefaultRule {
    /// The value, if it is a constant.
    pub fn value(self) -> Option<Value> {
        match self {
            Self::Required | Self::Model => None,
            Self::Empty => Some(Value::Text(String::new())),
            Self::Integer(number) => Some(Value::Integer(number)),
            Self::Real(number) => Some(Value::Real(number)),
            Self::Off => Some(Value::Flag(false)),
        }
    }
}

impl Range {
    /// Sides in pixels.
    pub const fn sides(min: u32, max: u32, multiple: u32) -> Self {
        Self::Integer { min: min as u64, max: max as u64, multiple: multiple as u64 }
    }

    /// The type of its values.
    pub const fn kind(self) -> ValueKind {
        match self {
            Self::Text { .. } | Self::Loras => ValueKind::Text,
            Self::Integer { .. } => ValueKind::Integer,
            Self::Real { .. } | Self::Share | Self::Factor { .. } => ValueKind::Real,
            Self::Flag => ValueKind::Flag,
        }
    }

    /// Whether a value of the right type is valid.
    pub(crate) fn contains(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text { max }, Value::Text(text)) => text.len() <= max,
            (Self::Integer { min, max, multiple }, Value::Integer(number)) => {
                (min..=max).contains(number) && number.is_multiple_of(multiple)
            }
            (Self::Real { min, max }, Value::Real(number)) => (min..=max).contains(number),
            (Self::Share, Value::Real(number)) => *number > 0.0 && *number <= 1.0,
            (Self::Factor { max }, Value::Real(number)) => (1.0..=max).contains(number),
            (Self::Flag, Value::Flag(_)) => true,
            (Self::Loras, Value::Text(text)) => LoraChoice::list(text).is_some(),
            _ => false,
        }
    }

    /// The valid value nearest to this one; of two that are equally near, the higher. None for
    /// text, for what is not a number, and where no valid value is nearest.
    pub fn nearest(self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::Integer { min, max, multiple }, Value::Integer(number)) => {
                let number = (*number).clamp(min, max);
                let nearest = (number + multiple / 2) / multiple * multiple;
                Some(Value::Integer(nearest.clamp(min, max)))
            }
            (Self::Real { min, max }, Value::Real(number)) if !number.is_nan() => {
                Some(Value::Real(number.clamp(min, max)))
            }
            (Self::Factor { max }, Value::Real(number)) if !number.is_nan() => {
                Some(Value::Real(number.clamp(1.0, max)))
            }
            (Self::Share, Value::Real(number)) if *number > 1.0 => Some(Value::Real(1.0)),
            _ => None,
        }
    }

    /// The valid values in words, such as "a multiple of 16 from 64 to 2048".
    pub fn in_words(self) -> String {
        match self {
            Self::Text { max } => format!("at most {max} bytes"),
            Self::Integer { min, max: u64::MAX, multiple: 1 } => format!("an integer from {min}"),
            Self::Integer { min, max, multiple: 1 } => format!("an integer from {min} to {max}"),
            Self::Integer { min, max, multiple } => {
                format!("a multiple of {multiple} from {min} to {max}")
            }
            Self::Real { min, max } => format!("a number from {min} to {max}"),
            Self::Share => "a number above 0, at most 1".to_owned(),
            Self::Factor { max } => format!("a factor from 1 to {max}"),
            Self::Flag => "true or false".to_owned(),
            Self::Loras => format!(
                "at most {LORAS_MAX} names with weights from -{LORA_WEIGHT_MAX} to \
                 {LORA_WEIGHT_MAX}, as ink:0.8,pixel"
            ),
        }
    }
}

impl Parameter {
    /// What a row leaves out.
    pub(crate) const BLANK: Self = Self {
        name: "",
        range: Range::Flag,
        default: DefaultRule::Model,
        unit: None,
        help: "",
        details: None,
        value_name: "",
        aliases: &[],
        surface: Surface::Option { short: None, advanced: false },
        metadata: Metadata::Json,
    };

    /// The type of its values.
    pub const fn kind(&self) -> ValueKind {
        self.range.kind()
    }
}
