//! A recorded answer as a connection would bring it, with what goes wrong on the way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::chunk::Chunk;
use super::config::CassetteTiming;
use super::format::{Answer, End, Fault, FaultKind};
use crate::retry::Clock;

/// What is in place of a byte that is struck: it is in no UTF-8 text.
const BAD: u8 = 0xff;

/// A connection that broke because the cassette says so.
#[derive(Debug)]
pub(crate) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("so it is on the cassette")
    }
}

impl std::error::Error for Cut {}

/// An answer to be given.
pub(crate) enum Play {
    /// The connection breaks before the response begins.
    Cut,
    /// No response ever begins.
    Stall,
    /// A response.
    Response(Played),
}

/// A response to be given.
pub(crate) struct Played {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// How long the headers take.
    pub(crate) wait: Duration,
    pub(crate) body: Playback,
}

/// A body, piece by piece.
pub(crate) struct Playback {
    /// Each with the moment at which it is there.
    pieces: VecDeque<(Duration, Bytes)>,
    end: End,
    /// Where pieces take their time.
    clock: Option<Arc<dyn Clock>>,
}

impl Playback {
    /// The next piece.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Cut> {
        if let Some((due, _)) = self.pieces.front() {
            if let Some(clock) = &self.clock {
                let left = due.saturating_sub(clock.now());
                if !left.is_zero() {
                    clock.sleep(left).await;
                }
            }
            return Ok(self.pieces.pop_front().map(|(_, bytes)| bytes));
        }
        match self.end {
            End::Whole => Ok(None),
            End::Cut | End::Left => Err(Cut),
            End::Stall => std::future::pending().await,
        }
    }
}

impl Play {
    /// What comes of a request, with the fault that strikes it.
    pub(super) fn new(
        answer: Option<&Answer>,
        fault: Option<&Fault>,
        timing: CassetteTiming,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let now = clock.now();
        let clock = (timing == CassetteTiming::Kept).then(|| Arc::clone(clock));
        if let Some(fault) = fault.filter(|fault| fault.kind == FaultKind::Status) {
            return Self::Response(Played {
                status: status(fault.status.unwrap_or(500)),
                headers: headers(&fault.headers, &fault.body),
                wait: Duration::ZERO,
                body: Playback {
                    pieces: pieces(&fault.body, now),
                    end: End::Whole,
                    clock,
                },
            });
        }
        match (fault.map(|fault| (fault.kind, fault.after_bytes)), answer) {
            (Some((FaultKind::Stall, None)), _) => Self::Stall,
            (Some((_, None)), _) | (_, None) => Self::Cut,
            (struck, Some(answer)) => {
                let mut body = Playback {
                    pieces: pieces(&answer.body, now),
                    end: answer.end,
                    clock,
                };
                if let Some((kind, Some(at))) = struck {
                    body.strike(kind, usize::try_from(at).unwrap_or(usize::MAX));
                }
                Self::Response(Played {
                    status: status(answer.status),
                    headers: headers(&answer.headers, &answer.body),
                    wait: match body.clock {
                        Some(_) => Duration::from_millis(answer.ms),
                        None => Duration::ZERO,
                    },
                    body,
                })
            }
        }
    }
}

impl Playback {
    fn strike(&mut self, kind: FaultKind, at: usize) {
        let mut left = at;
        let mut reached = 0;
        for (_, bytes) in &mut self.pieces {
            if left < bytes.len() {
                if kind == FaultKind::BadByte {
                    let mut struck = bytes.to_vec();
                    if let Some(byte) = struck.get_mut(left) {
                        *byte = BAD;
                    }
                    *bytes = struck.into();
                    return;
                }
                bytes.truncate(left);
                reached += usize::from(left > 0);
                break;
            }
            left -= bytes.len();
            reached += 1;
        }
        self.pieces.truncate(reached);
        self.end = match kind {
            FaultKind::Stall => End::Stall,
            _ => End::Cut,
        };
    }
}

fn status(status: u16) -> StatusCode {
    // Reading the file has seen to it.
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn headers(written: &std::collections::BTreeMap<String, String>, body: &[Chunk]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in written {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    if let Some(kind) = body.iter().find_map(Chunk::content_type) {
        headers
            .entry(CONTENT_TYPE)
            .or_insert(HeaderValue::from_static(kind));
    }
    headers
}

fn pieces(body: &[Chunk], now: Duration) -> VecDeque<(Duration, Bytes)> {
    let mut ms = 0;
    body.iter()
        .filter_map(|chunk| {
            ms = chunk.ms.unwrap_or(ms);
            let due = now.saturating_add(Duration::from_millis(ms));
            let bytes = chunk.bytes().ok().filter(|bytes| !bytes.is_empty())?;
            Some((due, bytes.into()))
        })
        .collect()
}
