//! The one owner of retries: whether, when and at whose expense a failed attempt is made again.
//!
//! Everything here is a plain decision on values. Clock and random source are given, nothing waits, and no delay is
//! computed from the wall clock.

mod backoff;
mod breaker;
mod classify;
mod clock;
mod date;
mod deadline;
mod decide;
mod quota;
mod random;
mod retry_after;

pub use backoff::Backoff;
pub use breaker::{Breaker, BreakerSettings, Circuit, Health, Pass, Refused};
pub use classify::{EXHAUSTED_CODES, Evidence, Verdict, classify};
pub use clock::{Clock, ScaledClock, Sleep, SystemClock};
pub(crate) use date::http_date;
pub use deadline::{Deadline, TimeLeft, Timeouts, encode_grpc_timeout, parse_grpc_timeout};
pub use decide::{Decision, RetryPolicy, Situation, Why, decide};
pub use quota::{Bucket, Permit, QuotaSettings, RetryQuota, Spent};
pub use random::{Random, SeededRandom};
pub use retry_after::{Pushback, hint, pushback};
