//! The tool loop as a Rust program uses it; what holds in every language stands in `conformance/cases/tools`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conformance::upstream_process::{Registered, Upstream};
use ossai::tools::{LoopOptions, OnError, RunnableTool, ToolContext, ToolError, ToolSpec, Toolset};
use ossai::{Client, CompletionRequest, Config, ErrorKind, StreamEvent, ToolOutcome};
use serde_json::{Value, json};

struct Stage {
    client: Client,
    _upstream: Upstream,
    _script: Registered,
}

async fn stage(responses: Value) -> Stage {
    let upstream = Upstream::here().await.expect("upstream");
    let script = json!({ "responses": responses });
    let script = upstream.register(&script).await.expect("script");
    let config = json!({"providers": {"openai": {
        "base_url": format!("{}/v1", script.base_url), "api_key": "sk-test", "api": "openai_chat",
    }}});
    let config = Config::from_json(&config.to_string()).expect("config");
    Stage {
        client: Client::new(config).expect("client"),
        _upstream: upstream,
        _script: script,
    }
}

fn calls(names: &[&str]) -> Value {
    let call = |(n, name): (usize, &&str)| json!({"id": format!("call_{n}"), "name": name, "arguments": "{}"});
    let calls: Vec<Value> = names.iter().enumerate().map(call).collect();
    json!({"body": {"openai_chat": {"tool_calls": calls}}})
}

fn says(text: &str) -> Value {
    json!({"body": {"openai_chat": {"text": text}}})
}

fn request() -> CompletionRequest {
    CompletionRequest::new("openai/gpt-4o-mini", "Go on.")
}

/// Counts how often what it is given to is dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn hangs(begun: &Arc<AtomicUsize>, dropped: &Arc<AtomicUsize>) -> RunnableTool {
    let (begun, dropped) = (Arc::clone(begun), Arc::clone(dropped));
    RunnableTool::new(ToolSpec::new("hang"), move |_, _: ToolContext| {
        begun.fetch_add(1, Ordering::SeqCst);
        let dropped = Dropped(Arc::clone(&dropped));
        async move {
            let _dropped = dropped;
            std::future::pending().await
        }
    })
}

