//! What a call costs: the price table, exact pricing of usage, and estimates before a call.
//!
//! A wrong price is worse than none, so three rules hold throughout: prices and amounts are integers (a price is read
//! from its decimal text, never through a float), an amount is rounded up once per call, and whatever has no price is
//! *unknown*, never zero. The table is data (`data/models.json`, rebuilt by `ci/prices`); overlays and per-call prices
//! use the same schema.

pub(crate) mod date;
mod decimal;
mod entry;
mod estimate;
mod meter;
mod parse;
mod price;
mod query;
mod read;
mod table;
mod tree;
pub mod usage;

pub use date::{Date, Window};
pub use entry::{
    Dates, Limits, Modalities, ModelEntry, ModelKind, Multiplier, PriceEntry, Tier, When,
};
pub(crate) use estimate::dearest;
pub use estimate::{CacheWrites, Estimate, InputEstimate, Note, OutputEstimate, Span, estimate};
pub use meter::{Meter, Rates};
pub use price::{PriceContext, cost, rates_in_force};
pub use query::{ModelQuery, ModelSort};
pub use read::{PriceError, Problem};
pub use table::{Found, MAX_OVERLAY_BYTES, Match, PriceTable};
