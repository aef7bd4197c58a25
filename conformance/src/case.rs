//! The parts of a case, and every check that can be made on them before anything runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::disturb::Disturbance;
use crate::matcher;
use crate::script::Script;
use crate::tools::Tools;

/// Which way calls go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Road {
    /// Client to provider over HTTPS.
    Direct,
    /// Client to orchestrator over gRPC, orchestrator to provider.
    Orchestrator,
}

impl Road {
    /// The name in case files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Orchestrator => "orchestrator",
        }
    }
}

/// One case, ready to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name, unique in its area.
    pub name: String,
    /// What is promised, as a sentence.
    pub promise: String,
    /// Where the promise comes from.
    pub rules: Vec<String>,
    /// The roads it holds on.
    pub roads: Vec<Road>,
    /// How much faster than real time it runs.
    #[serde(default = "default_scale")]
    pub time_scale: u32,
    /// Adds the usual provider section for this API, pointed at the upstream `main`.
    #[serde(default)]
    pub provider: Option<Api>,
    /// Scripts by name.
    #[serde(default)]
    pub upstreams: BTreeMap<String, Value>,
    /// The client's configuration.
    #[serde(default = "empty_object")]
    pub config: Value,
    /// Files in the case's folder before anything starts: text, or JSON.
    #[serde(default)]
    pub files: BTreeMap<String, Value>,
    /// Further clients, each opened when the one before has closed: JSON merge patches over the configuration.
    #[serde(default)]
    pub reopen: Vec<Value>,
    /// Further clients, opened beside the first and with its orchestrator: merge patches likewise.
    #[serde(default)]
    pub beside: Vec<Value>,
    /// Settings of the orchestrator, on its road.
    #[serde(default = "empty_object")]
    pub serve: Value,
    /// The calls, each after the one before unless it says otherwise.
    pub calls: Vec<Call>,
    /// What must come of it.
    pub expect: Expect,
}

fn default_scale() -> u32 {
    20
}

fn empty_object() -> Value {
    json!({})
}

/// A provider API with a usual configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// Provider `openai` over Chat Completions.
    OpenaiChat,
    /// Provider `openai` over Responses.
    OpenaiResponses,
    /// Provider `anthropic` over Messages.
    AnthropicMessages,
}

impl Api {
    pub(crate) fn providers(self) -> Value {
        match self {
            Self::OpenaiChat => json!({"openai": {
                "kind": "openai", "api": "openai_chat", "base_url": "${main.url}/v1", "api_key": "sk-test-openai-secret",
            }}),
            Self::OpenaiResponses => json!({"openai": {
                "kind": "openai", "api": "openai_responses", "base_url": "${main.url}/v1", "api_key": "sk-test-openai-secret",
            }}),
            Self::AnthropicMessages => json!({"anthropic": {
                "kind": "anthropic", "api": "anthropic_messages", "base_url": "${main.url}/v1",
                "api_key": "sk-ant-test-anthropic-secret",
            }}),
        }
    }
}

/// What a call asks of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// A completion.
    Complete,
    /// A streamed completion.
    Stream,
    /// Embeddings.
    Embed,
    /// The models of all providers; the result is a list of model infos.
    Models,
    /// The health of the upstreams; the result is a list.
    Health,
    /// The client's budgets with what is on them; the result is a list.
    Budgets,
    /// Tokens of a request; the result is an object.
    Count,
    /// The cost of a request before it is made.
    Estimate,
    /// A synchronous look at the memory cache; the result is a completion or null.
    Lookup,
    /// What the call would do, without sending it.
    Explain,
    /// Kept answers count no more; the result says where.
    Invalidate,
    /// No call: something befalls the client; its `request` says what.
    Disturb,
}

/// One call.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Its name.
    pub id: String,
    /// What it asks.
    pub op: Op,
    /// The request in the public types' JSON form.
    #[serde(default)]
    pub request: Value,
    /// The call options in the public types' JSON form.
    #[serde(default = "empty_object")]
    pub options: Value,
    /// Tools with scripted handlers.
    #[serde(default)]
    pub tools: Option<Tools>,
    /// Which client makes it: 0 is the first, others are those of `reopen` or `beside`.
    #[serde(default)]
    pub client: usize,
    /// When it starts.
    #[serde(default)]
    pub start: Option<Start>,
    /// So many identical calls at once, named `id[0]`, `id[1]` …
    #[serde(default)]
    pub copies: Option<u32>,
    /// Cancels it so many milliseconds after its start.
    #[serde(default)]
    pub cancel_at_ms: Option<f64>,
    /// Cancels it once it has had so many events.
    #[serde(default)]
    pub cancel_after_events: Option<usize>,
    /// Cancels it once `main` has had so many requests.
    #[serde(default)]
    pub cancel_on_request: Option<u64>,
    /// The caller takes so many milliseconds over each event.
    #[serde(default)]
    pub read_delay_ms: Option<f64>,
}

/// When a call starts; exactly one of `with`, `after`, `at_ms`, `on_request` and `after_events`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Start {
    /// Together with this call.
    pub with: Option<String>,
    /// When this call has ended.
    pub after: Option<String>,
    /// So long after the first call could start.
    pub at_ms: Option<f64>,
    /// When `main` has had so many requests.
    pub on_request: Option<u64>,
    /// When the call `of` has had so many events.
    pub after_events: Option<usize>,
    /// Whose events.
    pub of: Option<String>,
    /// And so much later.
    pub delay_ms: f64,
}

