//! Answers in the shapes of vendors' pages and types: read whole as written beside them, and folded from their streams to the same.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use ossai::call::Fold;
use ossai::cost::usage::UsageApi;
use ossai::provider::{Api, Progress, StreamDecoder, decode_completion};
use ossai::transport::sse::SseEvent;
use ossai::types::{Completion, OutputPart};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Golden {
    api: Api,
    usage_api: UsageApi,
    body: Value,
    events: Vec<Sent>,
    /// The stream says itself that it is over.
    explicit_end: bool,
    completion: Completion,
}

#[derive(Deserialize)]
struct Sent {
    event: String,
    data: Value,
}

fn goldens() -> Vec<(PathBuf, Golden)> {
    let folder = "tests/golden/answers";
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let golden = serde_json::from_slice(&std::fs::read(&path).unwrap());
        let golden = golden.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        (path, golden)
    };
    paths.into_iter().map(read).collect()
}

fn data(sent: &Sent) -> String {
    match &sent.data {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// Folds the stream, as the transport would: no event after `Done`, `end` when the connection closes.
fn fold(golden: &Golden) -> Completion {
    let mut decoder = StreamDecoder::new(golden.api, golden.usage_api);
    let mut out = Vec::new();
    let mut done = false;
    for sent in &golden.events {
        assert!(!done, "events after the end");
        let event = SseEvent {
            event: &sent.event,
            data: &data(sent),
            id: None,
        };
        done = decoder.push(&event, &mut out).unwrap() == Progress::Done;
    }
    assert_eq!(done, golden.explicit_end);
    decoder.end(&mut out).unwrap();
    let mut fold = Fold::new();
    for event in &out {
        fold.push(event).unwrap();
    }
    fold.finish()
}

/// Anthropic sends arguments as an object in one road and as text in the other: compared without spacing.
fn compact_arguments(mut completion: Completion) -> Completion {
    for part in &mut completion.parts {
        if let OutputPart::ToolCall(call) = part {
            let value: Value = serde_json::from_str(&call.arguments).unwrap();
            call.arguments = value.to_string();
        }
    }
    completion
}

#[test]
fn every_whole_answer_is_read_as_its_golden_file_says() {
    for (path, golden) in goldens() {
        let body = golden.body.to_string();
        let read = decode_completion(golden.api, golden.usage_api, body.as_bytes())
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(read, golden.completion, "{}", path.display());
    }
}

#[test]
fn every_stream_folds_to_the_whole_answer() {
    for (path, golden) in goldens() {
        let body = golden.body.to_string();
        let whole = decode_completion(golden.api, golden.usage_api, body.as_bytes()).unwrap();
        let folded = compact_arguments(fold(&golden));
        assert_eq!(folded, compact_arguments(whole), "{}", path.display());
    }
}

#[test]
fn a_stream_cut_before_its_finish_reason_is_interrupted() {
    for (path, golden) in goldens() {
        let mut decoder = StreamDecoder::new(golden.api, golden.usage_api);
        let mut out = Vec::new();
        for sent in golden.events.iter().take(2) {
            let event = SseEvent {
                event: &sent.event,
                data: &data(sent),
                id: None,
            };
            if golden.events.len() > 3 {
                decoder.push(&event, &mut out).unwrap();
            }
        }
        let error = decoder.end(&mut out).unwrap_err();
        assert_eq!(
            error.kind().name(),
            "stream_interrupted",
            "{}",
            path.display()
        );
    }
}

#[test]
fn events_after_the_end_are_ignored() {
    for (path, golden) in goldens()
        .into_iter()
        .filter(|(_, golden)| golden.explicit_end)
    {
        let mut decoder = StreamDecoder::new(golden.api, golden.usage_api);
        let mut out = Vec::new();
        for sent in &golden.events {
            let event = SseEvent {
                event: &sent.event,
                data: &data(sent),
                id: None,
            };
            decoder.push(&event, &mut out).unwrap();
        }
        let before = out.len();
        let late = SseEvent {
            event: "",
            data: "{not json",
            id: None,
        };
        assert_eq!(
            decoder.push(&late, &mut out).unwrap(),
            Progress::Done,
            "{}",
            path.display()
        );
        assert_eq!(out.len(), before);
    }
}
