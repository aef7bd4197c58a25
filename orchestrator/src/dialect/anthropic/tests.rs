//! What Anthropic's clients send is read without loss, and what is wrong in it is named.
#![allow(clippy::unwrap_used)]

use ossai::provider::{Api, ModelTraits, encode_completion};
use ossai::{Error, ErrorKind, ReasoningEffort};
use serde_json::{Value, json};

use super::{error, request};

fn body(change: Value) -> Value {
    let mut body = json!({
        "model": "anthropic/claude", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}],
    });
    merge(&mut body, change);
    body
}

fn merge(body: &mut Value, change: Value) {
    let Value::Object(change) = change else {
        panic!()
    };
    for (name, value) in change {
        body[name] = value;
    }
}

/// A body as an upstream that speaks the same format gets it.
fn passed_on(body: &Value) -> Value {
    let call = request::read(body.clone()).unwrap();
    let wire = encode_completion(
        Api::AnthropicMessages,
        &call.request,
        &call.request.model,
        &ModelTraits::default(),
        call.stream,
    )
    .unwrap();
    assert!(wire.dropped_params.is_empty(), "{:?}", wire.dropped_params);
    serde_json::from_slice(&wire.body).unwrap()
}

#[test]
fn what_a_client_sends_reaches_the_upstream_without_loss() {
    let mark = json!({"type": "ephemeral", "ttl": "1h"});
    for change in [
        json!({"system": "Be brief.", "stream": true, "stop_sequences": ["a", "b"]}),
        json!({"temperature": 0.5, "top_p": 0.25, "top_k": 3, "service_tier": "standard_only"}),
        json!({"metadata": {"user_id": "u-1"}, "cache_control": mark, "inference_geo": "eu", "speed": "fast"}),
        json!({"container": "c-1", "diagnostics": {"previous_message_id": "msg_0"}, "mcp_servers": [{"type": "url", "url": "https://e"}]}),
        json!({"context_management": {"edits": []}, "never_heard_of": [1, {"a": null}]}),
        json!({"system": [{"type": "text", "text": "a", "cache_control": mark}, {"type": "text", "text": "b"}]}),
        json!({"system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
        json!({"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        json!({"thinking": {"type": "adaptive", "display": "omitted"}}),
        json!({"thinking": {"type": "disabled"}}),
        json!({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}),
        json!({"output_config": {"effort": "max"}}),
        json!({"output_config": {"effort": "galactic", "task_budget": 7}}),
        json!({"output_config": {"effort": "high", "task_budget": 7}}),
        json!({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}),
        json!({"output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}}}),
        json!({"output_config": {"format": {"type": "grammar", "grammar": "x"}}}),
        json!({
            "tools": [
                {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}},
                 "strict": true, "cache_control": mark, "input_examples": [{"a": "b"}], "defer_loading": true},
                {"name": "g", "input_schema": {"type": "object"}},
                {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
            ],
            "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": true},
        }),
        json!({"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "any"}}),
        json!({"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}),
        json!({"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "none"}}),
        json!({"tools": [{"type": "bash_20250124", "name": "bash"}], "tool_choice": {"type": "tool", "name": "bash"}}),
        json!({"tool_choice": {"type": "some", "of": ["f"]}}),
    ] {
        let body = body(change);
        assert_eq!(passed_on(&body), body);
    }
}

#[test]
fn every_content_block_reaches_the_upstream_without_loss() {
    let mark = json!({"type": "ephemeral"});
    let user = [
        json!({"type": "text", "text": "x", "cache_control": mark}),
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}, "cache_control": mark}),
        json!({"type": "image", "source": {"type": "url", "url": "https://e/x.png"}}),
        json!({"type": "image", "source": {"type": "file", "file_id": "file_1"}}),
        json!({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
               "title": "t", "context": "c", "citations": {"enabled": true}, "cache_control": mark}),
        json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "grün"}}),
        json!({"type": "document", "source": {"type": "url", "url": "https://e/x.pdf"}}),
        json!({"type": "document", "source": {"type": "file", "file_id": "file_1"}}),
        json!({"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}}),
        json!({"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]}),
        json!({"type": "container_upload", "file_id": "file_1"}),
    ];
    for block in &user {
        let plain = body(json!({"messages": [{"role": "user", "content": [block]}]}));
        assert_eq!(passed_on(&plain), plain);
        let result = json!({"type": "tool_result", "tool_use_id": "toolu_1", "content": [block]});
        let body = body(json!({"messages": [{"role": "user", "content": [result]}]}));
        assert_eq!(passed_on(&body), body);
    }
    let conversation = json!({"messages": [
        {"role": "user", "content": user},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "b3BhcXVl"},
            {"type": "text", "text": "Let me see.", "citations": [{"type": "char_location", "cited_text": "x"}]},
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": [1, 2.5, null]}, "cache_control": mark},
            {"type": "thinking", "thinking": "And now?", "signature": "c2ln"},
            {"type": "text", "text": "Another."},
            {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}, "caller": {"type": "direct"}},
            {"type": "tool_use", "id": "toolu_3", "name": "g", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "5", "cache_control": mark},
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "no"}], "is_error": true},
            {"type": "tool_result", "tool_use_id": "toolu_3", "content": ""},
            {"type": "text", "text": "Go on."},
        ]},
        {"role": "assistant", "content": "The answer is"},
    ]});
    let body = body(conversation);
    assert_eq!(passed_on(&body), body);
}

#[test]
fn known_fields_are_typed_so_that_every_provider_gets_them() {
    let read = |change| request::read(body(change)).unwrap().request;
    let request = read(json!({
        "system": "s", "metadata": {"user_id": "u", "team": "t"}, "stop_sequences": ["x"],
        "thinking": {"type": "disabled"},
        "tools": [{"type": "custom", "name": "f", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": false},
    }));
    assert!(request.extra.is_empty(), "{:?}", request.extra);
    assert_eq!(
        (request.user.as_deref(), request.metadata["team"].as_str()),
        (Some("u"), Some("t"))
    );
    assert_eq!(request.reasoning_effort, Some(ReasoningEffort::None));
    let wire = encode_completion(
        Api::OpenAiChat,
        &request,
        "m",
        &ModelTraits::default(),
        false,
    )
    .unwrap();
    let wire: Value = serde_json::from_slice(&wire.body).unwrap();
    assert_eq!(
        wire["messages"][0],
        json!({"role": "system", "content": "s"})
    );
    assert_eq!(
        (&wire["stop"], &wire["tools"][0]["function"]["name"]),
        (&json!(["x"]), &json!("f"))
    );
    assert_eq!(
        wire["tool_choice"],
        json!({"type": "function", "function": {"name": "f"}})
    );
}

#[test]
fn thinking_of_another_vendor_goes_back_to_it() {
    let body = body(json!({"messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": ""}, {"type": "text", "text": "y"}]},
        {"role": "user", "content": "z"},
    ]}));
    let answer = &passed_on(&body)["messages"][1]["content"];
    assert_eq!(*answer, json!([{"type": "text", "text": "y"}]));
    let request = request::read(body).unwrap().request;
    let ossai::Content::Parts(parts) = &request.messages[1].content else {
        panic!()
    };
    assert!(
        matches!(&parts[0], ossai::Part::Reasoning(part) if part.text == "Hm." && part.signature.is_none())
    );
}

