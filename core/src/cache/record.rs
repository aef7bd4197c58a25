//! An answer as bytes: what the slower tiers keep inside an envelope.
//!
//! `length of the JSON (4) · JSON · vectors (32-bit floats, little-endian)`. The JSON is the public types' own, less what
//! belongs to the call that was answered first: its tries, its id, its times, its trace. Vectors stand beside it, since a
//! float takes four bytes and not twelve, and none is changed by being written out.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::memory::Value;
use crate::types::{
    Answer, CacheOutcome, Completion, Cost, Embedding, EmbeddingResponse, StreamEvent, Timing,
};

#[derive(Serialize, Deserialize)]
struct CompletionRecord<'a> {
    answer: Cow<'a, Answer>,
    cost: Cow<'a, Cost>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    events: Option<Cow<'a, [StreamEvent]>>,
}

#[derive(Serialize, Deserialize)]
struct EmbeddingRecord<'a> {
    response: Cow<'a, EmbeddingResponse>,
    /// The place of each input and the length of its vector.
    vectors: Vec<(u32, u32)>,
}

/// An answer's labels and bytes.
pub(super) fn write(value: &Value) -> Option<Vec<u8>> {
    let (json, floats) = match value {
        Value::Completion { completion, events } => {
            let record = CompletionRecord {
                answer: Cow::Borrowed(&completion.answer),
                cost: Cow::Borrowed(&completion.cost),
                events: events.as_deref().map(Cow::Borrowed),
            };
            (serde_json::to_vec(&record).ok()?, Vec::new())
        }
        Value::Embedding(response) => {
            let bare = EmbeddingResponse {
                embeddings: Vec::new(),
                cache: CacheOutcome::default(),
                attempts: Vec::new(),
                request_id: String::new(),
                timing: Timing::default(),
                trace: None,
                model: response.model.clone(),
                response_model: response.response_model.clone(),
                usage: response.usage.clone(),
                raw_usage: response.raw_usage.clone(),
                cost: response.cost.clone(),
                upstream_request_id: response.upstream_request_id.clone(),
            };
            let mut vectors = Vec::with_capacity(response.embeddings.len());
            let mut floats = Vec::new();
            for embedding in &response.embeddings {
                vectors.push((embedding.index, u32::try_from(embedding.vector.len()).ok()?));
                floats.extend(
                    embedding
                        .vector
                        .iter()
                        .flat_map(|float| float.to_le_bytes()),
                );
            }
            let record = EmbeddingRecord {
                response: Cow::Owned(bare),
                vectors,
            };
            (serde_json::to_vec(&record).ok()?, floats)
        }
    };
    let mut out = Vec::with_capacity(4 + json.len() + floats.len());
    out.extend_from_slice(&u32::try_from(json.len()).ok()?.to_le_bytes());
    out.extend_from_slice(&json);
    out.extend_from_slice(&floats);
    Some(out)
}

fn parts(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

/// Reads a completion; `None` where it is none.
pub(super) fn read_completion(bytes: &[u8]) -> Option<Value> {
    let (json, rest) = parts(bytes)?;
    if !rest.is_empty() {
        return None;
    }
    let record: CompletionRecord<'static> = serde_json::from_slice(json).ok()?;
    Some(Value::Completion {
        completion: Arc::new(Completion {
            answer: Arc::new(record.answer.into_owned()),
            cost: record.cost.into_owned(),
            ..Completion::default()
        }),
        events: record.events.map(|events| Arc::from(events.into_owned())),
    })
}

/// Reads vectors; `None` where there are none.
pub(super) fn read_embedding(bytes: &[u8]) -> Option<Value> {
    let (json, mut rest) = parts(bytes)?;
    let record: EmbeddingRecord<'static> = serde_json::from_slice(json).ok()?;
    let mut response = record.response.into_owned();
    for (index, length) in record.vectors {
        // What is not there is not allocated for.
        let (floats, after) =
            rest.split_at_checked(usize::try_from(length).ok()?.checked_mul(4)?)?;
        rest = after;
        let vector = floats
            .chunks_exact(4)
            .filter_map(|float| float.first_chunk::<4>())
            .map(|float| f32::from_le_bytes(*float))
            .collect();
        response.embeddings.push(Embedding { index, vector });
    }
    rest.is_empty()
        .then(|| Value::Embedding(Arc::new(response)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::{NanoUsd, OutputPart};

    #[test]
    fn a_completion_comes_back_with_its_events_and_its_price() {
        let answer: Answer = serde_json::from_value(json!({
            "id": "r1", "model": "openai/gpt-4o", "text": "Hi", "parts": [
                {"type": "text", "text": "Hi"},
                {"type": "reasoning", "text": "hm", "signature": "s"},
                {"type": "tool_call", "id": "c", "name": "f", "arguments": "{\"z\": 1, \"a\": 2}"},
                {"type": "novelty", "x": [1, 2.5, null]},
            ],
            "finish_reason": "tool_calls", "usage": {"input_tokens": 3, "output_tokens": 4},
            "raw_usage": {"b": 1, "a": 2}, "extra": {"system_fingerprint": "fp"},
        }))
        .unwrap();
        assert!(matches!(answer.parts.last(), Some(OutputPart::Other(_))));
        let completion = Completion {
            answer: Arc::new(answer),
            cost: Cost {
                total: Some(NanoUsd(17)),
                ..Cost::default()
            },
            request_id: "of the first caller".into(),
            ..Completion::default()
        };
        let events = vec![
            StreamEvent::TextDelta {
                index: 0,
                text: "H".into(),
            },
            StreamEvent::TextDelta {
                index: 0,
                text: "i".into(),
            },
        ];
        let value = Value::Completion {
            completion: Arc::new(completion.clone()),
            events: Some(Arc::from(events.clone())),
        };
        let Some(Value::Completion {
            completion: back,
            events: Some(played),
        }) = read_completion(&write(&value).unwrap())
        else {
            panic!("a completion with events");
        };
        assert_eq!(back.answer, completion.answer);
        assert_eq!(back.cost, completion.cost);
        assert_eq!(&*played, &*events);
        assert_eq!(back.request_id, "");
    }

    #[test]
    fn vectors_come_back_to_the_bit() {
        let response = EmbeddingResponse {
            model: "openai/e".into(),
            embeddings: vec![
                Embedding {
                    index: 0,
                    vector: vec![0.1, -0.0, f32::MIN_POSITIVE, 3.4e38],
                },
                Embedding {
                    index: 1,
                    vector: Vec::new(),
                },
            ],
            ..EmbeddingResponse::default()
        };
        let bytes = write(&Value::Embedding(Arc::new(response.clone()))).unwrap();
        let Some(Value::Embedding(back)) = read_embedding(&bytes) else {
            panic!("vectors");
        };
        let bits = |response: &EmbeddingResponse| {
            let vectors = response.embeddings.iter().map(|e| &e.vector);
            vectors
                .flatten()
                .map(|float| float.to_bits())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (bits(&back), &back.model),
            (bits(&response), &response.model)
        );
        for cut in 0..bytes.len() {
            assert!(read_embedding(&bytes[..cut]).is_none(), "cut at {cut}");
        }
    }

    #[test]
    fn a_length_that_is_not_there_allocates_nothing() {
        let json = br#"{"response":{},"vectors":[[0,4294967295]]}"#;
        let mut bytes = u32::try_from(json.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend_from_slice(json);
        assert!(read_embedding(&bytes).is_none());
        assert!(read_embedding(&u32::MAX.to_le_bytes()).is_none());
    }
}
