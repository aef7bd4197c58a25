//! What comes out of a queue, and its JSON.

use ossai::{Error, StreamEvent};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::host::{HostCall, HostCallId};
use crate::reply::Reply;
use crate::session::CallId;

/// One event of a queue. An id the host no longer knows is one it has cancelled: drop the event.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A call's end: its answer, or why there is none. For a stream only ever the error that ended it.
    Reply {
        /// Which call.
        id: CallId,
        /// What came of it.
        outcome: Result<Reply, Error>,
    },
    /// Some of a stream's events, at least one; its `end` event is the last thing that comes for the call.
    Events {
        /// Which call.
        id: CallId,
        /// In order.
        events: Vec<StreamEvent>,
    },
    /// Something the host is to do, and to answer with `complete_host_call`.
    HostCall(HostCall),
    /// A host call nobody waits for any more: stop it; its answer will be ignored.
    HostCallCancelled {
        /// Which one.
        id: HostCallId,
    },
}

impl Event {
    /// The call it belongs to; none for a host call without one and for a cancelled one.
    #[must_use]
    pub fn call(&self) -> Option<CallId> {
        match self {
            Self::Reply { id, .. } | Self::Events { id, .. } => Some(*id),
            Self::HostCall(call) => Some(call.call).filter(|id| id.0 != 0),
            Self::HostCallCancelled { .. } => None,
        }
    }

    /// Whether nothing more comes for the call.
    #[must_use]
    pub fn is_last(&self) -> bool {
        match self {
            Self::Reply { .. } => true,
            Self::Events { events, .. } => matches!(events.last(), Some(StreamEvent::End { .. })),
            Self::HostCall(_) | Self::HostCallCancelled { .. } => false,
        }
    }

    /// The event as JSON, in the form `bindings/CONTRACT.md` gives.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Maps with string keys and numbers that are finite or null: there is nothing in it that could fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A drained batch as one JSON array.
#[must_use]
pub fn events_to_json(events: &[Event]) -> String {
    serde_json::to_string(events).unwrap_or_default()
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Reply { id, outcome } => {
                map.serialize_entry("type", "reply")?;
                map.serialize_entry("call", &id.0)?;
                match outcome {
                    Ok(reply) => map.serialize_entry("ok", reply)?,
                    Err(error) => map.serialize_entry("error", error)?,
                }
            }
            Self::Events { id, events } => {
                map.serialize_entry("type", "events")?;
                map.serialize_entry("call", &id.0)?;
                map.serialize_entry("events", events)?;
            }
            Self::HostCall(call) => {
                map.serialize_entry("type", "host_call")?;
                map.serialize_entry("id", &call.id.0)?;
                map.serialize_entry("call", &call.call.0)?;
                map.serialize_entry("kind", call.kind.name())?;
                map.serialize_entry("name", &call.name)?;
                map.serialize_entry("tool_call_id", &call.tool_call_id)?;
                map.serialize_entry("input", &call.input)?;
                map.serialize_entry("timeout_ms", &call.timeout_ms)?;
            }
            Self::HostCallCancelled { id } => {
                map.serialize_entry("type", "host_call_cancelled")?;
                map.serialize_entry("id", &id.0)?;
            }
        }
        map.end()
    }
}
