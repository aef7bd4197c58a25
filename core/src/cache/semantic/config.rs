//! How the semantic cache is told what it is.

use serde::{Deserialize, Serialize};

use crate::cache::config::{check_key, check_positive};
use crate::call::validate;
use crate::client::Secret;
use crate::error::{Error, Result};

/// Answers kept for questions that mean the same. Off unless it is there.
///
/// A completion that no other tier has is looked for among the answers of calls that differ in nothing but the text of the
/// last message: that text is turned into a vector by `model`, and the nearest kept questions are taken that are near
/// enough and that no gate keeps apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SemanticCache {
    /// The embedding model, `provider/model`, of any provider.
    pub model: String,
    /// Length of its vectors, where the model can shorten them.
    pub dimensions: Option<u32>,
    /// Whether what is found is given, or only measured.
    pub mode: SemanticMode,
    /// The cosine of two questions from which on they may be the same, 0 to 1.
    pub threshold: f64,
    /// How many of the nearest questions are put to the gates, 1 to 100.
    pub top: u32,
    /// Most answers kept; the oldest make room.
    pub max_entries: u64,
    /// Most bytes of answers, questions and vectors kept; the oldest make room.
    pub max_bytes: u64,
    /// How long an answer is kept, in milliseconds; absent means as in memory.
    pub ttl_ms: Option<u64>,
    /// How long the embedding may take, in milliseconds; after it the call goes on without.
    pub timeout_ms: u64,
    /// Longest text looked for or kept, in bytes: in a long one a word that changes all hardly moves the vector.
    pub max_text_bytes: u64,
    /// What keeps two questions apart although their vectors are near.
    pub gates: Gates,
    /// A model, `provider/model`, that is asked whether two questions want the same answer before one is given. Any
    /// answer but yes is no.
    pub verify: Option<String>,
    /// How long that may take, in milliseconds; after it the answer is no.
    pub verify_timeout_ms: u64,
    /// How the share of false hits is measured, and what it may be.
    pub watch: Watch,
    /// Keeps them in PostgreSQL with pgvector, for processes of many machines and over restarts, instead of in this process.
    /// Builds without the feature `postgres` (those of other languages) refuse it.
    pub postgres: Option<SemanticPostgres>,
}

/// A PostgreSQL with the extension pgvector that keeps the answers, for all who name the same one. Trouble with it is never an
/// error: calls go on without it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SemanticPostgres {
    /// `postgres://user:password@host/database`. Over a network it is TLS (`tls` says whom to trust).
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub url: Option<Secret>,
    /// How long a look or a write may take, in milliseconds.
    pub timeout_ms: u64,
    /// Most connections at once for looks and writes, 1 to 64, of all clients of the process that share it; one more
    /// makes room and invalidates.
    pub connections: u32,
    /// Largest answer kept there with its question, in bytes.
    pub max_entry_bytes: u64,
    /// Answers from this size on are compressed, in bytes.
    pub compress_from_bytes: u64,
    /// Encrypts questions and answers there; all who share it need the same. Any text of at least 16 characters.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub key: Option<Secret>,
}

impl Default for SemanticPostgres {
    fn default() -> Self {
        Self {
            url: None,
            timeout_ms: 250,
            connections: 4,
            max_entry_bytes: 1 << 20,
            compress_from_bytes: 1 << 10,
            key: None,
        }
    }
}

impl Default for SemanticCache {
    fn default() -> Self {
        Self {
            model: String::new(),
            dimensions: None,
            mode: SemanticMode::Serve,
            threshold: 0.95,
            top: 5,
            max_entries: 10_000,
            max_bytes: 64 << 20,
            ttl_ms: None,
            timeout_ms: 2_000,
            max_text_bytes: 4_096,
            gates: Gates::default(),
            verify: None,
            verify_timeout_ms: 10_000,
            watch: Watch::default(),
            postgres: None,
        }
    }
}

/// Whether what the semantic cache finds is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SemanticMode {
    /// It is given.
    #[default]
    Serve,
    /// It is not: the call goes on, and the answer it gets is compared with what would have been given.
    Shadow,
}

/// What keeps two questions apart, each on unless it is turned off.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Gates {
    /// Other numbers, units, dates, versions or operators.
    pub numbers: bool,
    /// Another count of negations, or a word and its opposite.
    pub negation: bool,
    /// Names, quotations or identifiers only one of them has, or another expression where all the rest is the same.
    pub entities: bool,
    /// Another language or script.
    pub language: bool,
    /// The same words the other way round.
    pub direction: bool,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            numbers: true,
            negation: true,
            entities: true,
            language: true,
            direction: true,
        }
    }
}

/// How the share of false hits is measured: the call is made although an answer was found, and the two are compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Watch {
    /// The share of hits that are checked where hits are given, in percent, 0 to 100.
    pub check_percent: f64,
    /// The share of false ones among the checked, in percent, above which the cache turns itself off.
    pub max_false_percent: f64,
    /// How many of the last checks count.
    pub window: u32,
    /// Fewest checks that can turn it off.
    pub min_checks: u32,
    /// The cosine of two answers, by the same embedding model, from which on they say the same; absent means that only
    /// equal texts do, apart from spaces, punctuation and case.
    pub answer_similarity: Option<f64>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            check_percent: 5.0,
            max_false_percent: 5.0,
            window: 200,
            min_checks: 20,
            answer_similarity: None,
        }
    }
}

