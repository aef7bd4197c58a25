//! What an upstream is told to do: one response after another, down to the byte and the millisecond.

mod anthropic;
mod batch;
mod body;
mod date;
mod grpc;
mod h2;
mod openai;
mod plan;
mod responses;
mod sse;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use batch::Submission;
pub use body::{Rendered, RequestView, render};
pub use grpc::message;
pub use h2::{GoAway, H2};
pub use plan::{Plan, Step, plan};
pub use sse::event_text;

use crate::matcher;

/// Largest body a script may generate, in bytes.
pub const MAX_BODY: usize = 64 << 20;

/// A scripted upstream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// For each request the first response that is not used up and whose `when` holds.
    pub responses: Vec<Response>,
    /// Answers every request no response is left for; without it they get a 500 that says so.
    pub default: Option<Box<Response>>,
    /// All delays are divided by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_scale: Option<f64>,
    /// How the port behaves.
    pub listen: Listen,
    /// TLS on a port of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// What a Redis does at each command, by the command's name: at its first, its second …; the last goes for all after it.
    /// Commands that are not named do what Redis does.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub redis: BTreeMap<String, Vec<Reply>>,
}

/// TLS with a certificate of an authority made for the script.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Whom the certificate is for, instead of this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether its time is over.
    pub expired: bool,
}

/// What a Redis does at a command, after `after_ms`; without anything else what Redis does.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reply {
    /// The wait before, in milliseconds.
    pub after_ms: f64,
    /// Answers nothing, and keeps the connection.
    pub hangs: bool,
    /// Closes the connection.
    pub closes: bool,
    /// Answers this error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Answers these bytes of text as a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// How an upstream's port behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listen {
    /// HTTP/1.1 on the port all scripts share, under the script's own path prefix.
    #[default]
    Shared,
    /// HTTP/1.1 on a port of its own.
    Own,
    /// A port on which every connection is refused.
    Refuse,
    /// Connections are accepted and closed at once.
    AcceptClose,
    /// Connections are accepted and reset at once.
    AcceptReset,
    /// Connections are accepted and nothing is ever read or sent.
    AcceptHang,
    /// Connections are never accepted: the backlog is full, a connect attempt runs into its time-out (Linux).
    NoAccept,
    /// HTTP/2 on a port of its own: with prior knowledge, or as TLS agreed on it.
    H2,
    /// A Redis on a port of its own.
    Redis,
}

/// One response.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Response {
    /// Only for requests that match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// How many requests it answers; 1 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// 200 unless said otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Added to the usual headers; one of these replaces a usual one of its name, `null` leaves it out.
    pub headers: Vec<(String, Option<String>)>,
    /// The head as it is, the empty line included, instead of status and headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_head: Option<String>,
    /// Adds so many headers of so many bytes each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_flood: Option<Flood>,
    /// The body; see [`render`].
    pub body: Value,
    /// `gzip`, `deflate` or `identity`, or a list of them applied in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// How the body's end is marked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub framing: Option<Framing>,
    /// Says this length instead of the true one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_length: Option<u64>,
    /// Where the body is split into separate writes (and chunks, when chunked).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunks: Option<Chunks>,
    /// The wait before the head, in milliseconds.
    pub delay_ms: f64,
    /// The wait between two pieces of the body, in milliseconds.
    pub chunk_delay_ms: f64,
    /// Sends the head byte by byte with this wait between, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_byte_delay_ms: Option<f64>,
    /// Waits at places.
    pub pauses: Vec<Pause>,
    /// Sends nothing more after this place, and keeps the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall_after: Option<Place>,
    /// Resets the connection (RST) after this place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset_after: Option<Place>,
    /// Closes the connection (FIN) after this place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close_after: Option<Place>,
    /// What only HTTP/2 can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub h2: Option<H2>,
}

/// Which requests a response answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// Matcher for the path, without the script's prefix and without the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Value>,
    /// Matcher for the method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Value>,
    /// Matcher for the headers as an object of lower-case names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Value>,
    /// Matcher for the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// Matcher for the number of the request at this script, the first being 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Value>,
}

/// Many headers.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flood {
    /// How many.
    pub count: usize,
    /// Bytes of each value.
    pub bytes: usize,
}

/// Content encodings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Encoding {
    /// One.
    One(String),
    /// Several, in the order in which they were applied.
    Many(Vec<String>),
}

