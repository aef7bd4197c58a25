//! Telling faults of the connection from what a server said.

use std::error::Error as StdError;

use tonic::{Code, Status, TimeoutExpired};

use crate::error::{Billed, Error, ErrorKind};
use crate::transport::connect::ConnectFault;
use crate::transport::convert::{TOO_LARGE, error_from_status};

/// `detail` of a `transport_interrupted` whose request the server certainly did not process: it may be sent again at
/// once, without counting as a try (behaviour 2.1.7).
pub const NOT_PROCESSED: &str = "not_processed";

/// The error a call ended in whose request took `sent` bytes.
pub(super) fn read(status: Status, sent: usize) -> Error {
    let Some(source) = status.source() else {
        // The same words come from the server about our request and from tonic here about the answer.
        let about_request = status.message().contains(&format!("found {sent} bytes"));
        if status.code() == Code::OutOfRange
            && status.message().contains(TOO_LARGE)
            && !about_request
        {
            return Error::new(ErrorKind::ResponseTooLarge, status.message())
                .with(|fields| fields.billed = Billed::Yes)
                .with_source(status);
        }
        // tonic's words for a body that ends inside a message.
        if status.code() == Code::Internal && status.message().starts_with("Unexpected EOF") {
            return interrupted("the answer ended inside a message", false).with_source(status);
        }
        return error_from_status(status);
    };
    let mut not_processed = false;
    let mut root: &(dyn StdError + 'static) = source;
    let mut cause = Some(source);
    while let Some(error) = cause {
        if let Some(fault) = error.downcast_ref::<ConnectFault>()
            && !fault.was_made()
        {
            return connect_failed(fault).with_source(status);
        }
        if error.is::<TimeoutExpired>() {
            return timed_out().with_source(status);
        }
        not_processed |= error.downcast_ref().is_some_and(is_unprocessed)
            // hyper cancels what it has not handed to the connection when that closes.
            || error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
        root = error;
        cause = error.source();
    }
    interrupted(&root.to_string(), not_processed).with_source(status)
}

/// RFC 9113 8.7: a stream refused, or above the last stream id of a GOAWAY, was not processed. h2 gives the error of a
/// GOAWAY only to streams above that id; those below it live on until they end or the connection does.
fn is_unprocessed(error: &h2::Error) -> bool {
    error.is_remote()
        && (error.is_go_away()
            || error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM))
}

/// Whether no further call can be made on the connection, though it may not know that itself yet: what is sent again at once
/// needs another one.
pub(super) fn is_the_connections_end(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref().is_some_and(h2::Error::is_go_away)
            || error.downcast_ref().is_some_and(hyper::Error::is_canceled)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The time of a call that was sent ran out.
pub(super) fn timed_out() -> Error {
    Error::timeout("first_byte", "total").with(|fields| fields.billed = Billed::Maybe)
}

fn interrupted(message: &str, not_processed: bool) -> Error {
    Error::new(
        ErrorKind::TransportInterrupted,
        format!("the connection broke: {message}"),
    )
    .with(|fields| {
        if not_processed {
            fields.detail = Some(NOT_PROCESSED.into());
        } else {
            fields.billed = Billed::Maybe;
        }
    })
}

fn connect_failed(fault: &ConnectFault) -> Error {
    Error::new(ErrorKind::ConnectFailed, format!("cannot connect: {fault}")).with(|fields| {
        fields.detail = Some(fault.detail.into());
        // A certificate does not mend itself between two tries.
        fields.retriable = fault.detail != "tls";
    })
}
