//! Errors as Python exceptions. The classes are Python's own (`ossai._errors`, generated from the core's table); the
//! package hands over one function that makes the right one from an error's fields.

use ossai::{Error, ErrorKind};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::records::Completion;
use crate::write;

static FACTORY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Takes the function that makes exceptions: `(fields, partial) -> OssaiError`.
#[pyfunction]
pub(crate) fn set_error_factory(py: Python<'_>, factory: Py<PyAny>) -> bool {
    FACTORY.set(py, factory).is_ok()
}

/// The exception for an error.
pub(crate) fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let Some(factory) = FACTORY.get(py) else {
        return Err(PyRuntimeError::new_err(error.to_string()));
    };
    let partial = error
        .fields()
        .partial
        .as_deref()
        .cloned()
        .map(Completion::from);
    factory
        .bind(py)
        .call1((write::serialized(py, error)?, partial))
}

/// The error, raised.
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    exception(py, error).map_or_else(|failure| failure, PyErr::from_value)
}

/// `invalid_state`, raised.
pub(crate) fn invalid_state(py: Python<'_>, message: &str) -> PyErr {
    raised(py, &Error::new(ErrorKind::InvalidState, message))
}
