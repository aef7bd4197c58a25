//! `POST /v1/embeddings`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use ossai::Result;

use super::{body, error, header_options, trailer_headers};
use crate::app::App;
use crate::call::{Asked, Call, Caller};
use crate::dialect::openai::embedding::{self, EmbeddingCall};

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
    let EmbeddingCall {
        mut request,
        options,
        base64,
    } = embedding::read(body::read(app, request).await?)?;
    let options = header_options(&headers, &caller, options)?;
    request.model = app.full_model_name(&request.model)?;
    let mut call = Call::begin(app, caller, Asked::Embeddings(&request), &options, false).await?;
    let client = call.client().clone();
    match client.embed_with(request, options).await {
        Ok(answer) => {
            let trailer = call.embedded(&answer);
            let mut response = body::json(StatusCode::OK, &embedding::write(&answer, base64));
            trailer_headers(response.headers_mut(), &trailer);
            Ok(response)
        }
        Err(error) => {
            call.failed(&error);
            Err(error)
        }
    }
}
