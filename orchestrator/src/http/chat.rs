//! `POST /v1/chat/completions`.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::{BufMut as _, BytesMut};
use ossai::{Error, Result, StreamEvent};
use serde_json::Value;

use super::{body, error, header_options, sse, trailer_headers};
use crate::app::App;
use crate::call::{Asked, Call, Caller, Trailer};
use crate::dialect::openai;
use crate::dialect::openai::request::ChatCall;
use crate::live::Live;

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    run(&app, caller, request)
        .await
        .unwrap_or_else(|error| error::respond(&error))
}

async fn run(app: &Arc<App>, caller: Caller, request: Request) -> Result<Response> {
    let headers = request.headers().clone();
    let ChatCall {
        mut request,
        options,
        stream,
        include_usage,
    } = openai::request::read(body::read(app, request).await?)?;
    let options = header_options(&headers, &caller, options)?;
    check_messages(app, &request)?;
    request.model = app.full_model_name(&request.model)?;
    let id = Arc::clone(&caller.request_id);
    let mut call = Call::begin(app, caller, Asked::Chat(&request), &options, stream).await?;
    let client = call.client().clone();
    if stream {
        let wire = Chat {
            chunks: openai::stream::Chunks::new(&id, &request.model, now(), include_usage),
            scratch: Vec::new(),
        };
        let model = request.model.clone();
        let opening = Box::pin(async move { client.stream_with(request, options).await });
        return Ok(sse::respond(Live::open(call, opening).await?, wire, &model));
    }
    match client.complete_with(request, options).await {
        Ok(answer) => {
            let trailer = call.completed(&answer);
            let mut response = body::json(StatusCode::OK, &openai::chat::write(&answer, now()));
            trailer_headers(response.headers_mut(), &trailer);
            Ok(response)
        }
        Err(error) => {
            call.failed(&error);
            Err(error)
        }
    }
}

/// Each event is one `data` line of JSON; `[DONE]` ends them.
struct Chat {
    chunks: openai::stream::Chunks,
    scratch: Vec<Value>,
}

impl sse::Wire for Chat {
    fn event(&mut self, event: &StreamEvent, trailer: Option<&Trailer>, frame: &mut BytesMut) {
        self.chunks.push(event, &mut self.scratch);
        for mut chunk in self.scratch.drain(..) {
            if let Some(trailer) = trailer {
                chunk["ossai"] = sse::came_to(trailer);
            }
            sse::put(frame, None, &chunk);
        }
        if trailer.is_some() {
            frame.put_slice(b"data: [DONE]\n\n");
        }
    }

    fn failed(&mut self, error: &Error, frame: &mut BytesMut) {
        sse::put(frame, None, &openai::error::write(error));
    }
}

pub(crate) fn check_messages(app: &App, request: &ossai::CompletionRequest) -> Result<()> {
    let most = app.config.limits.messages;
    if request.messages.len() > most {
        return Err(Error::invalid(
            "messages",
            format_args!("expected at most {most} (`limits.messages`)"),
        ));
    }
    Ok(())
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
