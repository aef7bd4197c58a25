//! What can be seen of a client from outside: counters of all its calls, and the decisions of each.

mod near;
mod record;
mod stats;

pub(crate) use near::{NearMisses, Nearness, fields_in_key};
pub(crate) use record::Recorder;
pub(crate) use stats::Counters;
pub use stats::{SemanticStats, Stats, TierStats};
