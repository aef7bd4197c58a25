//! Lenient, borrowing pieces for reading what vendors send: a field of an unexpected type is ignored, not fatal.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::{Error, ErrorKind};

/// Any JSON value; strings stay borrowed where they can.
#[derive(Clone, Debug, Default)]
pub(super) enum Loose<'a> {
    #[default]
    Null,
    Str(Cow<'a, str>),
    Int(u64),
    /// Boxed: the fields of a chunk are many and mostly null, and moving them is most of what reading one costs.
    Other(Box<Value>),
}

impl Loose<'_> {
    /// The text, unless it is empty or no string.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Str(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// Any string or number as text.
    pub(super) fn id(&self) -> Option<String> {
        match self {
            Self::Str(text) => Some(text.to_string()),
            Self::Int(n) => Some(n.to_string()),
            Self::Other(v) if v.is_number() => Some(v.to_string()),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Int(n) => Some(*n),
            Self::Other(value) => integer(value),
            _ => None,
        }
    }

    pub(super) fn other(&self) -> Option<&Value> {
        match self {
            Self::Other(value) => Some(value),
            _ => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Str(text) => Value::String(text.into_owned()),
            Self::Int(n) => n.into(),
            Self::Other(value) => *value,
        }
    }
}

/// A whole number, also where a vendor writes it as a float (`created_at` of the Responses API).
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn integer(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_f64().filter(|n| *n >= 0.0).map(|n| n as u64))
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_unit<E>(self) -> Result<Loose<'de>, E> {
        Ok(Loose::Null)
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Loose<'de>, E> {
        Ok(Loose::Str(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Loose<'de>, E> {
        Ok(Loose::Str(Cow::Owned(text.to_owned())))
    }
    fn visit_string<E>(self, text: String) -> Result<Loose<'de>, E> {
        Ok(Loose::Str(Cow::Owned(text)))
    }
    fn visit_bool<E>(self, v: bool) -> Result<Loose<'de>, E> {
        Ok(Loose::Other(Box::new(v.into())))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Loose<'de>, E> {
        Ok(Loose::Int(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Loose<'de>, E> {
        Ok(Loose::Other(Box::new(v.into())))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Loose<'de>, E> {
        Ok(Loose::Other(Box::new(v.into())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Loose<'de>, A::Error> {
        Value::deserialize(SeqAccessDeserializer::new(seq)).map(|v| Loose::Other(Box::new(v)))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Loose<'de>, A::Error> {
        Value::deserialize(MapAccessDeserializer::new(map)).map(|v| Loose::Other(Box::new(v)))
    }
}

/// Declares a borrowed struct read from a JSON object or null: named keys go to fields, `ignore`d ones nowhere, and
/// every other one that is not null to `extra`.
macro_rules! wire_object {
    ($name:ident { $($key:literal => $field:ident: $ty:ty,)* } ignore { $($ignored:literal)|* }) => {
        #[derive(Default)]
        struct $name<'a> {
            $($field: $ty,)*
            extra: Vec<(String, serde_json::Value)>,
            _life: std::marker::PhantomData<&'a ()>,
        }

        impl<'de: 'a, 'a> serde::Deserialize<'de> for $name<'a> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                struct V<'a>(std::marker::PhantomData<&'a ()>);
                impl<'de: 'a, 'a> serde::de::Visitor<'de> for V<'a> {
                    type Value = $name<'a>;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }
                    fn visit_unit<E>(self) -> std::result::Result<Self::Value, E> {
                        Ok($name::default())
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> std::result::Result<Self::Value, A::Error> {
                        let mut out = $name::default();
                        while let Some(key) = map.next_key::<Loose<'de>>()? {
                            let Loose::Str(key) = key else { continue };
                            match &*key {
                                $($key => out.$field = map.next_value()?,)*
                                $($ignored)|* => drop(map.next_value::<serde::de::IgnoredAny>()?),
                                _ => match map.next_value::<Loose<'de>>()? {
                                    Loose::Null => {}
                                    other => out.extra.push((key.into_owned(), other.into_value())),
                                },
                            }
                        }
                        Ok(out)
                    }
                }
                deserializer.deserialize_any(V(std::marker::PhantomData))
            }
        }
    };
}
pub(super) use wire_object;

/// `decode_error` for JSON that cannot be read. Serde's own text may quote the answer, so only the place is told.
pub(super) fn unreadable(what: &str, error: &serde_json::Error) -> Error {
    let why = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Syntax => "it is not JSON",
        _ => "it has an unexpected shape",
    };
    let (line, column) = (error.line(), error.column());
    decode_error(format!(
        "{what} cannot be read: {why} (line {line}, column {column})"
    ))
}

pub(super) fn decode_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::DecodeError, message)
}

/// Why the stream is over although the vendor did not say so.
pub(super) fn interrupted() -> Error {
    Error::new(
        ErrorKind::StreamInterrupted,
        "the stream ended before the answer did",
    )
}

/// Bounds what a decoder keeps until the end of its stream.
#[derive(Default)]
pub(super) struct Held(usize);

impl Held {
    /// Counts the bytes of an event that is kept.
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), Error> {
        const MAX: usize = 128 << 20;
        self.0 = self.0.saturating_add(bytes);
        if self.0 > MAX {
            let message = format!("the stream holds back more than {MAX} bytes");
            return Err(Error::new(ErrorKind::ResponseTooLarge, message));
        }
        Ok(())
    }
}

/// The members of an object that are not `known` and not null. `known` has the fields that are read and those of our own
/// part: a vendor's of the same name would stand in its JSON a second time.
pub(super) fn others(object: &Value, known: &[&str]) -> crate::types::Extra {
    let members = object.as_object().into_iter().flatten();
    members
        .filter(|(name, value)| !known.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
