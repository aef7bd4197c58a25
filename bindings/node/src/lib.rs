//! The Node skin: the addon under `@ossai/sdk`.
//!
//! It turns strings into the façade's values and back, and decides nothing (`bindings/CONTRACT.md`). Threads of ours never
//! enter JavaScript: what has come waits in a queue until the event loop, woken once, drains it.
//!
//! Every item catches panics: without that, one in a synchronous function would end the process.
// Under `test` napi exports nothing, so that nothing of this is used.
#![cfg_attr(test, allow(dead_code))]

mod home;
mod session;

use napi_derive::napi;

/// The version, so that the package can refuse an addon of another.
#[napi(catch_unwind)]
#[must_use]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").into()
}

/// How many threads the runtime gets; false once it runs.
#[napi(catch_unwind)]
#[must_use]
pub fn configure_threads(threads: u32) -> bool {
    ossai_facade::configure_threads(usize::try_from(threads).unwrap_or(usize::MAX))
}

/// The names of every operation, for the test that the SDK has them all.
#[napi(catch_unwind)]
#[must_use]
pub fn operations() -> Vec<String> {
    let names = ossai_facade::Op::ALL.iter();
    names.map(|(name, _)| (*name).to_owned()).collect()
}

/// The names of the core's kinds of errors, from which the classes are generated.
#[napi(catch_unwind)]
#[must_use]
pub fn error_kinds() -> Vec<String> {
    let rows = ossai::error::KINDS.iter();
    rows.map(|row| row.name.to_owned()).collect()
}

/// The names of a type's fields, so that the package's tests know what the core knows.
#[napi(catch_unwind)]
#[must_use]
pub fn field_names(of: String) -> Vec<String> {
    let names = ossai_facade::field_names(&of).iter();
    names.map(|name| (*name).to_owned()).collect()
}
