//! Our answer as a Response.

use ossai::{Completion, FinishReason, OutputPart, Usage};
use serde_json::{Map, Value, json};

use super::echo::Echo;
use super::items;

/// Fields of an answer that stand in its items.
const OF_ITEMS: &[&str] = &["annotations", "audio", "logprobs", "reasoning_details"];

/// The answer as OpenAI gives it; `now` is its time where the provider names none.
pub(crate) fn write(answer: &Completion, echo: &Echo, now: u64) -> Value {
    let id = if answer.id.is_empty() {
        &answer.request_id
    } else {
        &answer.id
    };
    let model = answer.response_model.as_deref().unwrap_or(&answer.model);
    let mut notes = Notes::of(answer);
    let output = answer
        .parts
        .iter()
        .enumerate()
        .map(|(i, part)| item(id, i, part, &mut notes))
        .collect();
    let mut body = head(id, answer.created.unwrap_or(now), model);
    end(&mut body, answer, output, now);
    echo.write(&mut body);
    Value::Object(body)
}

/// The fields every form of an answer begins with.
pub(super) fn head(id: &str, created: u64, model: &str) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("id".into(), id.into());
    body.insert("object".into(), "response".into());
    body.insert("created_at".into(), created.into());
    body.insert("status".into(), "in_progress".into());
    body.insert("completed_at".into(), Value::Null);
    body.insert("error".into(), Value::Null);
    body.insert("incomplete_details".into(), Value::Null);
    body.insert("model".into(), model.into());
    body.insert("output".into(), json!([]));
    body.insert("usage".into(), Value::Null);
    body
}

/// What the head says less of until the answer is whole.
pub(super) fn end(
    body: &mut Map<String, Value>,
    answer: &Completion,
    output: Vec<Value>,
    now: u64,
) {
    let reason = incomplete(answer);
    let status = if reason.is_some() {
        "incomplete"
    } else {
        body.insert("completed_at".into(), now.into());
        "completed"
    };
    body.insert("status".into(), status.into());
    if let Some(reason) = reason {
        body.insert("incomplete_details".into(), json!({ "reason": reason }));
    }
    body.insert("output".into(), output.into());
    body.insert(
        "usage".into(),
        usage(&answer.usage, answer.raw_usage.as_deref()),
    );
    if let Some(tier) = &answer.usage.service_tier {
        body.insert("service_tier".into(), tier.as_str().into());
    }
    for (name, value) in &answer.extra {
        if !OF_ITEMS.contains(&name.as_str()) {
            body.entry(name.as_str()).or_insert_with(|| value.clone());
        }
    }
}

/// Why the answer is not whole, in OpenAI's words where it has one.
pub(super) fn incomplete(answer: &Completion) -> Option<&str> {
    match &answer.finish_reason {
        FinishReason::Stop | FinishReason::ToolCalls => None,
        // A refusal in words is an answer; a filter of the vendor's leaves none.
        FinishReason::Refusal => {
            let said = |part: &OutputPart| matches!(part, OutputPart::Refusal { .. });
            (!answer.parts.iter().any(said)).then_some("content_filter")
        }
        FinishReason::Length => Some("max_output_tokens"),
        reason => Some(reason.as_str()),
    }
}

fn item(answer: &str, i: usize, part: &OutputPart, notes: &mut Notes) -> Value {
    match part {
        OutputPart::Text { text } => {
            let content = items::output_text(text, notes.annotations(i), notes.logprobs());
            items::message(
                &items::item_id("msg", answer, i),
                "completed",
                json!([content]),
            )
        }
        OutputPart::Refusal { text } => {
            let content = items::refusal(text);
            items::message(
                &items::item_id("msg", answer, i),
                "completed",
                json!([content]),
            )
        }
        OutputPart::Reasoning(part) => items::reasoning(&items::item_id("rs", answer, i), part),
        OutputPart::ToolCall(call) => {
            items::function_call(&items::item_id("fc", answer, i), "completed", call)
        }
        OutputPart::Other(value) => value.clone(),
        // Parts of kinds unknown to this version.
        part => serde_json::to_value(part).unwrap_or_default(),
    }
}

/// What an answer's extra fields say of its texts.
#[derive(Debug, Default)]
pub(super) struct Notes {
    annotations: Vec<Value>,
    logprobs: Vec<Value>,
}

impl Notes {
    pub(super) fn of(answer: &Completion) -> Self {
        let list =
            |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
        let logprobs = answer.extra.get("logprobs");
        Self {
            annotations: list(answer.extra.get("annotations")),
            logprobs: list(logprobs.and_then(|all| all.get("content"))),
        }
    }

    /// Those of this part; those that name none are the first text's.
    pub(super) fn annotations(&mut self, part: usize) -> Vec<Value> {
        let (own, rest) = std::mem::take(&mut self.annotations)
            .into_iter()
            .partition(
                |note| match note.get("part_index").and_then(Value::as_u64) {
                    Some(index) => index == part as u64,
                    None => true,
                },
            );
        self.annotations = rest;
        let own: Vec<Value> = own;
        own.into_iter().map(flat).collect()
    }

    pub(super) fn logprobs(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.logprobs)
    }
}

/// An annotation of Chat Completions has its fields in an object named as its type.
pub(super) fn flat(mut note: Value) -> Value {
    if let Some(object) = note.as_object_mut() {
        object.shift_remove("part_index");
        let kind = object
            .get("type")
            .and_then(Value::as_str)
            .map(str::to_owned);
        if let Some(kind) = kind
            && let Some(Value::Object(inner)) = object.get(&kind).cloned()
        {
            object.remove(&kind);
            object.extend(inner);
        }
    }
    note
}

/// Usage in this API's form: our counts, and what else the provider's object of the same form says.
fn usage(usage: &Usage, raw: Option<&Value>) -> Value {
    let raw = raw
        .and_then(Value::as_object)
        .filter(|raw| raw.contains_key("input_tokens_details"));
    let mut body = Map::new();
    body.insert("input_tokens".into(), usage.input_tokens.into());
    let details = |name: &str, counts: &[(&str, u64, bool)]| {
        let mut details = Map::new();
        for (name, count, always) in counts {
            if *always || *count > 0 {
                details.insert((*name).into(), (*count).into());
            }
        }
        let given = raw.and_then(|raw| raw.get(name)).and_then(Value::as_object);
        for (name, value) in given.into_iter().flatten() {
            details
                .entry(name.as_str())
                .or_insert_with(|| value.clone());
        }
        Value::Object(details)
    };
    body.insert(
        "input_tokens_details".into(),
        details(
            "input_tokens_details",
            &[
                ("cached_tokens", usage.cache_read_tokens, true),
                ("cache_write_tokens", usage.cache_write_tokens, true),
                ("audio_tokens", usage.audio_input_tokens, false),
                ("image_tokens", usage.image_input_tokens, false),
            ],
        ),
    );
    body.insert("output_tokens".into(), usage.output_tokens.into());
    body.insert(
        "output_tokens_details".into(),
        details(
            "output_tokens_details",
            &[
                ("reasoning_tokens", usage.reasoning_tokens, true),
                ("audio_tokens", usage.audio_output_tokens, false),
            ],
        ),
    );
    body.insert("total_tokens".into(), usage.total_tokens().into());
    for (name, value) in raw.into_iter().flatten() {
        body.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    Value::Object(body)
}
