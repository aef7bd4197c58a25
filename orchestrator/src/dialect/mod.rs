//! Vendors' APIs as served here: their requests to ours, our answers to theirs. Nothing else in the server knows a dialect.

pub(crate) mod anthropic;
pub(crate) mod openai;
