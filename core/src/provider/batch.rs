//! The vendors' batch APIs, at half the price: what goes in, what is said of it meanwhile, and what comes out.
//!
//! OpenAI's takes a file of requests to one endpoint and one model and answers with two files, one of them of errors (its API
//! reference, "Batch" and "Files"). Anthropic's takes the requests as they are and answers at an address it names (its API
//! reference, "Message Batches"). Neither answers in the order it was asked in.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Api, decode_completion, decode_error, decode_stream_error};
use crate::cost::date::Date;
use crate::cost::usage::UsageApi;
use crate::error::{Billed, Error, ErrorKind, Result};
use crate::types::Completion;

/// The name under which OpenAI keeps our number of a batch.
const OURS: &str = "ossai_batch";
/// Longest id of a vendor's that is put into an address.
const MAX_ID: usize = 128;

/// Whose way of taking batches a provider has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum BatchApi {
    OpenAi,
    Anthropic,
}

/// What a vendor says of a batch.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) state: BatchState,
    /// Our number of it, where the vendor keeps that.
    pub(crate) ours: Option<String>,
    /// How many requests it has, where that is said.
    pub(crate) requests: Option<usize>,
    /// When it was made, in seconds since 1970.
    pub(crate) created: Option<i64>,
}

/// How far a batch is.
#[derive(Debug)]
pub(crate) enum BatchState {
    Running,
    Ended(Ended),
    /// Nothing of it was done: what is wrong, and with which request, counted from 0.
    Failed(Vec<(Option<usize>, Error)>),
}

/// A batch that is over.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Files with results, or the address of all of them.
    pub(crate) results: Vec<Results>,
    /// What became of requests that have no result.
    pub(crate) rest: Rest,
}

/// Where results are.
#[derive(Debug)]
pub(crate) enum Results {
    /// Beneath the base address.
    Path(String),
    /// Where the vendor says; it may be anywhere.
    Url(String),
}

/// What became of requests that have no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Expired,
    Cancelled,
    Missing,
}

/// One result.
pub(crate) struct Line {
    pub(crate) outcome: Result<Completion>,
    pub(crate) status: Option<u16>,
    pub(crate) request_id: Option<String>,
}

/// One page of a list of batches.
pub(crate) struct Page {
    pub(crate) batches: Vec<Told>,
    /// Where the next one begins, if there is one.
    pub(crate) after: Option<String>,
}

impl BatchApi {
    pub(crate) fn of(api: Api) -> Self {
        match api {
            Api::AnthropicMessages => Self::Anthropic,
            Api::OpenAiChat | Api::OpenAiResponses => Self::OpenAi,
        }
    }

    /// Most requests and bytes of a batch: 50,000 and 200 MB at OpenAI (API reference, "Create batch"), 100,000 and 256 MB at
    /// Anthropic ("Batch processing", limitations).
    pub(crate) fn limits(self) -> (usize, usize) {
        match self {
            Self::OpenAi => (50_000, 200_000_000),
            Self::Anthropic => (100_000, 256_000_000),
        }
    }

    /// Whether a batch is of one model only (OpenAI, "Batch API" guide).
    pub(crate) fn is_of_one_model(self) -> bool {
        self == Self::OpenAi
    }

