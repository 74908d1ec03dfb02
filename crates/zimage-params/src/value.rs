//! A parameter's value without its parameter, and the fields that hold one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value of any parameter. Append-only: a variant's place is its number on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// UTF-8.
    Text(String),
    /// A whole number.
    Integer(u64),
    /// A number.
    Real(f32),
    /// On or off.
    Flag(bool),
}

/// The type of a parameter's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// UTF-8.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Real,
    /// On or off.
    Flag,
}

impl Value {
    /// The value's type.
    pub fn kind(&self) -> ValueKind {
        match self {
            Self::Text(_) => ValueKind::Text,
            Self::Integer(_) => ValueKind::Integer,
            Self::Real(_) => ValueKind::Real,
            Self::Flag(_) => ValueKind::Flag,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Real(number) => number.fmt(f),
            Self::Flag(on) => on.fmt(f),
        }
    }
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Integer => "an integer",
            Self::Real => "a number",
            Self::Flag => "true or false",
        })
    }
}

/// A field of `Params`, as the table's generic code sees it.
pub(crate) trait Field {
    /// The value, unless it is left to its default.
    fn get(&self) -> Option<Value>;
    /// Stores a value; false when its type or width does not fit the field.
    fn set(&mut self, value: Value) -> bool;
    /// Leaves the value to its default.
    fn clear(&mut self);
}

impl Field for String {
    fn get(&self) -> Option<Value> {
        Some(Value::Text(self.clone()))
    }

    fn set(&mut self, value: Value) -> bool {
        let Value::Text(text) = value else { return false };
        *self = text;
        true
    }

    fn clear(&mut self) {
        String::clear(self);
    }
}

macro_rules! optional {
    ($($type:ty: $pattern:pat => $from:expr, $into:expr;)+) => {
        $(impl Field for Option<$type> {
            fn get(&self) -> Option<Value> {
                self.clone().map($into)
            }

            fn set(&mut self, value: Value) -> bool {
                let $pattern = value else { return false };
                *self = $from;
                self.is_some()
            }

            fn clear(&mut self) {
                *self = None;
            }
        })+
    };
}

optional! {
    String: Value::Text(text) => Some(text), Value::Text;
    u32: Value::Integer(number) => number.try_into().ok(), |number| Value::Integer(number.into());
    u64: Value::Integer(number) => Some(number), Value::Integer;
    f32: Value::Real(number) => Some(number), Value::Real;
    bool: Value::Flag(on) => Some(on), Value::Flag;
}
