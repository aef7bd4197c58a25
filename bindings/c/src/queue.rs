//! The completion queue of one host event loop, announced by a byte in a pipe.

use std::io::PipeReader;
use std::sync::Arc;

use ossai::{Error, ErrorKind, Result};
use ossai_facade::{PipeWake, Queue, Wake, pipe};

use crate::bytes::OssaiBytes;
use crate::export::{Outcome, export, guarded, put, quietly};
use crate::frame;
use crate::handles::Handles;

static QUEUES: Handles<Queue> = Handles::new(0);

/// Writes to the pipe, and keeps its reading end: were the host's the only one, a wake-up after the host has closed it
/// would raise SIGPIPE on a thread of ours, which ends a process that does not expect it.
struct HostWake {
    wake: PipeWake,
    _reader: PipeReader,
}

impl Wake for HostWake {
    fn wake(&self) {
        self.wake.wake();
    }
}

pub(crate) fn find(handle: u64) -> Result<Arc<Queue>> {
    QUEUES.get(handle).ok_or_else(|| {
        Error::new(ErrorKind::InvalidState, "the queue is closed, or never was")
            .with(|fields| fields.field = Some("queue".into()))
    })
}

fn open() -> Result<(u64, PipeReader)> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Internal, "no pipe could be opened").with_source(error)
    };
    let (reader, wake) = pipe().map_err(failed)?;
    let hosts = reader.try_clone().map_err(failed)?;
    let queue = Queue::new(Arc::new(HostWake {
        wake,
        _reader: reader,
    }));
    let handle = QUEUES
        .insert(Arc::new(queue))
        .ok_or_else(|| Error::new(ErrorKind::Overloaded, "too many queues are open"))?;
    Ok((handle, hosts))
}

#[cfg(unix)]
fn give_away(reader: PipeReader) -> i32 {
    std::os::fd::IntoRawFd::into_raw_fd(reader)
}

/// Opens a queue: `*queue` names it, and `*descriptor`, which belongs to the caller (close it, at any time), becomes readable
/// when there is something to drain. Read the byte, then drain.
///
/// # Safety
/// `queue`, `descriptor` and `out` may each be written, or are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ossai_queue_open(
    queue: *mut u64,
    descriptor: *mut i32,
    out: *mut OssaiBytes,
) -> i32 {
    let opened = guarded(open);
    // SAFETY: the caller promises it of all three.
    unsafe {
        put(queue, opened.as_ref().map_or(0, |(handle, _)| *handle));
        export(out, || {
            let (_, reader) = opened?;
            if descriptor.is_null() {
                return Ok(Outcome::Ok(Vec::new()));
            }
            put(descriptor, give_away(reader));
            Ok(Outcome::Ok(Vec::new()))
        })
    }
}

/// Takes at most `max` events, oldest first, as records (see `OSSAI_RECORD_HEADER`); wakes again when some are left.
///
/// # Safety
/// `out` may be written, or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ossai_queue_drain(queue: u64, max: u32, out: *mut OssaiBytes) -> i32 {
    // SAFETY: the caller promises it.
    unsafe {
        export(out, || {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            Ok(Outcome::Ok(frame::records(&find(queue)?.drain(max))))
        })
    }
}

/// Ends a queue: what is in it and what would come is dropped. An unknown one is harmless.
#[unsafe(no_mangle)]
pub extern "C" fn ossai_queue_free(queue: u64) {
    quietly(|| {
        if let Some(queue) = QUEUES.remove(queue) {
            queue.close();
        }
    });
}
