//! Everything that reads what strangers wrote.

mod answer;
mod document;
mod grpc;
mod header;
mod kept;
mod request;
mod sse;
mod text;

use ossai::transport::convert::{error_from_status, status_from_error};
use ossai::{Error, ErrorKind};

/// Every target by its name.
pub const ALL: &[(&str, fn(&[u8]))] = &[
    ("sse", sse::stream),
    ("retry_after", header::hint),
    ("limits", header::limits),
    ("usage", answer::usage),
    ("answer", answer::whole),
    ("events", answer::streamed),
    ("error_body", answer::error),
    ("config", document::config),
    ("serve_config", document::serve_config),
    ("prices", document::prices),
    ("request", request::facade),
    ("dialect", request::dialect),
    ("grpc", grpc::messages),
    ("grpc_status", grpc::status),
    ("tokens", text::tokens),
    ("kept", kept::kept),
];

/// Takes the first byte off, as a choice among `n`.
fn choose(input: &[u8], n: usize) -> Option<(usize, &[u8])> {
    let (first, rest) = input.split_first()?;
    Some((usize::from(*first) % n, rest))
}

/// Holds for every error a user may see: it says something, on one line and in bounds, and survives its way over gRPC.
fn check_error(error: &Error) {
    let message = &error.fields().message;
    assert_ne!(error.kind(), ErrorKind::Internal, "{message}");
    assert!(!message.is_empty());
    assert!(message.len() <= 8192, "{} bytes", message.len());
    assert!(!message.contains(['\r', '\n', '\0']), "{message:?}");
    assert!(serde_json::to_string(error).is_ok());
    let mut headers = http::HeaderMap::new();
    assert!(status_from_error(error).add_header(&mut headers).is_ok());
    let size: usize = headers
        .iter()
        .map(|(n, v)| n.as_str().len() + v.len() + 32)
        .sum();
    assert!(size <= 16 << 10, "{size} bytes of headers");
    let status = tonic::Status::from_header_map(&headers);
    let back = status.map(error_from_status);
    assert_eq!(back.map(|error| error.kind()), Some(error.kind()));
}
