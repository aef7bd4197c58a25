//! Embeddings and model listings as vendors send them.

#![allow(clippy::unwrap_used)]

use ossai::ErrorKind;
use ossai::provider::{decode_embedding, decode_models};
use serde_json::{Value, json};

fn embed(data: Value, expected: usize) -> ossai::Result<ossai::types::EmbeddingResponse> {
    let body = json!({"object": "list", "model": "e", "data": data, "usage": {"prompt_tokens": 8, "total_tokens": 8}});
    decode_embedding(body.to_string().as_bytes(), expected)
}

#[test]
fn base64_and_numbers_give_the_same_vectors_in_the_order_of_the_inputs() {
    // 1.0, -2.5 as little-endian 32-bit floats.
    let read = embed(
        json!([{"index": 1, "embedding": [0.5, 2]}, {"object": "embedding", "index": 0, "embedding": "AACAPwAAIMA="}]),
        2,
    )
    .unwrap();
    assert_eq!(read.embeddings[0].vector, [1.0, -2.5]);
    assert_eq!(read.embeddings[1].vector, [0.5, 2.0]);
    assert_eq!(read.usage.input_tokens, 8);
    assert_eq!(read.response_model.as_deref(), Some("e"));
    assert_eq!(
        read.raw_usage,
        Some(json!({"prompt_tokens": 8, "total_tokens": 8}).into())
    );
}

#[test]
fn every_float_survives_base64_bit_by_bit() {
    let floats: Vec<f32> = (0..1536_u32)
        .map(|n| f32::from_bits(n.wrapping_mul(2_654_435_761)))
        .collect();
    let bytes: Vec<u8> = floats
        .iter()
        .flat_map(|float| float.to_le_bytes())
        .collect();
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    let read = embed(json!([{"index": 0, "embedding": text}]), 1).unwrap();
    let bits = |floats: &[f32]| {
        floats
            .iter()
            .map(|float| float.to_bits())
            .collect::<Vec<_>>()
    };
    assert_eq!(bits(&read.embeddings[0].vector), bits(&floats));
}

#[test]
fn a_wrong_set_of_vectors_is_a_decode_error() {
    let one = |index: i64| json!({"index": index, "embedding": [1.0]});
    for (data, expected) in [
        (json!([one(0)]), 2),
        (json!([one(0), one(1)]), 1),
        (json!([one(0), one(0)]), 2),
        (json!([one(0), one(2)]), 2),
        (json!([one(-1)]), 1),
        (json!([{"index": 0, "embedding": "AAA"}]), 1),
        (json!([{"index": 0, "embedding": "AAAA"}]), 1),
        (json!([{"index": 0, "embedding": ""}]), 1),
        (json!([{"index": 0}]), 1),
        (json!([{"index": 0, "embedding": ["x"]}]), 1),
        (json!([one(0), {"index": 1, "embedding": [1.0, 2.0]}]), 2),
        (json!("x"), 1),
        (Value::Null, 1),
    ] {
        let error = embed(data.clone(), expected).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DecodeError, "{data}");
    }
}

#[test]
fn an_error_in_place_of_vectors_is_that_error() {
    let body = br#"{"error":{"message":"x","code":"rate_limit_exceeded"}}"#;
    assert_eq!(
        decode_embedding(body, 1).unwrap_err().kind(),
        ErrorKind::RateLimited
    );
}

#[test]
fn both_vendors_listings_are_read_with_what_they_say_beyond_the_id() {
    let openai = json!({"object": "list", "data": [
        {"id": "gpt-5.2", "object": "model", "created": 1_686_935_002, "owned_by": "openai", "shutdown_date": "2027-01-01"},
        {"object": "model"}]});
    let (models, next) = decode_models(openai.to_string().as_bytes()).unwrap();
    assert_eq!(next, None);
    assert_eq!(models.len(), 1);
    assert_eq!(models[0].created, Some(1_686_935_002));
    assert_eq!(models[0].owned_by.as_deref(), Some("openai"));
    assert_eq!(
        Value::Object(models[0].extra.clone()),
        json!({"shutdown_date": "2027-01-01"})
    );

    let anthropic = json!({"data": [{"type": "model", "id": "claude-opus-4-8", "display_name": "Claude Opus 4.8",
        "created_at": "2025-02-19T00:00:00Z", "lifecycle": "active", "max_input_tokens": 200_000}],
        "has_more": true, "first_id": "claude-opus-4-8", "last_id": "claude-opus-4-8"});
    let (models, next) = decode_models(anthropic.to_string().as_bytes()).unwrap();
    assert_eq!(next.as_deref(), Some("claude-opus-4-8"));
    assert_eq!(models[0].created, Some(1_739_923_200));
    assert_eq!(models[0].extra["lifecycle"], "active");
}

#[test]
fn servers_own_forms_of_a_listing_are_read_too() {
    assert_eq!(
        decode_models(br#"{"object":"list","data":null}"#)
            .unwrap()
            .0
            .len(),
        0
    );
    assert_eq!(
        decode_models(br#"[{"id":"a"},{"id":"b"}]"#)
            .unwrap()
            .0
            .len(),
        2
    );
    for body in [&b"{}"[..], b"", b"3", b"{\"data\":3}"] {
        assert_eq!(
            decode_models(body).unwrap_err().kind(),
            ErrorKind::DecodeError
        );
    }
}
