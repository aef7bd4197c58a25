//! Tools over types: the schemas come from schemars, the values through serde.

use std::future::Future;
use std::sync::Arc;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, transform::RestrictFormats};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::handler::{ToolContext, ToolError};
use super::set::RunnableTool;
use super::spec::ToolSpec;

impl RunnableTool {
    /// A tool whose handler takes and returns types: their JSON Schemas are the tool's (feature `schema`).
    ///
    /// A value that fits the schema and is refused by the type's `Deserialize` all the same goes back to the model with the
    /// path of the fault.
    pub fn typed<I, O, F, R>(
        name: impl Into<String>,
        description: impl Into<String>,
        handler: F,
    ) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send,
        O: Serialize + JsonSchema,
        F: Fn(I, ToolContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, ToolError>> + Send + 'static,
    {
        let spec = ToolSpec {
            description: Some(description.into()),
            input_schema: Some(schema_of::<I>(false)),
            output_schema: Some(schema_of::<O>(true)),
            ..ToolSpec::new(name)
        };
        let handler = Arc::new(handler);
        Self::new(spec, move |input: Value, context: ToolContext| {
            let handler = Arc::clone(&handler);
            async move {
                let input: I = serde_path_to_error::deserialize(input).map_err(|error| {
                    let path = error.path().to_string();
                    let path = if path == "." { String::new() } else { path };
                    ToolError::invalid_input(path, error.into_inner().to_string())
                })?;
                let output = handler(input, context).await?;
                Ok(serde_json::to_value(output)?)
            }
        })
    }
}

/// A type's schema, without what vendors stumble over: the dialect's name, and formats that are Rust's own.
fn schema_of<T: JsonSchema>(output: bool) -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(RestrictFormats::default());
    let settings = if output {
        settings.for_serialize()
    } else {
        settings.for_deserialize()
    };
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    if let Some(schema) = schema.as_object_mut() {
        schema.shift_remove("$schema");
    }
    schema
}
