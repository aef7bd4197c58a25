//! What stands in a cassette: one JSON document that people read, compare and write by hand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chunk::Chunk;
use crate::error::{Error, Result};

/// The version of the format this reads and writes.
const VERSION: u32 = 1;
/// Where errors of the file are told under.
pub(super) const ROOT: &str = "config.cassette.path";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "ossai_cassette")]
    _version: u32,
    #[serde(default, rename = "$schema")]
    _schema: Option<String>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
    #[serde(default)]
    interactions: Vec<Interaction>,
}

/// The version alone, for files of which nothing else can be read.
#[derive(Deserialize)]
struct Version {
    ossai_cassette: u32,
}

/// One request with what came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Interaction {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
    pub(super) request: Asked,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<Fault>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) response: Option<Answer>,
}

/// A request, scrubbed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) url: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<Value>,
}

/// A response.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) status: u16,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) headers: BTreeMap<String, String>,
    /// From the request to the headers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) ms: u64,
    #[serde(default)]
    pub(super) body: Vec<Chunk>,
    #[serde(default, skip_serializing_if = "End::is_whole")]
    pub(super) end: End,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    /// As it should.
    #[default]
    Whole,
    /// The connection broke.
    Cut,
    /// Nothing more came, for longer than somebody waited.
    Stall,
    /// Nobody read on.
    Left,
}

impl End {
    fn is_whole(&self) -> bool {
        *self == Self::Whole
    }
}

/// What goes wrong in place of an answer, or inside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// Where in the body; absent means before the response has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) body: Vec<Chunk>,
    /// How many requests it strikes before the response is given unharmed.
    #[serde(default = "once")]
    pub(super) times: u32,
}

fn once() -> u32 {
    1
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FaultKind {
    /// The connection breaks.
    Cut,
    /// Nothing more comes.
    Stall,
    /// A byte that is in no UTF-8 text (0xff) stands in place of the one there.
    BadByte,
    /// The server answers with a failure.
    Status,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde asks
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Reads a cassette.
pub(super) fn read(file: &str, text: &str) -> Result<Vec<Interaction>> {
    let wrong = |place: &str, what: &dyn std::fmt::Display| {
        Error::invalid(ROOT, format_args!("{file}: {place}{what}"))
    };
    // Before anything else, as a newer version has fields this one does not know.
    if let Ok(Version { ossai_cassette }) = serde_json::from_str(text)
        && ossai_cassette != VERSION
    {
        return Err(wrong(
            "",
            &format_args!("expected version {VERSION} of the format, found {ossai_cassette}"),
        ));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let document: Document =
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let path = error.path().to_string();
            let said = error.into_inner();
            let at = format!(" (line {})", said.line());
            let said = said.to_string();
            let said = said.split(" at line ").next().unwrap_or_default();
            let said = crate::client::config::without_value(said);
            let place = if path == "." {
                String::new()
            } else {
                format!("{path}: ")
            };
            wrong(&place, &format_args!("{said}{at}"))
        })?;
    deserializer.end().map_err(|error| wrong("", &error))?;
    for (i, interaction) in document.interactions.iter().enumerate() {
        interaction
            .check()
            .map_err(|(place, what)| wrong(&format!("interactions[{i}].{place}: "), &what))?;
    }
    Ok(document.interactions)
}

type Misplaced = (String, String);

impl Interaction {
    fn check(&self) -> std::result::Result<(), Misplaced> {
        let wrong = |place: &str, what: &str| Err((place.to_owned(), what.to_owned()));
        if url::Url::parse(&self.request.url).is_err() {
            return wrong("request.url", "expected a whole address");
        }
        let mut length = 0_u64;
        if let Some(answer) = &self.response {
            length = check_body("response.body", &answer.body)?;
            check_head("response", answer.status, 200, &answer.headers)?;
        }
        let Some(fault) = &self.fault else {
            return match self.response {
                Some(_) => Ok(()),
                None => wrong("response", "expected a response or a fault"),
            };
        };
        let is_status = fault.kind == FaultKind::Status;
        if fault.times == 0 {
            return wrong("fault.times", "expected at least 1");
        }
        match fault.status {
            Some(status) if is_status => check_head("fault", status, 400, &fault.headers)?,
            None if is_status => return wrong("fault.status", "expected 400 to 599"),
            Some(_) => return wrong("fault.status", "expected one of the kind `status` only"),
            None => {}
        }
        let answers = !fault.headers.is_empty() || !fault.body.is_empty();
        if answers && !is_status {
            return wrong("fault.kind", "expected `status` beside headers and a body");
        }
        check_body("fault.body", &fault.body)?;
        match (fault.kind, fault.after_bytes, &self.response) {
            (FaultKind::Status, Some(_), _) => {
                wrong("fault.after_bytes", "expected none of the kind `status`")
            }
            (FaultKind::BadByte, at, _) if at.is_none_or(|at| at >= length) => wrong(
                "fault.after_bytes",
                &format!("expected less than the {length} bytes of the body"),
            ),
            (_, Some(_), None) => wrong("response", "expected the one whose body it strikes"),
            _ => Ok(()),
        }
    }
}

fn check_head(
    place: &str,
    status: u16,
    least: u16,
    headers: &BTreeMap<String, String>,
) -> std::result::Result<(), Misplaced> {
    if !(least..600).contains(&status) {
        return Err((
            format!("{place}.status"),
            format!("expected {least} to 599"),
        ));
    }
    let good = |(name, value): (&String, &String)| {
        http::HeaderName::try_from(name).is_ok() && http::HeaderValue::try_from(value).is_ok()
    };
    match headers.iter().find(|header| !good(*header)) {
        Some((name, _)) => Err((
            format!("{place}.headers.{name}"),
            "expected a header's name and value".into(),
        )),
        None => Ok(()),
    }
}

/// The length of a body.
fn check_body(place: &str, body: &[Chunk]) -> std::result::Result<u64, Misplaced> {
    let mut length = 0_u64;
    for (i, chunk) in body.iter().enumerate() {
        let bytes = chunk
            .bytes()
            .map_err(|what| (format!("{place}[{i}]"), what.to_owned()))?;
        length = length.saturating_add(bytes.len() as u64);
    }
    Ok(length)
}

/// What stands before the interactions.
pub(super) const HEAD: &str = "{\n  \"ossai_cassette\": 1,\n  \"interactions\": [\n";
/// What stands between two.
pub(super) const BETWEEN: &str = ",\n";
/// What stands after the last.
pub(super) const TAIL: &str = "\n  ]\n}\n";

/// An interaction as it stands in the file.
pub(super) fn render(interaction: &Interaction) -> String {
    let mut out = "    ".to_owned();
    pretty(
        &serde_json::to_value(interaction).unwrap_or_default(),
        4,
        &mut out,
    );
    out
}

/// JSON with a line for every value, except that a piece of a body has one line for itself.
fn pretty(value: &Value, indent: usize, out: &mut String) {
    let line = |out: &mut String, indent: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', indent));
    };
    match value {
        Value::Object(object) if !object.is_empty() && !is_piece(value) => {
            out.push('{');
            for (i, (name, value)) in object.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                line(out, indent + 2);
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push_str(": ");
                pretty(value, indent + 2, out);
            }
            line(out, indent);
            out.push('}');
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (i, value) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                line(out, indent + 2);
                pretty(value, indent + 2, out);
            }
            line(out, indent);
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

fn is_piece(value: &Value) -> bool {
    let has = |name: &str| value.get(name).is_some();
    has("ms") && (has("text") || has("base64") || has("data"))
}
