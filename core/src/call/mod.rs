//! One call: its key, the flight that serves it, and the road it takes.

pub(crate) mod attempt;
pub(crate) mod batch;
pub(crate) mod budget;
pub(crate) mod circuit;
pub(crate) mod depth;
pub(crate) mod elsewhere;
pub(crate) mod embed;
pub(crate) mod fallback;
pub(crate) mod flight;
pub(crate) mod fly;
mod fold;
pub(crate) mod gather;
pub(crate) mod hedge;
pub(crate) mod kept;
pub mod key;
pub(crate) mod orchestrated;
pub(crate) mod pace;
pub(crate) mod pipeline;
pub(crate) mod progress;
pub(crate) mod prompt;
#[cfg_attr(not(feature = "sqlite"), path = "unrecorded.rs")]
pub(crate) mod recorded;
pub(crate) mod semantic;
mod shown;
pub(crate) mod stream;
mod turn;
pub(crate) mod validate;

pub(crate) use fold::PART_INDEX;
pub use fold::{Fold, annotate};
