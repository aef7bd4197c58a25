//! Whether a failed attempt may be made again, by the strongest evidence there is.
//!
//! In this order: the caller cancelled or has seen an event, the request cannot be sent again, the upstream says so
//! (`x-should-retry`, gRPC pushback), the code in its answer (which gave the error its kind), its status, the transport's
//! failure. The set of statuses is Stainless' (all from 500) without 501 and 505.

#[cfg(test)]
mod tests;

use crate::error::{Error, ErrorKind, Fields};

use super::Pushback;

/// Codes in an answer that say an account is used up, so that its 429 is no call to wait but `quota_exhausted`.
pub const EXHAUSTED_CODES: [&str; 5] = [
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
];

/// What is known of a failed attempt besides its error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence<'a> {
    /// An event of the stream has reached the caller.
    pub committed: bool,
    /// The request can be sent again.
    pub replayable: bool,
    /// The value of the answer's `x-should-retry`; only `true` and `false` mean something.
    pub should_retry: Option<&'a str>,
    /// What a gRPC server says about trying again.
    pub pushback: Option<Pushback>,
    /// The upstream has not begun with the request: REFUSED_STREAM, a GOAWAY below its stream, or a reused connection that
    /// was closed before any byte came.
    pub unprocessed: bool,
    /// A transparent retry was made already in this call.
    pub transparent_used: bool,
    /// The credential comes from a callback and was not yet fetched anew in this call.
    pub refreshable: bool,
}

impl Default for Evidence<'_> {
    fn default() -> Self {
        Self {
            committed: false,
            replayable: true,
            should_retry: None,
            pushback: None,
            unprocessed: false,
            transparent_used: false,
            refreshable: false,
        }
    }
}

/// Whether a failed attempt may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No.
    Never,
    /// After a wait, at the expense of attempts and quota.
    Retry {
        /// The upstream has too much to do: wait longer, pay less.
        throttle: bool,
    },
    /// At once, free, one time in a call: nothing has happened upstream.
    Transparent,
    /// At once, free, one time in a call, with a credential fetched anew.
    Refresh,
}

/// Judges a failed attempt. Limits on attempts, time and quota are [`super::decide`]'s.
#[must_use]
pub fn classify(error: &Error, evidence: &Evidence<'_>) -> Verdict {
    let fields = error.fields();
    let over = matches!(
        fields.kind,
        ErrorKind::Cancelled | ErrorKind::StreamInterrupted
    ) || is_total_timeout(fields);
    if over || evidence.committed || !evidence.replayable {
        return Verdict::Never;
    }
    if evidence.unprocessed && !evidence.transparent_used {
        return Verdict::Transparent;
    }
    // Before `x-should-retry: false`, which vendors put on every 401: it speaks of the same credential.
    if fields.kind == ErrorKind::Authentication && evidence.refreshable {
        return Verdict::Refresh;
    }
    let again = match upstreams_word(fields, evidence) {
        Some(word) => word,
        None => by_answer(fields, evidence),
    };
    if again {
        Verdict::Retry {
            throttle: is_throttle(fields),
        }
    } else {
        Verdict::Never
    }
}

/// What the upstream says in so many words. It can only speak of a failure it answered with: an unreadable 200 is paid
/// for, and a redirect is not its to permit.
fn upstreams_word(fields: &Fields, evidence: &Evidence<'_>) -> Option<bool> {
    if evidence.pushback == Some(Pushback::Never) {
        return Some(false);
    }
    let answered = error_status(fields).is_some() || grpc_failure(fields).is_some();
    match evidence.should_retry.filter(|_| answered) {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    }
}

fn by_answer(fields: &Fields, evidence: &Evidence<'_>) -> bool {
    use ErrorKind as Kind;
    if fields
        .provider_code
        .as_deref()
        .is_some_and(|code| EXHAUSTED_CODES.contains(&code))
    {
        return false;
    }
    match fields.kind {
        // No status makes these worth another try.
        Kind::QuotaExhausted
        | Kind::BudgetExceeded
        | Kind::PriceUnknown
        | Kind::CircuitOpen
        | Kind::ContextLengthExceeded
        | Kind::ContentFiltered
        | Kind::RequestTooLarge
        | Kind::ResponseTooLarge
        | Kind::RedirectBlocked
        | Kind::VersionIncompatible
        | Kind::Unsupported
        | Kind::InvalidState
        | Kind::CallbackError => return false,
        // Certificates and forbidden addresses; a connection reset during the handshake is not `tls` but `other`.
        Kind::ConnectFailed if matches!(fields.detail.as_deref(), Some("tls" | "egress")) => {
            return false;
        }
        _ => {}
    }
    if let Some(code) = grpc_failure(fields) {
        return by_grpc_code(code, fields, evidence);
    }
    // One that is going has not begun with it.
    if matches!(
        fields.kind,
        Kind::RateLimited | Kind::Overloaded | Kind::ShuttingDown
    ) {
        return true;
    }
    match fields.http_status {
        Some(status @ 400..) => {
            matches!(status, 408 | 409 | 425 | 429)
                || (status >= 500 && status != 501 && status != 505)
        }
        Some(300..400) => false,
        // No answer, one that was cut, or a failure told inside a stream before its first event.
        _ => match fields.kind {
            Kind::ConnectFailed
            | Kind::TransportInterrupted
            | Kind::UpstreamError
            | Kind::Conflict => true,
            Kind::Timeout => is_attempt_timeout(fields),
            _ => false,
        },
    }
}

/// The codes of `google.rpc.Code` that are retried.
fn by_grpc_code(code: i32, fields: &Fields, evidence: &Evidence<'_>) -> bool {
    const DEADLINE_EXCEEDED: i32 = 4;
    const RESOURCE_EXHAUSTED: i32 = 8;
    const ABORTED: i32 = 10;
    const UNAVAILABLE: i32 = 14;
    match code {
        UNAVAILABLE | ABORTED => true,
        RESOURCE_EXHAUSTED => fields.retry_after_ms.is_some() || evidence.pushback.is_some(),
        DEADLINE_EXCEEDED => is_attempt_timeout(fields),
        _ => false,
    }
}

fn error_status(fields: &Fields) -> Option<u16> {
    fields.http_status.filter(|status| *status >= 400)
}

fn grpc_failure(fields: &Fields) -> Option<i32> {
    fields.grpc_code.filter(|code| *code != 0)
}

fn is_total_timeout(fields: &Fields) -> bool {
    fields.kind == ErrorKind::Timeout && fields.scope.as_deref() == Some("total")
}

fn is_attempt_timeout(fields: &Fields) -> bool {
    fields.kind == ErrorKind::Timeout && fields.scope.as_deref() == Some("attempt")
}

fn is_throttle(fields: &Fields) -> bool {
    matches!(fields.kind, ErrorKind::RateLimited | ErrorKind::Overloaded)
        || matches!(fields.http_status, Some(429 | 529))
}
