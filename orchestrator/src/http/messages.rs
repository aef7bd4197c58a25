//! `POST /v1/messages` and `POST /v1/messages/count_tokens`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::BytesMut;
use ossai::{Error, Result, StreamEvent};
use serde_json::{Value, json};

use super::own::off_thread;
use super::{beta, body, check_messages, error, header_options, sse, trailer_headers};
use crate::app::App;
use crate::call::{Asked, Call, Caller, Trailer};
use crate::dialect::anthropic;
use crate::dialect::anthropic::request::MessagesCall;
use crate::live::Live;

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let id = Arc::clone(&caller.request_id);
    run(&app, caller, request)
        .await
        .unwrap_or_else(|error| error::respond_as(true, &error, &id))
}

async fn run(app: &Arc<App>, caller: Caller, request: Request) -> Result<Response> {
    let headers = request.headers().clone();
    let MessagesCall {
        mut request,
        options,
        stream,
        names,
    } = anthropic::request::read(body::read(app, request).await?)?;
    let mut options = header_options(&headers, &caller, options)?;
    check_messages(app, &request)?;
    request.model = app.full_model_name(&request.model)?;
    beta::pass_on(&app.config.client, &headers, &request.model, &mut options)?;
    let id = Arc::clone(&caller.request_id);
    let mut call = Call::begin(app, caller, Asked::Chat(&request), &options, stream).await?;
    let client = call.client().clone();
    if stream {
        let model = request.model.clone();
        let wire = Messages {
            events: anthropic::stream::Events::new(&id, &model),
            request_id: id,
            scratch: Vec::new(),
        };
        let opening = Box::pin(async move {
            let opened = client.stream_with(request, options).await;
            opened.map_err(|error| names.rename(error))
        });
        return Ok(sse::respond(Live::open(call, opening).await?, wire, &model));
    }
    match client.complete_with(request, options).await {
        Ok(answer) => {
            let trailer = call.completed(&answer);
            let mut response = body::json(StatusCode::OK, &anthropic::message::write(&answer));
            trailer_headers(response.headers_mut(), &trailer);
            Ok(response)
        }
        Err(error) => {
            call.failed(&error);
            Err(names.rename(error))
        }
    }
}

/// Each event has its name in a line of its own, which is its `type`, too.
struct Messages {
    events: anthropic::stream::Events,
    request_id: Arc<str>,
    scratch: Vec<Value>,
}

impl sse::Wire for Messages {
    fn event(&mut self, event: &StreamEvent, trailer: Option<&Trailer>, frame: &mut BytesMut) {
        let last = || trailer.map(sse::came_to);
        self.events.push(event, last, &mut self.scratch);
        for event in self.scratch.drain(..) {
            put(frame, &event);
        }
    }

    fn failed(&mut self, error: &Error, frame: &mut BytesMut) {
        put(frame, &anthropic::error::write(error, &self.request_id));
    }

    fn silence(&mut self, frame: &mut BytesMut) {
        put(frame, &json!({ "type": "ping" }));
    }
}

fn put(frame: &mut BytesMut, event: &Value) {
    sse::put(frame, event.get("type").and_then(Value::as_str), event);
}

/// Counted here, as `/ossai/v1/count` does: no provider is asked.
pub(super) async fn count(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let run = async {
        let body = body::read(&app, request).await?;
        let MessagesCall {
            mut request, names, ..
        } = anthropic::request::read_count(body)?;
        check_messages(&app, &request)?;
        request.model = app.full_model_name(&request.model)?;
        let client = app.clients.get(&caller.identity.tenant)?;
        off_thread(move || client.count(&request))
            .await
            .map_err(|error| names.rename(error))
    };
    match run.await {
        Ok(count) => body::json(StatusCode::OK, &json!({ "input_tokens": count.tokens })),
        Err(error) => error::respond_as(true, &error, &caller.request_id),
    }
}
