//! Errors as `google.rpc.Status`, by AIP-193: our whole error as one detail, and the standard details beside it for
//! clients that know only those.

use std::error::Error as _;
use std::time::Duration;

use ossai_proto::v1 as pb;
use prost::Message as _;
use prost_types::Any;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};
use tonic_types::pb as rpc;

use super::{ConvertError, read_each, write_each};
use crate::error::{Billed, Error, ErrorKind, Fields};
use crate::types::BudgetRefusal;

const DOMAIN: &str = "ossai.dev";
const RETRY_KEY: &str = "x-should-retry";
const PUSHBACK_KEY: &str = "grpc-retry-pushback-ms";

/// Bound of our own detail, encoded. All of a status stands in response headers, of which some clients (grpc-java) take
/// 8 KiB in all; details grow by a third there (base64).
const DETAIL_LIMIT: usize = 3 * 1024;
/// Bound of `ErrorInfo.metadata`, in bytes of keys and values.
const INFO_LIMIT: usize = 1024;
/// Bound of texts that repeat what the detail says; percent-encoding may triple one.
const TEXT_LIMIT: usize = 256;

/// tonic's words for a message over a limit.
pub(crate) const TOO_LARGE: &str = "message length too large";

/// The status an orchestrator answers with.
///
/// The code and the reason come from the table of kinds. `x-should-retry` is `true` only for a retriable failure before
/// the first try at a provider, so that client and orchestrator never multiply their tries. What would not fit into
/// response headers is left out: first `partial` (the client has seen those events), then all but the last attempts,
/// then the ends of long texts.
#[must_use]
pub fn status_from_error(error: &Error) -> Status {
    let fields = error.fields();
    let row = error.kind().row();
    let detail = bounded_detail(error);
    let text = cut(&detail.message, TEXT_LIMIT);

    let mut details = vec![any("google.rpc.ErrorInfo", &info(row.reason, &detail))];
    if let Some(millis) = detail.retry_after_ms {
        let retry_delay = prost_types::Duration::try_from(Duration::from_millis(millis)).ok();
        details.push(any("google.rpc.RetryInfo", &rpc::RetryInfo { retry_delay }));
    }
    if let (Some(field), 3) = (&detail.field, row.grpc) {
        let violation = rpc::bad_request::FieldViolation {
            field: cut(field, TEXT_LIMIT),
            description: text.clone(),
            ..Default::default()
        };
        details.push(any(
            "google.rpc.BadRequest",
            &rpc::BadRequest {
                field_violations: vec![violation],
            },
        ));
    }
    if matches!(
        error.kind(),
        ErrorKind::RateLimited
            | ErrorKind::QuotaExhausted
            | ErrorKind::BudgetExceeded
            | ErrorKind::PriceUnknown
            | ErrorKind::BudgetUnavailable
    ) {
        let subject = detail.detail.as_ref().or(detail.provider.as_ref());
        let violation = rpc::quota_failure::Violation {
            subject: cut(subject.unwrap_or(&detail.kind), TEXT_LIMIT),
            description: text.clone(),
            ..Default::default()
        };
        details.push(any(
            "google.rpc.QuotaFailure",
            &rpc::QuotaFailure {
                violations: vec![violation],
            },
        ));
    }
    details.push(any("ossai.orchestrator.v1.ErrorDetail", &detail));

    let retry =
        fields.retriable && fields.attempts.is_empty() && error.kind() != ErrorKind::CircuitOpen;
    let mut metadata = MetadataMap::new();
    metadata.insert(
        RETRY_KEY,
        MetadataValue::from_static(if retry { "true" } else { "false" }),
    );
    if let (true, Some(millis)) = (retry, detail.retry_after_ms) {
        metadata.insert(PUSHBACK_KEY, MetadataValue::from(millis));
    }
    let status = rpc::Status {
        code: row.grpc,
        message: text.clone(),
        details,
    };
    let code = Code::from_i32(row.grpc);
    Status::with_details_and_metadata(code, text, status.encode_to_vec().into(), metadata)
}

