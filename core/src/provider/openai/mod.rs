//! OpenAI's two formats.

pub(super) mod chat_decode;
pub(super) mod chat_encode;
pub(super) mod responses_decode;
pub(super) mod responses_encode;