impl Encoding {
    /// The encodings in the order in which they are applied.
    #[must_use]
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// How a body's end is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// `content-length`.
    Length,
    /// `transfer-encoding: chunked`.
    Chunked,
    /// By closing the connection.
    Close,
}

/// Where a body is split.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Chunks {
    /// `one`, `bytes`, or `events` (after each SSE event; the rule for SSE bodies).
    Named(ChunkRule),
    /// At these offsets.
    At(Vec<usize>),
    /// After every so many bytes.
    Every {
        /// How many.
        every: usize,
    },
}

/// A named way to split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChunkRule {
    /// Not at all.
    One,
    /// Every byte.
    Bytes,
    /// After every SSE event.
    Events,
}

/// A place in a response.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Place {
    /// After so many bytes of the encoded body.
    Body(usize),
    /// Counted otherwise.
    Other(OtherPlace),
}

/// A place that is not a plain offset in the body.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherPlace {
    /// After so many bytes of the head; 0 is before anything.
    Head(usize),
    /// After so many SSE events of the body.
    Event(usize),
    /// So many bytes before the end of the body.
    FromEnd(usize),
}

/// A wait at a place.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Where.
    pub after: Place,
    /// How long, in milliseconds.
    pub ms: f64,
}

impl Script {
    /// Reads and checks a script.
    ///
    /// # Errors
    /// What is wrong with it, with the place.
    pub fn parse(value: Value) -> Result<Self, String> {
        let script: Self = serde_json::from_value(value).map_err(|e| format!("script: {e}"))?;
        script.check()?;
        Ok(script)
    }

    /// Checks what the types cannot: matchers, bodies, encodings, durations.
    ///
    /// # Errors
    /// What is wrong, with the place.
    pub fn check(&self) -> Result<(), String> {
        if let Some(scale) = self.time_scale
            && !(scale.is_finite() && scale > 0.0)
        {
            return Err("script.time_scale: expected a positive number".into());
        }
        if self.tls.is_some() && !matches!(self.listen, Listen::Own | Listen::H2) {
            return Err("script.tls: only with `listen` `own` or `h2`".into());
        }
        if !self.redis.is_empty() && self.listen != Listen::Redis {
            return Err("script.redis: only with `listen` `redis`".into());
        }
        for (command, replies) in &self.redis {
            let sound = replies.iter().all(|reply| {
                let ways = [
                    reply.hangs,
                    reply.closes,
                    reply.error.is_some(),
                    reply.value.is_some(),
                ];
                ways.iter().filter(|way| **way).count() <= 1 && is_wait(reply.after_ms)
            });
            if replies.is_empty() || !sound {
                return Err(format!(
                    "script.redis.{command}: expected replies with at most one of hangs, closes, error, value"
                ));
            }
        }
        let all = self.responses.iter().chain(self.default.as_deref());
        for (i, response) in all.enumerate() {
            response
                .check()
                .and_then(|()| self.check_h2(response))
                .map_err(|e| format!("script.responses[{i}].{e}"))?;
        }
        Ok(())
    }
}

impl Script {
    fn check_h2(&self, response: &Response) -> Result<(), String> {
        match (self.listen, &response.h2) {
            (Listen::H2, _) => h2::check(response),
            (_, None) => Ok(()),
            _ => Err("h2: only with `listen` `h2`".into()),
        }
    }
}

fn is_wait(ms: f64) -> bool {
    ms.is_finite() && (0.0..=86_400_000.0).contains(&ms)
}

impl Response {
    fn check(&self) -> Result<(), String> {
        if let Some(when) = &self.when {
            for matcher in [
                &when.path,
                &when.method,
                &when.headers,
                &when.body,
                &when.request,
            ]
            .into_iter()
            .flatten()
            {
                matcher::check(matcher).map_err(|e| format!("when: {e}"))?;
            }
        }
        let pauses = self.pauses.iter().map(|p| p.ms);
        for ms in pauses.chain([
            self.delay_ms,
            self.chunk_delay_ms,
            self.head_byte_delay_ms.unwrap_or(0.0),
        ]) {
            if !is_wait(ms) {
                return Err("expected delays between 0 and one day".into());
            }
        }
        if matches!(self.chunks, Some(Chunks::Every { every: 0 })) {
            return Err("chunks.every: expected at least 1".into());
        }
        plan(self, &RequestView::default()).map(|_| ())
    }
}
