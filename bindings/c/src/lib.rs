//! The C skin: a static library for every language that speaks C, first of all Go.
//!
//! It turns pointers and lengths into the façade's values and back, and decides nothing (`bindings/CONTRACT.md`). Objects are
//! generational numbers and never pointers, so that a late or doubled use is an error value; threads of ours never enter the
//! host: what has come waits in a queue until the host, woken by one byte in a pipe, drains it. Every export catches panics:
//! without that, one would end the process.

mod bytes;
mod describe;
mod export;
mod frame;
mod handles;
mod queue;
mod session;

pub use bytes::{OssaiBytes, ossai_bytes_free};
pub use describe::{
    ossai_configure_threads, ossai_default_config, ossai_error_kinds, ossai_field_names,
    ossai_operations, ossai_shutdown, ossai_version,
};
pub use export::{OSSAI_FAILED, OSSAI_OK, OSSAI_PENDING};
pub use frame::{
    OSSAI_EVENT_ANSWER, OSSAI_EVENT_ERROR, OSSAI_EVENT_HOST_CALL, OSSAI_EVENT_HOST_CALL_CANCELLED,
    OSSAI_EVENT_LAST_STREAM, OSSAI_EVENT_STREAM, OSSAI_RECORD_HEADER,
};
pub use queue::{ossai_queue_drain, ossai_queue_free, ossai_queue_open};
pub use session::{
    ossai_begin, ossai_calls_under_way, ossai_cancel, ossai_complete_host_call, ossai_grant,
    ossai_session_close, ossai_session_free, ossai_session_open,
};
