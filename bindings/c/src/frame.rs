//! A drained batch as records, so that a host hands each event to whoever waits for it without reading its JSON.
//!
//! A record is a header of [`OSSAI_RECORD_HEADER`] bytes, little-endian — `u32` kind, `u32` length, `u64` id — and then as many
//! bytes of JSON as the length says. The id is the call's, or for host calls the host call's own. A host skips kinds it does
//! not know.

use ossai_facade::Event;
use serde::Serialize;

/// Bytes of a record before its JSON.
pub const OSSAI_RECORD_HEADER: usize = 16;
/// A call's answer.
pub const OSSAI_EVENT_ANSWER: u32 = 1;
/// A call's or stream's end in an error: its fields.
pub const OSSAI_EVENT_ERROR: u32 = 2;
/// A list of a stream's events; more come.
pub const OSSAI_EVENT_STREAM: u32 = 3;
/// A list of a stream's events, the last of which is its end.
pub const OSSAI_EVENT_LAST_STREAM: u32 = 4;
/// Something the host is to do, and to answer with `ossai_complete_host_call`.
pub const OSSAI_EVENT_HOST_CALL: u32 = 5;
/// A host call that nobody waits for any more.
pub const OSSAI_EVENT_HOST_CALL_CANCELLED: u32 = 6;

/// The events as records.
pub(crate) fn records(events: &[Event]) -> Vec<u8> {
    let mut out = Vec::new();
    for event in events {
        match event {
            Event::Reply {
                id,
                outcome: Ok(reply),
            } => record(&mut out, OSSAI_EVENT_ANSWER, id.0, Some(reply)),
            Event::Reply {
                id,
                outcome: Err(error),
            } => record(&mut out, OSSAI_EVENT_ERROR, id.0, Some(error)),
            Event::Events { id, events } if event.is_last() => {
                record(&mut out, OSSAI_EVENT_LAST_STREAM, id.0, Some(events));
            }
            Event::Events { id, events } => {
                record(&mut out, OSSAI_EVENT_STREAM, id.0, Some(events));
            }
            Event::HostCall(call) => {
                record(&mut out, OSSAI_EVENT_HOST_CALL, call.id.0, Some(event));
            }
            Event::HostCallCancelled { id } => {
                record(&mut out, OSSAI_EVENT_HOST_CALL_CANCELLED, id.0, None::<&()>);
            }
            _ => {}
        }
    }
    out
}

fn record(out: &mut Vec<u8>, kind: u32, id: u64, value: Option<&(impl Serialize + ?Sized)>) {
    out.extend_from_slice(&kind.to_le_bytes());
    let length = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&id.to_le_bytes());
    let start = out.len();
    if let Some(value) = value {
        // Maps with string keys and numbers that are finite or null: there is nothing in it that could fail.
        let _ = serde_json::to_writer(&mut *out, value);
    }
    // An answer is bounded far below 4 GiB by `limits`.
    let written = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(length..length + 4) {
        place.copy_from_slice(&written.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ossai::{Error, ErrorKind};
    use ossai_facade::{CallId, HostCallId};

    #[test]
    fn a_record_says_its_kind_its_length_and_whose_it_is() {
        let events = [
            Event::Reply {
                id: CallId(7),
                outcome: Err(Error::new(ErrorKind::Cancelled, "x")),
            },
            Event::HostCallCancelled { id: HostCallId(9) },
        ];
        let out = records(&events);
        let json = serde_json::to_vec(&Error::new(ErrorKind::Cancelled, "x")).expect("JSON");
        let mut expected = vec![2, 0, 0, 0];
        expected.extend(u32::try_from(json.len()).expect("short").to_le_bytes());
        expected.extend([7, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend(json);
        expected.extend([6, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(out, expected);
        assert!(records(&[]).is_empty());
    }
}
