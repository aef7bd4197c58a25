//! What every language binding shares, so that none of it is written five times: sessions, calls by id, the completion
//! queue with one batched wake-up, stream credit, host calls, cancellation, forks, shutdown and the panic border.
//!
//! A skin (Node, Python, C, …) turns host values into the arguments here and events back into host values, and decides
//! nothing. The rules it must keep are in `bindings/CONTRACT.md`. The one upward call is [`Wake::wake`]: without
//! arguments, idempotent, at most once between two drains. Nothing else ever enters the host from a thread of ours.
//!
//! ```
//! use std::sync::Arc;
//! use ossai_facade::{Begin, Event, Op, Parker, Queue, Session};
//!
//! let session = Session::open("{}", false)?;
//! let parker = Arc::new(Parker::default());
//! let queue = Queue::new(parker.clone());
//! let request = r#"{"model": "local/extract", "messages": [{"role": "user", "content": "Hello."}], "temperature": 0}"#;
//! match session.begin(Op::Complete, request, "{}", &queue) {
//!     Begin::Ready(answer) => println!("{}", answer?.to_json()),
//!     Begin::Pending(id) => {
//!         parker.wait(std::time::Duration::from_secs(10));
//!         for event in queue.drain(64) {
//!             assert_eq!(event.call(), Some(id));
//!             println!("{}", event.to_json());
//!         }
//!     }
//! }
//! # Ok::<(), ossai::Error>(())
//! ```

mod call;
mod calls;
mod credential;
mod event;
mod fields;
mod host;
mod op;
mod process;
mod queue;
mod reply;
mod session;
mod sync;
mod tools;
mod wake;

pub use credential::Callbacks;
pub use event::{Event, events_to_json};
pub use fields::field_names;
pub use host::{HostCall, HostCallId, HostCallKind, HostCalls, HostFailure, HostResult};
pub use op::{Op, Work};
pub use process::{after_fork_in_child, configure_threads, generation, shutdown};
pub use queue::Queue;
pub use reply::Reply;
pub use session::{Begin, CallId, Session};
pub use tools::ToolPlan;
pub use wake::{Parker, PipeWake, Wake, pipe};
