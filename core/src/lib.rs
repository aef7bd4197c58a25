//! The client core of ossai: one call, whatever the provider, with its retries, caches, shared flights, tokens and
//! money decided in one place.
//!
//! ```no_run
//! # async fn run() -> ossai::Result<()> {
//! let client = ossai::Client::from_env()?;
//! let answer = client
//!     .complete(ossai::CompletionRequest::new("openai/gpt-4o-mini", "Why is the sky blue?"))
//!     .await?;
//! println!("{} ({} tokens)", answer.text, answer.usage.total_tokens());
//! # Ok(())
//! # }
//! ```
//!
//! Models are named `provider/model`. [`Client`] is the way in; [`types`] is the vocabulary every language shares,
//! [`error`] the one table of what can go wrong, [`tokens`] counts offline and [`cost`] prices.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod budget;
pub mod cache;
pub mod call;
mod cassette;
pub mod client;
pub mod cost;
pub mod error;
#[cfg(feature = "sqlite")]
pub mod ledger;
mod limit;
pub mod observe;
pub mod provider;
pub mod retry;
pub mod tokens;
pub mod tools;
pub mod transport;
pub mod types;

/// Readers of strangers' bytes that only the fuzzers reach from outside.
#[cfg(ossai_fuzz)]
#[doc(hidden)]
pub mod fuzzing {
    /// Reads what an answer's headers say of limits.
    pub fn limits(headers: &http::HeaderMap, wall: std::time::SystemTime) {
        let _ = crate::limit::read(headers, wall);
    }

    /// Reads what a cache keeps outside the process: as an envelope, and as the answer inside one. What opens is an answer
    /// that is written and read again as the same.
    pub fn kept(bytes: &[u8]) {
        crate::cache::fuzzed(bytes);
    }
}

pub use client::{
    Client, CompletionStream, Config, Credential, EstimateOptions, Explanation, Secret, TokenCount,
};
pub use error::{Error, ErrorKind, Result};
pub use types::*;
