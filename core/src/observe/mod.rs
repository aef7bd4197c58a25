//! What can be seen of a client from outside.

mod stats;

pub(crate) use stats::Counters;
pub use stats::Stats;
