//! What never gets into a cassette: credentials, wherever they stand, ids of organisations, and what the user names.
//!
//! Only the headers that matter are written at all, so that one nobody has thought of cannot give anything away.

use std::collections::BTreeMap;
use std::ops::Range;

use http::header::HeaderMap;
use memchr::memmem;
use serde_json::Value;
use url::Url;

use super::config::Cassette;

/// What stands in place of what is not written.
const GONE: &str = "***";
/// Headers of requests that are written.
const ASKED: [&str; 3] = ["anthropic-beta", "anthropic-version", "openai-beta"];
/// Headers of responses that are written; `date` only where a moment is read against it.
const ANSWERED: [&str; 7] = [
    "content-type",
    "request-id",
    "retry-after",
    "retry-after-ms",
    "x-ossai-request-id",
    "x-request-id",
    "x-should-retry",
];
/// Query parameters and headers that carry credentials.
const CREDENTIALS: [&str; 18] = [
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "auth",
    "authorization",
    "code",
    "cookie",
    "key",
    "proxy-authorization",
    "set-cookie",
    "sig",
    "signature",
    "subscription-key",
    "token",
    "x-api-key",
    "x-goog-api-key",
    "x-amz-security-token",
];
/// Headers whose names have one of these carry credentials, too.
const SECRET_WORDS: [&str; 6] = ["auth", "cookie", "key", "password", "secret", "token"];
/// Fields in which vendors name the account.
const ACCOUNT: [&str; 5] = [
    "organization",
    "organization_id",
    "org_id",
    "account_id",
    "project_id",
];
/// What ids of organisations and projects begin with.
const ACCOUNT_IDS: [&str; 2] = ["org-", "proj_"];
/// Shorter ones are no secrets, and would blot out words.
const SHORTEST: usize = 8;

/// What is taken out.
#[derive(Clone, Debug, Default)]
pub(super) struct Scrub {
    /// Texts, as they are and as they stand in JSON.
    values: Vec<String>,
    /// Names, as the user wrote them.
    names: Vec<String>,
}

