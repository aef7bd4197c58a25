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
use crate::live::{Item, Live};

/// What is ready goes out together, up to about so much.
const FRAME: usize = 16 * 1024;

/// A vendor's way to write a stream.
pub(super) trait Wire: Send + Unpin + 'static {
    /// Writes an event; with the last one comes what the call came to.
    fn event(&mut self, event: &StreamEvent, trailer: Option<&Trailer>, frame: &mut BytesMut);
    /// Writes the error that ends a bad stream.
    fn failed(&mut self, error: &Error, frame: &mut BytesMut);
    /// Writes a sign of life: a comment, which every reader passes over.
    fn silence(&mut self, frame: &mut BytesMut) {
        frame.put_slice(b": ping\n\n");
    }
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

/// What headers say of other answers, which are long gone when a stream ends.
pub(super) fn came_to(trailer: &Trailer) -> Value {
    json!({
        "cost_usd": trailer.cost.map(|cost| cost.to_string().trim_start_matches('$').to_owned()),
        "cache": trailer.cache,
        "attempts": trailer.attempts,
    })
}

impl<W: Wire> Stream for Events<W> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut frame = BytesMut::new();
        while frame.len() < FRAME {
            match self.live.poll_item(cx) {
                Poll::Ready(Some(Item::Event(event, trailer))) => {
                    self.wire.event(&event, trailer.as_ref(), &mut frame)
                }
                Poll::Ready(Some(Item::Failed(error))) => self.wire.failed(&error, &mut frame),
                Poll::Ready(Some(Item::Silence)) => self.wire.silence(&mut frame),
                Poll::Ready(None) if frame.is_empty() => return Poll::Ready(None),
                Poll::Pending if frame.is_empty() => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Ready(Some(Ok(frame.freeze())))
    }
}
