//! A streamed answer as server-sent events. Each event's data is one line of JSON, in which CR and LF are escaped.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_core::Stream;
use ossai::{Error, StreamEvent};
use serde_json::{Value, json};

use crate::call::Trailer;
use crate::dialect::openai;
use crate::dialect::openai::stream::Chunks;
use crate::live::{Item, Live};

/// What is ready goes out together, up to about so much.
const FRAME: usize = 16 * 1024;

/// What a stream is in one vendor's API.
pub(super) trait Wire: Send + Unpin + 'static {
    /// Writes an event; with the last one what the call came to.
    fn event(&mut self, event: &StreamEvent, trailer: Option<&Trailer>, frame: &mut BytesMut);

    /// Writes the end of a bad stream.
    fn failed(&mut self, error: Error, frame: &mut BytesMut);
}

/// The body of an answer.
struct Events<W> {
    live: Live,
    wire: W,
}

/// The answer a stream goes out in.
pub(super) fn respond(live: Live, wire: impl Wire, model: &str) -> Response {
    let mut response = Response::new(Body::from_stream(Events { live, wire }));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // nginx would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    let provider = model.split('/').next().unwrap_or_default();
    for (name, value) in [("x-ossai-model", model), ("x-ossai-provider", provider)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    response
}

/// What the headers say of other answers; a stream's are long gone when it is known.
pub(super) fn trailer_json(trailer: &Trailer) -> Value {
    json!({
        "cost_usd": trailer.cost.map(|cost| cost.to_string().trim_start_matches('$').to_owned()),
        "cache": trailer.cache,
        "attempts": trailer.attempts,
    })
}

/// Writes one event, without a name where its API's have none.
pub(super) fn put(frame: &mut BytesMut, name: Option<&str>, value: &Value) {
    if let Some(name) = name {
        frame.put_slice(b"event: ");
        frame.put_slice(name.as_bytes());
        frame.put_slice(b"\n");
    }
    frame.put_slice(b"data: ");
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(frame.writer(), value);
    frame.put_slice(b"\n\n");
}

/// Chat Completions.
pub(super) struct Chat {
    pub(super) chunks: Chunks,
    pub(super) scratch: Vec<Value>,
}

impl Wire for Chat {
    fn event(&mut self, event: &StreamEvent, trailer: Option<&Trailer>, frame: &mut BytesMut) {
        self.chunks.push(event, &mut self.scratch);
        for mut chunk in self.scratch.drain(..) {
            if let Some(trailer) = trailer {
                chunk["ossai"] = trailer_json(trailer);
            }
            put(frame, None, &chunk);
        }
        if trailer.is_some() {
            frame.put_slice(b"data: [DONE]\n\n");
        }
    }

    fn failed(&mut self, error: Error, frame: &mut BytesMut) {
        put(frame, None, &openai::error::write(&error));
    }
}

impl<W: Wire> Stream for Events<W> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { live, wire } = &mut *self;
        let mut frame = BytesMut::new();
        while frame.len() < FRAME {
            match live.poll_item(cx) {
                Poll::Ready(Some(Item::Event(event, trailer))) => {
                    wire.event(&event, trailer.as_ref(), &mut frame)
                }
                Poll::Ready(Some(Item::Failed(error))) => wire.failed(error, &mut frame),
                Poll::Ready(Some(Item::Silence)) => frame.put_slice(b": ping\n\n"),
                Poll::Ready(None) if frame.is_empty() => return Poll::Ready(None),
                Poll::Pending if frame.is_empty() => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Ready(Some(Ok(frame.freeze())))
    }
}
