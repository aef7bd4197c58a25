//! Input without end or bottom, and clients that are closed: a typed error, nothing sent, nothing left.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use ossai::types::*;
use ossai::{Client, Config, ErrorKind, EstimateOptions};
use serde_json::{Value, json};

fn client() -> Client {
    Client::new(Config::default()).unwrap()
}

/// A value no parser lets through, but any program can build.
fn deep(levels: usize) -> Value {
    (0..levels).fold(json!(1), |value, _| Value::Array(vec![value]))
}

fn asked() -> CompletionRequest {
    CompletionRequest::new("local/extract", "Hello")
}

// proves: 3.huge-input
#[tokio::test]
async fn json_nested_deeper_than_a_parser_would_let_it_is_refused_by_name_wherever_it_stands() {
    let client = client();
    let extra = || Extra::from_iter([("x".to_owned(), deep(300))]);
    let tool = ToolDefinition {
        name: "f".into(),
        parameters: Some(json!({"properties": deep(300)})),
        ..ToolDefinition::default()
    };
    let mut requests = vec![
        (asked(), "x"),
        (asked(), "metadata.x"),
        (asked(), "messages[0].x"),
    ];
    requests[0].0.extra = extra();
    requests[1].0.metadata = extra();
    requests[2].0.messages[0].extra = extra();
    let mut of_tool = asked();
    of_tool.tools = vec![Tool::Function(tool), Tool::Provider(json!({"type": "web"}))];
    requests.push((of_tool, "tools[0].parameters"));
    let mut of_format = asked();
    of_format.response_format = Some(ResponseFormat::JsonSchema {
        name: "n".into(),
        schema: json!({"x": deep(300)}),
        strict: None,
        description: None,
    });
    requests.push((of_format, "response_format.schema"));
    let mut of_part = asked();
    of_part.messages[0].content =
        Content::Parts(vec![Part::Other(json!({"type": "t", "x": deep(300)}))]);
    requests.push((of_part, "messages[0].content[0]"));
    for (request, field) in requests {
        let errors = [
            client.key(&request).unwrap_err(),
            client.count(&request).unwrap_err(),
            client
                .estimate(&request, &EstimateOptions::default())
                .unwrap_err(),
            client.complete(request.clone()).await.unwrap_err(),
            client.stream(request).await.err().unwrap(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{field}");
            assert_eq!(error.fields().field.as_deref(), Some(field));
        }
    }
    let embed = EmbeddingRequest {
        model: "local/hash".into(),
        input: EmbeddingInput::Text("a".into()),
        extra: extra(),
        ..EmbeddingRequest::default()
    };
    let error = client.embed(embed).await.unwrap_err();
    assert_eq!(error.fields().field.as_deref(), Some("x"));
    let mut as_deep_as_may_be = asked();
    as_deep_as_may_be.extra = Extra::from_iter([("x".to_owned(), deep(120))]);
    assert!(client.key(&as_deep_as_may_be).is_ok());
}

// proves: 3.closing
#[tokio::test]
async fn a_client_may_be_closed_twice_and_refuses_every_call_afterwards() {
    let client = client();
    let clone = client.clone();
    client.complete(asked()).await.unwrap();
    assert!(client.close(Duration::ZERO).await);
    assert!(clone.close(Duration::from_secs(1)).await);
    let embed = EmbeddingRequest {
        model: "local/hash".into(),
        input: EmbeddingInput::Text("a".into()),
        ..EmbeddingRequest::default()
    };
    let errors = [
        clone.complete(asked()).await.unwrap_err(),
        clone.stream(asked()).await.err().unwrap(),
        clone.embed(embed).await.unwrap_err(),
        clone.models(None).await.unwrap_err(),
        clone.health().await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::InvalidState, "{error}");
    }
    assert_eq!(clone.stats().flights_in_flight, 0);
    assert_eq!(clone.stats().waiters, 0);
    // What needs no upstream still answers.
    assert!(clone.count(&asked()).is_ok() && clone.key(&asked()).is_ok());
}

// proves: 3.closing
#[tokio::test]
async fn a_stream_outlives_its_client_and_leaves_nothing() {
    let client = client();
    let mut stream = client.stream(asked()).await.unwrap();
    assert!(client.close(Duration::from_secs(1)).await || client.stats().flights_in_flight == 1);
    let watch = client.clone();
    drop(client);
    let mut ends = 0;
    while let Some(event) = stream.next().await {
        ends += usize::from(matches!(event.unwrap(), StreamEvent::End { .. }));
    }
    assert_eq!(ends, 1);
    drop(stream);
    assert!(watch.close(Duration::from_secs(1)).await);
    assert_eq!(watch.stats().flights_in_flight, 0);
}

#[tokio::test]
async fn a_task_whose_calls_are_refused_at_once_lets_others_run() {
    let client = client();
    let other = tokio::spawn(async {});
    for _ in 0..10_000 {
        if other.is_finished() {
            return;
        }
        let request = CompletionRequest::new("no provider", "Hello");
        assert!(client.complete(request).await.is_err());
        let request = CompletionRequest::new("no provider", "Hello");
        assert!(client.stream(request).await.is_err());
    }
    panic!("nobody else had a turn in 20,000 calls");
}
