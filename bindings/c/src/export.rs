//! The border: what comes in is checked, what goes out is written, and a panic ends here.

use std::panic::AssertUnwindSafe;

use ossai::{Error, ErrorKind, Result};

use crate::bytes::OssaiBytes;

/// It is done; `out` has the answer, where there is one.
pub const OSSAI_OK: i32 = 0;
/// The call is under way; its events come to the queue.
pub const OSSAI_PENDING: i32 = 1;
/// It went wrong; `out` has the error's fields as JSON.
pub const OSSAI_FAILED: i32 = 2;

/// What an export came to.
pub(crate) enum Outcome {
    /// [`OSSAI_OK`] with this.
    Ok(Vec<u8>),
    /// [`OSSAI_PENDING`].
    Pending,
}

fn panicked() -> Error {
    Error::new(
        ErrorKind::Internal,
        "the call panicked; the client stays usable",
    )
}

/// Runs something with panics turned into errors.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(panicked()))
}

/// Runs something whose failure nobody wants to know.
pub(crate) fn quietly(work: impl FnOnce()) {
    let _ = std::panic::catch_unwind(AssertUnwindSafe(work));
}

/// Runs an export's work and writes what came of it to `out`; its status.
///
/// # Safety
/// `out` is null (then what came of it is dropped) or may be written.
pub(crate) unsafe fn export(out: *mut OssaiBytes, work: impl FnOnce() -> Result<Outcome>) -> i32 {
    let (status, bytes) = match guarded(work) {
        Ok(Outcome::Ok(bytes)) => (OSSAI_OK, bytes),
        Ok(Outcome::Pending) => (OSSAI_PENDING, Vec::new()),
        Err(error) => (OSSAI_FAILED, failure(&error)),
    };
    if !out.is_null() {
        // SAFETY: not null, and the caller promises that it may be written. What was there is not read.
        unsafe { out.write(OssaiBytes::new(bytes)) };
    }
    status
}

/// The error's fields as JSON: maps with string keys, so that nothing in it could fail.
pub(crate) fn failure(error: &Error) -> Vec<u8> {
    serde_json::to_vec(error).unwrap_or_default()
}

/// Text of the caller's.
///
/// # Safety
/// `ptr` is null with `len` 0, or points to `len` bytes that nobody changes before `'a` ends.
pub(crate) unsafe fn text<'a>(field: &str, ptr: *const u8, len: usize) -> Result<&'a str> {
    if len == 0 {
        return Ok("");
    }
    if ptr.is_null() || isize::try_from(len).is_err() {
        return Err(Error::invalid(field, "expected a pointer and its length"));
    }
    // SAFETY: not null, not larger than memory can be, and the caller promises the rest.
    let bytes = unsafe { std::slice::from_raw_parts(ptr, len) };
    std::str::from_utf8(bytes).map_err(|_| Error::invalid(field, "expected UTF-8"))
}

/// Writes a number where the caller wants it.
///
/// # Safety
/// `place` is null or may be written.
pub(crate) unsafe fn put<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: not null, and the caller promises that it may be written.
        unsafe { place.write(value) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::ossai_bytes_free;

    #[test]
    fn a_panic_ends_at_the_border_as_internal_without_its_text() {
        let mut out = OssaiBytes::EMPTY;
        // SAFETY: `out` is ours.
        let status = unsafe { export(&raw mut out, || panic!("canary")) };
        assert_eq!(status, OSSAI_FAILED);
        // SAFETY: it was just written.
        let said = unsafe { text("out", out.ptr, out.len) }.expect("JSON");
        assert!(
            said.contains(r#""kind":"internal""#) && !said.contains("canary"),
            "{said}"
        );
        // SAFETY: ours, and of this thread.
        unsafe { ossai_bytes_free(&raw mut out) };
        // SAFETY: nowhere to write is allowed.
        let status = unsafe { export(std::ptr::null_mut(), || panic!()) };
        assert_eq!(status, OSSAI_FAILED);
        quietly(|| panic!("canary"));
    }

    #[test]
    fn text_that_is_none_is_a_mistake_of_its_field() {
        // SAFETY: a length without a pointer is what is tested; the others are valid.
        let (none, wide, broken) = unsafe {
            (
                text("request", std::ptr::null(), 1),
                text("request", b"a".as_ptr(), usize::MAX),
                text("request", b"\xff".as_ptr(), 1),
            )
        };
        for error in [none, wide, broken] {
            let error = error.expect_err("refused");
            assert_eq!(error.fields().field.as_deref(), Some("request"));
        }
        // SAFETY: null without a length is allowed.
        let empty = unsafe { text("request", std::ptr::null(), 0) };
        assert_eq!(empty.expect("empty"), "");
    }
}
