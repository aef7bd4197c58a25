//! Reading HTTP/1.1 requests (RFC 9112), strictly enough to log exactly what a client sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::log::Entry;
use crate::matcher::matches;
use crate::script::When;

const MAX_HEAD: usize = 1 << 20;
const MAX_BODY: usize = 128 << 20;

/// A request as it arrived.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    /// What stood before it for the script.
    pub(super) prefix: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// Path and query.
    pub(super) fn split_target(&self) -> (&str, &str) {
        self.target.split_once('?').unwrap_or((&self.target, ""))
    }

    /// The body as it is logged.
    pub(super) fn logged_body(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        match serde_json::from_slice(&self.body) {
            Ok(json) => json,
            Err(_) => match std::str::from_utf8(&self.body) {
                Ok(text) => text.into(),
                Err(_) => json!({"base64": STANDARD.encode(&self.body)}),
            },
        }
    }
}

/// No request came: the connection ended or broke, or what came is no HTTP/1.1 request.
#[derive(Debug)]
pub(super) struct NoRequest;

/// Reads one request; `buffer` holds what was read beyond the one before.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> Result<Request, NoRequest> {
    let head_end = loop {
        if let Some(at) = find(buffer, b"\r\n\r\n") {
            break at;
        }
        if buffer.len() > MAX_HEAD {
            return Err(NoRequest);
        }
        if !more(stream, buffer).await {
            return Err(NoRequest);
        }
    };
    let rest = buffer.split_off(head_end + 4);
    let head = std::mem::replace(buffer, rest);
    let mut request = parse_head(&String::from_utf8_lossy(&head)).ok_or(NoRequest)?;
    let chunked = request
        .header("transfer-encoding")
        .is_some_and(|v| v.eq_ignore_ascii_case("chunked"));
    if chunked {
        request.body = read_chunked(stream, buffer).await?;
    } else if let Some(length) = request.header("content-length") {
        let length: usize = length.parse().map_err(|_| NoRequest)?;
        request.body = read_exact(stream, buffer, length).await?;
    }
    Ok(request)
}

fn parse_head(head: &str) -> Option<Request> {
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if !version.starts_with("HTTP/1.") {
        return None;
    }
    let headers = lines
        .map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((
                name.to_ascii_lowercase(),
                value.trim_matches([' ', '\t']).to_owned(),
            ))
        })
        .collect::<Option<Vec<_>>>()?;
    Some(Request {
        method: method.into(),
        target: target.into(),
        headers,
        ..Request::default()
    })
}

async fn more(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> bool {
    matches!(stream.read_buf(buffer).await, Ok(n) if n > 0)
}

async fn read_exact(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    length: usize,
) -> Result<Vec<u8>, NoRequest> {
    if length > MAX_BODY {
        return Err(NoRequest);
    }
    while buffer.len() < length {
        if !more(stream, buffer).await {
            return Err(NoRequest);
        }
    }
    let rest = buffer.split_off(length);
    Ok(std::mem::replace(buffer, rest))
}

async fn read_chunked(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> Result<Vec<u8>, NoRequest> {
    let mut body = Vec::new();
    loop {
        let line_end = loop {
            match find(buffer, b"\r\n") {
                Some(at) => break at,
                None if buffer.len() > 4096 => return Err(NoRequest),
                None if !more(stream, buffer).await => return Err(NoRequest),
                None => {}
            }
        };
        let line = read_exact(stream, buffer, line_end + 2).await?;
        let size = String::from_utf8_lossy(&line);
        let size = size
            .trim()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned();
        let size = usize::from_str_radix(&size, 16).map_err(|_| NoRequest)?;
        if body.len().saturating_add(size) > MAX_BODY {
            return Err(NoRequest);
        }
        let piece = read_exact(stream, buffer, size + 2).await?;
        body.extend_from_slice(piece.get(..size).unwrap_or_default());
        if size == 0 {
            return Ok(body);
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// Headers as an object: repeated ones joined by a comma.
pub(crate) fn header_object(headers: &[(String, String)]) -> Value {
    let mut object = serde_json::Map::new();
    for (name, value) in headers {
        match object.get_mut(name) {
            Some(Value::String(before)) => {
                before.push_str(", ");
                before.push_str(value);
            }
            _ => {
                object.insert(name.clone(), value.as_str().into());
            }
        }
    }
    Value::Object(object)
}

/// Whether a response is meant for a request.
pub(super) fn applies(when: Option<&When>, entry: &Entry) -> bool {
    let Some(when) = when else { return true };
    let holds = |pattern: &Option<Value>, actual: Value| {
        pattern.as_ref().is_none_or(|p| matches(p, Some(&actual)))
    };
    holds(&when.path, entry.path.as_str().into())
        && holds(&when.method, entry.method.as_str().into())
        && holds(&when.request, entry.number.into())
        && holds(&when.body, entry.body.clone())
        && holds(&when.headers, header_object(&entry.headers))
}
