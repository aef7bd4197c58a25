//! OpenAI's Chat Completions, Responses, Embeddings and Models API (types of the official SDKs, November 2026).

pub(crate) mod chat;
pub(crate) mod embedding;
pub(crate) mod error;
pub(super) mod fields;
mod message;
pub(crate) mod models;
pub(crate) mod request;
pub(crate) mod responses;
pub(crate) mod stream;

#[cfg(test)]
mod tests;
