//! A policy's settings, as its table in the configuration gives them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::names::is_name;

/// The most settings of one policy.
pub const SETTINGS_MAX: usize = 256;
/// The most values of one setting.
pub const VALUES_MAX: usize = 4096;
/// The longest text of one value in bytes.
pub const TEXT_MAX: usize = 1024;

/// One value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
    /// Yes or no; a guest reads it as the number 1 or 0.
    Bool(bool),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

/// The settings of one policy: names with lists of values. A single value is a list of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, Vec<Value>>);

/// Why a setting was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamError {
    /// The name is empty, too long or has odd characters.
    #[error("`{0}` cannot name a setting: use up to 64 letters, digits and _ - . : /")]
    Name(String),
    /// There are too many settings.
    #[error("a policy takes at most {SETTINGS_MAX} settings")]
    Settings,
    /// A setting has too many values.
    #[error("setting `{0}` has more than {VALUES_MAX} values")]
    Values(String),
    /// A text is too long.
    #[error("setting `{0}` has a text longer than {TEXT_MAX} bytes")]
    Text(String),
}

impl Params {
    /// Creates settings without any.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a setting, in place of an earlier one of that name.
    ///
    /// # Errors
    /// Says which bound the name or the values break.
    pub fn insert(&mut self, name: &str, values: Vec<Value>) -> Result<(), ParamError> {
        if !is_name(name) {
            return Err(ParamError::Name(name.chars().take(80).collect()));
        }
        if values.len() > VALUES_MAX {
            return Err(ParamError::Values(name.to_owned()));
        }
        if values.iter().any(|v| matches!(v, Value::Text(text) if text.len() > TEXT_MAX)) {
            return Err(ParamError::Text(name.to_owned()));
        }
        if self.0.len() >= SETTINGS_MAX && !self.0.contains_key(name) {
            return Err(ParamError::Settings);
        }
        self.0.insert(name.to_owned(), values);
        Ok(())
    }

    /// Returns the index-th value of a setting.
    pub fn value(&self, name: &str, index: usize) -> Option<&Value> {
        self.0.get(name)?.get(index)
    }

    /// Tells whether there is a setting of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Goes through all settings, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Value])> {
        self.0.iter().map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    /// Tells whether there is no setting.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads a table whose values are integers, texts, booleans, or lists of these.
impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ParamsVisitor)
    }
}

struct ParamsVisitor;

impl<'de> Visitor<'de> for ParamsVisitor {
    type Value = Params;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of settings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Params, A::Error> {
        let mut params = Params::new();
        while let Some(name) = map.next_key::<String>()? {
            let OneOrMany(values) = map.next_value()?;
            params.insert(&name, values).map_err(A::Error::custom)?;
        }
        Ok(params)
    }
}

struct OneOrMany(Vec<Value>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValuesVisitor { list: true }).map(OneOrMany)
    }
}

struct Single(Value);

impl<'de> Deserialize<'de> for Single {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut values = deserializer.deserialize_any(ValuesVisitor { list: false })?;
        values.pop().map(Self).ok_or_else(|| D::Error::custom("a value is missing"))
    }
}

struct ValuesVisitor {
    list: bool,
}

impl<'de> Visitor<'de> for ValuesVisitor {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer, a text or a boolean")?;
        if self.list { f.write_str(", or a list of these") } else { Ok(()) }
    }

    fn visit_bool<E>(self, value: bool) -> Result<Vec<Value>, E> {
        Ok(vec![Value::Bool(value)])
    }

    fn visit_i64<E>(self, value: i64) -> Result<Vec<Value>, E> {
        Ok(vec![Value::Int(value)])
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Vec<Value>, E> {
        let value = i64::try_from(value).map_err(|_| E::custom("the integer is too large"))?;
        Ok(vec![Value::Int(value)])
    }

    fn visit_str<E>(self, value: &str) -> Result<Vec<Value>, E> {
        Ok(vec![Value::from(value)])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Value>, A::Error> {
        if !self.list {
            return Err(A::Error::custom("a list cannot hold lists"));
        }
        let mut values = Vec::new();
        while let Some(Single(value)) = seq.next_element()? {
            if values.len() == VALUES_MAX {
                return Err(A::Error::custom(format!("more than {VALUES_MAX} values")));
            }
            values.push(value);
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_table_becomes_settings() {
        let params: Params =
            toml::from_str("tcp_in = [22, '80-90']\noutside = 'wan'\nbogons = true").unwrap();
        assert_eq!(params.value("tcp_in", 0), Some(&Value::Int(22)));
        assert_eq!(params.value("tcp_in", 1), Some(&Value::from("80-90")));
        assert_eq!(params.value("outside", 0), Some(&Value::from("wan")));
        assert_eq!(params.value("bogons", 0), Some(&Value::Bool(true)));
        assert_eq!((params.value("outside", 1), params.value("none", 0)), (None, None));
    }

    #[test]
    fn what_a_guest_could_not_read_is_refused_in_words() {
        let error = |text: &str| toml::from_str::<Params>(text).unwrap_err().message().to_owned();
        assert!(error("a = [[1]]").contains("a list cannot hold lists"));
        assert!(error("a = 1.5").contains("an integer, a text or a boolean"));
        assert!(error("a = { b = 1 }").contains("an integer, a text or a boolean"));
        assert!(error("'a b' = 1").contains("cannot name a setting"));
        let long = format!("a = '{}'", "x".repeat(TEXT_MAX + 1));
        assert!(error(&long).contains("longer than 1024 bytes"));
    }

    #[test]
    fn the_number_of_settings_is_bounded() {
        let mut params = Params::new();
        for n in 0..SETTINGS_MAX {
            params.insert(&format!("s{n}"), vec![]).unwrap();
        }
        assert_eq!(params.insert("one-more", vec![]), Err(ParamError::Settings));
        assert_eq!(params.insert("s0", vec![Value::Int(1)]), Ok(()));
    }
}
