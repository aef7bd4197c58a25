//! Requests as every format wants them, and the ones no format can carry.

#![allow(clippy::unwrap_used)]

use ossai::ErrorKind;
use ossai::provider::{Api, ModelTraits, WireBody, encode_completion, encode_embedding};
use ossai::types::{
    AudioPart, CompletionRequest, Content, EmbeddingInput, EmbeddingRequest, FilePart, ImagePart,
    Message, Part, Role, ToolCall,
};
use serde::Deserialize;
use serde_json::{Value, json};

const APIS: [Api; 3] = [
    Api::OpenAiChat,
    Api::OpenAiResponses,
    Api::AnthropicMessages,
];

#[derive(Deserialize)]
struct Golden {
    api: Api,
    wire_model: String,
    traits: Traits,
    stream: bool,
    request: CompletionRequest,
    path: String,
    body: Value,
    dropped: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Traits {
    no_sampling: bool,
    default_max_tokens: Option<u64>,
}

fn encode(api: Api, request: &CompletionRequest) -> ossai::Result<WireBody> {
    encode_completion(api, request, "m", &ModelTraits::default(), false)
}

fn body(api: Api, request: &CompletionRequest) -> Value {
    serde_json::from_slice(&encode(api, request).unwrap().body).unwrap()
}

#[test]
fn every_golden_request_is_written_as_its_file_says() {
    let folder = "tests/golden/requests";
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let golden: Golden = serde_json::from_slice(&std::fs::read(&path).unwrap())
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let traits = ModelTraits {
            no_sampling: golden.traits.no_sampling,
            default_max_tokens: golden.traits.default_max_tokens,
            ..ModelTraits::default()
        };
        let wire = encode_completion(
            golden.api,
            &golden.request,
            &golden.wire_model,
            &traits,
            golden.stream,
        )
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let written: Value = serde_json::from_slice(&wire.body).unwrap();
        assert_eq!(written, golden.body, "{}\n{written:#}", path.display());
        assert_eq!(wire.path, golden.path);
        assert_eq!(wire.dropped_params, golden.dropped, "{}", path.display());
        count += 1;
    }
    assert!(count >= 11);
}

