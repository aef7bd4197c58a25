//! Token counts, offline and exact wherever a tokenizer is public; otherwise an interval that says it is one.
//!
//! Every call is counted before it is sent (limits, budgets, prices) and prompts reach megabytes, so counting has to cost
//! next to nothing. The published patterns are scanned by hand (`scan`), words are looked up whole, and what is not a
//! token is merged in linear time (`merge`) from tables that the binary carries (`vocab`).
//!
//! - [`Encoding`]: count, encode, decode, fits, truncate, split; [`StreamCounter`]: a running count.
//! - [`chat_tokens`], [`tool_tokens`], [`image_tokens`]: what a request counts beyond its text.
//! - [`count_for_model`], [`Estimate`], [`Calibration`]: models without a public tokenizer.
//!
//! All of it may be called from any thread; nothing here does I/O.

mod calibration;
mod chat;
mod class;
mod counts;
mod encoding;
mod estimate;
mod image;
mod image_size;
mod limit;
mod merge;
mod model;
mod scan;
mod special;
mod stream;
mod vocab;
mod word;

pub use calibration::Calibration;
pub use chat::{
    Message, PER_MESSAGE, PER_NAME, Property, REPLY_PRIMER, Tool, chat_tokens, tool_tokens,
};
pub use encoding::{Encoding, UnknownToken};
pub use estimate::{Estimate, Ratio, base_count, count_for_model, family_ratio, scale};
pub use image::{Detail, image_tokens};
pub use image_size::image_size;
pub use limit::SplitError;
pub use model::encoding_for_model;
pub use stream::StreamCounter;
