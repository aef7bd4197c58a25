//! Answers of gRPC from a few words: messages as lists of numbered fields, so that a script can say what no version of the
//! protocol's code would.

use serde_json::Value;

use super::body::known;

/// The body of an answer: `{"messages": [message…]}`. Its status goes in trailers, which the listener writes.
pub(super) fn answer(spec: &Value) -> Result<Vec<u8>, String> {
    known(spec, &["messages", "status", "message", "trailers"])?;
    let mut out = Vec::new();
    let messages = match spec.get("messages") {
        None => &Vec::new(),
        Some(messages) => messages.as_array().ok_or("messages: expected a list")?,
    };
    for spec in messages {
        let message = message(spec)?;
        let length = u32::try_from(message.len()).map_err(|e| e.to_string())?;
        out.push(0);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&message);
    }
    Ok(out)
}

/// A Protocol Buffers message: a list of `[number, value]`, where a value is an unsigned number, a boolean, a text, or a
/// list, which is a message in it.
///
/// # Errors
/// When it is none.
pub fn message(spec: &Value) -> Result<Vec<u8>, String> {
    let fault = || "expected a list of [number, value]".to_owned();
    let mut out = Vec::new();
    for field in spec.as_array().ok_or_else(fault)? {
        let [number, value] = field.as_array().map(Vec::as_slice).ok_or_else(fault)? else {
            return Err(fault());
        };
        let number = number.as_u64().ok_or_else(fault)?;
        match value {
            Value::Number(value) => {
                varint(&mut out, number << 3);
                varint(&mut out, value.as_u64().ok_or_else(fault)?);
            }
            Value::Bool(value) => {
                varint(&mut out, number << 3);
                varint(&mut out, u64::from(*value));
            }
            Value::String(text) => bytes(&mut out, number, text.as_bytes()),
            Value::Array(_) => bytes(&mut out, number, &message(value)?),
            _ => return Err(fault()),
        }
    }
    Ok(out)
}

fn bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 128 {
        out.push(value as u8 & 127 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_written_as_the_encoding_wants_them() {
        // The examples of protobuf.dev/programming-guides/encoding.
        assert_eq!(message(&json!([[1, 150]])), Ok(vec![0x08, 0x96, 0x01]));
        assert_eq!(
            message(&json!([[2, "testing"]])),
            Ok([&[0x12, 0x07], "testing".as_bytes()].concat())
        );
        assert_eq!(
            message(&json!([[3, [[1, 150]]]])),
            Ok(vec![0x1a, 0x03, 0x08, 0x96, 0x01])
        );
        assert!(message(&json!([[1, 1.5]])).is_err());
        assert!(message(&json!({"a": 1})).is_err());
    }

    #[test]
    fn a_message_stands_behind_its_length() {
        let body = answer(&json!({"messages": [[[1, 150]], []], "status": 0}));
        assert_eq!(
            body,
            Ok(vec![0, 0, 0, 0, 3, 0x08, 0x96, 0x01, 0, 0, 0, 0, 0])
        );
        assert!(answer(&json!({"mesages": []})).is_err());
    }
}
