//! Anthropic's Messages API (types of the official SDKs, November 2026): the inverse of the core's `anthropic` provider.

mod block;
mod content;
pub(crate) mod error;
pub(crate) mod message;
pub(crate) mod models;
pub(crate) mod names;
pub(crate) mod request;
pub(crate) mod stream;
mod tools;
mod turn;
mod usage;

#[cfg(test)]
mod answer_tests;
#[cfg(test)]
mod tests;
