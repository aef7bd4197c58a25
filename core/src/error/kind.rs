//! The one table of error kinds: every language's errors, the docs page and the HTTP and gRPC mappings come from it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct KindRow {
    /// The kind.
    pub kind: ErrorKind,
    /// Its stable name.
    pub name: &'static str,
    /// Whether a new call later may work; the core has used up its own tries by then.
    pub retriable: bool,
    /// The HTTP status the orchestrator answers with.
    pub http: u16,
    /// The gRPC code the orchestrator answers with (numbers of `google.rpc.Code`).
    pub grpc: i32,
    /// `ErrorInfo.reason` (AIP-193).
    pub reason: &'static str,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $reason:literal, $retriable:literal, $http:literal, $grpc:literal;)*) => {
        /// What went wrong, as a stable name. New kinds may be added.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind {
            $($(#[$doc])* $variant,)*
        }

        /// Every kind with its mappings.
        pub const KINDS: &[KindRow] = &[
            $(KindRow {
                kind: ErrorKind::$variant,
                name: $name,
                retriable: $retriable,
                http: $http,
                grpc: $grpc,
                reason: $reason,
            },)*
        ];
    };
}

kinds! {
    /// The request is wrong; `field` names what.
    InvalidRequest, "invalid_request", "INVALID_REQUEST", false, 400, 3;
    /// The prompt does not fit the model.
    ContextLengthExceeded, "context_length_exceeded", "CONTEXT_LENGTH_EXCEEDED", false, 400, 3;
    /// The object is closed, or belongs to another process.
    InvalidState, "invalid_state", "INVALID_STATE", false, 500, 9;
    /// The credential is missing or wrong.
    Authentication, "authentication", "UNAUTHENTICATED", false, 401, 16;
    /// The credential may not do this.
    PermissionDenied, "permission_denied", "PERMISSION_DENIED", false, 403, 7;
    /// No such model or address.
    NotFound, "not_found", "NOT_FOUND", false, 404, 5;
    /// The same call is under way elsewhere.
    Conflict, "conflict", "REQUEST_IN_PROGRESS", true, 409, 10;
    /// The request is larger than allowed.
    RequestTooLarge, "request_too_large", "REQUEST_TOO_LARGE", false, 413, 8;
    /// The answer is larger than allowed.
    ResponseTooLarge, "response_too_large", "RESPONSE_TOO_LARGE", false, 502, 8;
    /// The vendor's filter refused the content.
    ContentFiltered, "content_filtered", "CONTENT_FILTERED", false, 422, 9;
    /// Too many requests or tokens for now.
    RateLimited, "rate_limited", "RATE_LIMITED", true, 429, 8;
    /// The account's quota or credit is used up.
    QuotaExhausted, "quota_exhausted", "QUOTA_EXHAUSTED", false, 402, 9;
    /// A budget refuses the call.
    BudgetExceeded, "budget_exceeded", "BUDGET_EXCEEDED", false, 402, 9;
    /// No price is known and a budget needs one.
    PriceUnknown, "price_unknown", "PRICE_UNKNOWN", false, 402, 9;
    /// The budget's ledger cannot be reached.
    BudgetUnavailable, "budget_unavailable", "BUDGET_UNAVAILABLE", true, 503, 14;
    /// The upstream, or the orchestrator, has too much to do.
    Overloaded, "overloaded", "OVERLOADED", true, 503, 14;
    /// The upstream failed so often that it is left alone for a while.
    CircuitOpen, "circuit_open", "CIRCUIT_OPEN", true, 503, 14;
    /// The orchestrator or the client is closing.
    ShuttingDown, "shutting_down", "SHUTTING_DOWN", true, 503, 14;
    /// The upstream answered with a failure of its own.
    UpstreamError, "upstream_error", "UPSTREAM_UNAVAILABLE", true, 502, 14;
    /// No connection could be made; `detail` is `dns`, `refused`, `timeout`, `tls`, `egress` or `other`.
    ConnectFailed, "connect_failed", "CONNECT_FAILED", true, 502, 14;
    /// The connection broke before the answer was whole.
    TransportInterrupted, "transport_interrupted", "TRANSPORT_INTERRUPTED", true, 502, 14;
    /// The stream broke after its first event; `partial` has what came.
    StreamInterrupted, "stream_interrupted", "STREAM_INTERRUPTED", false, 502, 14;
    /// Time ran out; `phase` says where and `scope` whether of one try or of the whole call.
    Timeout, "timeout", "TIMEOUT", false, 504, 4;
    /// The caller cancelled.
    Cancelled, "cancelled", "CANCELLED", false, 499, 1;
    /// The answer cannot be read.
    DecodeError, "decode_error", "DECODE_ERROR", false, 502, 13;
    /// The answer is of another content type.
    UnexpectedContentType, "unexpected_content_type", "UNEXPECTED_CONTENT_TYPE", false, 502, 13;
    /// The upstream redirected where credentials must not go.
    RedirectBlocked, "redirect_blocked", "REDIRECT_BLOCKED", false, 502, 13;
    /// The upstream cannot do this.
    Unsupported, "unsupported", "UNSUPPORTED", false, 501, 12;
    /// Client and orchestrator speak different versions.
    VersionIncompatible, "version_incompatible", "VERSION_INCOMPATIBLE", false, 426, 9;
    /// A callback of the caller's failed.
    CallbackError, "callback_error", "CALLBACK_ERROR", false, 500, 13;
    /// A fault of ours.
    Internal, "internal", "INTERNAL", false, 500, 13;
}

impl ErrorKind {
    /// The kind's row of the table.
    #[must_use]
    pub fn row(self) -> &'static KindRow {
        // The table is generated from the variants in their order; the search cannot miss.
        KINDS.get(self as usize).unwrap_or(&KINDS[0])
    }

    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Reads the stable name; a name of a newer version is `None`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        KINDS
            .iter()
            .find(|row| row.name == name)
            .map(|row| row.kind)
    }

    /// Reads `ErrorInfo.reason`.
    #[must_use]
    pub fn from_reason(reason: &str) -> Option<Self> {
        KINDS
            .iter()
            .find(|row| row.reason == reason)
            .map(|row| row.kind)
    }
}

impl Serialize for ErrorKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for ErrorKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A newer peer's kind is a failure of a sort this version cannot name.
        Ok(Self::from_name(&String::deserialize(deserializer)?).unwrap_or(Self::UpstreamError))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_finds_its_own_row_and_name() {
        for row in KINDS {
            assert_eq!(row.kind.row().name, row.name);
            assert_eq!(ErrorKind::from_name(row.name), Some(row.kind));
            assert_eq!(ErrorKind::from_reason(row.reason), Some(row.kind));
        }
    }
}
