//! Checks values against a tool's JSON Schemas and names the first that does not fit.

use std::fmt::Write as _;

use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::error::{Error, Result};

/// A pattern may backtrack so often over one string: what the model writes must not cost minutes.
const MAX_BACKTRACKS: usize = 100_000;
/// Characters of a fault's message that are told.
const MAX_MESSAGE: usize = 500;

/// A schema, ready to check with.
#[derive(Debug)]
pub(super) struct Schema(Validator);

/// The first value that does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where, as a path (`stops[2].city`); empty for the whole.
    pub(super) path: String,
    /// What was expected there. It repeats no value.
    pub(super) message: String,
}

impl Schema {
    /// Reads a schema; drafts 4 to 2020-12, by its `$schema`. References lead nowhere but into the schema itself.
    pub(super) fn new(at: &str, schema: &Value) -> Result<Self> {
        jsonschema::options()
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(MAX_BACKTRACKS))
            .offline()
            .build(schema)
            .map(Self)
            .map_err(|error| {
                let where_ = path(error.instance_path());
                let told = shortened(error.masked().to_string());
                let told = if where_.is_empty() {
                    told
                } else {
                    format!("{where_}: {told}")
                };
                Error::invalid(at, format_args!("expected a JSON Schema: {told}"))
            })
    }

    pub(super) fn check(&self, value: &Value) -> std::result::Result<(), Fault> {
        self.0.validate(value).map_err(|error| Fault {
            path: path(error.instance_path()),
            message: shortened(error.masked().to_string()),
        })
    }
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(MAX_MESSAGE) {
        None => text,
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
    }
}

fn path(location: &Location) -> String {
    let mut path = String::new();
    for segment in location.iter() {
        match segment {
            LocationSegment::Index(index) => {
                let _ = write!(path, "[{index}]");
            }
            LocationSegment::Property(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&name);
            }
        }
    }
    path
}