    /// Where batches are.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::OpenAi => "/batches",
            Self::Anthropic => "/messages/batches",
        }
    }

    /// About how many bytes one request takes beside its body.
    pub(crate) fn overhead(self) -> usize {
        160
    }

    /// The requests as one body: at OpenAI the lines of the file, at Anthropic what makes the batch. `path` is the endpoint's.
    pub(crate) fn body(self, ours: &str, path: &str, requests: &[Bytes]) -> Vec<u8> {
        let size: usize = requests.iter().map(|one| one.len() + self.overhead()).sum();
        let mut body = Vec::with_capacity(size + 64);
        if self == Self::Anthropic {
            body.extend_from_slice(br#"{"requests":["#);
        }
        for (number, request) in requests.iter().enumerate() {
            let id = custom_id(ours, number);
            match self {
                Self::OpenAi => {
                    let head = format!(
                        r#"{{"custom_id":"{id}","method":"POST","url":"/v1{path}","body":"#
                    );
                    body.extend_from_slice(head.as_bytes());
                    body.extend_from_slice(request);
                    body.extend_from_slice(b"}\n");
                }
                Self::Anthropic => {
                    if number > 0 {
                        body.push(b',');
                    }
                    let head = format!(r#"{{"custom_id":"{id}","params":"#);
                    body.extend_from_slice(head.as_bytes());
                    body.extend_from_slice(request);
                    body.push(b'}');
                }
            }
        }
        if self == Self::Anthropic {
            body.extend_from_slice(b"]}");
        }
        body
    }

    /// Reads a batch.
    pub(crate) fn decode(self, api: Api, body: &[u8]) -> Result<Told> {
        let value: Value = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
        self.told(api, &value)
    }

    /// Reads a page of a list.
    pub(crate) fn decode_page(self, api: Api, body: &[u8]) -> Result<Page> {
        let value: Value = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
        let list = value.get("data").and_then(Value::as_array);
        let list = list.ok_or_else(|| unreadable(&"a list without `data`"))?;
        let batches = list
            .iter()
            .map(|one| self.told(api, one))
            .collect::<Result<Vec<_>>>()?;
        let more = value.get("has_more").and_then(Value::as_bool) == Some(true);
        let after = batches.last().map(|last| last.id.clone());
        Ok(Page {
            batches,
            after: after.filter(|_| more),
        })
    }

    fn told(self, api: Api, value: &Value) -> Result<Told> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let id = known_id(text("id"))?;
        let (state, requests, created) = match self {
            Self::OpenAi => {
                let rest = match text("status").unwrap_or_default() {
                    "completed" => Some(Rest::Missing),
                    "expired" => Some(Rest::Expired),
                    "cancelled" => Some(Rest::Cancelled),
                    _ => None,
                };
                let state = match rest {
                    Some(rest) => BatchState::Ended(Ended {
                        results: ["output_file_id", "error_file_id"]
                            .into_iter()
                            .filter_map(|name| text(name).filter(|id| !id.is_empty()))
                            .map(|id| {
                                let id = known_id(Some(id))?;
                                Ok(Results::Path(format!("/files/{id}/content")))
                            })
                            .collect::<Result<_>>()?,
                        rest,
                    }),
                    None if text("status") == Some("failed") => {
                        BatchState::Failed(refusals(api, value))
                    }
                    None => BatchState::Running,
                };
                let total = value.pointer("/request_counts/total");
                let created = value.get("created_at").and_then(Value::as_i64);
                (state, total.and_then(Value::as_u64), created)
            }
            Self::Anthropic => {
                let state = match text("processing_status") {
                    Some("ended") => BatchState::Ended(Ended {
                        results: vec![match text("results_url") {
                            Some(url) => Results::Url(url.to_owned()),
                            None => Results::Path(format!("{}/{id}/results", self.path())),
                        }],
                        rest: Rest::Missing,
                    }),
                    _ => BatchState::Running,
                };
                let counts = value.get("request_counts").and_then(Value::as_object);
                let total = counts.map(|counts| counts.values().filter_map(Value::as_u64).sum());
                (state, total, text("created_at").and_then(seconds))
            }
        };
        let ours = value.get("metadata").and_then(|data| data.get(OURS));
        Ok(Told {
            ours: ours.and_then(Value::as_str).map(str::to_owned),
            requests: requests.and_then(|n| usize::try_from(n).ok()),
            created,
            id,
            state,
        })
    }

    /// Reads one result.
    pub(crate) fn decode_line(self, api: Api, usage: UsageApi, line: &[u8]) -> Line {
        let read = match self {
            Self::OpenAi => openai_line(api, usage, line),
            Self::Anthropic => anthropic_line(api, usage, line),
        };
        read.unwrap_or_else(|error| Line {
            outcome: Err(unreadable(&error).with(|fields| fields.billed = Billed::Maybe)),
            status: None,
            request_id: None,
        })
    }
}

