//! What only HTTP/2 can do to a request (RFC 9113).

use serde::{Deserialize, Serialize};

use super::{RequestView, Response, render};

/// What happens to a stream or to its connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct H2 {
    /// Resets the stream with this error's name, instead of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<String>,
    /// With `reset`: sends the head and so many bytes of the body first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_bytes: Option<usize>,
    /// Says that the connection takes no further streams: this one no more (`before`), or this one as the last (`after`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goaway: Option<GoAway>,
}

/// Which stream is the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoAway {
    /// The one before this; this one was not processed.
    Before,
    /// This one, which is answered.
    After,
}

/// The codes of §7.
const CODES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

impl H2 {
    /// The code of `reset`.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        let name = self.reset.as_deref()?;
        let code = CODES.iter().position(|known| *known == name)?;
        u32::try_from(code).ok()
    }
}

/// Largest body: it is sent without waiting for windows, which begin with 65,535 bytes (§6.9.2).
const MAX_BODY: usize = 60_000;

/// Checks what an answer over HTTP/2 may be.
pub(super) fn check(response: &Response) -> Result<(), String> {
    if let Some(h2) = &response.h2 {
        if h2.reset.is_some() && h2.code().is_none() {
            return Err(format!("h2.reset: expected one of {}", CODES.join(", ")));
        }
        if h2.reset.is_some() == h2.goaway.is_some() {
            return Err("h2: expected exactly one of reset and goaway".into());
        }
    }
    let can_only_http1 = response.raw_head.is_some()
        || response.header_flood.is_some()
        || response.framing.is_some()
        || response.content_length.is_some()
        || response.chunks.is_some()
        || response.head_byte_delay_ms.is_some()
        || response.encoding.is_some()
        || !response.pauses.is_empty()
        || response.stall_after.is_some()
        || response.reset_after.is_some()
        || response.close_after.is_some();
    if can_only_http1 {
        return Err("over HTTP/2 only when, times, status, headers, body, delay_ms and h2".into());
    }
    let body = render(&response.body, &RequestView::default())?;
    match body.bytes.len() > MAX_BODY {
        true => Err(format!("body: over HTTP/2 at most {MAX_BODY} bytes")),
        false => Ok(()),
    }
}
