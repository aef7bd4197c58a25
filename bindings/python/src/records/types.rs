//! The answers' classes. Their attributes are those of the core's types of the same names, which document them.

use pyo3::prelude::*;

use super::record;
use crate::write;

record! {
    /// A finished answer.
    Completion(ossai::Completion) {
        id, model, response_model, created, text, parts, finish_reason, raw_finish_reason, usage, raw_usage, cost, cache,
        attempts, request_id, upstream_request_id, timing, dropped_params, trace, tool_run, extra,
    } {
        /// The tool calls of the answer, in order.
        #[getter]
        fn tool_calls(&self) -> Vec<ToolCall> {
            self.0.tool_calls().cloned().map(ToolCall::from).collect()
        }

        /// The answer as a message to append to the conversation, reasoning included where it must be sent back.
        fn to_message<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
            write::serialized(py, &self.0.to_message())
        }
    }
}

record! {
    /// Vectors, in the order of the inputs.
    EmbeddingResponse(ossai::EmbeddingResponse) {
        model, response_model, embeddings, usage, raw_usage, cost, cache, attempts, request_id, upstream_request_id, timing,
        trace,
    }
}

record! {
    /// One vector.
    Embedding(ossai::Embedding) { index, vector }
}

record! {
    /// Tokens a call used.
    Usage(ossai::Usage) {
        input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, cache_write_12h_tokens,
        reasoning_tokens, audio_input_tokens, audio_cache_read_tokens, audio_output_tokens, image_input_tokens,
        citation_tokens, web_searches, service_tier, speed, region, estimated,
    } {
        /// Input and output together.
        #[getter]
        fn total_tokens(&self) -> u64 {
            self.0.total_tokens()
        }
    }
}

record! {
    /// What a call cost: `total` in nanodollars, the shares in picodollars.
    Cost(ossai::Cost) {
        status, total, input_pico, cache_read_pico, cache_write_pico, output_pico, other_pico,
        prompt_cache_saved_pico, price_version,
    } {
        /// The whole in dollars, for display only; None when no price is known.
        #[getter]
        fn usd(&self) -> Option<f64> {
            self.0.total.map(ossai::NanoUsd::as_usd)
        }
    }
}

record! {
    /// What the cache and the shared calls did for a call.
    CacheOutcome(ossai::CacheOutcome) { status, tier, age_ms, joined, saved, stale, similarity, lookup_cost }
}

record! {
    /// One try at an upstream.
    Attempt(ossai::Attempt) { error, status, delay_ms, upstream_request_id, duration_us, model, parallel, endpoint }
}

record! {
    /// Why a call came out as it did.
    Trace(ossai::Trace) { steps, omitted }
}

record! {
    /// One decision of a call.
    TraceStep(ossai::TraceStep) { at_us, stage, outcome, why, fields, wait_ms, attempt, by }
}

record! {
    /// Where a call's time went, in microseconds.
    Timing(ossai::Timing) { queue_us, first_token_us, total_us, overhead_us }
}

record! {
    /// What a call's tool loop did: its turns, its tool calls, and the messages they added to the conversation.
    ToolRun(ossai::ToolRun) { turns, calls, messages }
}

record! {
    /// One answer of the model's within a tool loop, with what it cost by itself.
    ToolTurn(ossai::ToolTurn) {
        request_id, response_model, finish_reason, usage, cost, cache, attempts, timing, trace,
    }
}

record! {
    /// One tool call and what came of it.
    ToolCallRecord(ossai::ToolCallRecord) { turn, id, name, tool_id, input, outcome, output, error, duration_us }
}

record! {
    /// A tool the model wants called; `arguments` is JSON text as the model wrote it.
    ToolCall(ossai::ToolCall) { id, name, arguments, extra } {
        #[classattr]
        #[pyo3(name = "type")]
        const TYPE: &'static str = "tool_call";
    }
}

record! {
    /// Reasoning the provider shows, or must get back.
    ReasoningPart(ossai::ReasoningPart) { text, signature, redacted, extra } {
        #[classattr]
        #[pyo3(name = "type")]
        const TYPE: &'static str = "reasoning";
    }
}

macro_rules! text_part {
    ($(#[$meta:meta])* $name:ident = $kind:literal) => {
        $(#[$meta])*
        #[pyclass(frozen, eq, module = "ossai._native")]
        #[derive(PartialEq)]
        pub(crate) struct $name(pub(crate) String);

        #[pymethods]
        impl $name {
            #[classattr]
            #[pyo3(name = "type")]
            const TYPE: &'static str = $kind;

            #[new]
            fn new(text: String) -> Self {
                Self(text)
            }

            #[getter]
            fn text(&self) -> &str {
                &self.0
            }

            /// The whole as dicts, lists, strings and numbers.
            fn model_dump<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                write::serialized(py, &serde_json::json!({"type": $kind, "text": self.0}))
            }

            fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                let made = (py.get_type::<Self>(), (self.0.as_str(),));
                Ok(made.into_pyobject(py)?.into_any())
            }

            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                super::shown(stringify!($name), &self.model_dump(py)?)
            }
        }
    };
}

text_part! {
    /// Text of an answer.
    TextPart = "text"
}

text_part! {
    /// The model declined, in its own words.
    RefusalPart = "refusal"
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Completion>()?;
    module.add_class::<EmbeddingResponse>()?;
    module.add_class::<Embedding>()?;
    module.add_class::<Usage>()?;
    module.add_class::<Cost>()?;
    module.add_class::<CacheOutcome>()?;
    module.add_class::<Attempt>()?;
    module.add_class::<Trace>()?;
    module.add_class::<TraceStep>()?;
    module.add_class::<Timing>()?;
    module.add_class::<ToolRun>()?;
    module.add_class::<ToolTurn>()?;
    module.add_class::<ToolCallRecord>()?;
    module.add_class::<ToolCall>()?;
    module.add_class::<ReasoningPart>()?;
    module.add_class::<TextPart>()?;
    module.add_class::<RefusalPart>()
}
