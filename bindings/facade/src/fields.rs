//! What the core's types are called inside: their own `Deserialize` tells, so that no list of names is kept twice.

use std::fmt;

use serde::de::{self, Deserialize, Visitor};
use serde::forward_to_deserialize_any;

/// The names of the fields of one of the core's types, as they stand in JSON.
#[must_use]
pub fn field_names(of: &str) -> &'static [&'static str] {
    match of {
        "CallOptions" => of_type::<ossai::CallOptions>(),
        "EstimateOptions" => of_type::<ossai::EstimateOptions>(),
        "Config" => of_type::<ossai::Config>(),
        "Answer" => of_type::<ossai::Answer>(),
        "EmbeddingResponse" => of_type::<ossai::EmbeddingResponse>(),
        "Embedding" => of_type::<ossai::Embedding>(),
        "Usage" => of_type::<ossai::Usage>(),
        "Cost" => of_type::<ossai::Cost>(),
        "CacheOutcome" => of_type::<ossai::CacheOutcome>(),
        "Attempt" => of_type::<ossai::Attempt>(),
        "Timing" => of_type::<ossai::Timing>(),
        "Trace" => of_type::<ossai::Trace>(),
        "TraceStep" => of_type::<ossai::TraceStep>(),
        "Error" => of_type::<ossai::error::Fields>(),
        "ToolRun" => of_type::<ossai::ToolRun>(),
        "ToolTurn" => of_type::<ossai::ToolTurn>(),
        "ToolCallRecord" => of_type::<ossai::ToolCallRecord>(),
        "ToolSpec" => of_type::<ossai::tools::ToolSpec>(),
        "LoopOptions" => of_type::<ossai::tools::LoopOptions>(),
        "Stats" => of_type::<ossai::observe::Stats>(),
        "TokenCount" => of_type::<ossai::TokenCount>(),
        "ModelInfo" => of_type::<ossai::ModelInfo>(),
        "BudgetState" => of_type::<ossai::budget::BudgetState>(),
        "Invalidated" => of_type::<ossai::Invalidated>(),
        "Health" => of_type::<ossai::Health>(),
        _ => &[],
    }
}

fn of_type<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // It never succeeds: what is wanted is what it asks for.
    let _ = T::deserialize(Asking(&mut names));
    names
}

struct Asking<'a>(&'a mut &'static [&'static str]);

#[derive(Debug)]
struct Asked;

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("asked")
    }
}

impl std::error::Error for Asked {}

impl de::Error for Asked {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl<'de> de::Deserializer<'de> for Asking<'_> {
    type Error = Asked;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
        Err(Asked)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Asked> {
        *self.0 = fields;
        Err(Asked)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
