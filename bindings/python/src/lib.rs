//! The Python skin: the module `ossai._native`.
//!
//! It turns Python values into the façade's and back, and decides nothing (`bindings/CONTRACT.md`). Threads of ours never
//! take the interpreter's lock: answers wait in a queue until a thread of Python's comes for them.

mod failure;
mod queue;
mod read;
mod records;
mod session;
mod stream;
mod write;

use std::time::Duration;

use pyo3::prelude::*;

/// Tells the core that this is a forked child (`os.register_at_fork`).
#[pyfunction]
fn after_fork_in_child() {
    ossai_facade::after_fork_in_child();
}

/// Ends everything for the interpreter's exit and waits for it, at most so many seconds; whether all ended.
#[pyfunction]
fn shutdown(py: Python<'_>, patience: f64) -> bool {
    let patience = Duration::try_from_secs_f64(patience).unwrap_or_default();
    py.detach(|| ossai_facade::shutdown(patience))
}

/// How many threads the runtime gets; false once it runs.
#[pyfunction]
fn configure_threads(threads: usize) -> bool {
    ossai_facade::configure_threads(threads)
}

/// The names of every operation, for the test that the SDK has them all.
#[pyfunction]
fn operations() -> Vec<&'static str> {
    ossai_facade::Op::ALL
        .iter()
        .map(|(name, _)| *name)
        .collect()
}

/// The core's error table: name, whether a new call later may work, HTTP status.
#[pyfunction]
fn error_table() -> Vec<(&'static str, bool, u16)> {
    ossai::error::KINDS
        .iter()
        .map(|row| (row.name, row.retriable, row.http))
        .collect()
}

/// The names of a type's fields, so that the package and its tests know what the core knows.
#[pyfunction]
fn field_names(of: &str) -> Vec<&'static str> {
    ossai_facade::field_names(of).to_vec()
}

/// The native half of `ossai`; use the package, not this.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<session::Session>()?;
    module.add_class::<queue::LoopQueue>()?;
    module.add_class::<stream::Stream>()?;
    records::register(module)?;
    for function in [
        wrap_pyfunction!(after_fork_in_child, module)?,
        wrap_pyfunction!(shutdown, module)?,
        wrap_pyfunction!(configure_threads, module)?,
        wrap_pyfunction!(operations, module)?,
        wrap_pyfunction!(error_table, module)?,
        wrap_pyfunction!(field_names, module)?,
        wrap_pyfunction!(failure::set_error_factory, module)?,
    ] {
        module.add_function(function)?;
    }
    Ok(())
}
