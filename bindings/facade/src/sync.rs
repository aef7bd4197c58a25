//! The synchronisation the queue is built on: the standard library's, or loom's when it is model-checked.
//!
//! The switch is `--cfg ossai_loom`, as in the core, because `--cfg loom` would change tokio too.

#[cfg(not(ossai_loom))]
use std::sync as imp;

#[cfg(ossai_loom)]
use loom::sync as imp;

pub(crate) use imp::MutexGuard;

/// A mutex that outlives a panic of its holder: what it guards changes in steps that leave it consistent.
#[derive(Debug)]
pub(crate) struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
