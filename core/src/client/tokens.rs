//! Counting what a request holds, before it is sent.
//!
//! Where the model's encoding is public the text is counted exactly, and the frame of messages, tools and images by the
//! published formulas. Elsewhere the count is an interval, marked as one, that learns from the usage calls return.

use base64::Engine;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Client, Core};
use crate::error::Result;
use crate::tokens::{self, Detail, Encoding, Estimate, Property};
use crate::types::{
    Completion, CompletionRequest, Content, ImagePart, OutputPart, Part, Tool, Usage,
};

/// Bytes of an image's start that hold its size in every format that is read.
const IMAGE_HEAD: usize = 64 * 1024;
/// An image whose size is not known (an address, an unknown format) is between these many tokens.
const UNKNOWN_IMAGE: (u64, u64, u64) = (85, 765, 1_600);

/// How many tokens something is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCount {
    /// The count, or the likely one.
    pub tokens: u64,
    /// No fewer than this.
    pub low: u64,
    /// No more than this.
    pub high: u64,
    /// Whether it is the published encoding's own count with nothing estimated in it.
    pub exact: bool,
    /// The encoding counted with.
    pub encoding: String,
}

impl Client {
    /// How many input tokens a request is, counted offline: text, message frames, tools and images.
    ///
    /// # Errors
    /// `invalid_request` when `model` is not `provider/model`.
    pub fn count(&self, request: &CompletionRequest) -> Result<TokenCount> {
        crate::call::validate::split_model(&request.model)?;
        crate::call::depth::completion(request)?;
        self.core.count_request(request)
    }

    /// How many tokens a text is for a model, counted offline.
    #[must_use]
    pub fn count_text(&self, model: &str, text: &str) -> TokenCount {
        let (encoding, count) = match tokens::encoding_for_model(model) {
            Some(encoding) => (encoding, Estimate::of(encoding.count(text) as u64)),
            None => {
                let base = self.core.tokens().count(text) as u64;
                (
                    self.core.tokens(),
                    self.core.calibration.estimate(model, base),
                )
            }
        };
        TokenCount::new(count, encoding)
    }
}

impl TokenCount {
    fn new(count: Estimate, encoding: &Encoding) -> Self {
        Self {
            tokens: count.expected,
            low: count.low,
            high: count.high,
            exact: count.exact,
            encoding: encoding.name().into(),
        }
    }
}

impl Core {
    pub(crate) fn count_request(&self, request: &CompletionRequest) -> Result<TokenCount> {
        let published = tokens::encoding_for_model(&request.model);
        let encoding = published.unwrap_or_else(|| self.tokens());
        let base = base_count(request, encoding);
        let mut count = match published {
            Some(_) => Estimate::of(base),
            None => self.calibration.estimate(&request.model, base),
        };
        // A tool's form is published by formula only, and a call's not at all: some tokens either way.
        let calls: usize = request
            .messages
            .iter()
            .map(|message| message.tool_calls.len())
            .sum();
        if !request.tools.is_empty() || calls > 0 {
            let tools = tool_count(request, encoding);
            let slack = tools / 10 + 8 * calls as u64;
            let likely = count.expected.saturating_add(tools);
            let low = count.low.saturating_add(tools).saturating_sub(slack);
            let high = count.high.saturating_add(tools).saturating_add(slack);
            count = Estimate {
                exact: false,
                ..Estimate::between(low, high, likely)
            };
        }
        for image in images(request) {
            count = count.plus(image_count(&request.model, image));
        }
        if has_unread_parts(request) {
            count.exact = false;
        }
        Ok(TokenCount::new(count, encoding))
    }

    /// Our own count where the vendor sent none.
    pub(crate) fn counted_usage(
        &self,
        request: &CompletionRequest,
        completion: &Completion,
    ) -> Usage {
        let input = self.count_request(request).map_or(0, |count| count.tokens);
        let mut output = 0_u64;
        let encoding = tokens::encoding_for_model(&request.model).unwrap_or_else(|| self.tokens());
        for part in &completion.parts {
            output += match part {
                OutputPart::Text { text } | OutputPart::Refusal { text } => encoding.count(text),
                OutputPart::Reasoning(part) => encoding.count(&part.text),
                OutputPart::ToolCall(call) => {
                    encoding.count(&call.name) + encoding.count(&call.arguments)
                }
                OutputPart::Other(_) => 0,
            } as u64;
        }
        Usage {
            input_tokens: input,
            output_tokens: output,
            estimated: true,
            ..Usage::default()
        }
    }

    /// Learns from a vendor's own count of a request it could only estimate.
    pub(crate) fn calibrate(&self, request: &CompletionRequest, usage: &Usage) {
        let learnable = !usage.estimated
            && usage.input_tokens > 0
            && request.tools.is_empty()
            && images(request).next().is_none()
            && !has_unread_parts(request)
            && tokens::encoding_for_model(&request.model).is_none();
        if learnable {
            self.calibration.record(
                &request.model,
                base_count(request, self.tokens()),
                usage.input_tokens,
            );
        }
    }
}

/// Text and message frames.
fn base_count(request: &CompletionRequest, encoding: &Encoding) -> u64 {
    let texts: Vec<Vec<&str>> = request
        .messages
        .iter()
        .map(|message| texts(&message.content))
        .collect();
    let calls: Vec<Vec<(&str, &str)>> = request
        .messages
        .iter()
        .map(|message| {
            message
                .tool_calls
                .iter()
                .map(|call| (call.name.as_str(), call.arguments.as_str()))
                .collect()
        })
        .collect();
    let messages: Vec<tokens::Message<'_>> = request
        .messages
        .iter()
        .zip(texts.iter().zip(&calls))
        .map(|(message, (texts, tool_calls))| tokens::Message {
            role: message.role.as_str(),
            name: message.name.as_deref(),
            texts,
            tool_calls,
        })
        .collect();
    tokens::chat_tokens(encoding, &messages) as u64
}

