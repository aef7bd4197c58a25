//! Idempotent replay over HTTP: whatever POST passes the gate with an `idempotency-key` is answered once.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use futures_core::Stream;
use ossai::{Error, Result};

use super::{body, error, valid_idempotency_key};
use crate::app::App;
use crate::call::{Caller, Place};
use crate::guard::replay::{self, Kept, Ticket, Turn};

const KEY: &str = "idempotency-key";
/// Says that an answer is a kept one.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Answers a request, or gives the answer it got before.
pub(crate) async fn answer(app: &Arc<App>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(KEY) {
        return next.run(request).await;
    }
    let anthropic = error::is_anthropic(request.uri().path(), request.headers());
    let Some(caller) = request.extensions().get::<Caller>().cloned() else {
        return next.run(request).await;
    };
    let id = Arc::clone(&caller.request_id);
    let run = async {
        let given = request.headers().get(KEY).and_then(|key| key.to_str().ok());
        let given = valid_idempotency_key(KEY, given.unwrap_or_default())?.to_owned();
        let (head, sent) = request.into_parts();
        let bytes = body::collect(app, &head.headers, sent).await?;
        let key = replay::key(&caller.identity, "http", &given);
        let print = replay::print(head.uri.path(), &bytes);
        match app.replays.begin(key, print, Instant::now())? {
            Turn::Replay(kept) => Ok(again(&kept)),
            Turn::Run(ticket) => {
                let place = Arc::clone(&caller.place);
                let response = next.run(Request::from_parts(head, Body::from(bytes))).await;
                Ok(keep(response, ticket, place))
            }
        }
    };
    let outcome: Result<Response, Error> = run.await;
    outcome.unwrap_or_else(|error| {
        app.metrics.refused(crate::gate::reason(&error));
        error::respond_as(anthropic, &error, &id)
    })
}

fn again(kept: &Kept) -> Response {
    let mut response = Response::new(Body::from(kept.parts.first().cloned().unwrap_or_default()));
    *response.headers_mut() = kept.headers.clone();
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// The answer on its way out, kept when it was a good one and has come to its end.
fn keep(response: Response, ticket: Ticket, place: Arc<Place>) -> Response {
    if !response.status().is_success() {
        return response;
    }
    let (head, body) = response.into_parts();
    let mut headers = head.headers.clone();
    headers.remove(CONTENT_LENGTH);
    let copy = Copying {
        body: body.into_data_stream(),
        got: Vec::new(),
        size: 0,
        keeping: Some((ticket, headers)),
        place,
    };
    Response::from_parts(head, Body::from_stream(copy))
}

struct Copying {
    body: BodyDataStream,
    got: Vec<Bytes>,
    size: usize,
    keeping: Option<(Ticket, HeaderMap)>,
    place: Arc<Place>,
}

impl Stream for Copying {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(bytes))) => {
                this.size += bytes.len();
                if let Some((ticket, _)) = &this.keeping {
                    if this.size > ticket.most() {
                        this.keeping = None;
                        this.got = Vec::new();
                    } else {
                        this.got.push(bytes.clone());
                    }
                }
            }
            Poll::Ready(Some(Err(_))) => this.keeping = None,
            Poll::Ready(None) => {
                if let Some((ticket, headers)) = this.keeping.take()
                    && !this.place.is_spoilt()
                {
                    let parts = vec![Bytes::from(this.got.concat())];
                    ticket.keep(Kept { headers, parts }, Instant::now());
                }
            }
            Poll::Pending => {}
        }
        polled
    }
}
