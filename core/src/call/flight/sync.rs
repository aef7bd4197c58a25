//! The synchronisation the flights are built on: the standard library's, or loom's when they are model-checked.
//!
//! The switch is `--cfg ossai_loom`, not `--cfg loom`: a `cfg` reaches every dependency, and tokio leaves out its
//! sockets under `loom`, so that a crate which needs them no longer builds.

#[cfg(not(ossai_loom))]
use std::sync as imp;

#[cfg(ossai_loom)]
use loom::sync as imp;

pub(super) use imp::{Arc, MutexGuard};

/// A mutex that outlives a panic of its holder: what it guards is changed in steps that leave it consistent, and a
/// panic in one caller must not fail the others.
#[derive(Debug)]
pub(super) struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    pub(super) fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
