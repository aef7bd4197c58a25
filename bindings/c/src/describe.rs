//! What the library knows of itself, so that an SDK and its tests keep no list of names twice.

use std::ffi::c_char;
use std::time::Duration;

use ossai::{Error, ErrorKind};
use serde::Serialize;
use serde_json::json;

use crate::bytes::OssaiBytes;
use crate::export::{Outcome, export, guarded, text};

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");

/// The version, so that an SDK can refuse a library of another. It ends with a NUL and is never freed.
#[unsafe(no_mangle)]
pub extern "C" fn ossai_version() -> *const c_char {
    VERSION.as_ptr().cast()
}

/// Writes a value as JSON.
///
/// # Safety
/// `out` may be written, or is null.
unsafe fn say(
    out: *mut OssaiBytes,
    value: impl FnOnce() -> ossai::Result<serde_json::Value>,
) -> i32 {
    // SAFETY: the caller promises it.
    unsafe { export(out, || Ok(Outcome::Ok(value()?.to_string().into_bytes()))) }
}

fn to_value(value: impl Serialize) -> ossai::Result<serde_json::Value> {
    serde_json::to_value(value)
        .map_err(|error| Error::new(ErrorKind::Internal, "no JSON form").with_source(error))
}

/// The names of every operation, as a list.
///
/// # Safety
/// `out` may be written, or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ossai_operations(out: *mut OssaiBytes) -> i32 {
    let names = || {
        ossai_facade::Op::ALL
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
    };
    // SAFETY: the caller promises it.
    unsafe { say(out, || to_value(names())) }
}

/// The core's kinds of errors, as a list of `{"name", "retriable", "http"}`.
///
/// # Safety
/// `out` may be written, or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ossai_error_kinds(out: *mut OssaiBytes) -> i32 {
    let row = |row: &ossai::error::KindRow| json!({"name": row.name, "retriable": row.retriable, "http": row.http});
    // SAFETY: the caller promises it.
    unsafe { say(out, || Ok(ossai::error::KINDS.iter().map(row).collect())) }
}

/// The names of a type's fields, as a list; empty for a type there is none of.
///
/// # Safety
/// `of` points to `of_len` bytes; `out` may be written, or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ossai_field_names(
    of: *const u8,
    of_len: usize,
    out: *mut OssaiBytes,
) -> i32 {
    // SAFETY: the caller promises it of each.
    unsafe {
        say(out, || {
            to_value(ossai_facade::field_names(text("of", of, of_len)?))
        })
    }
}

/// The configuration with every default.
///
/// # Safety
/// `out` may be written, or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ossai_default_config(out: *mut OssaiBytes) -> i32 {
    // SAFETY: the caller promises it.
    unsafe { say(out, || to_value(ossai::Config::default())) }
}

/// How many threads the runtime gets, 1 to 64; 2 unless said otherwise. 0 once it runs, else 1.
#[unsafe(no_mangle)]
pub extern "C" fn ossai_configure_threads(threads: u32) -> i32 {
    let threads = usize::try_from(threads).unwrap_or(usize::MAX);
    guarded(|| Ok(ossai_facade::configure_threads(threads)))
        .is_ok_and(|done| done)
        .into()
}

/// Ends everything for the process's exit: refuses new calls, cancels those under way and waits, at most so many
/// milliseconds, until their connections are closed. 1 when all were. The one function that blocks.
#[unsafe(no_mangle)]
pub extern "C" fn ossai_shutdown(patience_ms: u64) -> i32 {
    let patience = Duration::from_millis(patience_ms);
    guarded(|| Ok(ossai_facade::shutdown(patience)))
        .is_ok_and(|idle| idle)
        .into()
}
