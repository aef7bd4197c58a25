//! Idempotent replay over gRPC. The key is in the message's options; what of a request is compared is the request itself,
//! not its time-outs, which differ between two tries of one call.

use std::sync::Arc;
use std::time::Instant;

use axum::http::HeaderMap;
use bytes::Bytes;
use ossai::{Error, ErrorKind, Result};
use ossai_proto::v1 as pb;
use prost::Message;
use tonic::Response;
use tonic::metadata::MetadataValue;

use super::reply;
use crate::app::App;
use crate::call::Caller;
use crate::guard::replay::{Kept, Ticket, Turn, key, print};
use crate::http::valid_idempotency_key;

const REPLAYED: &str = "idempotent-replayed";

pub(super) enum Seen {
    Before(Arc<Kept>),
    /// The first of its key, or a call without one.
    First(Option<Ticket>),
}

/// Whether a call was answered before.
pub(super) fn begin<M: Message>(
    app: &Arc<App>,
    caller: &Caller,
    method: &'static str,
    request: &Option<M>,
    options: &Option<pb::CallOptions>,
) -> Result<Seen> {
    let given = options.as_ref().and_then(|o| o.idempotency_key.as_deref());
    let (Some(given), Some(request)) = (given, request) else {
        return Ok(Seen::First(None));
    };
    let given = valid_idempotency_key("options.idempotency_key", given)?;
    let key = key(&caller.identity, "grpc", given);
    let print = print(method, &request.encode_to_vec());
    let turn = app
        .replays
        .begin(key, print, Instant::now())
        .inspect_err(|error| app.metrics.refused(crate::gate::reason(error)))?;
    Ok(match turn {
        Turn::Replay(kept) => Seen::Before(kept),
        Turn::Run(ticket) => Seen::First(Some(ticket)),
    })
}

/// Keeps the one message of an answer.
pub(super) fn keep(ticket: Option<Ticket>, message: &impl Message) {
    let Some(ticket) = ticket else { return };
    if message.encoded_len() <= ticket.most() {
        let parts = vec![Bytes::from(message.encode_to_vec())];
        let headers = HeaderMap::new();
        ticket.keep(Kept { headers, parts }, Instant::now());
    }
}

pub(super) fn message<M: Message + Default>(part: &Bytes) -> Result<M> {
    M::decode(part.clone()).map_err(|error| {
        Error::new(ErrorKind::Internal, "a kept answer cannot be read").with_source(error)
    })
}

/// The one message of a kept answer, as such.
pub(super) fn one<M: Message + Default>(kept: &Kept) -> Result<Response<M>> {
    let part = kept.parts.first().cloned().unwrap_or_default();
    Ok(marked(message(&part)?))
}

pub(super) fn marked<T>(message: T) -> Response<T> {
    let mut response = reply(message);
    let value = MetadataValue::from_static("true");
    response.metadata_mut().insert(REPLAYED, value);
    response
}

/// The messages of a stream on its way, kept when it has come to a good end.
pub(super) struct Recording {
    ticket: Option<Ticket>,
    parts: Vec<Bytes>,
    size: usize,
}

impl Recording {
    pub(super) fn new(ticket: Ticket) -> Self {
        Self {
            ticket: Some(ticket),
            parts: Vec::new(),
            size: 0,
        }
    }

    pub(super) fn push(&mut self, message: &impl Message) {
        let Some(ticket) = &self.ticket else { return };
        self.size += message.encoded_len() + 32;
        if self.size > ticket.most() {
            self.ticket = None;
            self.parts = Vec::new();
            return;
        }
        self.parts.push(Bytes::from(message.encode_to_vec()));
    }

    pub(super) fn finish(self) {
        if let Some(ticket) = self.ticket {
            let (headers, parts) = (HeaderMap::new(), self.parts);
            ticket.keep(Kept { headers, parts }, Instant::now());
        }
    }
}
