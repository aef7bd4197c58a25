//! What a tool is, apart from its handler.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::types::{Extra, ToolDefinition};

/// A tool without its handler: the form in which tools cross language borders. An unknown key is an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToolSpec {
    /// What it is known by to programs, unique among a call's tools; empty means the name. 1 to 256 characters.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What the model calls it: 1 to 128 of `A-Za-z0-9_-.`, unique among a call's tools.
    pub name: String,
    /// What it does, for the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it can do and may need (`read`, `network` …), in words of the program's own, for whoever approves calls or
    /// picks tools. The model never sees them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// JSON Schema of the arguments, an object at the root; absent means that it takes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Value>,
    /// JSON Schema of what the handler returns; absent means that anything goes. The model never sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// Time for one call of it, in milliseconds; absent means the loop's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Whether the provider must hold the arguments to the schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

impl ToolSpec {
    /// A tool of this name that takes no arguments.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// What it is known by to programs.
    #[must_use]
    pub fn id(&self) -> &str {
        if self.id.is_empty() {
            &self.name
        } else {
            &self.id
        }
    }

    /// The tool as requests have it.
    pub(super) fn definition(&self) -> ToolDefinition {
        ToolDefinition {
            name: self.name.clone(),
            description: self.description.clone(),
            parameters: self.input_schema.clone(),
            strict: self.strict,
            extra: Extra::new(),
        }
    }

    /// Refuses what cannot be; `at` is the tool's path.
    pub(super) fn check(&self, at: &str) -> Result<()> {
        let field = |name: &str| format!("{at}.{name}");
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !(1..=128).contains(&self.name.len()) || !self.name.chars().all(allowed) {
            return Err(Error::invalid(
                field("name"),
                "expected 1 to 128 of A-Z a-z 0-9 _ - .",
            ));
        }
        if self.id.len() > 256 || self.id.chars().any(char::is_control) {
            return Err(Error::invalid(
                field("id"),
                "expected at most 256 characters, none of them a control character",
            ));
        }
        if self.timeout_ms == Some(0) {
            return Err(Error::invalid(field("timeout_ms"), "expected at least 1"));
        }
        if self.input_schema.as_ref().is_some_and(|s| !s.is_object()) {
            return Err(Error::invalid(
                field("input_schema"),
                "expected a JSON Schema object",
            ));
        }
        Ok(())
    }
}
