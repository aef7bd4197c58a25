//! Reading JSON so that every mistake is reported at once, each with its path, and numbers keep their text.
//!
//! serde stops at the first mistake and turns numbers into floats; both are wrong for a hand-written price file.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind};

/// More problems than this help nobody.
const MAX_PROBLEMS: usize = 100;

/// One mistake in a price document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where (`models[3].prices[0].tiers[1].input`).
    pub path: String,
    /// What was expected there.
    pub expected: String,
}

/// Every mistake in a price document, at most a hundred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceError(pub Vec<Problem>);

impl fmt::Display for PriceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", problem.path, problem.expected)?;
        }
        Ok(())
    }
}

impl std::error::Error for PriceError {}

/// As `invalid_request`, with the first path as its field and all mistakes in its message.
impl From<PriceError> for Error {
    fn from(error: PriceError) -> Self {
        let message = error.to_string();
        let first = error.0.into_iter().next().map(|problem| problem.path);
        Self::new(ErrorKind::InvalidRequest, message).with(|fields| fields.field = first)
    }
}

/// Where in the document something stands; text is made of it only for a mistake.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root(&'a str),
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(super) fn key(&'a self, name: &'a str) -> Self {
        Self::Key(self, name)
    }

    pub(super) fn index(&'a self, index: usize) -> Self {
        Self::Index(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(name) => f.write_str(name),
            Self::Key(Path::Root(""), name) if is_plain(name) => f.write_str(name),
            Self::Key(parent, name) if is_plain(name) => write!(f, "{parent}.{name}"),
            Self::Key(parent, name) => write!(f, "{parent}[{name:?}]"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The mistakes found so far.
#[derive(Default)]
pub(super) struct Problems(pub(super) Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, path: &Path<'_>, expected: impl fmt::Display) {
        if self.0.len() < MAX_PROBLEMS {
            self.0.push(Problem {
                path: path.to_string(),
                expected: expected.to_string(),
            });
        }
    }

    /// Reads one value as `T`, or reports what was expected.
    pub(super) fn read<'j, T: Deserialize<'j>>(
        &mut self,
        raw: &'j RawValue,
        path: &Path<'_>,
        expected: &str,
    ) -> Option<T> {
        let value = serde_json::from_str(raw.get()).ok();
        if value.is_none() {
            self.add(path, format_args!("expected {expected}"));
        }
        value
    }

    /// Reads a list of at most `most` values.
    pub(super) fn list<'j>(
        &mut self,
        raw: &'j RawValue,
        path: &Path<'_>,
        most: usize,
    ) -> Vec<&'j RawValue> {
        let list: Vec<_> = self.read(raw, path, "a list").unwrap_or_default();
        if list.len() > most {
            self.add(path, format_args!("expected at most {most} items"));
            return Vec::new();
        }
        list
    }

    pub(super) fn object<'j>(&mut self, raw: &'j RawValue, path: &Path<'_>) -> Option<Object<'j>> {
        let Pairs(pairs) = self.read(raw, path, "an object")?;
        // Nearly every object is small, and then looking back is cheaper than hashing.
        let mut hashed = HashSet::new();
        for (index, (name, _)) in pairs.iter().enumerate() {
            let twice = if pairs.len() <= 32 {
                pairs.iter().take(index).any(|(earlier, _)| earlier == name)
            } else {
                !hashed.insert(&**name)
            };
            if twice {
                self.add(&path.key(name), "expected each key once");
            }
        }
        Some(Object(pairs))
    }
}

/// The value, or every mistake found on the way to it.
pub(super) fn finish<T>(value: T, problems: Problems) -> Result<T, PriceError> {
    if problems.0.is_empty() {
        Ok(value)
    } else {
        Err(PriceError(problems.0))
    }
}

/// An object whose fields are taken one by one; what is left over at the end is unknown.
pub(super) struct Object<'j>(pub(super) Vec<(Cow<'j, str>, &'j RawValue)>);

impl<'j> Object<'j> {
    /// Takes a field; `null` counts as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<&'j RawValue> {
        let at = self.0.iter().position(|(key, _)| key == name)?;
        let (_, raw) = self.0.swap_remove(at);
        (raw.get() != "null").then_some(raw)
    }

    /// Takes a field and reads it.
    pub(super) fn field<T: Deserialize<'j>>(
        &mut self,
        name: &str,
        path: &Path<'_>,
        expected: &str,
        problems: &mut Problems,
    ) -> Option<T> {
        let raw = self.take(name)?;
        problems.read(raw, &path.key(name), expected)
    }

    /// Reports every field nobody took.
    pub(super) fn finish(mut self, path: &Path<'_>, known: &str, problems: &mut Problems) {
        self.0.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, _) in &self.0 {
            problems.add(
                &path.key(name),
                format_args!("unknown key; expected one of {known}"),
            );
        }
    }
}

/// An object's pairs in order, doubles included.
struct Pairs<'j>(Vec<(Cow<'j, str>, &'j RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(8).min(64));
                while let Some((Key(name), value)) = map.next_entry()? {
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

/// A key, borrowed from the text unless it has escapes.
struct Key<'j>(Cow<'j, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(key)))
            }
            fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(key.into())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}
