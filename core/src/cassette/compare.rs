//! Whether a request is the one that was recorded, and if it is none, in what it differs from the nearest: with a strict
//! cassette that is the one question its user has.

use serde_json::Value;
use url::Url;

use super::config::Cassette;
use super::format::Asked;

/// Most differences that are looked for.
const MOST: usize = 8;

/// A request as it is compared.
#[derive(Debug)]
pub(super) struct Form {
    method: String,
    host: String,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, Option<String>)>,
    body: Option<Value>,
}

/// In what requests are compared.
#[derive(Debug)]
pub(super) struct Rules {
    method: bool,
    host: bool,
    path: bool,
    query: bool,
    body: bool,
    /// Headers, in lower case.
    pub(super) headers: Vec<String>,
    ignore: Vec<String>,
}

impl Rules {
    pub(super) fn new(config: &Cassette) -> Self {
        let has = |name: &str| config.match_on.iter().any(|what| what == name);
        Self {
            method: has("method"),
            host: has("host"),
            path: has("path"),
            query: has("query"),
            body: has("body"),
            headers: config
                .match_on
                .iter()
                .filter_map(|what| what.strip_prefix("header:"))
                .map(str::to_ascii_lowercase)
                .collect(),
            ignore: config.ignore.clone(),
        }
    }

    /// The request in the form it is compared in.
    pub(super) fn form(&self, asked: &Asked) -> Form {
        let url = Url::parse(&asked.url).ok();
        let mut query: Vec<(String, String)> = url
            .iter()
            .flat_map(|url| url.query_pairs())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        query.sort();
        let mut body = asked.body.clone();
        for pointer in &self.ignore {
            if let Some(body) = &mut body {
                take_out(body, pointer);
            }
        }
        let header = |name: &String| {
            let found = asked
                .headers
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name));
            (name.clone(), found.map(|(_, value)| value.clone()))
        };
        Form {
            method: asked.method.to_ascii_uppercase(),
            host: url
                .as_ref()
                .and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)))
                .map(|(host, port)| format!("{host}:{port}"))
                .unwrap_or_default(),
            path: url.map(|url| url.path().to_owned()).unwrap_or_default(),
            query,
            headers: self.headers.iter().map(header).collect(),
            body,
        }
    }

    /// In what a request differs from a recorded one; nothing means that it is the same.
    pub(super) fn differences(&self, recorded: &Form, asked: &Form) -> Vec<String> {
        let mut out = Vec::new();
        let mut part = |compared: bool, name: &str, recorded: &str, asked: &str| {
            if compared && recorded != asked {
                out.push(format!("{name} ({recorded} recorded, {asked} asked)"));
            }
        };
        part(self.method, "method", &recorded.method, &asked.method);
        part(self.host, "host", &recorded.host, &asked.host);
        part(self.path, "path", &recorded.path, &asked.path);
        if self.query && recorded.query != asked.query {
            out.push("query".into());
        }
        for ((name, recorded), (_, asked)) in recorded.headers.iter().zip(&asked.headers) {
            if recorded != asked {
                out.push(format!("header {name}"));
            }
        }
        if self.body {
            let nothing = Value::Null;
            let (recorded, asked) = (
                recorded.body.as_ref().unwrap_or(&nothing),
                asked.body.as_ref().unwrap_or(&nothing),
            );
            between("body", recorded, asked, &mut out);
        }
        out
    }
}

/// The model a request names.
pub(super) fn model(form: &Form) -> Option<&str> {
    form.body.as_ref()?.get("model")?.as_str()
}

/// Adds the places in which two values differ. Texts are content and are not shown; numbers and the model's name are.
fn between(path: &str, recorded: &Value, asked: &Value, out: &mut Vec<String>) {
    if out.len() >= MOST || same(recorded, asked) {
        return;
    }
    match (recorded, asked) {
        (Value::Object(before), Value::Object(now)) => {
            for (name, recorded) in before {
                let path = format!("{path}.{name}");
                match now.get(name) {
                    Some(asked) => between(&path, recorded, asked, out),
                    None => out.push(format!("{path} (recorded, not asked)")),
                }
            }
            for name in now.keys().filter(|name| !before.contains_key(*name)) {
                out.push(format!("{path}.{name} (asked, not recorded)"));
            }
        }
        (Value::Array(before), Value::Array(now)) => {
            for (i, (recorded, asked)) in before.iter().zip(now).enumerate() {
                between(&format!("{path}[{i}]"), recorded, asked, out);
            }
            if before.len() != now.len() {
                out.push(format!(
                    "{path} ({} recorded, {} asked)",
                    before.len(),
                    now.len()
                ));
            }
        }
        _ => {
            let shown = |value: &Value| {
                matches!(value, Value::Number(_) | Value::Bool(_))
                    || (path == "body.model" && value.is_string())
            };
            out.push(if shown(recorded) && shown(asked) {
                format!("{path} ({recorded} recorded, {asked} asked)")
            } else {
                path.to_owned()
            });
        }
    }
    out.truncate(MOST);
}

/// JSON has one kind of number (RFC 8259 §6), and no order of keys.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(a, b)| same(a, b))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len()
                && x.iter()
                    .all(|(name, a)| y.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// Takes out what a JSON pointer names, if it is there.
fn take_out(body: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else {
        return;
    };
    let last = last.replace("~1", "/").replace("~0", "~");
    match body.pointer_mut(parent) {
        Some(Value::Object(object)) => {
            object.remove(&last);
        }
        Some(Value::Array(items)) => {
            if let Some(item) = last.parse().ok().and_then(|i: usize| items.get_mut(i)) {
                *item = Value::Null;
            }
        }
        _ => {}
    }
}
