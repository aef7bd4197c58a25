//! A response as a list of steps, worked out before the first byte leaves, so that it can be checked and tested as data.

use std::io::Write as _;
use std::time::SystemTime;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};

use super::date::http_date;
use super::{
    ChunkRule, Chunks, Framing, MAX_BODY, OtherPlace, Place, Rendered, RequestView, Response,
    render,
};

/// One step of sending a response. Times are in milliseconds of the case, before the time scale.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Write these bytes at once.
    Write(Vec<u8>),
    /// Wait.
    Wait(f64),
    /// Send nothing more until the client goes.
    Stall,
    /// Reset the connection.
    Reset,
    /// Close the connection.
    Close,
}

/// All steps of a response.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In order.
    pub steps: Vec<Step>,
    /// Whether the connection takes another request afterwards.
    pub keep_alive: bool,
    /// The status of the head, as logged.
    pub status: u16,
}

/// What happens at a place inside the head or the body.
#[derive(Clone, Copy)]
enum Mark {
    Split,
    Pause(f64),
    Cut(End),
}

#[derive(Clone, Copy)]
enum End {
    Stall,
    Reset,
    Close,
}

/// Works out the steps of `response` to `request`.
///
/// # Errors
/// When the body cannot be rendered or a place lies outside the response.
pub fn plan(response: &Response, request: &RequestView) -> Result<Plan, String> {
    let rendered = render(&response.body, request)?;
    let body = encode(&rendered.bytes, response)?;
    let chunks = match &response.chunks {
        None if !rendered.event_ends.is_empty() => &Chunks::Named(ChunkRule::Events),
        None => &Chunks::Named(ChunkRule::One),
        Some(chunks) => chunks,
    };
    let splits = splits(chunks, body.len(), &rendered.event_ends);
    let framing = response
        .framing
        .unwrap_or(match rendered.event_ends.is_empty() {
            true => Framing::Length,
            false => Framing::Chunked,
        });
    let status = response.status.unwrap_or(200);
    let head = head(response, &rendered, &body, framing, status)?;

    let mut head_marks: Vec<(usize, Mark)> = Vec::new();
    let mut body_marks: Vec<(usize, Mark)> = Vec::new();
    for at in splits {
        body_marks.push((at, Mark::Split));
    }
    let pauses = response.pauses.iter().map(|p| (p.after, Mark::Pause(p.ms)));
    let cuts = [
        (response.stall_after, End::Stall),
        (response.reset_after, End::Reset),
        (response.close_after, End::Close),
    ];
    let cuts = cuts
        .into_iter()
        .filter_map(|(place, end)| Some((place?, Mark::Cut(end))));
    for (place, mark) in pauses.chain(cuts) {
        match resolve(place, head.len(), &body, &rendered)? {
            (true, at) => head_marks.push((at, mark)),
            (false, at) => body_marks.push((at, mark)),
        }
    }
    if let Some(ms) = response.head_byte_delay_ms {
        head_marks.extend((1..head.len()).map(|at| (at, Mark::Pause(ms))));
    }

    let mut steps = Vec::new();
    if response.delay_ms > 0.0 {
        steps.push(Step::Wait(response.delay_ms));
    }
    let whole = walk(&head, head_marks, 0.0, false, &mut steps)
        && walk(
            &body,
            body_marks,
            response.chunk_delay_ms,
            framing == Framing::Chunked,
            &mut steps,
        );
    if whole && framing == Framing::Chunked {
        steps.push(Step::Write(b"0\r\n\r\n".to_vec()));
    }
    let lies = response
        .content_length
        .is_some_and(|said| said != body.len() as u64);
    let says_close = header_is(response, "connection", "close");
    let keep_alive =
        whole && framing != Framing::Close && !lies && !says_close && response.raw_head.is_none();
    if whole && !keep_alive {
        steps.push(Step::Close);
    }
    Ok(Plan {
        steps: joined(steps),
        keep_alive,
        status,
    })
}

