//! JSON that is kept as it came and read only when somebody asks.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A JSON value as a vendor sent it. Dereferences to the [`Value`], which is made at the first look; copies share it.
#[derive(Clone)]
pub struct RawJson(Arc<Inner>);

struct Inner {
    /// Checked JSON; empty where the value came first.
    text: Box<str>,
    value: OnceLock<Value>,
}

impl RawJson {
    /// Text that a JSON parser has taken for a value.
    pub(crate) fn checked(text: &str) -> Self {
        Self(Arc::new(Inner {
            text: text.into(),
            value: OnceLock::new(),
        }))
    }

    /// Roughly the bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        let value = self
            .0
            .value
            .get()
            .map_or(0, crate::cache::memory::json_bytes);
        self.0.text.len() + value
    }
}

impl Deref for RawJson {
    type Target = Value;

    fn deref(&self) -> &Value {
        let parse = || serde_json::from_str(&self.0.text).unwrap_or_default();
        self.0.value.get_or_init(parse)
    }
}

impl From<Value> for RawJson {
    fn from(value: Value) -> Self {
        Self(Arc::new(Inner {
            text: Box::default(),
            value: value.into(),
        }))
    }
}

impl From<RawJson> for Value {
    fn from(raw: RawJson) -> Self {
        (*raw).clone()
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || **self == **other
    }
}

impl Eq for RawJson {}

impl PartialEq<Value> for RawJson {
    fn eq(&self, other: &Value) -> bool {
        **self == *other
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for RawJson {
    fn inline_schema() -> bool {
        Value::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        Value::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Value::json_schema(generator)
    }
}
