//! How a cassette is told what it is.

use std::path::{Path, PathBuf};

use http::header::HeaderName;
use serde::{Deserialize, Serialize};

use crate::client::Secret;
use crate::error::{Error, Result};

const PATH: &str = "config.cassette";

/// Recorded answers of providers in a file, given again instead of asking them. Everything above the connection runs as ever.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Cassette {
    /// The file.
    pub path: Option<PathBuf>,
    /// What is done with it.
    pub mode: CassetteMode,
    /// When what is replayed arrives.
    pub timing: CassetteTiming,
    /// In what a request must be like a recorded one: of `method`, `host` (with its port), `path`, `query`, `body` (as JSON),
    /// and `header:NAME`.
    #[serde(rename = "match")]
    pub match_on: Vec<String>,
    /// Places in the body that may differ, as JSON pointers (RFC 6901).
    pub ignore: Vec<String>,
    /// Whether the last answer to a request is given again when all of them have been given.
    pub allow_repeats: bool,
    /// Headers, query parameters and fields of JSON bodies whose values are not written, beside those that always are not.
    pub scrub: Vec<String>,
    /// Texts that are not written, wherever they stand, beside the credentials.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub scrub_values: Vec<Secret>,
    /// Most bytes of the file.
    pub max_bytes: u64,
}

/// What is done with a cassette.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CassetteMode {
    /// Answers come out of it; a request it has no answer to is an error, and no connection is ever made.
    #[default]
    Replay,
    /// Providers are asked and their answers written; what was in the file is replaced.
    Record,
    /// Answers come out of it where it has them; others are asked for and added.
    ReplayOrRecord,
    /// Nothing.
    Off,
}

/// When what is replayed arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CassetteTiming {
    /// At once.
    #[default]
    Instant,
    /// After as long as when it was recorded.
    Kept,
}

impl Default for Cassette {
    fn default() -> Self {
        Self {
            path: None,
            mode: CassetteMode::default(),
            timing: CassetteTiming::default(),
            match_on: ["method", "host", "path", "query", "body"]
                .map(str::to_owned)
                .to_vec(),
            ignore: Vec::new(),
            allow_repeats: false,
            scrub: Vec::new(),
            scrub_values: Vec::new(),
            max_bytes: 64 << 20,
        }
    }
}

impl Cassette {
    /// Whether answers come out of it.
    pub(crate) fn replays(&self) -> bool {
        matches!(
            self.mode,
            CassetteMode::Replay | CassetteMode::ReplayOrRecord
        )
    }

    pub(crate) fn file(&self) -> Result<&Path> {
        self.path
            .as_deref()
            .filter(|path| path.file_name().is_some())
            .ok_or_else(|| Error::invalid(format!("{PATH}.path"), "expected a file"))
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.file()?;
        for (i, what) in self.match_on.iter().enumerate() {
            let known = match what.strip_prefix("header:") {
                Some(name) => HeaderName::try_from(name).is_ok(),
                None => ["method", "host", "path", "query", "body"].contains(&what.as_str()),
            };
            if !known {
                return Err(Error::invalid(
                    format!("{PATH}.match[{i}]"),
                    "expected `method`, `host`, `path`, `query`, `body` or `header:NAME`",
                ));
            }
        }
        if self.match_on.is_empty() {
            return Err(Error::invalid(
                format!("{PATH}.match"),
                "expected at least one",
            ));
        }
        for (i, pointer) in self.ignore.iter().enumerate() {
            if !pointer.starts_with('/') {
                return Err(Error::invalid(
                    format!("{PATH}.ignore[{i}]"),
                    "expected a JSON pointer such as `/user` or `/messages/0/content`",
                ));
            }
        }
        for (i, name) in self.scrub.iter().enumerate() {
            if name.trim().is_empty() {
                return Err(Error::invalid(
                    format!("{PATH}.scrub[{i}]"),
                    "expected a name",
                ));
            }
        }
        for (i, value) in self.scrub_values.iter().enumerate() {
            // Shorter ones would blot out words.
            if value.expose().len() < 4 {
                return Err(Error::invalid(
                    format!("{PATH}.scrub_values[{i}]"),
                    "expected at least 4 characters",
                ));
            }
        }
        if self.max_bytes == 0 {
            return Err(Error::invalid(
                format!("{PATH}.max_bytes"),
                "expected at least 1",
            ));
        }
        Ok(())
    }
}
