//! OpenAI's Responses API, stateless: what a later request needs of an earlier answer stands in the request.
//!
//! It is the inverse of the client core's own encoder and decoder of that API.

mod echo;
mod input;
mod items;
pub(crate) mod names;
mod open;
mod parts;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod stream;

#[cfg(test)]
mod tests;
