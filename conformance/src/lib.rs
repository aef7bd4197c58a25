//! The conformance kit: promises as data, an upstream that does exactly what a script says, and the part of a runner that
//! is the same in every language.
//!
//! A case file (see `README.md` and `case.schema.json`) names a promise, the upstream's script, the calls and what must
//! come of them. A language's runner starts `scripted-upstream`, makes the calls and checks the trace. In Rust that is
//! [`runner::run_case`] with a [`runner::Driver`]; other languages port the matcher and the scheduler and share the rest.

pub mod case;
pub mod check;
pub mod disturb;
pub mod expand;
mod folder;
pub mod load;
pub mod matcher;
pub mod runner;
pub mod script;
pub mod tools;
pub mod trace;
pub mod upstream;
pub mod upstream_process;
