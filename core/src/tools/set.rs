//! The tools of a call, each with its handler, checked once and shared by as many calls as like.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::handler::ToolHandler;
use super::schema::Schema;
use super::spec::ToolSpec;
use crate::error::{Error, Result};

/// Most tools of a set.
const MAX_TOOLS: usize = 1024;

/// A tool and its handler.
#[derive(Clone)]
pub struct RunnableTool {
    pub(super) spec: ToolSpec,
    pub(super) handler: Arc<dyn ToolHandler>,
}

impl RunnableTool {
    /// A tool with this handler.
    pub fn new(spec: ToolSpec, handler: impl ToolHandler) -> Self {
        Self {
            spec,
            handler: Arc::new(handler),
        }
    }

    /// What it is.
    #[must_use]
    pub fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    /// What it is, to change.
    pub fn spec_mut(&mut self) -> &mut ToolSpec {
        &mut self.spec
    }
}

impl fmt::Debug for RunnableTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunnableTool")
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

/// Tools that a call may use, their schemas ready. Cheap to clone, may be shared by any number of calls and threads.
#[derive(Clone, Debug)]
pub struct Toolset(pub(super) Arc<Vec<Ready>>);

/// A tool ready to be called.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) spec: Arc<ToolSpec>,
    pub(super) tool: RunnableTool,
    pub(super) input: Option<Schema>,
    pub(super) output: Option<Schema>,
}

impl Toolset {
    /// A set of these tools.
    ///
    /// # Errors
    /// `invalid_request` naming the tool and the field: a name or id that is wrong or given twice, a schema that is none.
    pub fn new(tools: impl IntoIterator<Item = RunnableTool>) -> Result<Self> {
        let (mut names, mut ids) = (HashSet::new(), HashSet::new());
        let mut all = Vec::new();
        for (i, tool) in tools.into_iter().enumerate() {
            if i >= MAX_TOOLS {
                return Err(Error::invalid(
                    "tools",
                    format_args!("expected at most {MAX_TOOLS}"),
                ));
            }
            let at = format!("tools[{i}]");
            tool.spec.check(&at)?;
            if !names.insert(tool.spec.name.clone()) {
                return Err(Error::invalid(
                    format!("{at}.name"),
                    "expected a name no other tool has",
                ));
            }
            if !ids.insert(tool.spec.id().to_owned()) {
                return Err(Error::invalid(
                    format!("{at}.id"),
                    "expected an id no other tool has",
                ));
            }
            let schema = |name: &str, schema: &Option<serde_json::Value>| {
                let at = format!("{at}.{name}");
                schema
                    .as_ref()
                    .map(|schema| Schema::new(&at, schema))
                    .transpose()
            };
            let input = schema("input_schema", &tool.spec.input_schema)?;
            let output = schema("output_schema", &tool.spec.output_schema)?;
            let mut spec = tool.spec.clone();
            spec.id = spec.id().to_owned();
            all.push(Ready {
                spec: Arc::new(spec),
                tool,
                input,
                output,
            });
        }
        Ok(Self(Arc::new(all)))
    }

    /// The tools, in the order they were given.
    pub fn specs(&self) -> impl Iterator<Item = &ToolSpec> {
        self.0.iter().map(|ready| &*ready.spec)
    }

    /// The tool with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&RunnableTool> {
        let found = self.0.iter().find(|ready| ready.spec.id == id);
        found.map(|ready| &ready.tool)
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|ready| ready.spec.name == name)
    }
}
