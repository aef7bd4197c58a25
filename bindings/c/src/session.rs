//! A session as C sees it, and the calls in it.

use std::sync::Arc;

use ossai::{Error, ErrorKind, Result};
use ossai_facade::{Begin, CallId, Callbacks, HostCallId, Op, Queue, Session};
use serde::Deserialize;

use crate::bytes::OssaiBytes;
use crate::export::{Outcome, export, guarded, put, quietly, text};
use crate::handles::Handles;
use crate::queue;

static SESSIONS: Handles<Session> = Handles::new(1);

fn find(handle: u64) -> Result<Arc<Session>> {
    SESSIONS.get(handle).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidState,
            "the client is closed, or never was",
        )
        .with(|fields| fields.field = Some("session".into()))
    })
}

/// A provider whose credential the host gives.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    provider: String,
    #[serde(default)]
    identity: Option<String>,
}

fn open(config: &str, environment: bool, credentials: &str, questions: u64) -> Result<u64> {
    let callbacks = if credentials.is_empty() {
        None
    } else {
        let sources: Vec<Source> = serde_json::from_str(credentials)
            .map_err(|error| Error::invalid("credentials", error))?;
        let credentials = sources
            .into_iter()
            .map(|source| (source.provider, source.identity))
            .collect();
        Some(Callbacks {
            queue: Queue::clone(&*queue::find(questions)?),
            credentials,
        })
    };
    let session = Session::open_with(config, environment, callbacks)?;
    SESSIONS
        .insert(Arc::new(session))
        .ok_or_else(|| Error::new(ErrorKind::Overloaded, "too many clients are open"))
}

/// Opens a session with a configuration document (empty is `{}`); `*session` names it. With `environment` other than 0 what
/// the document leaves out is taken from the `OSSAI_…` variables. `credentials` is empty, or a list of
/// `{"provider", "identity"}` whose credentials the host gives: then `queue` must be served as long as the session is open.
///
/// # Safety
/// Texts point to as many bytes as their lengths say; `session` and `out` may each be written, or are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ossai_session_open(
    config: *const u8,
    config_len: usize,
    environment: i32,
    credentials: *const u8,
    credentials_len: usize,
    queue: u64,
    session: *mut u64,
    out: *mut OssaiBytes,
) -> i32 {
    // SAFETY: the caller promises it of each.
    unsafe {
        let opened = guarded(|| {
            let config = text("config", config, config_len)?;
            let credentials = text("credentials", credentials, credentials_len)?;
            open(config, environment != 0, credentials, queue)
        });
        put(session, *opened.as_ref().unwrap_or(&0));
        export(out, || opened.map(|_| Outcome::Ok(Vec::new())))
    }
}

/// Begins an operation. `OSSAI_OK`: it is over, and `out` has the answer; `OSSAI_PENDING`: it is under way, `*call` names it,
/// and its events come to `queue`; `OSSAI_FAILED`: it is over, and `out` has the error.
///
/// # Safety
/// Texts point to as many bytes as their lengths say; `call` and `out` may each be written, or are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ossai_begin(
    session: u64,
    op: *const u8,
    op_len: usize,
    request: *const u8,
    request_len: usize,
    options: *const u8,
    options_len: usize,
    queue: u64,
    call: *mut u64,
    out: *mut OssaiBytes,
) -> i32 {
    // SAFETY: the caller promises it of each.
    unsafe {
        put(call, 0);
        export(out, || {
            let op = Op::from_name(text("op", op, op_len)?)?;
            let request = text("request", request, request_len)?;
            let options = text("options", options, options_len)?;
            let queue = queue::find(queue)?;
            match find(session)?.begin(op, request, options, &queue) {
                Begin::Ready(reply) => Ok(Outcome::Ok(reply?.to_json().into_bytes())),
                Begin::Pending(id) => {
                    put(call, id.0);
                    Ok(Outcome::Pending)
                }
            }
        })
    }
}

/// Ends a call; its connection is closed unless others share it. 1 when it was under way: then nothing more comes of it but
/// what is in the queue already; else 0.
#[unsafe(no_mangle)]
pub extern "C" fn ossai_cancel(session: u64, call: u64) -> i32 {
    guarded(|| Ok(find(session)?.cancel(CallId(call))))
        .is_ok_and(|under_way| under_way)
        .into()
}

/// Lets a stream send this many more events.
#[unsafe(no_mangle)]
pub extern "C" fn ossai_grant(session: u64, call: u64, events: u32) {
    quietly(|| {
        if let Ok(session) = find(session) {
            session.grant(CallId(call), events);
        }
    });
}

/// Answers a host call with `{"ok": …}` or `{"error": {"type", "message"}}`; `*waited` is 1 when somebody waited for it.
///
/// # Safety
/// `result` points to `result_len` bytes; `waited` and `out` may each be written, or are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ossai_complete_host_call(
    session: u64,
    id: u64,
    result: *const u8,
    result_len: usize,
    waited: *mut i32,
    out: *mut OssaiBytes,
) -> i32 {
    // SAFETY: the caller promises it of each.
    unsafe {
        put(waited, 0);
        export(out, || {
            let result = text("result", result, result_len)?;
            let waiting = find(session)?.complete_host_call(HostCallId(id), result)?;
            put(waited, waiting.into());
            Ok(Outcome::Ok(Vec::new()))
        })
    }
}

/// How many calls are under way.
#[unsafe(no_mangle)]
pub extern "C" fn ossai_calls_under_way(session: u64) -> u64 {
    let calls = guarded(|| Ok(find(session)?.calls_under_way())).unwrap_or(0);
    u64::try_from(calls).unwrap_or(u64::MAX)
}

/// Refuses new calls and cancels those under way, whose `cancelled` errors come to their queues. Again is harmless.
#[unsafe(no_mangle)]
pub extern "C" fn ossai_session_close(session: u64) {
    quietly(|| {
        if let Ok(session) = find(session) {
            session.close();
        }
    });
}

/// Closes a session, if it is not, and forgets its number. Again is harmless.
#[unsafe(no_mangle)]
pub extern "C" fn ossai_session_free(session: u64) {
    quietly(|| {
        if let Some(session) = SESSIONS.remove(session) {
            session.close();
        }
    });
}
