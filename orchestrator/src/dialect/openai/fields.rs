//! Taking typed fields out of a JSON object; what is left goes on unchanged.

use ossai::{Error, Extra, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Takes a field; `null` counts as absent.
///
/// # Errors
/// `invalid_request` for `path`, saying what was `expected`.
pub(crate) fn take<T: DeserializeOwned>(
    object: &mut Extra,
    name: &str,
    path: &str,
    expected: &str,
) -> Result<Option<T>> {
    match object.shift_remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match serde_json::from_value(value) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Error::invalid(path, expected)),
        },
    }
}

/// The same for a field that must be there.
pub(crate) fn need<T: DeserializeOwned>(
    object: &mut Extra,
    name: &str,
    path: &str,
    expected: &str,
) -> Result<T> {
    take(object, name, path, expected)?.ok_or_else(|| Error::invalid(path, expected))
}

/// The object in a value.
pub(crate) fn object(value: Value, path: &str) -> Result<Extra> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(Error::invalid(path, "expected an object")),
    }
}
