//! Answers kept for the same question.

pub(crate) mod memory;
pub(crate) mod policy;
