//! Questions in two wordings, and whom they are put to.

use std::time::Duration;

use ossai::{CallOptions, Client, CompletionRequest};
use serde_json::{Value, json};

use crate::chance::Chance;
use crate::roads::{self, Failed};
use crate::upstream::{Upstream, answer_to};

/// The model that answers.
pub const MODEL: &str = "openai/gpt-4o-mini";
/// How long a look may take.
pub const TIMEOUT_MS: u64 = 250;
/// What a busy machine of two cores may add to a call.
pub const ROOM: Duration = Duration::from_millis(750);
/// A circuit is open for 5 seconds; then one look finds out.
pub const RECOVERS: Duration = Duration::from_secs(15);

/// A client's configuration: nothing in memory, every look in the database at `url`, or in the process.
#[must_use]
pub fn config(upstream: &Upstream, url: Option<&str>, tenant: &str) -> Value {
    let mut config = roads::direct(upstream.address(), 1);
    config["tenant"] = json!(tenant);
    config["cache"] = json!({"max_bytes": 0, "embedding_max_bytes": 0, "semantic": {
        "model": "local/hash", "threshold": 0.7, "watch": {"check_percent": 0},
        "gates": {"numbers": false, "negation": false, "entities": false, "language": false, "direction": false},
    }});
    if let Some(url) = url {
        config["cache"]["semantic"]["postgres"] = json!({"url": url, "timeout_ms": TIMEOUT_MS});
    }
    config
}

/// The `n`th question in one of two wordings; no two questions share a word that matters.
#[must_use]
pub fn question(n: u64, wording: u64) -> String {
    let mut chance = Chance::new(n);
    let words: Vec<String> = (0..12)
        .map(|_| format!("{:07x}", chance.below(1 << 28)))
        .collect();
    let (all, call) = (words.join(" "), format!("call-{n}"));
    match wording {
        0 => format!("What is {call} {all}?"),
        // Two words less, so that the two are near and not the same.
        _ => format!("{call} {}, what is that?", words[..10].join(" ")),
    }
}

/// Where an answer came from, and how near its question was; it is always the right one.
#[derive(Clone, Debug, PartialEq)]
pub struct Got {
    /// `semantic`, or `none` where it is a new one.
    pub tier: String,
    /// Their cosine.
    pub similarity: f64,
}

impl Got {
    /// Whether it was kept for a question that means the same.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        self.tier == "semantic"
    }
}

/// Asks, for a call with the tag `thing` of that number.
///
/// # Errors
/// When the call fails, and for the answer to another question.
pub async fn ask(client: &Client, n: u64, wording: u64) -> Result<Got, Failed> {
    let mut options = CallOptions::default();
    options.tags.insert("thing".into(), n.to_string());
    let request = CompletionRequest {
        temperature: Some(0.0),
        ..CompletionRequest::new(MODEL, question(n, wording).as_str())
    };
    let answer = client.complete_with(request, options).await?;
    if answer.text != answer_to(&format!("call-{n}")) {
        return Err(format!("call-{n} was answered with {:?}", answer.text).into());
    }
    let tier = answer.cache.tier.map(|tier| json!(tier).to_string());
    Ok(Got {
        tier: tier.unwrap_or_else(|| "none".into()).replace('"', ""),
        similarity: answer.cache.similarity.unwrap_or_default(),
    })
}

/// Asks and waits until what that left is written.
///
/// # Errors
/// As [`ask`].
pub async fn taught(client: &Client, n: u64) -> Result<Got, Failed> {
    let got = ask(client, n, 0).await?;
    written().await;
    Ok(got)
}

/// Writes go beside the call.
pub async fn written() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}