impl Scrub {
    pub(super) fn new<'a>(
        config: &Cassette,
        sent: impl IntoIterator<Item = &'a HeaderMap>,
    ) -> Self {
        let mut scrub = Self {
            values: Vec::new(),
            names: config
                .scrub
                .iter()
                .map(|name| name.trim().to_owned())
                .collect(),
        };
        for value in &config.scrub_values {
            scrub.add(value.expose(), 1);
        }
        for headers in sent {
            scrub.add_credentials(headers);
        }
        scrub
    }

    fn add(&mut self, value: &str, shortest: usize) {
        if value.len() < shortest {
            return;
        }
        let quoted = Value::from(value).to_string();
        let quoted = quoted.trim_matches('"');
        for value in [value, quoted] {
            if !self.values.iter().any(|known| known == value) {
                self.values.push(value.to_owned());
            }
        }
        // The longest first: one may be the beginning of another.
        self.values
            .sort_by_key(|value| std::cmp::Reverse(value.len()));
    }

    /// With what this request is sent as a credential.
    pub(super) fn with(&self, headers: &HeaderMap) -> Self {
        let mut scrub = self.clone();
        scrub.add_credentials(headers);
        scrub
    }

    fn add_credentials(&mut self, headers: &HeaderMap) {
        for (name, value) in headers {
            let name = name.as_str();
            let carries = value.is_sensitive()
                || self.hides(name)
                || SECRET_WORDS.iter().any(|word| name.contains(word));
            // Ours, and nobody's secret.
            if !carries || name == "idempotency-key" {
                continue;
            }
            if let Ok(value) = value.to_str() {
                self.add(value.strip_prefix("Bearer ").unwrap_or(value), SHORTEST);
            }
        }
    }

    fn is_named(&self, name: &str) -> bool {
        self.names
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
    }

    fn hides(&self, name: &str) -> bool {
        let carries = CREDENTIALS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name));
        carries || self.is_named(name)
    }

    /// A text without what is not written.
    pub(super) fn text(&self, text: &str) -> String {
        let ranges = self.ranges(text.as_bytes(), &[]);
        let mut out = String::new();
        let mut from = 0;
        for range in ranges {
            out.push_str(text.get(from..range.start).unwrap_or_default());
            out.push_str(GONE);
            from = range.end;
        }
        out.push_str(text.get(from..).unwrap_or_default());
        out
    }

    /// The same of an address, whose user and password are nobody's either.
    pub(super) fn url(&self, uri: &http::Uri) -> String {
        let Ok(mut url) = Url::parse(&uri.to_string()) else {
            return self.text(&uri.to_string());
        };
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let pairs: Vec<(String, String)> = url
            .query_pairs()
            .map(|(name, value)| {
                let value = if self.hides(&name) {
                    GONE.to_owned()
                } else {
                    self.text(&value)
                };
                (name.into_owned(), value)
            })
            .collect();
        if !pairs.is_empty() {
            url.query_pairs_mut().clear().extend_pairs(pairs);
        }
        self.text(url.as_str())
    }

    /// The headers of a request that matter, those of these names among them.
    pub(super) fn asked(&self, headers: &HeaderMap, also: &[String]) -> BTreeMap<String, String> {
        let also = also.iter().map(String::as_str);
        self.kept(headers, ASKED.into_iter().chain(also))
    }

    /// The headers of a response that matter.
    pub(super) fn answered(&self, headers: &HeaderMap) -> BTreeMap<String, String> {
        let date = headers.contains_key("retry-after").then_some("date");
        self.kept(headers, ANSWERED.into_iter().chain(date))
    }

    fn kept<'a>(
        &self,
        headers: &HeaderMap,
        names: impl Iterator<Item = &'a str>,
    ) -> BTreeMap<String, String> {
        names
            .filter_map(|name| {
                let value = headers.get(name)?;
                let value = if self.hides(name) || value.is_sensitive() {
                    GONE.to_owned()
                } else {
                    self.text(value.to_str().ok()?)
                };
                Some((name.to_ascii_lowercase(), value))
            })
            .collect()
    }

    /// A request's body in its one form: keys in order, nothing in it that is not written.
    pub(super) fn body(&self, value: Value) -> Value {
        match value {
            Value::String(text) => self.text(&text).into(),
            Value::Array(items) => items.into_iter().map(|item| self.body(item)).collect(),
            Value::Object(object) => {
                let sorted: BTreeMap<String, Value> = object
                    .into_iter()
                    .map(|(name, value)| {
                        let value = if self.is_named(&name) {
                            GONE.into()
                        } else {
                            self.body(value)
                        };
                        (self.text(&name), value)
                    })
                    .collect();
                sorted.into_iter().collect()
            }
            other => other,
        }
    }

    /// The pieces of a response's body, wherever in them it stands, across their borders too.
    pub(super) fn pieces(&self, pieces: &mut [(u64, Vec<u8>)]) {
        let whole: Vec<u8> = pieces
            .iter()
            .flat_map(|(_, bytes)| bytes.iter().copied())
            .collect();
        let names: Vec<&str> = ACCOUNT
            .into_iter()
            .chain(self.names.iter().map(String::as_str))
            .collect();
        let ranges = self.ranges(&whole, &names);
        if ranges.is_empty() {
            return;
        }
        let mut from = 0;
        for (_, bytes) in pieces {
            let to = from + bytes.len();
            let mut kept = Vec::with_capacity(bytes.len());
            let mut at = from;
            for range in &ranges {
                if range.end <= at || range.start >= to {
                    continue;
                }
                kept.extend_from_slice(whole.get(at..range.start).unwrap_or_default());
                if range.start >= from {
                    kept.extend_from_slice(GONE.as_bytes());
                }
                at = range.end.min(to);
            }
            kept.extend_from_slice(whole.get(at..to).unwrap_or_default());
            *bytes = kept;
            from = to;
        }
    }

    /// What goes, in order, without overlaps; `names` are fields of JSON whose texts go.
    fn ranges(&self, bytes: &[u8], names: &[&str]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        for value in &self.values {
            found.extend(
                memmem::find_iter(bytes, value).map(|at| at..at.saturating_add(value.len())),
            );
        }
        for prefix in ACCOUNT_IDS {
            found.extend(
                memmem::find_iter(bytes, prefix).filter_map(|at| account_id(bytes, at, prefix)),
            );
        }
        for name in names {
            found.extend(fields(bytes, name));
        }
        found.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<usize>> = Vec::new();
        for range in found {
            match merged.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        merged
    }
}

/// An id as vendors make them, at least 16 letters and digits, and no word that begins so.
fn account_id(bytes: &[u8], at: usize, prefix: &str) -> Option<Range<usize>> {
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    if before.is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let from = at.saturating_add(prefix.len());
    let length = bytes
        .get(from..)?
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    (length >= 16).then(|| at..from.saturating_add(length))
}

/// The texts of all fields of this name, between their quotes.
fn fields(bytes: &[u8], name: &str) -> Vec<Range<usize>> {
    let quoted = Value::from(name).to_string();
    let place = |at: usize| -> Option<Range<usize>> {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        // Inside a text the quote is escaped: that is content.
        if before == Some(&b'\\') {
            return None;
        }
        let skip = |from: usize| -> usize {
            let rest = bytes.get(from..).unwrap_or_default();
            from + rest
                .iter()
                .take_while(|byte| byte.is_ascii_whitespace())
                .count()
        };
        let colon = skip(at + quoted.len());
        if bytes.get(colon) != Some(&b':') {
            return None;
        }
        let open = skip(colon + 1);
        if bytes.get(open) != Some(&b'"') {
            return None;
        }
        let mut end = open + 1;
        loop {
            match bytes.get(end) {
                None | Some(b'"') => return Some(open + 1..end.min(bytes.len())),
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
            }
        }
    };
    memmem::find_iter(bytes, &quoted)
        .filter_map(place)
        .filter(|range| !range.is_empty())
        .collect()
}