/// The error a status stands for: an orchestrator's by its [`pb::ErrorDetail`], any other server's by `ErrorInfo` and
/// the code.
///
/// The status stays as the error's source, where [`should_retry`] finds it. This is for what a server said; faults of
/// the connection are told apart in [`crate::transport::grpc`].
#[must_use]
pub fn error_from_status(status: Status) -> Error {
    let details = rpc::Status::decode(status.details())
        .unwrap_or_default()
        .details;
    let info: Option<rpc::ErrorInfo> = find(&details, "google.rpc.ErrorInfo");
    let reason = info
        .filter(|info| info.domain == DOMAIN)
        .and_then(|info| ErrorKind::from_reason(&info.reason));

    if let Some(detail) = find::<pb::ErrorDetail>(&details, "ossai.orchestrator.v1.ErrorDetail") {
        let kind = ErrorKind::from_name(&detail.kind).or(reason);
        let kind = kind.unwrap_or_else(|| kind_of_code(&status));
        return Error::from_fields(read_detail(detail, kind)).with_source(status);
    }

    let mut error = match reason.unwrap_or_else(|| kind_of_code(&status)) {
        // Which phase the server was in is not known; what is: no answer had come.
        ErrorKind::Timeout => Error::timeout("first_byte", "total"),
        kind => Error::new(kind, status.message()),
    };
    let fields = error.fields_mut();
    fields.grpc_code = Some(status.code().into());
    let retry: Option<rpc::RetryInfo> = find(&details, "google.rpc.RetryInfo");
    let hint = retry
        .and_then(|retry| retry.retry_delay)
        .and_then(|d| Duration::try_from(d).ok());
    fields.retry_after_ms = hint
        .map(|hint| u64::try_from(hint.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
        .or_else(|| pushback(&status)?.ok());
    if let Some(bad) = find::<rpc::BadRequest>(&details, "google.rpc.BadRequest") {
        fields.field = bad
            .field_violations
            .into_iter()
            .next()
            .map(|violation| violation.field);
    }
    error.with_source(status)
}

/// Whether a server that sent this error wants the call tried again: its `x-should-retry`, else
/// `grpc-retry-pushback-ms`, else the rule for bare codes (UNAVAILABLE and ABORTED yes, RESOURCE_EXHAUSTED with a hint,
/// others no). `None` when no server said anything, or only that time ran out.
#[must_use]
pub fn should_retry(error: &Error) -> Option<bool> {
    let status = error.source()?.downcast_ref::<Status>()?;
    match status
        .metadata()
        .get(RETRY_KEY)
        .map(MetadataValue::as_bytes)
    {
        Some(b"true") => return Some(true),
        Some(b"false") => return Some(false),
        _ => {}
    }
    if let Some(pushback) = pushback(status) {
        return Some(pushback.is_ok());
    }
    error.fields().grpc_code?;
    match status.code() {
        Code::Unavailable | Code::Aborted => Some(true),
        Code::ResourceExhausted => Some(error.retry_after().is_some()),
        Code::DeadlineExceeded => None,
        _ => Some(false),
    }
}

/// `grpc-retry-pushback-ms`: a wait, or, when it is anything but a number, a no (gRFC A6).
fn pushback(status: &Status) -> Option<Result<u64, ()>> {
    let value = status
        .metadata()
        .get(PUSHBACK_KEY)?
        .to_str()
        .unwrap_or_default();
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    Some(value.parse().ok().filter(|_| digits).ok_or(()))
}

/// What a foreign server's code means here.
fn kind_of_code(status: &Status) -> ErrorKind {
    let message = status.message();
    match status.code() {
        // An error without a failure code cannot be read.
        Code::Ok => ErrorKind::DecodeError,
        Code::Cancelled => ErrorKind::Cancelled,
        Code::InvalidArgument | Code::FailedPrecondition | Code::AlreadyExists => {
            ErrorKind::InvalidRequest
        }
        // The words of tonic, of grpc-go and of the C core for a request over their limit.
        Code::OutOfRange if message.contains(TOO_LARGE) => ErrorKind::RequestTooLarge,
        Code::OutOfRange => ErrorKind::InvalidRequest,
        Code::ResourceExhausted if message.contains("message larger than max") => {
            ErrorKind::RequestTooLarge
        }
        Code::ResourceExhausted => ErrorKind::RateLimited,
        Code::DeadlineExceeded => ErrorKind::Timeout,
        Code::NotFound => ErrorKind::NotFound,
        Code::PermissionDenied => ErrorKind::PermissionDenied,
        Code::Unauthenticated => ErrorKind::Authentication,
        Code::Aborted => ErrorKind::Conflict,
        Code::Unimplemented => ErrorKind::Unsupported,
        // prost's words.
        Code::Internal if message.starts_with("failed to decode Protobuf message") => {
            ErrorKind::DecodeError
        }
        Code::Unknown | Code::Internal | Code::Unavailable | Code::DataLoss => {
            ErrorKind::UpstreamError
        }
    }
}

impl From<&Error> for pb::ErrorDetail {
    fn from(error: &Error) -> Self {
        let Fields {
            kind,
            message,
            retriable,
            field,
            detail,
            retry_after_ms,
            http_status,
            grpc_code,
            provider_code,
            provider,
            model,
            request_id,
            upstream_request_id,
            phase,
            scope,
            gave_up,
            budgets,
            billed,
            attempts,
            partial,
            trace,
            source: _,
        } = error.fields();
        let billed = match billed {
            Billed::No => pb::Billed::No,
            Billed::Maybe => pb::Billed::Maybe,
            Billed::Yes => pb::Billed::Yes,
        };
        Self {
            kind: kind.name().into(),
            message: message.clone(),
            retriable: *retriable,
            field: field.clone(),
            detail: detail.clone(),
            retry_after_ms: *retry_after_ms,
            http_status: http_status.map(u32::from),
            grpc_code: *grpc_code,
            provider_code: provider_code.clone(),
            provider: provider.clone(),
            model: model.clone(),
            request_id: request_id.clone(),
            upstream_request_id: upstream_request_id.clone(),
            phase: phase.clone(),
            scope: scope.clone(),
            gave_up: gave_up.clone(),
            budgets: budgets.iter().map(write_budget).collect(),
            billed: billed.into(),
            attempts: write_each(attempts),
            partial: partial.as_deref().map(Into::into),
            trace: trace.as_deref().map(Into::into),
        }
    }
}

/// Reads the detail, never failing: an error about an error would hide it, so what cannot be read is left out.
fn read_detail(detail: pb::ErrorDetail, kind: ErrorKind) -> Fields {
    let pb::ErrorDetail {
        kind: _,
        message,
        retriable,
        field,
        detail,
        retry_after_ms,
        http_status,
        grpc_code,
        provider_code,
        provider,
        model,
        request_id,
        upstream_request_id,
        phase,
        scope,
        gave_up,
        budgets,
        billed,
        attempts,
        partial,
        trace,
    } = detail;
    Fields {
        kind,
        message,
        retriable,
        field,
        detail,
        retry_after_ms,
        http_status: http_status.and_then(|status| u16::try_from(status).ok()),
        grpc_code,
        provider_code,
        provider,
        model,
        request_id,
        upstream_request_id,
        phase,
        scope,
        gave_up,
        budgets: budgets.into_iter().map(read_budget).collect(),
        billed: match pb::Billed::try_from(billed) {
            Ok(pb::Billed::No | pb::Billed::Unspecified) => Billed::No,
            Ok(pb::Billed::Yes) => Billed::Yes,
            Ok(pb::Billed::Maybe) | Err(_) => Billed::Maybe,
        },
        attempts: read_each(attempts, "attempts").unwrap_or_default(),
        partial: partial
            .and_then(|partial| partial.try_into().map_err(|_: ConvertError| ()).ok())
            .map(Box::new),
        trace: trace.map(|trace| Box::new(trace.into())),
        source: None,
    }
}

fn write_budget(budget: &BudgetRefusal) -> pb::BudgetRefusal {
    let BudgetRefusal {
        scope,
        tag,
        name,
        window,
        unit,
        limit,
        spent,
        held,
        asked,
        available,
        resets_at_ms,
    } = budget;
    pb::BudgetRefusal {
        scope: scope.clone(),
        tag: tag.clone(),
        name: name.clone(),
        window: window.clone(),
        unit: unit.clone(),
        limit: *limit,
        spent: *spent,
        held: *held,
        asked: *asked,
        available: *available,
        resets_at_ms: *resets_at_ms,
    }
}

fn read_budget(budget: pb::BudgetRefusal) -> BudgetRefusal {
    let pb::BudgetRefusal {
        scope,
        tag,
        name,
        window,
        unit,
        limit,
        spent,
        held,
        asked,
        available,
        resets_at_ms,
    } = budget;
    BudgetRefusal {
        scope,
        tag,
        name,
        window,
        unit,
        limit,
        spent,
        held,
        asked,
        available,
        resets_at_ms,
    }
}

fn bounded_detail(error: &Error) -> pb::ErrorDetail {
    let mut detail = pb::ErrorDetail::from(error);
    let over = |detail: &pb::ErrorDetail| detail.encoded_len() > DETAIL_LIMIT;
    if over(&detail) {
        detail.partial = None;
    }
    if over(&detail) {
        // The last decisions are those that led here.
        if let Some(trace) = &mut detail.trace {
            let first = trace.steps.len().saturating_sub(8);
            trace.omitted = trace
                .omitted
                .saturating_add(u32::try_from(first).unwrap_or(u32::MAX));
            trace.steps.drain(..first);
            for step in &mut trace.steps {
                step.fields.truncate(8);
            }
        }
    }
    if over(&detail) {
        detail.trace = None;
    }
    if over(&detail) {
        let first = detail.attempts.len().saturating_sub(8);
        detail.attempts.drain(..first);
        detail.message = cut(&detail.message, 1024);
    }
    if over(&detail) {
        detail.attempts.clear();
        detail.budgets.truncate(4);
        for budget in &mut detail.budgets {
            budget.tag = budget.tag.as_deref().map(|text| cut(text, 64));
            budget.name = budget.name.as_deref().map(|text| cut(text, 64));
        }
        for text in [
            &mut detail.field,
            &mut detail.detail,
            &mut detail.provider_code,
            &mut detail.provider,
            &mut detail.model,
            &mut detail.request_id,
            &mut detail.upstream_request_id,
            &mut detail.phase,
            &mut detail.scope,
            &mut detail.gave_up,
        ] {
            *text = text.as_deref().map(|text| cut(text, 128));
        }
    }
    detail
}

fn info(reason: &str, detail: &pb::ErrorDetail) -> rpc::ErrorInfo {
    let number = |n: Option<u32>| n.map(|n| n.to_string());
    let mut room = INFO_LIMIT;
    let metadata = [
        ("kind", Some(detail.kind.clone())),
        ("field", detail.field.clone()),
        ("detail", detail.detail.clone()),
        ("phase", detail.phase.clone()),
        ("scope", detail.scope.clone()),
        ("gave_up", detail.gave_up.clone()),
        ("provider", detail.provider.clone()),
        ("model", detail.model.clone()),
        ("http_status", number(detail.http_status)),
        ("provider_code", detail.provider_code.clone()),
        ("request_id", detail.request_id.clone()),
        ("upstream_request_id", detail.upstream_request_id.clone()),
    ];
    let metadata = metadata
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .take_while(|(key, value)| {
            // Besides the texts each entry takes up to 8 bytes.
            room = room.saturating_sub(key.len() + value.len() + 8);
            room > 0
        })
        .collect();
    rpc::ErrorInfo {
        reason: reason.into(),
        domain: DOMAIN.into(),
        metadata,
    }
}

fn any(name: &str, message: &impl prost::Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: message.encode_to_vec(),
    }
}

fn find<T: prost::Message + Default>(details: &[Any], name: &str) -> Option<T> {
    let named = |any: &&Any| any.type_url.rsplit('/').next() == Some(name);
    T::decode(details.iter().find(named)?.value.as_slice()).ok()
}

/// At most `limit` bytes of a text, whole characters.
fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.into();
    }
    let end = (0..=limit - '…'.len_utf8())
        .rev()
        .find(|&i| text.is_char_boundary(i))
        .unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}
