//! Python values as Rust's, straight into the core's types, without JSON in between.
//!
//! Dicts, lists, tuples, strings, numbers and None are read as they are; anything with `model_dump` (pydantic, our own
//! results), dataclasses, mappings and sequences by what they amount to. What JSON cannot hold (a lone surrogate, NaN, an
//! integer beyond 64 bits, bytes, a cycle) is `invalid_request` with its path.

use std::fmt;

use ossai::client::config::without_value;
use ossai::{Error, Result};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// JSON's own limit in the core.
const MAX_DEPTH: usize = 128;

/// Reads `value` as `T`; an error names the path beneath `root`. A request's own paths have no root.
pub(crate) fn read<T: DeserializeOwned>(root: &str, value: &Bound<'_, PyAny>) -> Result<T> {
    let reader = Reader {
        value: value.clone(),
        depth: 0,
    };
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let path = error.path().to_string();
        let field = match (root, path.as_str()) {
            ("", ".") => "request".to_owned(),
            ("", path) => path.to_owned(),
            (root, ".") => root.to_owned(),
            (root, path) => format!("{root}.{path}"),
        };
        Error::invalid(field, without_value(&error.into_inner().0))
    })
}

struct Reader<'py> {
    value: Bound<'py, PyAny>,
    depth: usize,
}

/// What is wrong with a value.
#[derive(Debug)]
struct Fault(String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl From<PyErr> for Fault {
    fn from(error: PyErr) -> Self {
        Self(format!("cannot be read: {error}"))
    }
}

fn text<'a>(value: &'a Bound<'_, PyString>) -> std::result::Result<&'a str, Fault> {
    value
        .to_str()
        .map_err(|_| Fault("expected text, found a lone surrogate".into()))
}

impl<'py> Reader<'py> {
    fn below(&self, value: Bound<'py, PyAny>) -> std::result::Result<Self, Fault> {
        if self.depth >= MAX_DEPTH {
            return Err(Fault(format!(
                "expected at most {MAX_DEPTH} levels (or is it a cycle?)"
            )));
        }
        Ok(Self {
            value,
            depth: self.depth + 1,
        })
    }

    /// What an object that is none of JSON's kinds amounts to.
    fn amounts_to(&self) -> std::result::Result<Self, Fault> {
        let (py, value) = (self.value.py(), &self.value);
        if let Some(dump) = value.getattr_opt(intern!(py, "model_dump"))? {
            return self.below(dump.call0()?);
        }
        if value.hasattr(intern!(py, "__dataclass_fields__"))? {
            let asdict = py.import(intern!(py, "dataclasses"))?.getattr("asdict")?;
            return self.below(asdict.call1((value,))?);
        }
        let abc = py.import(intern!(py, "collections.abc"))?;
        if value.is_instance(&abc.getattr("Mapping")?)? {
            let dict = PyDict::new(py);
            dict.update(value.cast().map_err(PyErr::from)?)?;
            return self.below(dict.into_any());
        }
        let bytes = py.import("builtins")?.getattr("bytes")?;
        if value.is_instance(&abc.getattr("Sequence")?)? && !value.is_instance(&bytes)? {
            let list = PyList::empty(py);
            for item in value.try_iter()? {
                list.append(item?)?;
            }
            return self.below(list.into_any());
        }
        let name = value.get_type().name()?;
        Err(Fault(format!("expected a JSON value, found {name}")))
    }
}

impl<'de> de::Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Fault> {
        let value = &self.value;
        if let Ok(string) = value.cast::<PyString>() {
            return visitor.visit_str(text(string)?);
        }
        if let Ok(dict) = value.cast::<PyDict>() {
            return visitor.visit_map(Entries {
                items: dict.items().iter().collect::<Vec<_>>().into_iter(),
                value: None,
                within: &self,
            });
        }
        if let Ok(list) = value.cast::<PyList>() {
            let items = list.iter().collect::<Vec<_>>().into_iter();
            return visitor.visit_seq(Items {
                items,
                within: &self,
            });
        }
        if value.is_none() {
            return visitor.visit_unit();
        }
        if let Ok(boolean) = value.cast::<PyBool>() {
            return visitor.visit_bool(boolean.is_true());
        }
        if value.is_instance_of::<PyInt>() {
            if let Ok(number) = value.extract::<u64>() {
                return visitor.visit_u64(number);
            }
            return match value.extract::<i64>() {
                Ok(number) => visitor.visit_i64(number),
                Err(_) => Err(Fault("expected an integer of at most 64 bits".into())),
            };
        }
        if let Ok(number) = value.cast::<PyFloat>() {
            return match number.value() {
                number if number.is_finite() => visitor.visit_f64(number),
                number => Err(Fault(format!("expected a finite number, found {number}"))),
            };
        }
        if let Ok(tuple) = value.cast::<PyTuple>() {
            let items = tuple.iter().collect::<Vec<_>>().into_iter();
            return visitor.visit_seq(Items {
                items,
                within: &self,
            });
        }
        self.amounts_to()?.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(
        self,
        visitor: V,
    ) -> std::result::Result<V::Value, Fault> {
        if self.value.is_none() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> std::result::Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> std::result::Result<V::Value, Fault> {
        match self.value.cast::<PyString>() {
            Ok(string) => visitor.visit_enum(text(string)?.into_deserializer()),
            Err(_) => Err(Fault("expected a string".into())),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Items<'a, 'py> {
    items: std::vec::IntoIter<Bound<'py, PyAny>>,
    within: &'a Reader<'py>,
}

impl<'de> de::SeqAccess<'de> for Items<'_, '_> {
    type Error = Fault;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> std::result::Result<Option<T::Value>, Fault> {
        match self.items.next() {
            Some(item) => seed.deserialize(self.within.below(item)?).map(Some),
            None => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Entries<'a, 'py> {
    items: std::vec::IntoIter<Bound<'py, PyAny>>,
    value: Option<Bound<'py, PyAny>>,
    within: &'a Reader<'py>,
}

impl<'de> de::MapAccess<'de> for Entries<'_, '_> {
    type Error = Fault;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> std::result::Result<Option<K::Value>, Fault> {
        let Some(item) = self.items.next() else {
            return Ok(None);
        };
        let (key, value) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        let Ok(key) = key.cast::<PyString>() else {
            return Err(Fault("expected keys that are strings".into()));
        };
        let key = seed.deserialize(text(key)?.into_deserializer());
        self.value = Some(value);
        key.map(Some)
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> std::result::Result<V::Value, Fault> {
        match self.value.take() {
            Some(value) => seed.deserialize(self.within.below(value)?),
            None => Err(Fault("a value without its key".into())),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}
