//! HTTP/2 as a script wants it (RFC 9113): frames by hand, so that streams are refused, reset and left behind by a GOAWAY
//! exactly as told. Request heads are not unpacked: the log has their bodies, and neither method nor path.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, WriteHalf};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::hpack;
use super::http1::Request;
use super::log::{Entry, Outcome};
use super::wire::Wire;
use super::{Scripted, unix_ms};
use crate::script::{GoAway, RequestView, Response, render};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const MAX_FRAME: usize = 1 << 14;
const MAX_BODY: usize = 16 << 20;
const REFUSED: [u8; 4] = 7_u32.to_be_bytes();

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

type Writer = Arc<Mutex<WriteHalf<Wire>>>;

/// Serves streams until either side ends the connection.
pub(super) async fn serve(wire: Wire, connection: u64, scripted: Arc<Scripted>) {
    let (mut reader, writer) = tokio::io::split(wire);
    let writer = Arc::new(Mutex::new(writer));
    let mut stopped = scripted.stopped.subscribe();
    // Dropped with the connection, and so are the answers under way.
    let mut answers = JoinSet::new();
    let mut open = HashMap::new();
    tokio::select! {
        _ = streams(&mut reader, &writer, connection, &scripted, &mut answers, &mut open) => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    drop(answers);
    for number in open.into_values() {
        end(&scripted, number, Outcome::ClientClosed);
    }
}

/// Reads frames and starts an answer for each request; `None` when the connection has ended.
async fn streams(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &Writer,
    connection: u64,
    scripted: &Arc<Scripted>,
    answers: &mut JoinSet<()>,
    open: &mut HashMap<u32, u64>,
) -> Option<()> {
    let mut preface = [0; 24];
    reader.read_exact(&mut preface).await.ok()?;
    if preface != PREFACE {
        return None;
    }
    send(writer, SETTINGS, 0, 0, &[]).await?;
    let mut bodies: HashMap<u32, Vec<u8>> = HashMap::new();
    loop {
        let frame = read(reader).await?;
        match frame.kind {
            SETTINGS if frame.flags & 1 == 0 => send(writer, SETTINGS, 1, 0, &[]).await?,
            PING if frame.flags & 1 == 0 => send(writer, PING, 1, 0, &frame.payload).await?,
            HEADERS => {
                bodies.insert(frame.stream, Vec::new());
            }
            DATA => {
                let body = bodies.get_mut(&frame.stream)?;
                body.extend_from_slice(unpadded(&frame)?);
                if body.len() > MAX_BODY {
                    return None;
                }
                if let Ok(length @ 1..) = u32::try_from(frame.payload.len()) {
                    let more = length.to_be_bytes();
                    send(writer, WINDOW_UPDATE, 0, 0, &more).await?;
                    send(writer, WINDOW_UPDATE, 0, frame.stream, &more).await?;
                }
            }
            RST_STREAM => {
                bodies.remove(&frame.stream);
                if let Some(number) = open.remove(&frame.stream) {
                    end(scripted, number, Outcome::ClientReset);
                }
            }
            _ => {}
        }
        let ends = matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0;
        if let Some(body) = ends.then(|| bodies.remove(&frame.stream)).flatten() {
            let request = Request {
                body,
                ..Request::default()
            };
            let view = request.logged_body();
            let at_ms = scripted.now_ms();
            let (number, response) = scripted.take(Entry {
                connection,
                at_ms,
                at_unix_ms: unix_ms(),
                body: view.clone(),
                body_bytes: request.body.len(),
                ..Entry::default()
            });
            open.insert(frame.stream, number);
            let view = RequestView {
                number,
                body: view,
                ..RequestView::default()
            };
            let (writer, scripted) = (writer.clone(), scripted.clone());
            answers.spawn(async move {
                let outcome = answer(&writer, &scripted, frame.stream, response, &view).await;
                end(&scripted, number, outcome.unwrap_or(Outcome::ClientClosed));
            });
        }
    }
}

/// Notes how a request ended, unless that is known already.
fn end(scripted: &Scripted, number: u64, outcome: Outcome) {
    let now = scripted.now_ms();
    scripted.note(number, |entry| {
        if entry.outcome.is_none() {
            entry.outcome = Some(outcome);
            entry.done_ms = Some(now);
            if matches!(outcome, Outcome::ClientClosed | Outcome::ClientReset) {
                entry.client_gone_ms = Some(now - entry.at_ms);
                entry.client_gone_unix_ms = Some(unix_ms());
            }
        }
    });
}

/// Does what the script says; `None` when the connection has ended.
async fn answer(
    writer: &Writer,
    scripted: &Scripted,
    stream: u32,
    response: Option<Response>,
    request: &RequestView,
) -> Option<Outcome> {
    let Some(response) = response else {
        // A script without an answer left refuses, which no client takes for one.
        send(writer, RST_STREAM, 0, stream, &REFUSED).await?;
        return Some(Outcome::Reset);
    };
    let status = response.status.unwrap_or(200);
    scripted.note(request.number, |entry| entry.status = Some(status));
    let h2 = response.h2.clone().unwrap_or_default();
    if response.delay_ms > 0.0 {
        let real = Duration::from_secs_f64(response.delay_ms / 1000.0 / scripted.scale);
        tokio::time::sleep(real).await;
    }
    if let Some(last) = h2.goaway {
        let last = match last {
            GoAway::Before => stream.saturating_sub(2),
            GoAway::After => stream,
        };
        let said = [last.to_be_bytes(), 0_u32.to_be_bytes()].concat();
        send(writer, GOAWAY, 0, 0, &said).await?;
        if h2.goaway == Some(GoAway::Before) {
            return Some(Outcome::Closed);
        }
    }
    if let (Some(code), None) = (h2.code(), h2.after_bytes) {
        send(writer, RST_STREAM, 0, stream, &code.to_be_bytes()).await?;
        return Some(Outcome::Reset);
    }
    let rendered = render(&response.body, request).ok()?;
    let mut headers = vec![(":status".to_owned(), status.to_string())];
    let usual = rendered
        .content_type
        .map(|of| ("content-type".into(), of.into()));
    headers.extend(usual);
    headers.extend(rendered.headers);
    for (name, value) in &response.headers {
        headers.retain(|(usual, _)| !usual.eq_ignore_ascii_case(name));
        headers.extend(value.clone().map(|value| (name.clone(), value)));
    }
    send(
        writer,
        HEADERS,
        END_HEADERS,
        stream,
        &hpack::block(&headers),
    )
    .await?;
    let most = h2.after_bytes.unwrap_or(usize::MAX);
    let body = rendered.bytes.get(..most).unwrap_or(&rendered.bytes);
    for piece in body.chunks(MAX_FRAME) {
        send(writer, DATA, 0, stream, piece).await?;
        scripted.note(request.number, |entry| entry.sent_bytes += piece.len());
    }
    if let Some(code) = h2.code() {
        send(writer, RST_STREAM, 0, stream, &code.to_be_bytes()).await?;
        return Some(Outcome::Reset);
    }
    match response.body.get("grpc") {
        None => send(writer, DATA, END_STREAM, stream, &[]).await?,
        Some(spec) => {
            let block = hpack::block(&trailers(spec));
            send(writer, HEADERS, END_HEADERS | END_STREAM, stream, &block).await?;
        }
    }
    Some(Outcome::Sent)
}

/// The status of a gRPC call, and what else its script has after the messages.
fn trailers(spec: &serde_json::Value) -> Vec<(String, String)> {
    let status = spec.get("status").and_then(serde_json::Value::as_u64);
    let mut out = vec![("grpc-status".to_owned(), status.unwrap_or(0).to_string())];
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    out.extend(
        spec.get("message")
            .and_then(text)
            .map(|text| ("grpc-message".into(), text)),
    );
    let more = spec.get("trailers").and_then(serde_json::Value::as_object);
    let more = more.into_iter().flatten();
    out.extend(more.filter_map(|(name, value)| Some((name.clone(), text(value)?))));
    out
}

fn unpadded(frame: &Frame) -> Option<&[u8]> {
    if frame.flags & PADDED == 0 {
        return Some(&frame.payload);
    }
    let (padding, rest) = frame.payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(*padding))?)
}

async fn read(reader: &mut (impl AsyncRead + Unpin)) -> Option<Frame> {
    let mut head = [0; 9];
    reader.read_exact(&mut head).await.ok()?;
    let [a, b, c, kind, flags, stream @ ..] = head;
    let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
    if length > MAX_FRAME {
        return None;
    }
    let mut payload = vec![0; length];
    reader.read_exact(&mut payload).await.ok()?;
    Some(Frame {
        kind,
        flags,
        stream: u32::from_be_bytes(stream) & (u32::MAX >> 1),
        payload,
    })
}

async fn send(writer: &Writer, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Option<()> {
    let [_, a, b, c] = u32::try_from(payload.len()).ok()?.to_be_bytes();
    let head = [a, b, c, kind, flags];
    let frame = [&head, &stream.to_be_bytes()[..], payload].concat();
    let mut writer = writer.lock().await;
    writer.write_all(&frame).await.ok()?;
    writer.flush().await.ok()
}
