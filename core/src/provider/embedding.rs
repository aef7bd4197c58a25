//! Embeddings, OpenAI's format: vectors come as base64, a quarter of the bytes of decimal numbers.

use crate::types::RawJson;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::Value;

use super::read::{Loose, decode_error, unreadable, wire_object};
use super::write::Obj;
use super::{Api, WireBody, decode_stream_error};
use crate::cost::usage::{UsageApi, normalise};
use crate::types::{Embedding, EmbeddingInput, EmbeddingRequest, EmbeddingResponse};
use crate::{Error, Result};

/// Writes an embedding request for `wire_model`, asking for base64.
///
/// # Errors
/// `invalid_request` for no input or an empty one.
pub fn encode_embedding(req: &EmbeddingRequest, wire_model: &str) -> Result<WireBody> {
    check(&req.input)?;
    let mut body = Vec::with_capacity(1024);
    let mut dropped_params = Vec::new();
    Obj::write(&mut body, |o| {
        o.put("model", wire_model);
        o.put("input", &req.input);
        o.put("encoding_format", "base64");
        o.some("dimensions", &req.dimensions);
        o.some("user", &req.user);
        // The wire's encoding is ours to choose: the caller gets floats either way.
        let repeated = |name: &&String| o.has(name) && *name != "encoding_format";
        dropped_params.extend(req.extra.keys().filter(repeated).cloned());
        o.extra(&req.extra, &[]);
        Ok::<(), Error>(())
    })?;
    Ok(WireBody {
        path: "/embeddings",
        body,
        dropped_params,
    })
}

fn check(input: &EmbeddingInput) -> Result<()> {
    let expected = "expected a text or tokens, not nothing";
    let empty = match input {
        EmbeddingInput::Text(text) => {
            return if text.is_empty() {
                Err(Error::invalid("input", expected))
            } else {
                Ok(())
            };
        }
        EmbeddingInput::Tokens(tokens) if !tokens.is_empty() => return Ok(()),
        EmbeddingInput::Tokens(_) => None,
        EmbeddingInput::Texts(texts) => texts.iter().position(String::is_empty),
        EmbeddingInput::TokenLists(lists) => lists.iter().position(Vec::is_empty),
    };
    match empty {
        Some(i) => Err(Error::invalid(format!("input[{i}]"), expected)),
        None if input.is_empty() || matches!(input, EmbeddingInput::Tokens(_)) => {
            Err(Error::invalid("input", "expected at least one text"))
        }
        None => Ok(()),
    }
}

wire_object!(List {
    "data" => data: Option<Vec<Item<'a>>>,
    "model" => model: Loose<'a>,
    "usage" => usage: Loose<'a>,
    "error" => error: Loose<'a>,
} ignore { "object" | "id" | "created" });

wire_object!(Item {
    "index" => index: Loose<'a>,
    "embedding" => embedding: Vector,
} ignore { "object" });

/// Reads vectors for `expected` inputs, as base64 (little-endian 32-bit floats) or as numbers, in the inputs' order.
///
/// # Errors
/// `decode_error` for an unreadable body, another count than expected, an index that is repeated or out of range, or
/// vectors that are empty or differ in length.
pub fn decode_embedding(body: &[u8], expected: usize) -> Result<EmbeddingResponse> {
    let list: List<'_> = serde_json::from_slice(body).map_err(|e| unreadable("the answer", &e))?;
    if !list.error.is_null() {
        let value = serde_json::from_slice(body).unwrap_or(Value::Null);
        return Err(decode_stream_error(Api::OpenAiChat, &value));
    }
    let items = list
        .data
        .ok_or_else(|| decode_error("the answer has no `data`"))?;
    if items.len() != expected {
        return Err(decode_error(format!(
            "expected {expected} embeddings, got {}",
            items.len()
        )));
    }
    let mut embeddings = Vec::with_capacity(items.len());
    for (at, item) in (0_u32..).zip(items) {
        let index = match item.index {
            Loose::Null => at,
            index => index
                .number()
                .and_then(|n| u32::try_from(n).ok())
                .ok_or_else(|| decode_error("an embedding's `index` is no whole number"))?,
        };
        embeddings.push(Embedding {
            index,
            vector: item.embedding.0,
        });
    }
    embeddings.sort_by_key(|embedding| embedding.index);
    if (0_u32..)
        .zip(&embeddings)
        .any(|(at, embedding)| embedding.index != at)
    {
        return Err(decode_error(
            "the embeddings' `index` repeats one or leaves one out",
        ));
    }
    let length = embeddings
        .first()
        .map_or(0, |embedding| embedding.vector.len());
    if embeddings
        .iter()
        .any(|embedding| embedding.vector.is_empty() || embedding.vector.len() != length)
    {
        return Err(decode_error("the embeddings are empty or differ in length"));
    }
    let raw_usage = list
        .usage
        .other()
        .filter(|usage| usage.is_object())
        .cloned()
        .map(RawJson::from);
    Ok(EmbeddingResponse {
        response_model: list.model.text().map(str::to_owned),
        embeddings,
        usage: raw_usage
            .as_ref()
            .map(|raw| normalise(UsageApi::OpenAiEmbedding, raw))
            .unwrap_or_default(),
        raw_usage,
        ..EmbeddingResponse::default()
    })
}

#[derive(Default)]
struct Vector(Vec<f32>);

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(VectorVisitor)
    }
}

struct VectorVisitor;

impl<'de> Visitor<'de> for VectorVisitor {
    type Value = Vector;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64 or a list of numbers")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Vector, E> {
        let bytes = STANDARD.decode(text).map_err(|_| E::custom("not base64"))?;
        let (floats, []) = bytes.as_chunks::<4>() else {
            return Err(E::custom("not a whole number of floats"));
        };
        Ok(Vector(
            floats
                .iter()
                .map(|float| f32::from_le_bytes(*float))
                .collect(),
        ))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Vector, A::Error> {
        let mut floats = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(4096));
        while let Some(float) = seq.next_element()? {
            floats.push(float);
        }
        Ok(Vector(floats))
    }
}
