//! What a case may conclude, and checks on answers.

use std::fmt;

use migration::host::HostError;
use serde_json::Value;

/// Why a case did not pass.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The host breaks the contract.
    Broken(String),
    /// The host says that it does not support the command yet.
    Unsupported(String),
}

impl Failure {
    pub(crate) fn broken(why: impl Into<String>) -> Self {
        Self::Broken(why.into())
    }

    /// Adds where to look.
    pub(crate) fn with(self, more: &str) -> Self {
        match self {
            Self::Broken(why) => Self::Broken(format!("{why} ({more})")),
            Self::Unsupported(why) => Self::Unsupported(why),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(why) | Self::Unsupported(why) => f.write_str(why),
        }
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        let text = error.to_string();
        match error {
            HostError::Answer { why, .. } if why == "\"not supported yet\"" => Self::Unsupported(text),
            _ => Self::Broken(text),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Fails with a text unless `holds`.
pub(crate) fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Broken(why())) }
}

/// Fails unless the two are equal.
pub(crate) fn same<T: PartialEq + fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), Failure> {
    ensure(found == expected, || format!("{what} is {found:?}, expected {expected:?}"))
}

/// A number that is not negative.
pub(crate) fn number(answer: &Value, field: &str) -> Result<u64, Failure> {
    answer[field].as_u64().ok_or_else(|| Failure::broken(format!("{field} is no whole number: {answer}")))
}

/// A text.
pub(crate) fn text<'a>(answer: &'a Value, field: &str) -> Result<&'a str, Failure> {
    answer[field].as_str().ok_or_else(|| Failure::broken(format!("{field} is no text: {answer}")))
}

/// A 64-bit hash as 16 hexadecimal digits, lower case.
pub(crate) fn hash(answer: &Value) -> Result<u64, Failure> {
    let digits = text(answer, "hash")?;
    let value = u64::from_str_radix(digits, 16).ok().filter(|value| format!("{value:016x}") == digits);
    value.ok_or_else(|| Failure::broken(format!("hash is not 16 lower-case hexadecimal digits: {digits}")))
}

/// Fails unless the field has the value.
pub(crate) fn has(answer: &Value, field: &str, expected: impl Into<Value>) -> Result<(), Failure> {
    let expected = expected.into();
    ensure(answer[field] == expected, || {
        format!("{field} is {}, expected {expected}: {answer}", answer[field])
    })
}

/// What a field has to look like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Number,
    /// Also fractions.
    Measure,
    Bool,
    Text,
    /// `[id, member]`.
    Ballot,
    /// Lower-case hexadecimal bytes.
    Hex,
    List,
}

/// Fails unless every field is there and of its kind.
pub(crate) fn fields(answer: &Value, expected: &[(&str, Kind)]) -> Result<(), Failure> {
    for (field, kind) in expected {
        let value = &answer[field];
        let fits = match kind {
            Kind::Number => value.is_u64() || value.is_i64(),
            Kind::Measure => value.is_number(),
            Kind::Bool => value.is_boolean(),
            Kind::Text => value.is_string(),
            Kind::List => value.is_array(),
            Kind::Hex => value.as_str().is_some_and(|digits| {
                hex::decode(digits).is_ok() && !digits.contains(|c: char| c.is_ascii_uppercase())
            }),
            Kind::Ballot => {
                value[0].is_u64() && value[1].is_string() && value.as_array().is_some_and(|a| a.len() == 2)
            }
        };
        ensure(fits, || format!("{field} is {value}, expected a {kind:?}: {answer}"))?;
    }
    Ok(())
}