/// The name of a request within its batch: at most 64 of A-Z a-z 0-9 _ - at Anthropic ("Create a Message Batch").
pub(crate) fn custom_id(ours: &str, number: usize) -> String {
    format!("{ours}-{number}")
}

/// Which request of our batch a result is of; `None` for another one's.
pub(crate) fn number_of(ours: &str, line: &[u8]) -> Option<usize> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        custom_id: std::borrow::Cow<'a, str>,
    }
    let named: Named<'_> = serde_json::from_slice(line).ok()?;
    let number = named.custom_id.strip_prefix(ours)?.strip_prefix('-')?;
    let plain = number.bytes().all(|byte| byte.is_ascii_digit());
    (plain && (number == "0" || !number.starts_with('0'))).then(|| number.parse().ok())?
}

/// The form that takes a file to OpenAI: its content type and its body. Files of batches are kept for 30 days unless told
/// otherwise (API reference, "Upload file").
pub(crate) fn upload(ours: &str, lines: &[u8]) -> (String, Vec<u8>) {
    // A line cannot begin with it: each is an object.
    let boundary = format!("----{ours}");
    let mut body = Vec::with_capacity(lines.len() + 512);
    let head = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n\
         --{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{ours}.jsonl\"\r\n\
         content-type: application/jsonl\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(lines);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

/// What makes a batch of an uploaded file.
pub(crate) fn creation(ours: &str, file: &str, path: &str) -> Vec<u8> {
    serde_json::json!({
        "input_file_id": file,
        "endpoint": format!("/v1{path}"),
        "completion_window": "24h",
        "metadata": {OURS: ours},
    })
    .to_string()
    .into_bytes()
}

/// Reads the id of an uploaded file.
pub(crate) fn decode_file(body: &[u8]) -> Result<String> {
    let value: Value = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    known_id(value.get("id").and_then(Value::as_str))
}

/// An id that may stand in an address.
fn known_id(id: Option<&str>) -> Result<String> {
    let good = |id: &&str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=MAX_ID).contains(&id.len()) && id.bytes().all(plain)
    };
    let id = id.filter(good);
    id.map(str::to_owned)
        .ok_or_else(|| unreadable(&"an object without an id of letters, digits, `-` and `_`"))
}

fn unreadable(error: &dyn std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::DecodeError,
        format!("the batch API's answer cannot be read: {error}"),
    )
}

/// Why OpenAI would not begin with a batch.
fn refusals(api: Api, batch: &Value) -> Vec<(Option<usize>, Error)> {
    let list = batch.pointer("/errors/data").and_then(Value::as_array);
    let mut refusals: Vec<_> = list
        .into_iter()
        .flatten()
        .map(|one| {
            let line = one.get("line").and_then(Value::as_u64);
            let line = line.and_then(|line| usize::try_from(line).ok()?.checked_sub(1));
            let limit = one
                .get("code")
                .is_some_and(|code| code == "token_limit_exceeded");
            // Too much is queued already: later there is room.
            let status = if limit { 429 } else { 400 };
            let body = serde_json::json!({"error": one}).to_string();
            (line, decode_error(api, status, &|_| None, body.as_bytes()))
        })
        .collect();
    if refusals.is_empty() {
        let error = Error::new(
            ErrorKind::InvalidRequest,
            "the vendor would not begin with the batch and does not say why",
        );
        refusals.push((None, error));
    }
    refusals
}

