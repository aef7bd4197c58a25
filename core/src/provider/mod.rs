//! Vendors' wire formats: requests to bytes, answers and stream events back, without any input or output of their own.
//!
//! Everything vendor-specific about a call stands here and nowhere else. The formats are those of November 2026:
//! OpenAI's OpenAPI 2.3.0 and `openai` 3.52.0, `anthropic` 2.11.0, and what compatible servers (vLLM, Ollama,
//! llama.cpp, DeepSeek, Mistral …) make of them.

mod anthropic;
pub(crate) mod batch;
mod embedding;
mod error;
pub mod local;
mod media;
mod models;
mod openai;
mod read;
mod redact;
mod write;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::call::Fold;
use crate::cost::usage::UsageApi;
use crate::transport::sse::SseEvent;
use crate::types::{Completion, CompletionRequest, Extra, StreamEvent};
use crate::{Error, Result};

pub use embedding::{decode_embedding, encode_embedding};
pub use error::{decode_error, decode_stream_error};
pub use models::decode_models;

/// A wire format for completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub enum Api {
    /// OpenAI Chat Completions, and every compatible server.
    #[serde(rename = "openai_chat")]
    OpenAiChat,
    /// OpenAI Responses.
    #[serde(rename = "openai_responses")]
    OpenAiResponses,
    /// Anthropic Messages.
    #[serde(rename = "anthropic_messages")]
    AnthropicMessages,
}

/// A request as it goes to the vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireBody {
    /// Appended to the base URL, which ends in `/v1` where the vendor's does.
    pub path: &'static str,
    /// JSON.
    pub body: Vec<u8>,
    /// Parameters left out because the vendor or the model does not take them, by name.
    pub dropped_params: Vec<String>,
}

/// What a model can do, as far as it shapes the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelTraits {
    /// It takes no sampling parameters; they are dropped and named.
    pub no_sampling: bool,
    /// It reasons; absent means by its name (`o1` …, `gpt-5` and later).
    pub reasoning: Option<bool>,
    /// Chat: `max_completion_tokens` in place of `max_tokens`; absent means as `reasoning`.
    pub uses_max_completion_tokens: Option<bool>,
    /// Chat: it knows the role `developer`; absent means as `reasoning`.
    pub developer_role: Option<bool>,
    /// Chat: the server refuses `top_k`, which is not OpenAI's.
    pub no_top_k: bool,
    /// Chat: the server refuses `stream_options`.
    pub no_stream_options: bool,
    /// Anthropic: the limit sent when the request has none; absent means 4096.
    pub default_max_tokens: Option<u64>,
}

impl ModelTraits {
    fn reasons(&self, wire_model: &str) -> bool {
        self.reasoning.unwrap_or_else(|| {
            let name = wire_model.rsplit('/').next().unwrap_or(wire_model);
            let number = |prefix: &str| {
                let rest = name.strip_prefix(prefix)?;
                let end = rest
                    .find(|c: char| !c.is_ascii_digit())
                    .unwrap_or(rest.len());
                rest.get(..end)?.parse::<u32>().ok()
            };
            number("o").is_some() || number("gpt-").is_some_and(|n| n >= 5)
        })
    }
}

/// Whether a stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More events follow.
    More,
    /// The vendor said it is over; nothing more need be read.
    Done,
}

/// Writes a completion request for `wire_model`, the vendor's own name of the model.
///
/// Unknown fields (`extra`, on every level) are sent unchanged unless this wire format has no place for them or they
/// repeat a field written already; such are named in [`WireBody::dropped_params`].
///
/// # Errors
/// `invalid_request` naming the field; `unsupported` for content the format cannot carry.
pub fn encode_completion(
    api: Api,
    req: &CompletionRequest,
    wire_model: &str,
    traits: &ModelTraits,
    stream: bool,
) -> Result<WireBody> {
    check(req)?;
    let call = Encode {
        req,
        model: wire_model,
        traits,
        stream,
        dropped: Vec::new(),
    };
    match api {
        Api::OpenAiChat => openai::chat_encode::encode(call),
        Api::OpenAiResponses => openai::responses_encode::encode(call),
        Api::AnthropicMessages => anthropic::encode::encode(call),
    }
}

/// Reads a whole answer, everything the vendor decides; model, cost, cache, attempts and timing stay at their defaults.
///
/// # Errors
/// `decode_error` for a body that is no answer; the vendor's error when a 200 carries one.
pub fn decode_completion(api: Api, usage: UsageApi, body: &[u8]) -> Result<Completion> {
    let mut events = Vec::new();
    match api {
        Api::OpenAiChat => openai::chat_decode::whole(usage, body, &mut events)?,
        Api::OpenAiResponses => openai::responses_decode::whole(usage, body, &mut events)?,
        Api::AnthropicMessages => anthropic::decode::whole(usage, body, &mut events)?,
    }
    let mut fold = Fold::new();
    for event in events {
        fold.take(event)?;
    }
    Ok(fold.finish())
}

