//! Results as Python objects whose attributes are made when they are read: an answer nobody looks at costs one allocation.

mod events;
mod show;
mod types;

pub(crate) use events::{event, events};
pub(crate) use types::{Completion, EmbeddingResponse};

use pyo3::prelude::*;

/// A Python class over a type of the core's: attributes, `model_dump`, equality, pickling, `repr`.
macro_rules! record {
    ($(#[$meta:meta])* $name:ident($inner:ty) { $($field:ident),* $(,)? } $({ $($more:tt)* })?) => {
        $(#[$meta])*
        #[pyo3::pyclass(frozen, module = "ossai._native")]
        #[derive(Clone)]
        pub(crate) struct $name(pub(crate) std::sync::Arc<$inner>);

        impl From<$inner> for $name {
            fn from(inner: $inner) -> Self {
                Self(std::sync::Arc::new(inner))
            }
        }

        #[pyo3::pymethods]
        impl $name {
            $(
                #[getter]
                fn $field<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                    crate::records::show::Show::show(&self.0.$field, py)
                }
            )*

            /// The whole as dicts, lists, strings and numbers, as it crosses every language's border.
            fn model_dump<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                crate::write::serialized(py, &*self.0)
            }

            /// The same as JSON text.
            fn model_dump_json(&self) -> PyResult<String> {
                crate::records::to_json(&*self.0)
            }

            /// The reverse of `model_dump`.
            #[staticmethod]
            fn model_validate(py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Self> {
                crate::read::read::<$inner>("", value)
                    .map(Self::from)
                    .map_err(|error| crate::failure::raised(py, &error))
            }

            fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                let class = py.get_type::<Self>();
                let arguments = (self.model_dump(py)?,);
                let made = (class.getattr("model_validate")?, arguments);
                Ok(made.into_pyobject(py)?.into_any())
            }

            fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
                other.cast::<Self>().is_ok_and(|other| other.get().0 == self.0)
            }

            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                crate::records::shown(stringify!($name), &self.model_dump(py)?)
            }

            $($($more)*)?
        }
    };
}
pub(crate) use record;

pub(crate) fn to_json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value)
        .map_err(|error| pyo3::exceptions::PyRuntimeError::new_err(error.to_string()))
}

/// `Name(field=value, …)`.
pub(crate) fn shown(name: &str, fields: &Bound<'_, PyAny>) -> PyResult<String> {
    let mut parts = Vec::new();
    if let Ok(fields) = fields.cast::<pyo3::types::PyDict>() {
        for (field, value) in fields.iter() {
            parts.push(format!("{}={}", field.str()?, value.repr()?));
        }
    }
    Ok(format!("{name}({})", parts.join(", ")))
}

/// Adds every class to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    types::register(module)?;
    events::register(module)
}