fn openai_line(api: Api, usage: UsageApi, line: &[u8]) -> serde_json::Result<Line> {
    #[derive(Deserialize)]
    struct Response<'a> {
        status_code: u16,
        request_id: Option<String>,
        #[serde(borrow)]
        body: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Outer<'a> {
        #[serde(borrow)]
        response: Option<Response<'a>>,
        error: Option<Value>,
    }
    let outer: Outer<'_> = serde_json::from_slice(line)?;
    Ok(match outer.response {
        Some(response) => {
            let body = response.body.get().as_bytes();
            let status = response.status_code;
            let outcome = match status {
                200..=299 => decode_completion(api, usage, body).map_err(paid_perhaps),
                _ => Err(decode_error(api, status, &|_| None, body)),
            };
            Line {
                outcome,
                status: Some(status),
                request_id: response.request_id,
            }
        }
        None => {
            let error = outer.error.unwrap_or_default();
            let code = error.get("code").and_then(Value::as_str);
            let error = match code.unwrap_or_default() {
                "batch_expired" => Rest::Expired.error(),
                "batch_cancelled" => Rest::Cancelled.error(),
                _ => decode_stream_error(api, &serde_json::json!({"error": error})),
            };
            Line {
                outcome: Err(error),
                status: None,
                request_id: None,
            }
        }
    })
}

fn anthropic_line(api: Api, usage: UsageApi, line: &[u8]) -> serde_json::Result<Line> {
    #[derive(Deserialize)]
    struct Outcome<'a> {
        r#type: String,
        #[serde(borrow)]
        message: Option<&'a RawValue>,
        error: Option<Value>,
    }
    #[derive(Deserialize)]
    struct Outer<'a> {
        #[serde(borrow)]
        result: Outcome<'a>,
    }
    let Outer { result } = serde_json::from_slice(line)?;
    let request_id = result
        .error
        .as_ref()
        .and_then(|error| error.get("request_id")?.as_str().map(str::to_owned));
    let outcome = match (result.r#type.as_str(), result.message) {
        ("succeeded", Some(message)) => {
            decode_completion(api, usage, message.get().as_bytes()).map_err(paid_perhaps)
        }
        ("canceled", _) => Err(Rest::Cancelled.error()),
        ("expired", _) => Err(Rest::Expired.error()),
        _ => {
            let error = result.error.unwrap_or_default();
            // What is wrong with it lies inside the error as an answer has it.
            let error = match error.get("error") {
                Some(_) => error,
                None => serde_json::json!({"error": error}),
            };
            Err(decode_stream_error(api, &error))
        }
    };
    Ok(Line {
        status: outcome.is_ok().then_some(200),
        outcome,
        request_id,
    })
}

fn paid_perhaps(error: Error) -> Error {
    error.with(|fields| fields.billed = Billed::Maybe)
}

impl Rest {
    /// What the caller of a request without a result is told. Neither vendor charges for one that was not begun with.
    pub(crate) fn error(self) -> Error {
        match self {
            Self::Expired => {
                let text = "the vendor did not get to the request in the 24 hours of its batch";
                Error::new(ErrorKind::Timeout, text).with(|fields| {
                    fields.retriable = true;
                    fields.phase = Some("batch".into());
                    fields.scope = Some("batch".into());
                    fields.provider_code = Some("batch_expired".into());
                })
            }
            Self::Cancelled => {
                let text = "the request's batch was cancelled at the vendor before its turn";
                Error::new(ErrorKind::UpstreamError, text)
                    .with(|fields| fields.provider_code = Some("batch_cancelled".into()))
            }
            Self::Missing => {
                let text = "the vendor's results have none for the request";
                Error::new(ErrorKind::UpstreamError, text).with(|fields| {
                    fields.provider_code = Some("batch_result_missing".into());
                    fields.billed = Billed::Maybe;
                })
            }
        }
    }
}

/// The second of an RFC 3339 date in UTC, without its fraction.
fn seconds(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let mut parts = time.get(..8)?.split(':').map(str::parse::<i64>);
    let mut next = || parts.next()?.ok();
    let (hour, minute, second) = (next()?, next()?, next()?);
    Some(Date::parse(date)?.start() + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests;
