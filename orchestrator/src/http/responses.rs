//! `POST /v1/responses` and `POST /v1/responses/input_tokens`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::BytesMut;
use ossai::{Error, Result, StreamEvent};
use serde_json::{Value, json};

use super::chat::now;
use super::own::off_thread;
use super::{body, check_messages, error, header_options, sse, trailer_headers};
use crate::app::App;
use crate::call::{Asked, Call, Caller, Trailer};
use crate::dialect::openai::responses::names::Names;
use crate::dialect::openai::responses::request::{self, ResponsesCall};
use crate::dialect::openai::responses::{response, stream::Events};
use crate::live::Live;

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let mut names = Names::default();
    run(&app, caller, request, &mut names)
        .await
        .unwrap_or_else(|error| error::respond_flat(&names.rename(error)))
}

async fn run(
    app: &Arc<App>,
    caller: Caller,
    request: Request,
    names: &mut Names,
) -> Result<Response> {
    let headers = request.headers().clone();
    let ResponsesCall {
        mut request,
        options,
        stream,
        echo,
        names: read,
    } = request::read(body::read(app, request).await?)?;
    names.clone_from(&read);
    let options = header_options(&headers, &caller, options)?;
    check_messages(app, &request)?;
    request.model = app.full_model_name(&request.model)?;
    let id = Arc::clone(&caller.request_id);
    let mut call = Call::begin(app, caller, Asked::Chat(&request), &options, stream).await?;
    let client = call.client().clone();
    if stream {
        let wire = Wire {
            events: Events::new(&id, &request.model, now(), echo, read),
            scratch: Vec::new(),
        };
        let model = request.model.clone();
        let opening = Box::pin(async move { client.stream_with(request, options).await });
        return Ok(sse::respond(Live::open(call, opening).await?, wire, &model));
    }
    match client.complete_with(request, options).await {
        Ok(answer) => {
            let trailer = call.completed(&answer);
            let mut response = body::json(StatusCode::OK, &response::write(&answer, &echo, now()));
            trailer_headers(response.headers_mut(), &trailer);
            Ok(response)
        }
        Err(error) => {
            call.failed(&error);
            Err(error)
        }
    }
}

/// Counted here, as `/ossai/v1/count` does: no provider is asked.
pub(super) async fn count(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let mut names = Names::default();
    match counted(&app, &caller, request, &mut names).await {
        Ok(tokens) => {
            let answer = json!({ "object": "response.input_tokens", "input_tokens": tokens });
            body::json(StatusCode::OK, &answer)
        }
        Err(error) => error::respond_flat(&names.rename(error)),
    }
}

async fn counted(
    app: &Arc<App>,
    caller: &Caller,
    request: Request,
    names: &mut Names,
) -> Result<u64> {
    let ResponsesCall {
        mut request,
        names: read,
        ..
    } = request::read(body::read(app, request).await?)?;
    names.clone_from(&read);
    check_messages(app, &request)?;
    request.model = app.full_model_name(&request.model)?;
    let client = app.clients.get(&caller.identity.tenant)?;
    let count = off_thread(move || client.count(&request)).await?;
    Ok(count.tokens)
}

/// The streamed form: every event has its type as its name, and no `[DONE]` follows the last.
struct Wire {
    events: Events,
    scratch: Vec<Value>,
}

impl Wire {
    fn put(&mut self, trailer: Option<&Trailer>, frame: &mut BytesMut) {
        let last = self.scratch.len();
        for (i, mut event) in self.scratch.drain(..).enumerate() {
            if let Some(trailer) = trailer
                && i + 1 == last
            {
                event["ossai"] = sse::came_to(trailer);
            }
            sse::put(frame, event["type"].as_str(), &event);
        }
    }
}

impl sse::Wire for Wire {
    fn event(&mut self, event: &StreamEvent, trailer: Option<&Trailer>, frame: &mut BytesMut) {
        self.events.push(event, now(), &mut self.scratch);
        self.put(trailer, frame);
    }

    fn failed(&mut self, error: &Error, frame: &mut BytesMut) {
        self.events.fail(error.clone(), &mut self.scratch);
        self.put(None, frame);
    }
}
