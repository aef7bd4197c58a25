//! What an upstream saw, as a runner reads it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything one script saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Log {
    /// Requests in the order of their arrival.
    pub requests: Vec<Entry>,
    /// Connections accepted on the script's own port; on the shared port those that brought it a request.
    pub connections: Vec<u64>,
}

/// One request. Times end in `_ms` and are milliseconds of the case (real ones times the time scale) since the script was
/// registered; those in `_unix_ms` are real milliseconds since 1970, to be compared with the runner's clock.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Entry {
    /// Its number at the script, the first being 1.
    pub number: u64,
    /// The number of the connection it came on.
    pub connection: u64,
    /// When it had arrived whole.
    pub at_ms: f64,
    /// The same on the wall clock.
    pub at_unix_ms: f64,
    /// The method.
    pub method: String,
    /// The path without the script's prefix and the query.
    pub path: String,
    /// The query, without the question mark.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query: String,
    /// Headers in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body: JSON if it is, else text, else `{"base64": …}`.
    pub body: Value,
    /// Length of the body.
    pub body_bytes: usize,
    /// The index of the response; absent when `default` or nothing answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<usize>,
    /// The status that was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How it ended; absent while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_ms: Option<f64>,
    /// How long after the request the client was gone, if it left before the response was whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_gone_ms: Option<f64>,
    /// When the client left, on the wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_gone_unix_ms: Option<f64>,
    /// Bytes of the response written, head and framing included.
    pub sent_bytes: usize,
}

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was sent as scripted, to its end.
    Sent,
    /// The script reset the connection.
    Reset,
    /// The script closed the connection before the end.
    Closed,
    /// The client closed the connection before the end.
    ClientClosed,
    /// The client reset the connection before the end.
    ClientReset,
    /// The script was deleted meanwhile.
    Deleted,
}