/// Turns a vendor's stream into ours.
///
/// It emits every event but [`StreamEvent::End`], which the caller adds when it knows cost and timing. Folding its
/// events gives what [`decode_completion`] reads from the same answer; only the spacing inside tool arguments may
/// differ with Anthropic, which sends them as JSON objects there and as text here.
pub struct StreamDecoder(Decoder);

enum Decoder {
    Chat(openai::chat_decode::ChatStream),
    Responses(openai::responses_decode::ResponsesStream),
    Anthropic(anthropic::decode::MessagesStream),
}

impl StreamDecoder {
    /// A decoder for one stream.
    #[must_use]
    pub fn new(api: Api, usage: UsageApi) -> Self {
        Self(match api {
            Api::OpenAiChat => Decoder::Chat(openai::chat_decode::ChatStream::new(usage)),
            Api::OpenAiResponses => {
                Decoder::Responses(openai::responses_decode::ResponsesStream::new(usage))
            }
            Api::AnthropicMessages => {
                Decoder::Anthropic(anthropic::decode::MessagesStream::new(usage))
            }
        })
    }

    /// Reads one event, appending ours to `out`. After [`Progress::Done`] further events are ignored.
    ///
    /// # Errors
    /// `decode_error`, or the vendor's error when the event carries one; the stream is over then.
    pub fn push(&mut self, event: &SseEvent<'_>, out: &mut Vec<StreamEvent>) -> Result<Progress> {
        match &mut self.0 {
            Decoder::Chat(stream) => stream.push(event, out),
            Decoder::Responses(stream) => stream.push(event, out),
            Decoder::Anthropic(stream) => stream.push(event, out),
        }
    }

    /// The connection ended.
    ///
    /// # Errors
    /// `stream_interrupted` unless the vendor had said that the answer is over or why the model stopped.
    pub fn end(&mut self, out: &mut Vec<StreamEvent>) -> Result<()> {
        match &mut self.0 {
            Decoder::Chat(stream) => stream.end(out),
            Decoder::Responses(stream) => stream.end(),
            Decoder::Anthropic(stream) => stream.end(out),
        }
    }
}

/// One request on its way to bytes.
struct Encode<'a> {
    req: &'a CompletionRequest,
    model: &'a str,
    traits: &'a ModelTraits,
    stream: bool,
    dropped: Vec<String>,
}

impl Encode<'_> {
    fn drop_param(&mut self, name: &str) {
        if !self.dropped.iter().any(|dropped| dropped == name) {
            self.dropped.push(name.to_owned());
        }
    }

    fn drop_if(&mut self, name: &str, set: bool) {
        if set {
            self.drop_param(name);
        }
    }

    fn body(self, path: &'static str, body: Vec<u8>) -> WireBody {
        WireBody {
            path,
            body,
            dropped_params: self.dropped,
        }
    }

    /// The caller's own object under `key`, whose members are sent beside ours.
    fn extra_object(&self, key: &str) -> Option<&Extra> {
        self.req.extra.get(key).and_then(Value::as_object)
    }

    /// Names extra fields that `written` already holds, apart from the objects that are `merged` member by member.
    fn drop_repeated(&mut self, written: &write::Obj<'_>, merged: &[&str]) {
        for name in self.req.extra.keys() {
            if written.has(name) && !merged.contains(&name.as_str()) {
                self.drop_param(name);
            }
        }
    }
}

fn check(req: &CompletionRequest) -> Result<()> {
    if req.messages.is_empty() {
        return Err(Error::invalid("messages", "expected at least one message"));
    }
    let floats = [
        ("temperature", req.temperature),
        ("top_p", req.top_p),
        ("frequency_penalty", req.frequency_penalty),
        ("presence_penalty", req.presence_penalty),
    ];
    for (name, value) in floats {
        if value.is_some_and(|v| !v.is_finite()) {
            return Err(Error::invalid(name, "expected a finite number"));
        }
    }
    if req
        .extra
        .get("n")
        .is_some_and(|n| !n.is_null() && n.as_f64() != Some(1.0))
    {
        return Err(Error::invalid("n", "expected 1: a call gives one answer"));
    }
    if req.extra.contains_key("stream") {
        return Err(Error::invalid(
            "stream",
            "expected absent: the method called decides it",
        ));
    }
    for (i, message) in req.messages.iter().enumerate() {
        if message.role == crate::types::Role::Tool && message.tool_call_id.is_none() {
            let path = format!("messages[{i}].tool_call_id");
            return Err(Error::invalid(
                path,
                "expected the id of the call it answers",
            ));
        }
    }
    Ok(())
}
