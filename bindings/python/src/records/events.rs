//! The events of a stream: one class each, told apart by `type`.

use ossai::StreamEvent;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::show::Show;
use super::types::{Completion, ToolCallRecord};
use crate::write;

macro_rules! event_class {
    ($(#[$meta:meta])* $name:ident: $variant:ident { $($field:ident),* } = $kind:literal) => {
        $(#[$meta])*
        #[pyclass(frozen, module = "ossai._native")]
        pub(crate) struct $name(StreamEvent);

        #[pymethods]
        impl $name {
            #[classattr]
            #[pyo3(name = "type")]
            const TYPE: &'static str = $kind;

            $(
                #[getter]
                fn $field<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                    match &self.0 {
                        StreamEvent::$variant { $field, .. } => $field.show(py),
                        _ => Ok(py.None().into_bound(py)), // the class is made of this variant only
                    }
                }
            )*

            /// The event as dicts, lists, strings and numbers.
            fn model_dump<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                write::serialized(py, &self.0)
            }

            fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
                other.cast::<Self>().is_ok_and(|other| other.get().0 == self.0)
            }

            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                super::shown(stringify!($name), &self.model_dump(py)?)
            }
        }
    };
}

event_class! {
    /// The vendor accepted the request.
    StreamStart: Start { id, response_model, created } = "start"
}
event_class! {
    /// More text.
    TextDelta: TextDelta { index, text } = "text_delta"
}
event_class! {
    /// More text of a refusal.
    RefusalDelta: RefusalDelta { index, text } = "refusal_delta"
}
event_class! {
    /// More reasoning.
    ReasoningDelta: ReasoningDelta { index, text, signature, redacted, extra } = "reasoning_delta"
}
event_class! {
    /// A tool call begins.
    ToolCallStart: ToolCallStart { index, id, name, extra } = "tool_call_start"
}
event_class! {
    /// More of a tool call's arguments, as JSON text.
    ToolCallDelta: ToolCallDelta { index, arguments } = "tool_call_delta"
}
event_class! {
    /// A whole part of another kind.
    PartEvent: Part { index, part } = "part"
}
event_class! {
    /// A note on a part: a citation, a source.
    AnnotationEvent: Annotation { index, field, annotation } = "annotation"
}
event_class! {
    /// Usage so far.
    UsageEvent: Usage { usage, raw } = "usage"
}
event_class! {
    /// The model stopped.
    FinishEvent: Finish { reason, raw } = "finish"
}
event_class! {
    /// Fields of the vendor's answer without a name here.
    ExtraEvent: Extra { fields } = "extra"
}

event_class! {
    /// A further turn of a tool loop begins: its parts are numbered anew.
    TurnEvent: Turn { turn } = "turn"
}
event_class! {
    /// A tool's handler begins.
    ToolStarted: ToolStarted { turn, id, name, input } = "tool_started"
}

/// What came of a tool call: `call` is its record.
#[pyclass(frozen, module = "ossai._native")]
pub(crate) struct ToolResult(ToolCallRecord);

#[pymethods]
impl ToolResult {
    #[classattr]
    #[pyo3(name = "type")]
    const TYPE: &'static str = "tool_result";

    #[getter]
    fn call(&self) -> ToolCallRecord {
        self.0.clone()
    }

    /// The event as dicts, lists, strings and numbers.
    fn model_dump<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        write::serialized(py, &StreamEvent::ToolResult((*self.0.0).clone()))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other
            .cast::<Self>()
            .is_ok_and(|other| other.get().0.0 == self.0.0)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        super::shown("ToolResult", &self.model_dump(py)?)
    }
}

/// The end, with the whole answer.
#[pyclass(frozen, module = "ossai._native")]
pub(crate) struct StreamEnd(Completion);

#[pymethods]
impl StreamEnd {
    #[classattr]
    #[pyo3(name = "type")]
    const TYPE: &'static str = "end";

    #[getter]
    fn completion(&self) -> Completion {
        self.0.clone()
    }

    /// The event as dicts, lists, strings and numbers.
    fn model_dump<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        write::serialized(
            py,
            &serde_json::json!({"type": "end", "completion": *self.0.0}),
        )
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other
            .cast::<Self>()
            .is_ok_and(|other| other.get().0.0 == self.0.0)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        super::shown("StreamEnd", &self.model_dump(py)?)
    }
}

/// An event as an object of its class.
pub(crate) fn event(py: Python<'_>, event: StreamEvent) -> PyResult<Bound<'_, PyAny>> {
    Ok(match event {
        StreamEvent::Start { .. } => Bound::new(py, StreamStart(event))?.into_any(),
        StreamEvent::TextDelta { .. } => Bound::new(py, TextDelta(event))?.into_any(),
        StreamEvent::RefusalDelta { .. } => Bound::new(py, RefusalDelta(event))?.into_any(),
        StreamEvent::ReasoningDelta { .. } => Bound::new(py, ReasoningDelta(event))?.into_any(),
        StreamEvent::ToolCallStart { .. } => Bound::new(py, ToolCallStart(event))?.into_any(),
        StreamEvent::ToolCallDelta { .. } => Bound::new(py, ToolCallDelta(event))?.into_any(),
        StreamEvent::Part { .. } => Bound::new(py, PartEvent(event))?.into_any(),
        StreamEvent::Annotation { .. } => Bound::new(py, AnnotationEvent(event))?.into_any(),
        StreamEvent::Usage { .. } => Bound::new(py, UsageEvent(event))?.into_any(),
        StreamEvent::Finish { .. } => Bound::new(py, FinishEvent(event))?.into_any(),
        StreamEvent::Extra { .. } => Bound::new(py, ExtraEvent(event))?.into_any(),
        StreamEvent::Turn { .. } => Bound::new(py, TurnEvent(event))?.into_any(),
        StreamEvent::ToolStarted { .. } => Bound::new(py, ToolStarted(event))?.into_any(),
        StreamEvent::ToolResult(call) => {
            Bound::new(py, ToolResult(ToolCallRecord::from(call)))?.into_any()
        }
        StreamEvent::End { completion } => {
            Bound::new(py, StreamEnd(Completion::from(*completion)))?.into_any()
        }
        other => write::serialized(py, &other)?,
    })
}

/// Several, as a list.
pub(crate) fn events(py: Python<'_>, events: Vec<StreamEvent>) -> PyResult<Bound<'_, PyAny>> {
    let list = PyList::empty(py);
    for one in events {
        list.append(event(py, one)?)?;
    }
    Ok(list.into_any())
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<StreamStart>()?;
    module.add_class::<TextDelta>()?;
    module.add_class::<RefusalDelta>()?;
    module.add_class::<ReasoningDelta>()?;
    module.add_class::<ToolCallStart>()?;
    module.add_class::<ToolCallDelta>()?;
    module.add_class::<PartEvent>()?;
    module.add_class::<AnnotationEvent>()?;
    module.add_class::<UsageEvent>()?;
    module.add_class::<FinishEvent>()?;
    module.add_class::<ExtraEvent>()?;
    module.add_class::<TurnEvent>()?;
    module.add_class::<ToolStarted>()?;
    module.add_class::<ToolResult>()?;
    module.add_class::<StreamEnd>()
}
