//! What comes out: memory of ours that the caller gives back.

use std::mem::ManuallyDrop;

/// Bytes that belong to the caller until `ossai_bytes_free`. Zeroed is empty.
#[repr(C)]
#[derive(Debug)]
pub struct OssaiBytes {
    /// The first byte; null when there is none.
    pub ptr: *mut u8,
    /// How many bytes there are.
    pub len: usize,
    /// How many the memory holds; for `ossai_bytes_free`.
    pub cap: usize,
}

impl OssaiBytes {
    /// Nothing, and nothing to free.
    pub const EMPTY: Self = Self {
        ptr: std::ptr::null_mut(),
        len: 0,
        cap: 0,
    };

    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        if bytes.capacity() == 0 {
            return Self::EMPTY;
        }
        let mut bytes = ManuallyDrop::new(bytes);
        Self {
            ptr: bytes.as_mut_ptr(),
            len: bytes.len(),
            cap: bytes.capacity(),
        }
    }
}

/// Gives bytes back and leaves empty ones behind, so that a second time is harmless. Null is harmless too.
///
/// # Safety
/// `bytes` is null or points to an `OssaiBytes` that a function of this library wrote, or a zeroed one, and no other thread
/// uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ossai_bytes_free(bytes: *mut OssaiBytes) {
    if bytes.is_null() {
        return;
    }
    // SAFETY: not null, and the caller promises that it is valid and its own.
    let given = unsafe { std::ptr::replace(bytes, OssaiBytes::EMPTY) };
    if !given.ptr.is_null() {
        // SAFETY: the three were taken from a `Vec` in `OssaiBytes::new`, and are given back once: empty ones replaced them.
        drop(unsafe { Vec::from_raw_parts(given.ptr, given.len, given.cap) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_given_back_once_however_often_it_is_asked() {
        let mut bytes = OssaiBytes::new(b"text".to_vec());
        assert_eq!(bytes.len, 4);
        for _ in 0..2 {
            // SAFETY: ours, and of this thread.
            unsafe { ossai_bytes_free(&raw mut bytes) };
            assert!(bytes.ptr.is_null());
        }
        // SAFETY: null is allowed.
        unsafe { ossai_bytes_free(std::ptr::null_mut()) };
        assert!(OssaiBytes::new(Vec::new()).ptr.is_null());
    }
}
