//! The ossai orchestrator: the client core with a server in front.
//!
//! One port speaks gRPC (`ossai.orchestrator.v1`, health, reflection) and HTTP (OpenAI's API, `/ossai/v1/*`, `/livez`,
//! `/readyz`, `/metrics`). Everything that decides something about a call (retries, caches, shared calls, prices) is the
//! core's; what is here is who may call, what is recorded, and how it is said on the wire.
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

pub use config::{Allowance, Auth, ConfigErrors, Defaults, ServeConfig, Tenant, Tls};
pub use server::{Ended, ServeError, Server, run};
pub use store::{
    ApiKey, AuditEntry, CreatedKey, GroupBy, Store, UsageFilter, UsageRow, UsageSum, parse_time,
};