#[test]
fn wrong_fields_are_refused_by_their_name_in_the_api() {
    let user = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    let assistant =
        |content: Value| json!({"messages": [{"role": "assistant", "content": content}]});
    for (field, change) in [
        ("model", json!({"model": null})),
        ("model", json!({"model": 4})),
        ("max_tokens", json!({"max_tokens": null})),
        ("max_tokens", json!({"max_tokens": -1})),
        ("max_tokens", json!({"max_tokens": "9"})),
        ("messages", json!({"messages": "x"})),
        ("messages", json!({"messages": []})),
        ("messages[0]", json!({"messages": ["x"]})),
        ("messages[0].role", json!({"messages": [{"content": "x"}]})),
        (
            "messages[0].role",
            json!({"messages": [{"role": "tool", "content": "x"}]}),
        ),
        (
            "messages[0].name",
            json!({"messages": [{"role": "user", "content": "x", "name": "n"}]}),
        ),
        ("messages[0].content", user(Value::Null)),
        ("messages[0].content", user(json!(5))),
        ("messages[0].content[0]", user(json!(["x"]))),
        ("messages[0].content[0].type", user(json!([{"text": "x"}]))),
        (
            "messages[0].content[0].text",
            user(json!([{"type": "text"}])),
        ),
        (
            "messages[0].content[0].source",
            user(json!([{"type": "image"}])),
        ),
        (
            "messages[0].content[0].source.type",
            user(json!([{"type": "image", "source": {}}])),
        ),
        (
            "messages[0].content[0].source.data",
            user(
                json!([{"type": "image", "source": {"type": "base64", "media_type": "image/png"}}]),
            ),
        ),
        (
            "messages[0].content[0].source.media_type",
            user(json!([{"type": "image", "source": {"type": "base64", "data": "AAAA"}}])),
        ),
        (
            "messages[0].content[0].source.url",
            user(json!([{"type": "document", "source": {"type": "url"}}])),
        ),
        (
            "messages[0].content[0].title",
            user(
                json!([{"type": "document", "title": 1, "source": {"type": "url", "url": "https://e"}}]),
            ),
        ),
        (
            "messages[0].content[0].tool_use_id",
            user(json!([{"type": "tool_result", "content": "x"}])),
        ),
        (
            "messages[0].content[0].content[0].text",
            user(
                json!([{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text"}]}]),
            ),
        ),
        (
            "messages[0].content[0].is_error",
            user(json!([{"type": "tool_result", "tool_use_id": "1", "is_error": "yes"}])),
        ),
        (
            "messages[0].content[0].input",
            assistant(json!([{"type": "tool_use", "id": "1", "name": "f", "input": "{}"}])),
        ),
        (
            "messages[0].content[0].name",
            assistant(json!([{"type": "tool_use", "id": "1", "input": {}}])),
        ),
        (
            "messages[0].content[0].signature",
            assistant(json!([{"type": "thinking", "thinking": "x"}])),
        ),
        (
            "messages[0].content[0].data",
            assistant(json!([{"type": "redacted_thinking"}])),
        ),
        ("system", json!({"system": 4})),
        ("system[0].text", json!({"system": [{"type": "text"}]})),
        ("stream", json!({"stream": "yes"})),
        ("temperature", json!({"temperature": "warm"})),
        ("stop_sequences", json!({"stop_sequences": "x"})),
        ("tools", json!({"tools": {}})),
        ("tools[0].name", json!({"tools": [{"input_schema": {}}]})),
        ("tools[0].input_schema", json!({"tools": [{"name": "f"}]})),
        (
            "tools[0].input_schema",
            json!({"tools": [{"name": "f", "input_schema": []}]}),
        ),
        ("tool_choice", json!({"tool_choice": "auto"})),
        ("tool_choice.type", json!({"tool_choice": {}})),
        ("tool_choice.name", json!({"tool_choice": {"type": "tool"}})),
        ("thinking", json!({"thinking": true})),
        ("thinking.type", json!({"thinking": {}})),
        (
            "output_config.effort",
            json!({"output_config": {"effort": 3}}),
        ),
        (
            "output_config.format.type",
            json!({"output_config": {"format": {}}}),
        ),
        (
            "output_config.format.schema",
            json!({"output_config": {"format": {"type": "json_schema", "schema": 1}}}),
        ),
        ("metadata", json!({"metadata": "x"})),
        ("metadata.user_id", json!({"metadata": {"user_id": 1}})),
        ("stop", json!({"stop": ["x"]})),
        (
            "response_format",
            json!({"response_format": {"type": "text"}}),
        ),
        ("user", json!({"user": "u"})),
        ("api_base", json!({"api_base": "http://169.254.169.254"})),
        ("extra_headers", json!({"extra_headers": {}})),
        ("seed", json!({"seed": 1})),
        ("ossai.headers", json!({"ossai": {"headers": {"a": "b"}}})),
        ("ossai.nonsense", json!({"ossai": {"nonsense": 1}})),
    ] {
        let error = request::read(body(change.clone())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{change}");
        assert_eq!(error.fields().field.as_deref(), Some(field), "{change}");
        let written = error::write(&error, "req_1");
        let message = written["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(field), "{message}");
    }
    let error = request::read(json!([])).unwrap_err();
    assert_eq!(error.fields().field.as_deref(), Some("body"));
}

#[test]
fn what_the_core_refuses_is_named_as_the_caller_wrote_it() {
    let call = request::read(body(json!({"system": "s", "messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [
            {"type": "text", "text": "a"}, {"type": "tool_use", "id": "1", "name": "f", "input": {}},
            {"type": "text", "text": "b"}, {"type": "tool_use", "id": "2", "name": "", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "1", "content": "y"}, {"type": "text", "text": "z"},
        ]},
    ]})))
    .unwrap();
    for (ours, theirs) in [
        ("messages[0].content[0]", "system[0]"),
        ("messages[1]", "messages[0]"),
        ("messages[2].content[0]", "messages[1].content[0]"),
        (
            "messages[2].tool_calls[0].arguments",
            "messages[1].content[1].input",
        ),
        ("messages[3].content[0]", "messages[1].content[2]"),
        (
            "messages[3].tool_calls[0].name",
            "messages[1].content[3].name",
        ),
        (
            "messages[4].tool_call_id",
            "messages[2].content[0].tool_use_id",
        ),
        (
            "messages[4].content[1].media_type",
            "messages[2].content[0].content[1].source.media_type",
        ),
        (
            "messages[5].content[0].media_type",
            "messages[2].content[1].source.media_type",
        ),
        ("messages[99].content", "messages[99].content"),
        ("tools[3].parameters", "tools[3].input_schema"),
        ("tools[3].name", "tools[3].name"),
        ("stop[1]", "stop_sequences[1]"),
        ("response_format.schema", "output_config.format.schema"),
        ("options.priority", "ossai.priority"),
        ("temperature", "temperature"),
    ] {
        let error = call.names.rename(Error::invalid(ours, "expected more"));
        assert_eq!(error.fields().field.as_deref(), Some(theirs));
        assert_eq!(error.fields().message, format!("{theirs}: expected more"));
    }
}
