//! Our answer as a Chat Completion.

use ossai::{Completion, Extra, FinishReason, OutputPart, Usage};
use serde_json::{Map, Value, json};

/// Fields of an answer that stand in its message; `logprobs` stand beside it, all others on top.
const OF_MESSAGE: &[&str] = &["annotations", "audio", "reasoning_details"];

/// The answer as OpenAI gives it; `now` is its time where the provider names none.
pub(crate) fn write(answer: &Completion, now: u64) -> Value {
    let mut message = Map::new();
    message.insert("role".into(), "assistant".into());
    let text = (!answer.text.is_empty() || answer.parts.is_empty()).then_some(answer.text.as_str());
    message.insert("content".into(), json!(text));
    message.insert(
        "refusal".into(),
        json!(join(answer, |part| match part {
            OutputPart::Refusal { text } => Some(text),
            _ => None,
        })),
    );
    let reasoning = join(answer, |part| match part {
        OutputPart::Reasoning(part) => Some(&part.text),
        _ => None,
    });
    if let Some(reasoning) = reasoning {
        message.insert("reasoning_content".into(), reasoning.into());
    }
    let calls: Vec<Value> = answer.tool_calls().map(tool_call).collect();
    if !calls.is_empty() {
        message.insert("tool_calls".into(), calls.into());
    }
    let mut outer = Map::new();
    let mut logprobs = Value::Null;
    for (name, value) in &answer.extra {
        match name.as_str() {
            "logprobs" => logprobs = self::logprobs(value),
            name if OF_MESSAGE.contains(&name) => drop(message.insert(name.into(), value.clone())),
            name => drop(outer.insert(name.into(), value.clone())),
        }
    }
    let mut body = head(
        "chat.completion",
        &id(answer),
        answer.created.unwrap_or(now),
        model(answer),
    );
    body.insert(
        "choices".into(),
        json!([{
            "index": 0,
            "message": message,
            "logprobs": logprobs,
            "finish_reason": finish_reason(&answer.finish_reason),
        }]),
    );
    body.insert(
        "usage".into(),
        usage(&answer.usage, answer.raw_usage.as_deref()),
    );
    if let Some(tier) = &answer.usage.service_tier {
        body.insert("service_tier".into(), tier.as_str().into());
    }
    for (name, value) in outer {
        body.entry(name).or_insert(value);
    }
    Value::Object(body)
}

fn join<'a>(
    answer: &'a Completion,
    text: impl Fn(&'a OutputPart) -> Option<&'a String>,
) -> Option<String> {
    let joined: String = answer
        .parts
        .iter()
        .filter_map(text)
        .map(String::as_str)
        .collect();
    (!joined.is_empty()).then_some(joined)
}

fn tool_call(call: &ossai::ToolCall) -> Value {
    let mut object = Map::new();
    object.insert("id".into(), call.id.as_str().into());
    object.insert("type".into(), "function".into());
    object.insert(
        "function".into(),
        json!({ "name": call.name, "arguments": call.arguments }),
    );
    for (name, value) in &call.extra {
        object.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    Value::Object(object)
}

/// Both lists are always there in this API; one that a provider left empty comes as `null`.
pub(super) fn logprobs(given: &Value) -> Value {
    let mut logprobs = given.clone();
    if let Some(lists) = logprobs.as_object_mut() {
        for name in ["content", "refusal"] {
            lists.entry(name).or_insert(Value::Null);
        }
    }
    logprobs
}

/// The fields every answer and chunk begins with.
pub(super) fn head(object: &str, id: &str, created: u64, model: &str) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("id".into(), id.into());
    body.insert("object".into(), object.into());
    body.insert("created".into(), created.into());
    body.insert("model".into(), model.into());
    body
}

fn id(answer: &Completion) -> String {
    if answer.id.is_empty() {
        answer.request_id.clone()
    } else {
        answer.id.clone()
    }
}

/// The model that answered, in the vendor's words, as OpenAI has it; what was asked for is in a header.
fn model(answer: &Completion) -> &str {
    answer.response_model.as_deref().unwrap_or(&answer.model)
}

/// OpenAI's word for why a model stopped.
pub(super) fn finish_reason(reason: &FinishReason) -> &str {
    match reason {
        // OpenAI's own models stop with `stop` and say so in `refusal`; a pause is one, too.
        FinishReason::Refusal | FinishReason::Pause => "stop",
        reason => reason.as_str(),
    }
}

/// Usage in OpenAI's form: our counts, and what else the provider's object of the same form says.
pub(super) fn usage(usage: &Usage, raw: Option<&Value>) -> Value {
    let raw = raw
        .and_then(Value::as_object)
        .filter(|raw| raw.contains_key("prompt_tokens"));
    let mut body: Extra = raw.cloned().unwrap_or_default();
    let mut details = |name: &str, counts: &[(&str, u64)]| {
        let entry = body.entry(name).or_insert(Value::Null);
        if !entry.is_object() {
            *entry = Value::Object(Map::new());
        }
        for (name, count) in counts {
            entry[*name] = (*count).into();
        }
    };
    details(
        "prompt_tokens_details",
        &[
            ("cached_tokens", usage.cache_read_tokens),
            ("audio_tokens", usage.audio_input_tokens),
        ],
    );
    details(
        "completion_tokens_details",
        &[
            ("reasoning_tokens", usage.reasoning_tokens),
            ("audio_tokens", usage.audio_output_tokens),
        ],
    );
    if usage.cache_write_tokens > 0 {
        details(
            "prompt_tokens_details",
            &[("cache_write_tokens", usage.cache_write_tokens)],
        );
    }
    let mut whole = Map::new();
    whole.insert("prompt_tokens".into(), usage.input_tokens.into());
    whole.insert("completion_tokens".into(), usage.output_tokens.into());
    whole.insert("total_tokens".into(), usage.total_tokens().into());
    for (name, value) in body {
        whole.entry(name).or_insert(value);
    }
    Value::Object(whole)
}