fn texts(content: &Content) -> Vec<&str> {
    match content {
        Content::Text(text) => vec![text],
        Content::Parts(parts) => parts
            .iter()
            .filter_map(|part| match part {
                Part::Text(part) => Some(part.text.as_str()),
                Part::Reasoning(part) => Some(part.text.as_str()),
                _ => None,
            })
            .collect(),
    }
}

fn parts(request: &CompletionRequest) -> impl Iterator<Item = &Part> {
    request
        .messages
        .iter()
        .flat_map(|message| match &message.content {
            Content::Text(_) => [].iter(),
            Content::Parts(parts) => parts.iter(),
        })
}

fn images(request: &CompletionRequest) -> impl Iterator<Item = &ImagePart> {
    parts(request).filter_map(|part| match part {
        Part::Image(image) => Some(image),
        _ => None,
    })
}

/// Whether there is content that cannot be counted here: audio, documents, unknown parts, a provider's own tools.
fn has_unread_parts(request: &CompletionRequest) -> bool {
    parts(request).any(|part| matches!(part, Part::Audio(_) | Part::File(_) | Part::Other(_)))
        || request
            .tools
            .iter()
            .any(|tool| matches!(tool, Tool::Provider(_)))
}

fn image_count(model: &str, image: &ImagePart) -> Estimate {
    let detail = match image.detail.as_deref() {
        Some("low") => Detail::Low,
        Some("high") => Detail::High,
        _ => Detail::default(),
    };
    // Whole groups of four characters, so that a cut image still decodes.
    let size = image.data.as_deref().and_then(|data| {
        let head = data.get(..data.len().min(IMAGE_HEAD / 3 * 4) / 4 * 4)?;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(head)
            .ok()?;
        tokens::image_size(&bytes)
    });
    let known = size.and_then(|(width, height)| tokens::image_tokens(model, width, height, detail));
    let (low, likely, high) = UNKNOWN_IMAGE;
    known.unwrap_or_else(|| Estimate::between(low, high, likely))
}

/// Tool definitions, by OpenAI's published formula.
fn tool_count(request: &CompletionRequest, encoding: &Encoding) -> u64 {
    request
        .tools
        .iter()
        .map(|tool| match tool {
            Tool::Function(tool) => {
                let schema = tool
                    .parameters
                    .as_ref()
                    .map(Schema::read)
                    .unwrap_or_default();
                schema.with_properties(|properties| {
                    let tool = tokens::Tool {
                        name: &tool.name,
                        description: tool.description.as_deref().unwrap_or_default(),
                        properties,
                    };
                    tokens::tool_tokens(encoding, &[tool])
                })
            }
            Tool::Provider(_) => 0,
        })
        .sum::<usize>() as u64
}

/// The parts of a JSON Schema that become tokens, owned so that they can be borrowed in the formula's shape.
#[derive(Default)]
struct Schema<'a> {
    properties: Vec<SchemaProperty<'a>>,
}

struct SchemaProperty<'a> {
    name: &'a str,
    kind: &'a str,
    description: &'a str,
    choices: Vec<&'a str>,
    inner: Schema<'a>,
}

impl<'a> Schema<'a> {
    fn read(schema: &'a Value) -> Self {
        Self::read_to(schema, 16)
    }

    /// Reads down to a depth no real schema reaches.
    fn read_to(schema: &'a Value, depth: usize) -> Self {
        let text = |value: &'a Value, name: &str| {
            value.get(name).and_then(Value::as_str).unwrap_or_default()
        };
        let Some(fields) = schema
            .get("properties")
            .and_then(Value::as_object)
            .filter(|_| depth > 0)
        else {
            return Self::default();
        };
        let properties = fields
            .iter()
            .map(|(name, value)| SchemaProperty {
                name,
                kind: text(value, "type"),
                description: text(value, "description"),
                choices: value
                    .get("enum")
                    .and_then(Value::as_array)
                    .map(|choices| choices.iter().filter_map(Value::as_str).collect())
                    .unwrap_or_default(),
                inner: Self::read_to(value.get("items").unwrap_or(value), depth - 1),
            })
            .collect();
        Self { properties }
    }

    fn with_properties<T>(&self, then: impl FnOnce(&[Property<'_>]) -> T) -> T {
        let inner: Vec<Vec<Property<'_>>> = self
            .properties
            .iter()
            .map(|property| property.inner.flat())
            .collect();
        let all: Vec<Property<'_>> = self
            .properties
            .iter()
            .zip(&inner)
            .map(|(property, inner)| Property {
                properties: inner,
                ..property.alone()
            })
            .collect();
        then(&all)
    }

    /// All properties beneath, one after the other: the formula counts nested ones like outer ones.
    fn flat(&self) -> Vec<Property<'_>> {
        let mut all = Vec::new();
        for property in &self.properties {
            all.push(property.alone());
            all.extend(property.inner.flat());
        }
        all
    }
}

impl SchemaProperty<'_> {
    fn alone(&self) -> Property<'_> {
        Property {
            name: self.name,
            kind: self.kind,
            description: self.description,
            choices: &self.choices,
            properties: &[],
        }
    }
}
