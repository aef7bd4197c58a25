//! How the core's values look in Python.

use std::sync::Arc;

use ossai::error::ErrorKind;
use ossai::{
    Attempt, CacheOutcome, CacheStatus, CacheTier, Cost, CostStatus, Embedding, FinishReason,
    Message, NanoUsd, OutputPart, RawJson, Timing, ToolCallRecord, ToolFailure, ToolOutcome,
    ToolRun, ToolTurn, Trace, TraceStep, Usage,
};
use pyo3::prelude::*;
use pyo3::types::PyList;
use serde_json::{Map, Value};

use super::types;
use crate::write;

/// A value as Python's.
pub(crate) trait Show {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;
}

macro_rules! plainly {
    ($($type:ty),*) => {$(
        impl Show for $type {
            fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                Ok(self.into_pyobject(py)?.to_owned().into_any())
            }
        }
    )*};
}
plainly!(String, u16, u32, u64, i64, f32, f64, bool);

impl<T: Show> Show for Option<T> {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Some(value) => value.show(py),
            None => Ok(py.None().into_bound(py)),
        }
    }
}

impl<T: Show> Show for Vec<T> {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let list = PyList::empty(py);
        for value in self {
            list.append(value.show(py)?)?;
        }
        Ok(list.into_any())
    }
}

impl Show for std::borrow::Cow<'static, str> {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok((**self).into_pyobject(py)?.into_any())
    }
}

impl<T: Show> Show for Box<T> {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        T::show(self, py)
    }
}

impl<T: Show> Show for Arc<T> {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        T::show(self, py)
    }
}

impl Show for Value {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        write::json(py, self)
    }
}

impl Show for RawJson {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        (**self).show(py)
    }
}

impl Show for Map<String, Value> {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        write::serialized(py, self)
    }
}

impl Show for NanoUsd {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.show(py)
    }
}

impl Show for FinishReason {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.as_str().into_pyobject(py)?.into_any())
    }
}

impl Show for ErrorKind {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.name().into_pyobject(py)?.into_any())
    }
}

macro_rules! by_name {
    ($($type:ty),*) => {$(
        impl Show for $type {
            fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                write::serialized(py, self)
            }
        }
    )*};
}
by_name!(
    CacheStatus,
    CacheTier,
    CostStatus,
    ToolOutcome,
    ToolFailure,
    Message
);

macro_rules! as_record {
    ($($inner:ty => $record:ident),* $(,)?) => {$(
        impl Show for $inner {
            fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                Ok(Bound::new(py, types::$record::from(self.clone()))?.into_any())
            }
        }
    )*};
}
as_record!(
    Attempt => Attempt,
    CacheOutcome => CacheOutcome,
    Cost => Cost,
    Embedding => Embedding,
    Timing => Timing,
    ToolCallRecord => ToolCallRecord,
    ToolRun => ToolRun,
    ToolTurn => ToolTurn,
    Trace => Trace,
    TraceStep => TraceStep,
    Usage => Usage,
);

impl Show for OutputPart {
    fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(match self {
            Self::Text { text } => Bound::new(py, types::TextPart(text.clone()))?.into_any(),
            Self::Refusal { text } => Bound::new(py, types::RefusalPart(text.clone()))?.into_any(),
            Self::Reasoning(part) => {
                Bound::new(py, types::ReasoningPart::from(part.clone()))?.into_any()
            }
            Self::ToolCall(call) => Bound::new(py, types::ToolCall::from(call.clone()))?.into_any(),
            Self::Other(value) => write::json(py, value)?,
            other => write::serialized(py, other)?,
        })
    }
}
