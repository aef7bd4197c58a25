//! What programs ask: over the façade, and over the APIs the orchestrator serves.

use std::fmt;
use std::sync::LazyLock;

use ossai::provider::{Api, ModelTraits, encode_completion, encode_embedding};
use ossai::{Client, CompletionRequest, Config, Content, Extra, Message, Part, Tool};
use ossai_facade::{Op, Work};
use ossai_proto::v1 as pb;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{check_error, choose};

static CLIENT: LazyLock<Client> =
    LazyLock::new(|| Client::new(Config::default()).expect("the default configuration"));

/// A JSON object none of whose names stands twice.
struct Once;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Once;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Once, A::Error> {
                let mut names = std::collections::HashSet::new();
                while let Some((name, IgnoredAny)) = map.next_entry::<String, _>()? {
                    assert!(!names.contains(&name), "{name} stands twice");
                    names.insert(name);
                }
                Ok(Once)
            }
        }
        from.deserialize_map(Names)
    }
}

/// Whether a vendor's own form of one of our fields stands in an `extra`, to be passed through: none of ours, so our JSON
/// need not read it again.
fn holds_vendors_forms(request: &CompletionRequest) -> bool {
    let own = |extra: &Extra, ours: &[&str]| ours.iter().any(|name| extra.contains_key(*name));
    let in_part = |part: &Part| match part {
        Part::Image(image) => own(&image.extra, &["url", "data", "media_type", "detail"]),
        Part::Audio(audio) => own(&audio.extra, &["data", "format"]),
        Part::File(file) => own(
            &file.extra,
            &["url", "data", "file_id", "media_type", "filename"],
        ),
        Part::Reasoning(thought) => own(&thought.extra, &["text", "signature", "redacted"]),
        Part::Other(other) => {
            let kind = other.get("type").and_then(|kind| kind.as_str());
            kind.is_some_and(|kind| ["image", "audio", "file", "reasoning"].contains(&kind))
        }
        _ => false,
    };
    let in_message = |message: &Message| {
        own(&message.extra, &["tool_calls", "is_error"])
            || matches!(&message.content, Content::Parts(parts) if parts.iter().any(in_part))
            || message
                .tool_calls
                .iter()
                .any(|call| own(&call.extra, &["name", "arguments"]))
    };
    let in_tool = |tool: &Tool| match tool {
        Tool::Function(tool) => own(
            &tool.extra,
            &["name", "description", "parameters", "strict"],
        ),
        _ => false,
    };
    own(
        &request.extra,
        &["response_format", "tool_choice", "reasoning_effort"],
    ) || request.messages.iter().any(in_message)
        || request.tools.iter().any(in_tool)
}

/// What every vendor is sent is one JSON object; the request is the same after JSON and after gRPC; its key too.
fn check_request(request: &CompletionRequest) {
    let json = serde_json::to_string(request).expect("a request is written");
    let back = if holds_vendors_forms(request) {
        request.clone()
    } else {
        let back = serde_json::from_str(&json).expect("and read again");
        assert_eq!(serde_json::to_string(&back).expect("and written"), json);
        back
    };
    let message = pb::CompletionRequest::from(request);
    assert_eq!(CompletionRequest::try_from(message).as_ref(), Ok(request));
    for api in [
        Api::OpenAiChat,
        Api::OpenAiResponses,
        Api::AnthropicMessages,
    ] {
        match encode_completion(api, request, "m", &ModelTraits::default(), true) {
            Ok(wire) => {
                let read: Result<Once, _> = serde_json::from_slice(&wire.body);
                assert!(read.is_ok(), "{:?}", String::from_utf8_lossy(&wire.body));
            }
            Err(error) => check_error(&error),
        }
    }
    match (CLIENT.key(request), CLIENT.key(&back)) {
        // A part in another vendor's form may be read as one of ours of the same name.
        (Ok(one), Ok(other)) => assert!(one == other || *request != back),
        (Err(error), Err(_)) => check_error(&error),
        (one, other) => panic!("{one:?} and {other:?}"),
    }
    if let Err(error) = CLIENT.count(request) {
        check_error(&error);
    }
}

/// An operation's request, then after a zero byte its options.
pub fn facade(input: &[u8]) {
    let Some((op, rest)) = choose(input, Op::ALL.len()) else {
        return;
    };
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    let (request, options) = text.split_once('\0').unwrap_or((text, ""));
    match Work::read(Op::ALL[op].1, request, options) {
        Err(error) => check_error(&error),
        Ok(Work::Embed(request, _)) => {
            if let Err(error) = encode_embedding(&request, "m") {
                check_error(&error);
            }
        }
        Ok(
            Work::Complete(request, _)
            | Work::Stream(request, _, _)
            | Work::Lookup(request, _)
            | Work::Explain(request, _)
            | Work::Key(request)
            | Work::Count(request),
        ) => check_request(&request),
        Ok(_) => {}
    }
}

/// A body of an API the orchestrator serves: what is read becomes a request like any other.
pub fn dialect(input: &[u8]) {
    let Some((which, body)) = choose(input, 4) else {
        return;
    };
    let Ok(body) = serde_json::from_slice(body) else {
        return;
    };
    match ossai_orchestrator::fuzzing::read_body(which, body) {
        Ok(Some(request)) => check_request(&request),
        Ok(None) => {}
        Err(error) => check_error(&error),
    }
}