#[test]
fn the_order_of_a_schemas_properties_is_kept() {
    // Structured outputs are generated in that order: sorting would put an answer before its reasoning.
    let text = r#"{"model":"p/m","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","name":"n","schema":{"properties":{"reasoning":{},"answer":{}}}},"tools":[{"name":"t","parameters":{"properties":{"z":{},"a":{}}}}]}"#;
    let request: CompletionRequest = serde_json::from_str(text).unwrap();
    for api in APIS {
        let wire = String::from_utf8(encode(api, &request).unwrap().body).unwrap();
        assert!(wire.contains(r#""reasoning":{},"answer":{}"#), "{wire}");
        assert!(wire.contains(r#""z":{},"a":{}"#), "{wire}");
    }
}

#[test]
fn fields_unknown_here_keep_their_order() {
    let text = concat!(
        r#"{"model":"p/m","messages":[{"role":"user","content":[{"type":"text","text":"t","z":1,"a":2,"m":3}]}],"#,
        r#""tools":[{"name":"f","z":1,"a":2,"m":3}]}"#
    );
    let request: CompletionRequest = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&request).unwrap(), text);
    // The type stands first, where a removal that swaps would put the last field.
    let typed = text.replace(r#"{"name""#, r#"{"type":"function","name""#);
    assert_eq!(
        serde_json::from_str::<CompletionRequest>(&typed).unwrap(),
        request
    );
    let body = encode(Api::OpenAiChat, &request).unwrap().body;
    let sent = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(sent.matches(r#""z":1,"a":2,"m":3"#).count(), 2, "{sent}");
}

#[test]
fn more_than_one_answer_is_refused_by_name() {
    for (api, n) in APIS
        .into_iter()
        .flat_map(|api| [(api, json!(2)), (api, json!("1"))])
    {
        let mut request = CompletionRequest::new("p/m", "x");
        request.extra.insert("n".into(), n);
        let error = encode(api, &request).unwrap_err();
        assert_eq!(
            (error.kind(), error.fields().field.as_deref()),
            (ErrorKind::InvalidRequest, Some("n"))
        );
    }
}

#[test]
fn stream_as_an_unknown_field_is_refused() {
    for api in APIS {
        let mut request = CompletionRequest::new("p/m", "x");
        request.extra.insert("stream".into(), json!(true));
        assert_eq!(
            encode(api, &request).unwrap_err().fields().field.as_deref(),
            Some("stream")
        );
    }
}

#[test]
fn unknown_fields_never_replace_ours() {
    for api in APIS {
        let mut request = CompletionRequest::new("p/m", "x");
        for name in ["model", "messages", "input", "max_tokens"] {
            request.extra.insert(name.into(), json!("theirs"));
        }
        let wire = encode(api, &request).unwrap();
        let text = String::from_utf8(wire.body).unwrap();
        assert_eq!(text.matches("\"model\":").count(), 1, "{text}");
        assert!(text.contains("\"model\":\"m\""));
        assert!(wire.dropped_params.contains(&"model".to_owned()));
    }
}

#[test]
fn wrong_input_names_its_field() {
    let with = |part: Part| {
        let mut request = CompletionRequest::new("p/m", "x");
        request
            .messages
            .push(Message::user(Content::Parts(vec![Part::text("a"), part])));
        request
    };
    let both = ImagePart {
        url: Some("u".into()),
        data: Some("d".into()),
        ..ImagePart::default()
    };
    let no_type = ImagePart {
        data: Some("d".into()),
        ..ImagePart::default()
    };
    let nothing = FilePart::default();
    for api in APIS {
        for part in [
            Part::Image(both.clone()),
            Part::Image(no_type.clone()),
            Part::File(nothing.clone()),
        ] {
            let error = encode(api, &with(part)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            assert_eq!(
                error.fields().field.as_deref(),
                Some("messages[1].content[1]")
            );
        }
        let mut request = CompletionRequest::new("p/m", "x");
        request.temperature = Some(f64::NAN);
        assert_eq!(
            encode(api, &request).unwrap_err().fields().field.as_deref(),
            Some("temperature")
        );
        request.messages.clear();
        assert_eq!(
            encode(api, &request).unwrap_err().fields().field.as_deref(),
            Some("messages")
        );
        let request = CompletionRequest {
            messages: vec![Message::new(Role::Tool, "x")],
            ..CompletionRequest::default()
        };
        let error = encode(api, &request).unwrap_err();
        assert_eq!(
            error.fields().field.as_deref(),
            Some("messages[0].tool_call_id")
        );
    }
    let url = FilePart {
        url: Some("https://x.example/a.pdf".into()),
        ..FilePart::default()
    };
    let error = encode(Api::OpenAiChat, &with(Part::File(url))).unwrap_err();
    assert_eq!(
        error.fields().field.as_deref(),
        Some("messages[1].content[1].url")
    );
    let audio = AudioPart {
        data: "d".into(),
        format: "wav".into(),
        ..AudioPart::default()
    };
    let error = encode(Api::AnthropicMessages, &with(Part::Audio(audio))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn arguments_that_are_no_json_object_are_refused_where_the_api_wants_one() {
    for arguments in ["[1]", "{\"a\":", "null", "{} {}"] {
        let call = ToolCall {
            id: "a".into(),
            name: "f".into(),
            arguments: arguments.into(),
            ..ToolCall::default()
        };
        let mut request = CompletionRequest::new("p/m", "x");
        request.messages.push(Message {
            tool_calls: vec![call],
            ..Message::assistant("")
        });
        let error = encode(Api::AnthropicMessages, &request).unwrap_err();
        assert_eq!(
            error.fields().field.as_deref(),
            Some("messages[1].tool_calls[0].arguments")
        );
        assert_eq!(
            body(Api::OpenAiChat, &request)["messages"][1]["tool_calls"][0]["function"]["arguments"],
            arguments
        );
    }
}

#[test]
fn traits_override_what_a_models_name_suggests() {
    let request = CompletionRequest {
        max_tokens: Some(7),
        top_k: Some(1),
        ..CompletionRequest::new("p/m", "x")
    };
    let traits = ModelTraits {
        uses_max_completion_tokens: Some(true),
        no_top_k: true,
        no_stream_options: true,
        ..ModelTraits::default()
    };
    let wire = encode_completion(Api::OpenAiChat, &request, "llama", &traits, true).unwrap();
    let body: Value = serde_json::from_slice(&wire.body).unwrap();
    assert_eq!(body["max_completion_tokens"], 7);
    assert_eq!(body.get("stream_options"), None);
    assert_eq!(wire.dropped_params, ["top_k"]);
}

#[test]
fn reasoning_models_are_known_by_their_names() {
    let request = CompletionRequest {
        max_tokens: Some(7),
        ..CompletionRequest::new("p/m", "x")
    };
    for (model, reasons) in [
        ("o1", true),
        ("o4-mini-2025-04-16", true),
        ("gpt-5", true),
        ("gpt-6.1-mini", true),
        ("openai/gpt-5.5", true),
        ("gpt-4o", false),
        ("gpt-4.1", false),
        ("gpt-oss-120b", false),
        ("olmo-2", false),
        ("claude-opus-4-8", false),
    ] {
        let wire = encode_completion(
            Api::OpenAiChat,
            &request,
            model,
            &ModelTraits::default(),
            false,
        )
        .unwrap();
        let body: Value = serde_json::from_slice(&wire.body).unwrap();
        assert_eq!(
            body.get("max_completion_tokens").is_some(),
            reasons,
            "{model}"
        );
    }
}

#[test]
fn embeddings_ask_for_base64_and_refuse_empty_input() {
    let request: EmbeddingRequest = serde_json::from_value(
        json!({"model": "p/e", "input": ["a", "b"], "dimensions": 8, "user": "u",
            "input_type": "query", "encoding_format": "float"}),
    )
    .unwrap();
    let wire = encode_embedding(&request, "e").unwrap();
    let body: Value = serde_json::from_slice(&wire.body).unwrap();
    assert_eq!(wire.path, "/embeddings");
    assert_eq!(
        body,
        json!({"model": "e", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 8, "user": "u",
            "input_type": "query"})
    );
    for (input, field) in [
        (EmbeddingInput::Texts(vec![]), "input"),
        (EmbeddingInput::Text(String::new()), "input"),
        (
            EmbeddingInput::Texts(vec!["a".into(), String::new()]),
            "input[1]",
        ),
        (EmbeddingInput::Tokens(vec![]), "input"),
        (EmbeddingInput::TokenLists(vec![vec![]]), "input[0]"),
    ] {
        let request = EmbeddingRequest {
            input,
            ..EmbeddingRequest::default()
        };
        let error = encode_embedding(&request, "e").unwrap_err();
        assert_eq!(error.fields().field.as_deref(), Some(field));
    }
}

#[test]
fn an_assistant_without_a_text_goes_back_as_null_where_something_stands_in_its_place() {
    let message = |extra: Value| -> Message {
        let mut message = json!({"role": "assistant", "content": null});
        message
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        serde_json::from_value(message).unwrap()
    };
    for (extra, content) in [
        (
            json!({"tool_calls": [{"id": "1", "name": "f", "arguments": "{}"}]}),
            Value::Null,
        ),
        (json!({"refusal": "No."}), Value::Null),
        (json!({"audio": {"id": "audio_1"}}), Value::Null),
        (json!({}), json!("")),
    ] {
        let request = CompletionRequest {
            model: "m".into(),
            messages: vec![Message::user("Hi"), message(extra)],
            ..CompletionRequest::default()
        };
        assert_eq!(
            body(Api::OpenAiChat, &request)["messages"][1]["content"],
            content
        );
    }
}

#[test]
fn fields_of_the_responses_api_reach_no_other() {
    let mut request = CompletionRequest::new("m", "Hi");
    for (name, value) in [
        ("include", json!(["x"])),
        ("truncation", json!("auto")),
        ("max_tool_calls", json!(2)),
        ("text", json!({"a": 1})),
        ("reasoning", json!({"summary": "auto"})),
    ] {
        request.extra.insert(name.into(), value);
    }
    for api in APIS {
        let wire = encode(api, &request).unwrap();
        let sent: Value = serde_json::from_slice(&wire.body).unwrap();
        let theirs = api == Api::OpenAiResponses;
        for name in request.extra.keys() {
            assert_eq!(sent.get(name).is_some(), theirs, "{api:?} {name}");
            assert_eq!(
                wire.dropped_params.contains(name),
                !theirs,
                "{api:?} {name}"
            );
        }
    }
    // A gateway's own form of it goes on.
    request.extra = json!({"reasoning": {"max_tokens": 9}})
        .as_object()
        .unwrap()
        .clone();
    assert_eq!(
        body(Api::OpenAiChat, &request)["reasoning"]["max_tokens"],
        9
    );
    request.extra = json!({"verbosity": "low"}).as_object().unwrap().clone();
    let sent = body(Api::OpenAiResponses, &request);
    assert_eq!(
        (&sent["text"]["verbosity"], sent.get("verbosity")),
        (&json!("low"), None)
    );
}
