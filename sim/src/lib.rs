//! What the storm, soak, kill and fault programs share: an upstream that counts, both roads to it, and a tally of calls.
//!
//! These programs ask what no single case can: whether, over thousands of calls and while things break, any call is lost,
//! answered wrongly, paid for twice or left hanging. They use real sockets and real processes, so a seed repeats the
//! faults but not the interleaving.

pub mod arguments;
pub mod books;
pub mod call;
pub mod chance;
pub mod http;
pub mod other;
pub mod postgres;
pub mod proxy;
pub mod redis;
pub mod roads;
pub mod tally;
pub mod upstream;
pub mod wordings;
