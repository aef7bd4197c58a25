//! The Embeddings API.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ossai::{CallOptions, EmbeddingInput, EmbeddingRequest, EmbeddingResponse, Error, Result};
use serde_json::{Value, json};

use super::fields::{need, take};
use super::request::options;

/// A request and how it wants its vectors.
#[derive(Debug)]
pub(crate) struct EmbeddingCall {
    pub(crate) request: EmbeddingRequest,
    pub(crate) options: CallOptions,
    /// As base64 of little-endian 32-bit floats instead of as numbers.
    pub(crate) base64: bool,
}

/// Reads a request; the model's name is as the caller wrote it.
///
/// # Errors
/// `invalid_request`.
pub(crate) fn read(body: Value) -> Result<EmbeddingCall> {
    let Value::Object(mut body) = body else {
        return Err(Error::invalid("body", "expected a JSON object"));
    };
    let options = options(&mut body)?;
    let o = &mut body;
    let format: Option<String> =
        take(o, "encoding_format", "encoding_format", "expected a string")?;
    let base64 = match format.as_deref() {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => {
            return Err(Error::invalid(
                "encoding_format",
                "expected `float` or `base64`",
            ));
        }
    };
    let expected =
        "expected a string, a list of strings, a list of tokens or a list of token lists";
    let request = EmbeddingRequest {
        model: need(o, "model", "model", "expected a string")?,
        input: need::<EmbeddingInput>(o, "input", "input", expected)?,
        dimensions: take(o, "dimensions", "dimensions", "expected a whole number")?,
        user: take(o, "user", "user", "expected a string")?,
        extra: body,
    };
    Ok(EmbeddingCall {
        request,
        options,
        base64,
    })
}

/// The answer as OpenAI gives it.
pub(crate) fn write(answer: &EmbeddingResponse, base64: bool) -> Value {
    let data: Vec<Value> = answer
        .embeddings
        .iter()
        .map(|embedding| {
            let vector = if base64 {
                let bytes: Vec<u8> = embedding
                    .vector
                    .iter()
                    .flat_map(|x| x.to_le_bytes())
                    .collect();
                Value::from(STANDARD.encode(bytes))
            } else {
                // Through the shortest decimal form of the 32-bit number: its 64-bit form has digits it never had.
                embedding.vector.iter().map(|x| shortest(*x)).collect()
            };
            json!({ "object": "embedding", "index": embedding.index, "embedding": vector })
        })
        .collect();
    json!({
        "object": "list",
        "data": data,
        "model": answer.response_model.as_deref().unwrap_or(&answer.model),
        "usage": { "prompt_tokens": answer.usage.input_tokens, "total_tokens": answer.usage.total_tokens() },
    })
}

fn shortest(x: f32) -> Value {
    x.to_string()
        .parse::<f64>()
        .map_or(Value::Null, Value::from)
}
