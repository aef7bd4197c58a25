//! The error every call ends in when it does not end in an answer.
//!
//! It is a value with fields: nothing has to be parsed out of its text, and the text holds neither prompts nor keys.
//! Errors are shared by all callers of a flight, so they are cheap to clone.

mod kind;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use kind::{ErrorKind, KINDS, KindRow};

use crate::types::{Attempt, BudgetRefusal, Completion, Trace};

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed call.
#[derive(Clone)]
pub struct Error(Box<Fields>);

/// Whether the vendor will bill the failed call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Billed {
    /// Nothing was sent, or it was refused.
    #[default]
    No,
    /// It was sent and the outcome is not known.
    Maybe,
    /// Output was seen.
    Yes,
}

/// Everything an error says; its serde form is what crosses language borders.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fields {
    /// What went wrong.
    pub kind: ErrorKind,
    /// A sentence for people, redacted.
    pub message: String,
    /// Whether a new call later may work.
    pub retriable: bool,
    /// Which field of the input is wrong, as a path (`messages[2].content`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// A finer word than the kind (`dns`, `tls`, `lagged` …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When to try again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The upstream's HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The upstream's gRPC code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc_code: Option<i32>,
    /// The vendor's own code for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_code: Option<String>,
    /// The provider asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Our id of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The vendor's request id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_request_id: Option<String>,
    /// Where time ran out: `queue`, `connect`, `first_byte`, `body`, `idle`, `backoff`, `wait`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Whose time ran out: `attempt` or `total`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Why no further try was made, where a retriable failure ended the call: `attempts`, `deadline`, `quota`, `hint`,
    /// `circuit`, `pace` (it would have waited too long for its turn), `credential` (no other one could be fetched), `budget`
    /// (it no longer fits).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gave_up: Option<String>,
    /// The budgets that refused the call, each with its limit, what is spent and held, and what is left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<BudgetRefusal>,
    /// Whether the vendor bills it.
    #[serde(default)]
    pub billed: Billed,
    /// Every try, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// What arrived before a stream broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Box<Completion>>,
    /// Why the call came out as it did, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Box<Trace>>,
    /// The fault beneath, for [`std::error::Error::source`].
    #[serde(skip)]
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// The text with what is no character to see escaped: names out of a request or a configuration may have line breaks.
fn on_one_line(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

impl Error {
    /// An error of `kind`; the message must hold neither prompts nor keys.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Fields {
            kind,
            message: message.into(),
            retriable: kind.row().retriable,
            field: None,
            detail: None,
            retry_after_ms: None,
            http_status: None,
            grpc_code: None,
            provider_code: None,
            provider: None,
            model: None,
            request_id: None,
            upstream_request_id: None,
            phase: None,
            scope: None,
            gave_up: None,
            budgets: Vec::new(),
            billed: Billed::No,
            attempts: Vec::new(),
            partial: None,
            trace: None,
            source: None,
        }))
    }

    /// `invalid_request` for the field at `path`, saying what was expected there.
    pub fn invalid(path: impl Into<String>, expected: impl fmt::Display) -> Self {
        let path = on_one_line(path.into());
        let message = on_one_line(format!("{path}: {expected}"));
        let mut error = Self::new(ErrorKind::InvalidRequest, message);
        error.0.field = Some(path);
        error
    }

    /// `timeout` in `phase` of `scope`; that of one attempt may be tried again by the caller, that of the call not.
    pub fn timeout(phase: &str, scope: &str) -> Self {
        let mut error = Self::new(
            ErrorKind::Timeout,
            format!("time ran out ({phase}, {scope})"),
        );
        error.0.retriable = scope == "attempt";
        error.0.phase = Some(phase.into());
        error.0.scope = Some(scope.into());
        error
    }

    /// Adds the fault beneath.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Changes fields in place.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Fields)) -> Self {
        change(&mut self.0);
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether a new call later may work.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        self.0.retriable
    }

    /// How long to wait before a new call, where the upstream said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after_ms.map(Duration::from_millis)
    }

    /// All fields.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.0
    }

    /// All fields, to change.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.0
    }

    /// An error with these fields, as another process sent them.
    #[must_use]
    pub fn from_fields(fields: Fields) -> Self {
        Self(Box::new(fields))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.name(), self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = &*self.0;
        let mut out = f.debug_struct("Error");
        out.field("kind", &fields.kind.name())
            .field("message", &fields.message);
        if let Some(field) = &fields.field {
            out.field("field", field);
        }
        if let Some(status) = fields.http_status {
            out.field("http_status", &status);
        }
        out.field("attempts", &fields.attempts.len())
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}

impl Serialize for Error {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Error {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        Fields::deserialize(deserializer).map(Self::from_fields)
    }
}
