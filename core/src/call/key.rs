//! The key of a call: what makes two calls the same one.
//!
//! A key is the 256-bit BLAKE3 digest of a canonical encoding of everything that can change the answer: tenant,
//! credential, provider, address, endpoint, version, model and the whole request, unknown fields included. Every value
//! carries a tag and every string and list its length, so no two different inputs share an encoding. The bytes are the
//! same on every platform and in every language, since all of them come here to have a key made.
//!
//! Numbers are canonical in the sense of RFC 8785 (`1`, `1.0` and `1e0` are one number, `-0` is `0`), except that
//! integers keep all 64 bits instead of being rounded to a double. Text is not normalised: two spellings that a model
//! could tell apart stay apart. Call options never enter a key: time-outs and tags do not change an answer.

use std::cell::RefCell;

use serde_json::{Number, Value};

use crate::types::{
    CompletionRequest, Content, EmbeddingInput, EmbeddingRequest, Extra, Message, Part,
    ResponseFormat, Role, Tool, ToolChoice,
};

/// Changes whenever the encoding does, so that stores shared between versions miss instead of answering wrongly.
const SCHEMA: u8 = 1;

/// The key of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.hex())
    }
}

impl Key {
    /// The key as 64 hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// The key of a completion, whether it was asked for as a stream or not.
    #[must_use]
    pub fn whole(&self) -> Self {
        let mut bytes = self.0;
        bytes[31] &= !1;
        Self(bytes)
    }

    /// The key of the same completion asked for as a stream.
    ///
    /// Flights of the two kinds differ (one has events to replay), their answers do not.
    #[must_use]
    pub fn as_stream(&self) -> Self {
        let mut bytes = self.0;
        bytes[31] ^= 1;
        Self(bytes)
    }
}

/// Where a call goes, as far as its key is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The tenant; absent, empty and `none` are three different ones.
    pub tenant: Option<&'a str>,
    /// Keyed digest of the credential.
    pub credential: &'a [u8; 32],
    /// The provider's name, or `orchestrator`.
    pub provider: &'a str,
    /// Base address.
    pub base_url: &'a str,
    /// Endpoint and version.
    pub endpoint: &'a str,
    /// The model as the upstream names it.
    pub model: &'a str,
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Encodings larger than this are not kept between calls.
const SCRATCH_KEPT: usize = 256 * 1024;

fn digest(write: impl FnOnce(&mut Canon<'_>)) -> Key {
    SCRATCH.with_borrow_mut(|buffer| {
        buffer.clear();
        write(&mut Canon(buffer));
        let key = Key(*blake3::hash(buffer).as_bytes());
        if buffer.capacity() > SCRATCH_KEPT {
            *buffer = Vec::new();
        }
        key
    })
}

/// The key of a completion.
#[must_use]
pub fn completion_key(place: &Place<'_>, request: &CompletionRequest) -> Key {
    let mut key = digest(|out| {
        out.place(b'c', place);
        out.completion(request);
    });
    // The last bit tells the stream apart, see `as_stream`.
    key.0[31] &= !1;
    key
}

/// What a completion shares with all that differ from it in the last user's text alone, and that text.
///
/// `None` where the last message is not a user's, or has not exactly one text.
#[must_use]
pub fn similar_key(place: &Place<'_>, request: &CompletionRequest) -> Option<(Key, String)> {
    if request.messages.last()?.role != Role::User {
        return None;
    }
    let mut rest = request.clone();
    let last = rest.messages.last_mut()?;
    let text = match &mut last.content {
        Content::Text(text) => std::mem::take(text),
        Content::Parts(parts) => {
            let mut texts = parts.iter_mut().filter_map(|part| match part {
                Part::Text(part) => Some(&mut part.text),
                _ => None,
            });
            let text = std::mem::take(texts.next()?);
            if texts.next().is_some() {
                return None;
            }
            text
        }
    };
    let key = digest(|out| {
        out.place(b's', place);
        out.completion(&rest);
    });
    Some((key, text))
}

/// The key of an embedding.
#[must_use]
pub fn embedding_key(place: &Place<'_>, request: &EmbeddingRequest) -> Key {
    digest(|out| {
        out.place(b'e', place);
        out.embedding(request);
    })
}

/// Writes the canonical encoding.
struct Canon<'a>(&'a mut Vec<u8>);