/// Writes `bytes` with their marks; `false` when a cut ended it.
fn walk(
    bytes: &[u8],
    mut marks: Vec<(usize, Mark)>,
    between: f64,
    chunked: bool,
    steps: &mut Vec<Step>,
) -> bool {
    // A split before a pause or a cut at the same place changes nothing; the sort keeps the given order otherwise.
    marks.sort_by_key(|(at, _)| *at);
    let mut from = 0;
    let write = |from: usize, to: usize, steps: &mut Vec<Step>| {
        let piece = bytes.get(from..to).unwrap_or_default();
        if piece.is_empty() {
            return;
        }
        let mut out = Vec::with_capacity(piece.len() + 16);
        if chunked {
            out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        }
        out.extend_from_slice(piece);
        if chunked {
            out.extend_from_slice(b"\r\n");
        }
        steps.push(Step::Write(out));
    };
    for (at, mark) in marks {
        write(from, at, steps);
        from = at.max(from);
        match mark {
            // An empty write keeps two pieces apart when no time lies between them.
            Mark::Split if between > 0.0 => steps.push(Step::Wait(between)),
            Mark::Split => steps.push(Step::Wait(0.0)),
            Mark::Pause(ms) => steps.push(Step::Wait(ms)),
            Mark::Cut(end) => {
                steps.push(match end {
                    End::Stall => Step::Stall,
                    End::Reset => Step::Reset,
                    End::Close => Step::Close,
                });
                return false;
            }
        }
    }
    write(from, bytes.len(), steps);
    true
}

/// Joins writes that follow each other, so that a response nobody split is one write.
fn joined(steps: Vec<Step>) -> Vec<Step> {
    let mut out: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps {
        match (out.last_mut(), step) {
            (Some(Step::Write(before)), Step::Write(more)) => before.extend_from_slice(&more),
            (_, step) => out.push(step),
        }
    }
    out
}

fn splits(chunks: &Chunks, length: usize, event_ends: &[usize]) -> Vec<usize> {
    let inside = |at: &usize| (1..length).contains(at);
    match chunks {
        Chunks::Named(ChunkRule::One) => Vec::new(),
        Chunks::Named(ChunkRule::Bytes) => (1..length).collect(),
        Chunks::Named(ChunkRule::Events) => event_ends.iter().copied().filter(inside).collect(),
        Chunks::At(offsets) => offsets.iter().copied().filter(inside).collect(),
        Chunks::Every { every } => (*every..length).step_by((*every).max(1)).collect(),
    }
}

/// Where a place lies: in the head (`true`) or the body, and after how many bytes.
fn resolve(
    place: Place,
    head: usize,
    body: &[u8],
    rendered: &Rendered,
) -> Result<(bool, usize), String> {
    let within = |at: usize, length: usize, what: &str| match at <= length {
        true => Ok(at),
        false => Err(format!(
            "place {at} is beyond the {length} bytes of the {what}"
        )),
    };
    Ok(match place {
        Place::Other(OtherPlace::Head(at)) => (true, within(at, head, "head")?),
        Place::Body(at) => (false, within(at, body.len(), "body")?),
        Place::Other(OtherPlace::FromEnd(from_end)) => {
            let at = body
                .len()
                .checked_sub(from_end)
                .ok_or("from_end is beyond the body's start")?;
            (false, at)
        }
        Place::Other(OtherPlace::Event(0)) => (false, 0),
        Place::Other(OtherPlace::Event(event)) => {
            let end = rendered.event_ends.get(event - 1);
            (
                false,
                *end.ok_or_else(|| format!("the body has {} events", rendered.event_ends.len()))?,
            )
        }
    })
}

fn encode(bytes: &[u8], response: &Response) -> Result<Vec<u8>, String> {
    let mut body = bytes.to_vec();
    for name in response
        .encoding
        .as_ref()
        .map(super::Encoding::names)
        .unwrap_or_default()
    {
        let encoded = match name.as_str() {
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&body).and_then(|()| encoder.finish())
            }
            "deflate" => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&body).and_then(|()| encoder.finish())
            }
            "identity" => Ok(body),
            _ => {
                return Err(format!(
                    "encoding `{name}`: expected gzip, deflate or identity"
                ));
            }
        };
        body = encoded.map_err(|e| format!("encoding `{name}`: {e}"))?;
    }
    if body.len() > MAX_BODY {
        return Err(format!("the body is larger than {MAX_BODY} bytes"));
    }
    Ok(body)
}

