//! Errors in OpenAI's form: `{"error": {"message", "type", "param", "code"}}`.

use ossai::{Error, ErrorKind};
use serde_json::{Value, json};

/// An error's body.
pub(crate) fn write(error: &Error) -> Value {
    with_param(error, param)
}

/// An error's body where requests are as flat as ours.
pub(crate) fn write_flat(error: &Error) -> Value {
    with_param(error, option)
}

fn with_param(error: &Error, param: fn(&str) -> String) -> Value {
    let fields = error.fields();
    let (kind, code) = words(error);
    json!({ "error": {
        "message": fields.message,
        "type": kind,
        "param": fields.field.as_deref().map(param),
        "code": code,
    } })
}

/// `type` and `code`: OpenAI's own words where it has one, else our kind as the code.
fn words(error: &Error) -> (&'static str, Option<&str>) {
    let fields = error.fields();
    // A provider's refusal of our key is not about the caller's.
    let ours = fields.attempts.is_empty() && fields.provider.is_none();
    let name = Some(error.kind().name());
    match error.kind() {
        ErrorKind::InvalidRequest => ("invalid_request_error", fields.provider_code.as_deref()),
        ErrorKind::ContextLengthExceeded | ErrorKind::RequestTooLarge | ErrorKind::Unsupported => {
            ("invalid_request_error", name)
        }
        ErrorKind::Authentication if ours => ("invalid_request_error", Some("invalid_api_key")),
        ErrorKind::Authentication => ("authentication_error", Some("provider_authentication")),
        ErrorKind::PermissionDenied => ("permission_error", name),
        ErrorKind::NotFound if fields.field.as_deref() == Some("model") || !ours => {
            ("invalid_request_error", Some("model_not_found"))
        }
        ErrorKind::NotFound => ("invalid_request_error", name),
        ErrorKind::Conflict => ("conflict_error", Some("conflict")),
        ErrorKind::ContentFiltered => ("invalid_request_error", Some("content_filter")),
        ErrorKind::RateLimited => ("rate_limit_error", Some("rate_limit_exceeded")),
        ErrorKind::QuotaExhausted | ErrorKind::BudgetExceeded | ErrorKind::PriceUnknown => {
            ("insufficient_quota", name)
        }
        ErrorKind::Timeout => ("timeout_error", Some("timeout")),
        _ => ("server_error", name),
    }
}

/// The field as OpenAI's request names it, where ours is flatter.
fn param(field: &str) -> String {
    let in_call = field.contains(".tool_calls[") && field.ends_with("].name");
    let in_tool = field.starts_with("tools[")
        && (field.ends_with("].name") || field.ends_with("].parameters"));
    if in_call || in_tool {
        return match field.rsplit_once('.') {
            Some((outer, last)) => format!("{outer}.function.{last}"),
            None => field.to_owned(),
        };
    }
    match field {
        "tool_choice.name" => "tool_choice.function.name".into(),
        "response_format.schema" => "response_format.json_schema.schema".into(),
        field => option(field),
    }
}

fn option(field: &str) -> String {
    field
        .strip_prefix("options.")
        .map_or_else(|| field.to_owned(), |name| format!("ossai.{name}"))
}
