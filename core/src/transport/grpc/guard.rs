//! Protects the caller from answers that make tonic panic.
//!
//! tonic 0.14.9 unwraps the base64 of `grpc-status-details-bin` (`Status::from_header_map`), so that any server could
//! panic the caller's task. The header is taken out here, in headers and trailers, where it does not decode.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, Request, Response};
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tower_service::Service;

const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// A channel whose answers are safe to read.
#[derive(Clone, Debug)]
pub(super) struct Guarded {
    pub(super) channel: Channel,
    /// Which of its road's channels it is.
    pub(super) number: u64,
}

impl Service<Request<Body>> for Guarded {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.channel.call(request);
        Box::pin(async move {
            let mut answer = answer.await?;
            check(answer.headers_mut());
            Ok(answer.map(|body| Body::new(GuardedBody(body))))
        })
    }
}

struct GuardedBody(Body);

impl http_body::Body for GuardedBody {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        Pin::new(&mut self.0).poll_frame(cx).map_ok(|mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                check(trailers);
            }
            frame
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

fn check(headers: &mut HeaderMap) {
    let Some(value) = headers.get(DETAILS) else {
        return;
    };
    let alone = HeaderMap::from_iter([(DETAILS, value.clone())]);
    let decoded = MetadataMap::from_headers(alone);
    if decoded
        .get_bin(DETAILS.as_str())
        .is_none_or(|value| value.to_bytes().is_err())
    {
        headers.remove(DETAILS);
    }
}