impl Canon<'_> {
    fn tag(&mut self, tag: u8) {
        self.0.push(tag);
    }

    fn len(&mut self, len: usize) {
        self.0.extend_from_slice(&(len as u64).to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.len(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn str(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            None => self.tag(0),
            Some(value) => {
                self.tag(1);
                write(self, value);
            }
        }
    }

    fn opt_str(&mut self, text: Option<&str>) {
        self.option(text, Self::str);
    }

    fn opt_bool(&mut self, value: Option<bool>) {
        self.option(value, |out, value| out.tag(u8::from(value)));
    }

    fn opt_u64(&mut self, value: Option<u64>) {
        self.option(value, |out, value| {
            out.0.extend_from_slice(&value.to_le_bytes())
        });
    }

    fn opt_f64(&mut self, value: Option<f64>) {
        self.option(value, Self::f64);
    }

    fn f64(&mut self, value: f64) {
        // -0 and 0 are one number; NaN never gets here (validation refuses it) but would still be one value.
        let value = if value == 0.0 { 0.0 } else { value };
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    fn place(&mut self, kind: u8, place: &Place<'_>) {
        self.tag(SCHEMA);
        self.tag(kind);
        self.opt_str(place.tenant);
        self.0.extend_from_slice(place.credential);
        self.str(place.provider);
        self.str(place.base_url);
        self.str(place.endpoint);
        self.str(place.model);
    }

    fn completion(&mut self, request: &CompletionRequest) {
        // Every field by name: a new one does not compile until it has its place in the key.
        let CompletionRequest {
            model: _, // in the place, as the upstream names it
            messages,
            tools,
            tool_choice,
            parallel_tool_calls,
            response_format,
            max_tokens,
            temperature,
            top_p,
            top_k,
            frequency_penalty,
            presence_penalty,
            seed,
            stop,
            reasoning_effort,
            service_tier,
            metadata,
            user,
            extra,
        } = request;
        self.len(messages.len());
        for message in messages {
            self.message(message);
        }
        self.len(tools.len());
        for tool in tools {
            match tool {
                Tool::Function(tool) => {
                    self.tag(0);
                    self.str(&tool.name);
                    self.opt_str(tool.description.as_deref());
                    self.option(tool.parameters.as_ref(), Self::value);
                    self.opt_bool(tool.strict);
                    self.extra(&tool.extra);
                }
                Tool::Provider(value) => {
                    self.tag(1);
                    self.value(value);
                }
            }
        }
        self.option(tool_choice.as_ref(), |out, choice| match choice {
            ToolChoice::Auto => out.tag(0),
            ToolChoice::None => out.tag(1),
            ToolChoice::Required => out.tag(2),
            ToolChoice::Function(name) => {
                out.tag(3);
                out.str(name);
            }
        });
        self.opt_bool(*parallel_tool_calls);
        self.option(response_format.as_ref(), |out, format| match format {
            ResponseFormat::Text => out.tag(0),
            ResponseFormat::JsonObject => out.tag(1),
            ResponseFormat::JsonSchema {
                name,
                schema,
                strict,
                description,
            } => {
                out.tag(2);
                out.str(name);
                out.value(schema);
                out.opt_bool(*strict);
                out.opt_str(description.as_deref());
            }
        });
        self.opt_u64(*max_tokens);
        self.opt_f64(*temperature);
        self.opt_f64(*top_p);
        self.opt_u64(*top_k);
        self.opt_f64(*frequency_penalty);
        self.opt_f64(*presence_penalty);
        self.option(*seed, |out, seed| {
            out.0.extend_from_slice(&seed.to_le_bytes())
        });
        self.len(stop.len());
        for stop in stop {
            self.str(stop);
        }
        self.opt_str(reasoning_effort.map(|effort| effort.as_str()));
        self.opt_str(service_tier.as_deref());
        self.extra(metadata);
        self.opt_str(user.as_deref());
        self.extra(extra);
    }

    fn message(&mut self, message: &Message) {
        let Message {
            role,
            content,
            name,
            tool_calls,
            tool_call_id,
            is_error,
            extra,
        } = message;
        self.str(role.as_str());
        match content {
            Content::Text(text) => {
                self.tag(0);
                self.str(text);
            }
            Content::Parts(parts) => {
                self.tag(1);
                self.len(parts.len());
                for part in parts {
                    self.part(part);
                }
            }
        }
        self.opt_str(name.as_deref());
        self.len(tool_calls.len());
        for call in tool_calls {
            self.str(&call.id);
            self.str(&call.name);
            self.str(&call.arguments);
            self.extra(&call.extra);
        }
        self.opt_str(tool_call_id.as_deref());
        self.tag(u8::from(*is_error));
        self.extra(extra);
    }

    fn part(&mut self, part: &Part) {
        match part {
            Part::Text(part) => {
                self.tag(0);
                self.str(&part.text);
                self.extra(&part.extra);
            }
            Part::Image(part) => {
                self.tag(1);
                self.opt_str(part.url.as_deref());
                self.opt_str(part.data.as_deref());
                self.opt_str(part.media_type.as_deref());
                self.opt_str(part.detail.as_deref());
                self.extra(&part.extra);
            }
            Part::Audio(part) => {
                self.tag(2);
                self.str(&part.data);
                self.str(&part.format);
                self.extra(&part.extra);
            }
            Part::File(part) => {
                self.tag(3);
                self.opt_str(part.url.as_deref());
                self.opt_str(part.data.as_deref());
                self.opt_str(part.file_id.as_deref());
                self.opt_str(part.media_type.as_deref());
                self.opt_str(part.filename.as_deref());
                self.extra(&part.extra);
            }
            Part::Reasoning(part) => {
                self.tag(4);
                self.str(&part.text);
                self.opt_str(part.signature.as_deref());
                self.opt_str(part.redacted.as_deref());
                self.extra(&part.extra);
            }
            Part::Other(value) => {
                self.tag(5);
                self.value(value);
            }
        }
    }

    fn embedding(&mut self, request: &EmbeddingRequest) {
        let EmbeddingRequest {
            model: _,
            input,
            dimensions,
            user,
            extra,
        } = request;
        match input {
            EmbeddingInput::Text(text) => {
                self.tag(0);
                self.str(text);
            }
            EmbeddingInput::Texts(texts) => {
                self.tag(1);
                self.len(texts.len());
                for text in texts {
                    self.str(text);
                }
            }
            EmbeddingInput::Tokens(tokens) => {
                self.tag(2);
                self.tokens(tokens);
            }
            EmbeddingInput::TokenLists(lists) => {
                self.tag(3);
                self.len(lists.len());
                for tokens in lists {
                    self.tokens(tokens);
                }
            }
        }
        self.opt_u64(dimensions.map(u64::from));
        self.opt_str(user.as_deref());
        self.extra(extra);
    }

    fn tokens(&mut self, tokens: &[u32]) {
        self.len(tokens.len());
        for token in tokens {
            self.0.extend_from_slice(&token.to_le_bytes());
        }
    }

    fn extra(&mut self, extra: &Extra) {
        self.len(extra.len());
        // The map's own order depends on a feature any crate in the build may turn on.
        if extra.keys().is_sorted() {
            for (name, value) in extra {
                self.str(name);
                self.value(value);
            }
        } else {
            let mut fields: Vec<_> = extra.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| name.as_str());
            for (name, value) in fields {
                self.str(name);
                self.value(value);
            }
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.tag(0),
            Value::Bool(value) => {
                self.tag(1);
                self.tag(u8::from(*value));
            }
            Value::Number(number) => self.number(number),
            Value::String(text) => {
                self.tag(5);
                self.str(text);
            }
            Value::Array(items) => {
                self.tag(6);
                self.len(items.len());
                for item in items {
                    self.value(item);
                }
            }
            Value::Object(fields) => {
                self.tag(7);
                self.extra(fields);
            }
        }
    }

    fn number(&mut self, number: &Number) {
        /// Up to here a double holds every integer, so `1e15` and `1000000000000000` are one number.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if let Some(n) = number.as_i64() {
            self.tag(2);
            self.0.extend_from_slice(&n.to_le_bytes());
        } else if let Some(n) = number.as_u64() {
            self.tag(3);
            self.0.extend_from_slice(&n.to_le_bytes());
        } else {
            let float = number.as_f64().unwrap_or(f64::NAN);
            if float.fract() == 0.0 && float.abs() <= EXACT {
                self.tag(2);
                #[allow(clippy::cast_possible_truncation)]
                self.0.extend_from_slice(&(float as i64).to_le_bytes());
            } else {
                self.tag(4);
                self.f64(float);
            }
        }
    }
}

#[cfg(test)]
mod tests;