async fn until(what: &AtomicUsize, n: usize) {
    let seen = async {
        while what.load(Ordering::SeqCst) < n {
            tokio::task::yield_now().await;
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(10), seen).await;
    assert!(seen.is_ok(), "not {n} of them within 10 s");
}

#[tokio::test]
async fn dropping_a_call_cancels_its_handlers() {
    let stage = stage(json!([calls(&["hang", "hang"]), says("Still there.")])).await;
    let (begun, dropped) = (Arc::default(), Arc::default());
    let tools = Toolset::new([hangs(&begun, &dropped)]).expect("tools");
    let client = stage.client.with_tools(&tools);
    let call = tokio::spawn(async move { client.complete(request()).await });
    until(&begun, 2).await;
    call.abort();
    until(&dropped, 2).await;
    let answer = stage.client.complete(request()).await.expect("an answer");
    assert_eq!(answer.text, "Still there.");
}

#[tokio::test]
async fn a_handler_that_panics_or_blocks_its_thread_harms_no_other() {
    let stage = stage(json!([calls(&["panic", "block", "good"]), says("Done.")])).await;
    let tool = |name: &str, act: fn() -> Result<Value, ToolError>| {
        RunnableTool::new(ToolSpec::new(name), move |_, _: ToolContext| async move {
            act()
        })
    };
    let tools = Toolset::new([
        tool("panic", || panic!("a prompt")),
        tool("block", || {
            std::thread::sleep(Duration::from_millis(50));
            Ok(json!("late"))
        }),
        tool("good", || Ok(json!("fine"))),
    ])
    .expect("tools");
    let answer = stage.client.with_tools(&tools).complete(request()).await;
    let run = answer.expect("an answer").tool_run.expect("a run");
    let outcomes: Vec<ToolOutcome> = run.calls.iter().map(|call| call.outcome).collect();
    assert_eq!(
        outcomes,
        [ToolOutcome::Failed, ToolOutcome::Ok, ToolOutcome::Ok]
    );
    let failure = run.calls[0].error.as_ref().expect("why");
    assert!(!failure.message.contains("prompt"), "{failure:?}");
}

#[tokio::test]
async fn a_handler_s_error_is_the_source_of_the_call_s_and_ends_the_others() {
    let stage = stage(json!([calls(&["hang", "fail"])])).await;
    let (begun, dropped) = (Arc::default(), Arc::default());
    let fail = RunnableTool::new(ToolSpec::new("fail"), |_, _: ToolContext| async {
        Err(std::io::Error::other("the disk at /secret"))?;
        Ok(Value::Null)
    });
    let tools = Toolset::new([hangs(&begun, &dropped), fail]).expect("tools");
    let options = LoopOptions {
        on_error: OnError::Fail,
        ..LoopOptions::default()
    };
    let client = stage.client.with_tools(&tools).options(options);
    let error = client.complete(request()).await.expect_err("it failed");
    assert_eq!(error.kind(), ErrorKind::CallbackError);
    assert!(!error.to_string().contains("secret"), "{error}");
    let source = std::error::Error::source(&error).expect("a source");
    assert_eq!(source.to_string(), "the disk at /secret");
    until(&dropped, begun.load(Ordering::SeqCst)).await;
}

#[tokio::test]
async fn leaving_a_stream_cancels_its_handlers_and_their_context_hears_of_it() {
    let body = json!({"openai_chat_stream": {"tool_calls": [{"id": "call_1", "name": "watch", "arguments": "{}"}]}});
    let stage = stage(json!([{ "body": body }])).await;
    let heard = Arc::<AtomicUsize>::default();
    let hears = Arc::clone(&heard);
    let watch = RunnableTool::new(ToolSpec::new("watch"), move |_, context: ToolContext| {
        let hears = Arc::clone(&hears);
        // Work that a dropped future does not end.
        tokio::spawn(async move {
            context.cancelled().await;
            assert!(context.is_cancelled());
            hears.fetch_add(1, Ordering::SeqCst);
        });
        std::future::pending()
    });
    let tools = Toolset::new([watch]).expect("tools");
    let mut stream = stage
        .client
        .with_tools(&tools)
        .stream(request())
        .await
        .expect("a stream");
    while let Some(event) = stream.next().await {
        if matches!(event.expect("an event"), StreamEvent::ToolStarted { .. }) {
            break;
        }
    }
    drop(stream);
    until(&heard, 1).await;
}

#[tokio::test]
async fn a_schema_that_refers_to_itself_ends_and_a_pattern_that_backtracks_is_bounded() {
    let schema = json!({"type": "object", "properties": {
        "next": {"$ref": "#"}, "text": {"type": "string", "pattern": "^(?=(a+)+$)(a|aa)+$"},
    }});
    let deep = (0..100).fold(json!({"text": 1}), |inner, _| json!({ "next": inner }));
    let slow = json!({"text": format!("{}b", "a".repeat(64))});
    let call = |input: &Value| json!({"id": "call_1", "name": "f", "arguments": input.to_string()});
    let body = json!({"openai_chat": {"tool_calls": [call(&deep), call(&slow)]}});
    let stage = stage(json!([{ "body": body }, says("Sorry.")])).await;
    let spec = ToolSpec {
        input_schema: Some(schema),
        ..ToolSpec::new("f")
    };
    let tool = RunnableTool::new(spec, |_, _: ToolContext| async { Ok(Value::Null) });
    let tools = Toolset::new([tool]).expect("tools");
    let began = std::time::Instant::now();
    let answer = stage.client.with_tools(&tools).complete(request()).await;
    let run = answer.expect("an answer").tool_run.expect("a run");
    assert!(
        run.calls
            .iter()
            .all(|call| call.outcome == ToolOutcome::InvalidInput),
        "{:?}",
        run.calls
            .iter()
            .map(|call| call.outcome)
            .collect::<Vec<_>>()
    );
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[cfg(feature = "schema")]
mod typed {
    use super::*;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Deserialize, JsonSchema)]
    struct Place {
        /// The city's name.
        city: String,
        #[serde(default)]
        days: Option<u8>,
    }

    #[derive(Serialize, JsonSchema)]
    struct Weather {
        sky: String,
    }

    #[tokio::test]
    async fn a_tool_over_types_has_their_schemas_and_gets_their_values() {
        let call = |arguments: &str| json!({"body": {"openai_chat": {"tool_calls": [{"id": "c", "name": "weather", "arguments": arguments}]}}});
        let stage = stage(json!([
            call(r#"{"city": "Oslo", "days": 300}"#),
            call(r#"{"city": "Oslo", "days": 2}"#),
            says("Rain.")
        ]))
        .await;
        let weather = RunnableTool::typed(
            "weather",
            "The weather of a city.",
            |place: Place, _| async move {
                let days = place.days.unwrap_or(1);
                Ok(Weather {
                    sky: format!("{} {days}", place.city),
                })
            },
        );
        let schema = weather.spec().input_schema.clone().expect("a schema");
        assert_eq!(
            schema["properties"]["city"]["description"],
            "The city's name."
        );
        assert!(
            schema.get("$schema").is_none() && schema["properties"]["days"].get("format").is_none()
        );
        let tools = Toolset::new([weather]).expect("tools");
        let answer = stage.client.with_tools(&tools).complete(request()).await;
        let run = answer.expect("an answer").tool_run.expect("a run");
        assert_eq!(run.calls[0].outcome, ToolOutcome::InvalidInput);
        let path = run.calls[0]
            .error
            .as_ref()
            .and_then(|error| error.path.as_deref());
        assert_eq!(path, Some("days"));
        assert_eq!(run.calls[1].output, Some(json!({"sky": "Oslo 2"})));
    }
}