fn header_is(response: &Response, name: &str, value: &str) -> bool {
    response.headers.iter().any(|(n, v)| {
        n.eq_ignore_ascii_case(name) && v.as_deref().is_some_and(|v| v.eq_ignore_ascii_case(value))
    })
}

fn head(
    response: &Response,
    rendered: &Rendered,
    body: &[u8],
    framing: Framing,
    status: u16,
) -> Result<Vec<u8>, String> {
    if let Some(raw) = &response.raw_head {
        return Ok(raw.clone().into_bytes());
    }
    let mut usual: Vec<(String, String)> = vec![("date".into(), http_date(SystemTime::now()))];
    if let Some(content_type) = rendered.content_type {
        usual.push(("content-type".into(), content_type.into()));
    }
    usual.extend(rendered.headers.iter().cloned());
    if let Some(encoding) = &response.encoding {
        usual.push(("content-encoding".into(), encoding.names().join(", ")));
    }
    match framing {
        Framing::Length => {
            let length = response.content_length.unwrap_or(body.len() as u64);
            usual.push(("content-length".into(), length.to_string()));
        }
        Framing::Chunked => usual.push(("transfer-encoding".into(), "chunked".into())),
        Framing::Close => usual.push(("connection".into(), "close".into())),
    }
    if let Some(flood) = response.header_flood {
        if flood.count.saturating_mul(flood.bytes.saturating_add(32)) > MAX_BODY {
            return Err("header_flood: too large".into());
        }
        usual.extend((0..flood.count).map(|i| (format!("x-flood-{i}"), "f".repeat(flood.bytes))));
    }
    let mut out = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    let replaced = |name: &str| {
        response
            .headers
            .iter()
            .any(|(n, _)| n.eq_ignore_ascii_case(name))
    };
    for (name, value) in usual.iter().filter(|(name, _)| !replaced(name)) {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    for (name, value) in &response.headers {
        if let Some(value) = value {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    out.push_str("\r\n");
    Ok(out.into_bytes())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        409 => "Conflict",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn planned(response: serde_json::Value) -> Plan {
        let response: Response = serde_json::from_value(response).expect("response");
        plan(&response, &RequestView::default()).expect("plan")
    }

    fn text(step: &Step) -> String {
        match step {
            Step::Write(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_response_nobody_split_is_one_write() {
        let plan = planned(json!({"headers": [["date", null]], "body": "hello"}));
        assert_eq!(plan.steps.len(), 1);
        assert_eq!(
            text(&plan.steps[0]),
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 5\r\n\r\nhello"
        );
        assert!(plan.keep_alive);
    }

    #[test]
    fn events_are_chunks_of_their_own_and_a_cut_leaves_out_the_rest() {
        let plan = planned(json!({
            "headers": [["date", null], ["content-type", null]],
            "body": {"sse": ["a", {"event": "x", "data": "b"}, "c"]},
            "reset_after": {"event": 2},
        }));
        let steps: Vec<String> = plan.steps.iter().map(text).collect();
        assert_eq!(
            steps,
            [
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n",
                "Wait(0.0)",
                "12\r\nevent: x\ndata: b\n\n\r\n",
                "Wait(0.0)",
                "Reset"
            ]
        );
        assert!(!plan.keep_alive);
    }

    #[test]
    fn places_outside_the_response_are_refused() {
        for place in [
            json!(6),
            json!({"event": 1}),
            json!({"from_end": 6}),
            json!({"head": 100_000}),
        ] {
            let response: Response =
                serde_json::from_value(json!({"body": "hello", "stall_after": place}))
                    .expect("response");
            assert!(plan(&response, &RequestView::default()).is_err(), "{place}");
        }
    }

    #[test]
    fn a_wrong_content_length_is_sent_and_ends_the_connection() {
        let plan =
            planned(json!({"headers": [["date", null]], "body": "hello", "content_length": 9}));
        assert!(text(&plan.steps[0]).contains("content-length: 9\r\n\r\nhello"));
        assert_eq!(plan.steps[1], Step::Close);
    }

    #[test]
    fn encodings_nest_in_the_given_order() {
        let plan = planned(json!({"body": "x", "encoding": ["gzip", "deflate"]}));
        assert!(text(&plan.steps[0]).contains("content-encoding: gzip, deflate\r\n"));
    }
}
