//! Streams whose connection broke, kept for a moment so that their callers can go on (`behaviour.md` §2.9).
//!
//! A stream that was asked for as resumable keeps its last events by number. When its connection breaks, which is told
//! from a caller that cancels, the call under it lives on for `limits.resume_ms`; who comes back with the stream's token
//! and the number of the last event it has gets the next one. It is the same call all the time: one provider request,
//! one row of usage. While nobody reads, nothing is read from the provider beyond the core's own bounded log.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use ossai::{Error, ErrorKind, Result};
use ossai_proto::v1 as pb;
use prost::Message as _;
use tonic::Status;

use super::calls::Source;

/// Most events kept of one stream, and most bytes of them: more than can be on the way in HTTP/2's windows.
const MOST_EVENTS: usize = 1_024;
const MOST_BYTES: usize = 256 << 10;

/// Whether a connection broke, beside every request that came over it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Broken(Arc<AtomicBool>);

impl Broken {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The streams that can be gone on with.
#[derive(Clone)]
pub(crate) struct Kept(Arc<Inner>);

struct Inner {
    most: usize,
    patience: Duration,
    streams: Mutex<HashMap<String, Arc<Slot>>>,
}

/// One stream, whoever reads it now.
struct Slot {
    tenant: Arc<str>,
    state: Mutex<State>,
}

struct State {
    /// The number of the reader it belongs to.
    reader: u64,
    /// What is still to come; gone once it has ended.
    source: Option<Box<Source>>,
    events: VecDeque<pb::StreamCompletionResponse>,
    bytes: usize,
    /// The number of the last event so far.
    last: u64,
    failed: Option<Status>,
}

/// One caller's reading of a stream.
pub(super) struct Reader {
    kept: Kept,
    token: String,
    slot: Arc<Slot>,
    number: u64,
    /// The number of the last event it was given.
    given: u64,
    connection: Broken,
}

impl Kept {
    /// Room for this many streams, each for this long after its connection broke; none where that is zero.
    pub(crate) fn new(most: usize, patience: Duration) -> Self {
        Self(Arc::new(Inner {
            most,
            patience,
            streams: Mutex::default(),
        }))
    }

    /// Takes a stream in and gives its token; gives it back where there is no room, or nothing is kept.
    pub(super) fn take_in(
        &self,
        source: Box<Source>,
        tenant: Arc<str>,
        connection: Broken,
    ) -> std::result::Result<(Reader, String), Box<Source>> {
        let mut random = [0_u8; 16];
        if self.0.patience.is_zero() || getrandom::fill(&mut random).is_err() {
            return Err(source);
        }
        let token = format!("{:032x}", u128::from_be_bytes(random));
        let mut streams = self.lock();
        if streams.len() >= self.0.most {
            return Err(source);
        }
        let slot = Arc::new(Slot {
            tenant,
            state: Mutex::new(State {
                reader: 0,
                source: Some(source),
                events: VecDeque::new(),
                bytes: 0,
                last: 0,
                failed: None,
            }),
        });
        streams.insert(token.clone(), Arc::clone(&slot));
        drop(streams);
        let reader = Reader {
            kept: self.clone(),
            token: token.clone(),
            slot,
            number: 0,
            given: 0,
            connection,
        };
        Ok((reader, token))
    }

    /// Goes on after the event with this number; whoever read the stream before is cut off.
    ///
    /// # Errors
    /// `not_found` for a stream that is not kept, not this tenant's, or no longer whole from there on.
    pub(super) fn go_on(
        &self,
        token: &str,
        after: u64,
        tenant: &str,
        connection: Broken,
    ) -> Result<Reader> {
        let gone = || {
            Error::new(
                ErrorKind::NotFound,
                "there is no such stream any more: it cannot be resumed",
            )
        };
        let slot = self.lock().get(token).cloned();
        let slot = slot
            .filter(|slot| &*slot.tenant == tenant)
            .ok_or_else(gone)?;
        let mut state = slot.lock();
        let first = state.events.front().map_or(state.last + 1, |e| e.sequence);
        if after > state.last || after + 1 < first {
            return Err(gone());
        }
        state.reader += 1;
        let number = state.reader;
        drop(state);
        Ok(Reader {
            kept: self.clone(),
            token: token.to_owned(),
            slot,
            number,
            given: after,
            connection,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        self.0
            .streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a stream that still belongs to this reader; dropping what is left of it cancels the call.
    fn forget(&self, token: &str, slot: &Slot, number: u64) {
        let mut state = slot.lock();
        if state.reader != number {
            return;
        }
        // Nobody can go on with it from here, even where its token was just looked up.
        state.reader += 1;
        state.events.clear();
        state.last = u64::MAX;
        let source = state.source.take();
        drop(state);
        self.lock().remove(token);
        drop(source);
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep(&mut self, event: &pb::StreamCompletionResponse) {
        self.last = event.sequence;
        self.bytes += event.encoded_len();
        self.events.push_back(event.clone());
        while (self.bytes > MOST_BYTES || self.events.len() > MOST_EVENTS)
            && let Some(old) = self.events.pop_front()
        {
            self.bytes = self.bytes.saturating_sub(old.encoded_len());
        }
    }
}

impl Reader {
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<pb::StreamCompletionResponse, Status>>> {
        let mut guard = self.slot.lock();
        let state = &mut *guard;
        if state.reader != self.number {
            let error = Error::new(ErrorKind::Conflict, "the stream was resumed elsewhere");
            return Poll::Ready(Some(Err(super::status(error))));
        }
        if self.given < state.last {
            let first = state.events.front().map_or(0, |event| event.sequence);
            let index = usize::try_from((self.given + 1).saturating_sub(first));
            self.given += 1;
            return Poll::Ready(
                index
                    .ok()
                    .and_then(|i| state.events.get(i))
                    .cloned()
                    .map(Ok),
            );
        }
        if let Some(status) = &state.failed {
            return Poll::Ready(Some(Err(status.clone())));
        }
        let Some(source) = &mut state.source else {
            return Poll::Ready(None);
        };
        let polled = match source.poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(polled) => polled,
        };
        let mut ended = None;
        match &polled {
            Some(Ok(event)) if event.sequence > 0 => {
                state.keep(event);
                self.given = event.sequence;
            }
            Some(Ok(_)) => {}
            Some(Err(status)) => {
                state.failed = Some(status.clone());
                ended = state.source.take();
            }
            None => ended = state.source.take(),
        }
        drop(guard);
        drop(ended);
        Poll::Ready(polled)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // What has ended may still be on its way; what is cancelled ends now.
        let ended = self.slot.lock().source.is_none();
        let (kept, token) = (self.kept.clone(), std::mem::take(&mut self.token));
        let (slot, number) = (Arc::clone(&self.slot), self.number);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if ended || self.connection.is_set() => {
                runtime.spawn(async move {
                    tokio::time::sleep(kept.0.patience).await;
                    kept.forget(&token, &slot, number);
                });
            }
            _ => kept.forget(&token, &slot, number),
        }
    }
}