/// What must come of a case.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// Matcher for what opening the client gives: `{"error": …}`. Absent means that it opens.
    pub open: Option<Value>,
    /// Matchers by call; a call that is not named must succeed.
    pub calls: BTreeMap<String, Value>,
    /// What the upstreams saw.
    pub upstreams: BTreeMap<String, Seen>,
    /// Matcher for the counters of the last client.
    pub stats: Option<Value>,
    /// Matchers for the text of files in the case's folder, once everything is closed; none where there is no such file.
    pub files: BTreeMap<String, Value>,
    /// How many of a call's copies match.
    pub counts: Vec<Count>,
}

/// What one upstream must have seen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seen {
    /// Matcher for the number of requests.
    pub requests: Option<Value>,
    /// Matchers for the requests in order: `{method, path, query, headers, body, body_bytes, outcome, connection}`.
    pub requests_match: Option<Value>,
    /// Matcher for the number of connections.
    pub connections: Option<Value>,
    /// Matchers for the times between two requests, in milliseconds.
    pub gaps_ms: Option<Value>,
    /// The last request's connection ended at most so many real milliseconds after the last cancellation.
    pub cancelled_within_ms: Option<f64>,
}

/// How many of a call's copies match.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// The call.
    pub of: String,
    /// The matcher.
    pub matching: Value,
    /// Matcher for the number.
    pub n: Value,
}

impl Case {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.promise.is_empty() || self.rules.is_empty() || self.roads.is_empty() {
            return Err("promise, rules and roads must not be empty".into());
        }
        if !self.reopen.is_empty() && !self.beside.is_empty() {
            return Err("expected `reopen` or `beside`, not both".into());
        }
        if self.time_scale == 0 {
            return Err("time_scale: expected at least 1".into());
        }
        for (name, script) in &self.upstreams {
            Script::parse(script.clone()).map_err(|e| format!("upstreams.{name}: {e}"))?;
        }
        let known = |id: &str| self.calls.iter().any(|call| call.id == id);
        for (i, call) in self.calls.iter().enumerate() {
            if self.calls[..i].iter().any(|other| other.id == call.id) {
                return Err(format!("calls[{i}].id: `{}` twice", call.id));
            }
            if call.op == Op::Disturb {
                Disturbance::parse(&call.request)
                    .map_err(|e| format!("calls[{i}].request: {e}"))?;
            }
            if let Some(tools) = &call.tools {
                if !matches!(call.op, Op::Complete | Op::Stream) {
                    return Err(format!("calls[{i}].tools: only of complete and stream"));
                }
                tools
                    .check()
                    .map_err(|e| format!("calls[{i}].tools: {e}"))?;
            }
            let backwards = i > 0 && call.client < self.calls[i - 1].client;
            if call.client > self.reopen.len() + self.beside.len()
                || backwards && !self.reopen.is_empty()
            {
                return Err(format!(
                    "calls[{i}].client: expected a client of `reopen`, in their order, or of `beside`"
                ));
            }
            if let Some(start) = &call.start {
                let with = |other: &Call| self.reopen.is_empty() || other.client == call.client;
                start
                    .check(&|id| {
                        self.calls[..i]
                            .iter()
                            .any(|other| other.id == id && with(other))
                    })
                    .map_err(|e| format!("calls[{i}].start: {e}"))?;
            }
        }
        let expect = &self.expect;
        for (id, pattern) in &expect.calls {
            if !known(id) {
                return Err(format!("expect.calls.{id}: no such call"));
            }
            matcher::check(pattern).map_err(|e| format!("expect.calls.{id}: {e}"))?;
        }
        for (name, seen) in &expect.upstreams {
            if !self.upstreams.contains_key(name) {
                return Err(format!("expect.upstreams.{name}: no such upstream"));
            }
            for pattern in [
                &seen.requests,
                &seen.requests_match,
                &seen.connections,
                &seen.gaps_ms,
            ]
            .into_iter()
            .flatten()
            {
                matcher::check(pattern).map_err(|e| format!("expect.upstreams.{name}: {e}"))?;
            }
        }
        for (name, pattern) in &expect.files {
            matcher::check(pattern).map_err(|e| format!("expect.files.{name}: {e}"))?;
        }
        for name in self.files.keys().chain(expect.files.keys()) {
            if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
                return Err(format!("files.{name}: expected a file's name"));
            }
        }
        for count in &expect.counts {
            if !known(&count.of) {
                return Err(format!("expect.counts: no call `{}`", count.of));
            }
            matcher::check(&count.matching)
                .and_then(|()| matcher::check(&count.n))
                .map_err(|e| format!("expect.counts: {e}"))?;
        }
        for pattern in [&expect.open, &expect.stats].into_iter().flatten() {
            matcher::check(pattern).map_err(|e| format!("expect: {e}"))?;
        }
        Ok(())
    }
}

impl Start {
    fn check(&self, known: &dyn Fn(&str) -> bool) -> Result<(), String> {
        let ways = [
            self.with.is_some(),
            self.after.is_some(),
            self.at_ms.is_some(),
            self.on_request.is_some(),
            self.after_events.is_some(),
        ];
        if ways.iter().filter(|way| **way).count() != 1 {
            return Err(
                "expected exactly one of with, after, at_ms, on_request, after_events".into(),
            );
        }
        if self.after_events.is_some() != self.of.is_some() {
            return Err("after_events and of belong together".into());
        }
        match [&self.with, &self.after, &self.of]
            .into_iter()
            .flatten()
            .find(|id| !known(id))
        {
            Some(id) => Err(format!("no call `{id}` before this one")),
            None => Ok(()),
        }
    }
}
