//! What vendors say of batches, read.

use super::*;

#[test]
fn a_result_is_known_by_its_own_name_and_by_nothing_else() {
    let line = |id: &str| format!(r#"{{"custom_id": "{id}", "x": 1}}"#);
    for (id, number) in [
        ("b-0", Some(0)),
        ("b-17", Some(17)),
        ("b-017", None),
        ("b-+1", None),
        ("b-", None),
        ("b", None),
        ("c-1", None),
        ("b-99999999999999999999999", None),
    ] {
        assert_eq!(number_of("b", line(id).as_bytes()), number, "{id}");
    }
    assert_eq!(number_of("b", b"no json"), None);
}

#[test]
fn an_id_that_could_lead_elsewhere_is_refused() {
    for id in ["", "../x", "a/b", "a?b", "a%2fb", &"x".repeat(129)] {
        let body = serde_json::json!({"id": id}).to_string();
        assert!(decode_file(body.as_bytes()).is_err(), "{id}");
    }
    assert_eq!(decode_file(br#"{"id": "file-a_1"}"#).unwrap(), "file-a_1");
}

#[test]
fn both_vendors_bodies_are_what_their_references_show() {
    let requests = [
        Bytes::from_static(br#"{"a":1}"#),
        Bytes::from_static(br#"{"b":2}"#),
    ];
    let lines = BatchApi::OpenAi.body("x", "/chat/completions", &requests);
    let lines = String::from_utf8(lines).unwrap();
    assert_eq!(
        lines,
        "{\"custom_id\":\"x-0\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"a\":1}}\n\
         {\"custom_id\":\"x-1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"b\":2}}\n"
    );
    let whole: Value =
        serde_json::from_slice(&BatchApi::Anthropic.body("x", "/messages", &requests)).unwrap();
    assert_eq!(
        whole,
        serde_json::json!({"requests": [
            {"custom_id": "x-0", "params": {"a": 1}},
            {"custom_id": "x-1", "params": {"b": 2}},
        ]})
    );
}

#[test]
fn the_time_a_batch_was_made_is_read() {
    assert_eq!(seconds("2024-09-24T18:37:24.100435Z"), Some(1_727_203_044));
    assert_eq!(seconds("2024-09-24"), None);
    assert_eq!(seconds("yesterdayT"), None);
}
