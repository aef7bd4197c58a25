//! The ossai orchestrator: the client core with a server in front.
//!
//! One port speaks gRPC (`ossai.orchestrator.v1`, health, reflection) and HTTP (OpenAI's and Anthropic's APIs,
//! `/ossai/v1/*`, `/livez`, `/readyz`, `/metrics`). Everything that decides something about a call (retries, caches,
//! shared calls, prices) is the core's; what is here is who may call, what is recorded, and how it is said on the wire.
//!
//! ```no_run
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ossai_orchestrator::ServeConfig::load(None)?;
//! ossai_orchestrator::run(config, |address| eprintln!("listening on {address}")).await?;
//! # Ok(())
//! # }
//! ```

mod app;
mod call;
pub mod config;
mod dialect;
mod gate;
mod grpc;
mod guard;
mod http;
mod live;
mod logging;
mod metrics;
mod server;
mod store;

/// Readers of strangers' bytes that only the fuzzers reach from outside.
#[cfg(ossai_fuzz)]
#[doc(hidden)]
pub mod fuzzing {
    use ossai::{CompletionRequest, Result};
    use serde_json::Value;

    /// Reads the body of one of the served APIs by its number; gives the request where it is one for a completion.
    ///
    /// # Errors
    /// As the API's own reader.
    pub fn read_body(which: usize, body: Value) -> Result<Option<CompletionRequest>> {
        use crate::dialect::anthropic;
        use crate::dialect::openai::{embedding, request, responses};
        match which {
            0 => request::read(body).map(|call| Some(call.request)),
            1 => anthropic::request::read(body).map(|call| Some(call.request)),
            2 => responses::request::read(body).map(|call| Some(call.request)),
            _ => embedding::read(body).map(|_| None),
        }
    }
}

pub use config::{Allowance, Auth, ConfigErrors, Defaults, ServeConfig, Tenant, Tls, UsageConfig};
pub use ossai::ledger::{GroupBy, UsageFilter, UsageRow, UsageSum, parse_time};
pub use server::{Ended, ServeError, Server, run};
pub use store::{ApiKey, AuditEntry, CreatedKey, Store};