const PATH: &str = "config.cache.semantic";

impl SemanticCache {
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |name: &str, what: &str| Err(Error::invalid(format!("{PATH}.{name}"), what));
        for (name, model) in [
            ("model", Some(&self.model)),
            ("verify", self.verify.as_ref()),
        ] {
            if model.is_some_and(|model| validate::split_model(model).is_err()) {
                return wrong(name, "expected `provider/model`");
            }
        }
        for (name, share) in [
            ("threshold", Some(self.threshold)),
            ("watch.answer_similarity", self.watch.answer_similarity),
        ] {
            if share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
                return wrong(name, "expected 0 to 1");
            }
        }
        for (name, share) in [
            ("watch.check_percent", self.watch.check_percent),
            ("watch.max_false_percent", self.watch.max_false_percent),
        ] {
            if !(0.0..=100.0).contains(&share) {
                return wrong(name, "expected 0 to 100");
            }
        }
        if !(1..=100).contains(&self.top) {
            return wrong("top", "expected 1 to 100");
        }
        if !(1..=100_000).contains(&self.watch.window) {
            return wrong("watch.window", "expected 1 to 100000");
        }
        if !(1..=self.watch.window).contains(&self.watch.min_checks) {
            return wrong("watch.min_checks", "expected 1 to `window`");
        }
        for (name, value) in [
            ("dimensions", self.dimensions.map_or(1, u64::from)),
            ("max_entries", self.max_entries),
            ("max_bytes", self.max_bytes),
            ("timeout_ms", self.timeout_ms),
            ("max_text_bytes", self.max_text_bytes),
            ("verify_timeout_ms", self.verify_timeout_ms),
        ] {
            if value == 0 {
                return wrong(name, "expected at least 1");
            }
        }
        self.postgres
            .as_ref()
            .map_or(Ok(()), SemanticPostgres::check)
    }
}

impl SemanticPostgres {
    const PATH: &'static str = "config.cache.semantic.postgres";
    pub(super) const URL: &'static str = "config.cache.semantic.postgres.url";

    fn check(&self) -> Result<()> {
        if !cfg!(feature = "postgres") {
            return Err(Error::invalid(
                Self::PATH,
                "expected none: this build is without the feature `postgres`",
            ));
        }
        let url = self.url.as_ref().ok_or_else(|| {
            Error::invalid(
                Self::URL,
                "expected `postgres://user:password@host/database`",
            )
        })?;
        #[cfg(feature = "postgres")]
        crate::transport::postgres::check(Self::URL, url)?;
        let _ = url;
        check_positive(
            &[
                ("timeout_ms", self.timeout_ms),
                ("max_entry_bytes", self.max_entry_bytes),
            ],
            Self::PATH,
        )?;
        if !(1..=64).contains(&self.connections) {
            return Err(Error::invalid(
                format!("{}.connections", Self::PATH),
                "expected 1 to 64",
            ));
        }
        check_key(&format!("{}.key", Self::PATH), self.key.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;

    fn wrong(postgres: &str, more: &str) -> (String, String) {
        let json = format!(
            r#"{{"cache": {{"semantic": {{"model": "local/hash", "postgres": {postgres}}}}}{more}}}"#
        );
        let error = Config::from_json(&json).unwrap_err();
        let field = error.fields().field.clone().unwrap_or_default();
        (field, error.to_string())
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn a_wrong_database_names_its_path_and_never_repeats_a_secret() {
        let near = r#""url": "postgres://me:canary@localhost/db""#;
        let of = |more: &str| format!("{{{near}, {more}}}");
        for (postgres, field) in [
            ("{}".to_owned(), ".url"),
            (r#"{"url": "canary"}"#.into(), ".url"),
            (r#"{"url": "postgres:///canary"}"#.into(), ".url"),
            (
                r#"{"url": "postgres://u:canary@db.example/d?sslmode=disable"}"#.into(),
                ".url",
            ),
            (of(r#""timeout_ms": 0"#), ".timeout_ms"),
            (of(r#""max_entry_bytes": 0"#), ".max_entry_bytes"),
            (of(r#""connections": 0"#), ".connections"),
            (of(r#""connections": 65"#), ".connections"),
            (of(r#""key": "canary""#), ".key"),
            (of(r#""prefix": "canary""#), ".prefix"),
        ] {
            let (found, message) = wrong(&postgres, "");
            let field = format!("config.cache.semantic.postgres{field}");
            assert_eq!(found, field, "{postgres}");
            assert!(!message.contains("canary"), "{message}");
        }
        let replayed = r#", "cassette": {"path": "c.json", "mode": "replay"}"#;
        let (field, _) = wrong(&format!("{{{near}}}"), replayed);
        assert_eq!(field, "config.cache.semantic.postgres");
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn neither_the_url_nor_the_key_of_a_database_can_be_shown() {
        let json = r#"{"cache": {"semantic": {"model": "local/hash", "postgres":
            {"url": "postgres://u:canary@h/d", "key": "canary canary canary"}}}}"#;
        let config = Config::from_json(json).unwrap();
        let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[cfg(not(feature = "postgres"))]
    #[test]
    fn a_build_without_the_feature_refuses_a_database_by_its_name() {
        let (field, message) = wrong(r#"{"url": "postgres://me@localhost/db"}"#, "");
        assert_eq!(field, "config.cache.semantic.postgres");
        assert!(message.contains("postgres"), "{message}");
    }
}
