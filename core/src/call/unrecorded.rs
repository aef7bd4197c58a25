//! A build without SQLite keeps no record of its calls: here is nothing where `recorded.rs` has something.

use std::sync::Arc;

use super::pipeline::Flight;
use super::progress::Progress;
use crate::client::Core;
use crate::client::config::UsageConfig;
use crate::client::route::Route;
use crate::error::{Error, ErrorKind, Result};
use crate::types::{
    CacheOutcome, CallOptions, Completion, CompletionRequest, Cost, EmbeddingRequest,
    EmbeddingResponse, Usage,
};

/// There are none.
#[derive(Debug)]
pub(crate) enum Records {}

impl Records {
    /// # Errors
    /// `unsupported` where a ledger is configured.
    pub(crate) fn of(config: &UsageConfig) -> Result<Option<Self>> {
        match config.ledger {
            None => Ok(None),
            Some(_) => Err(Error::new(
                ErrorKind::Unsupported,
                "this build keeps no record of calls: it is without the feature `sqlite`",
            )
            .with(|fields| fields.field = Some("config.usage.ledger".into()))),
        }
    }

    pub(crate) fn lost(&self) -> u64 {
        match *self {}
    }

    #[allow(clippy::unused_async)] // as the other one
    pub(crate) async fn flush(&self) {
        match *self {}
    }
}

#[derive(Clone, Copy)]
#[allow(dead_code)]
pub(crate) enum Recorded<'a> {
    Completion(&'a CompletionRequest),
    Embedding(&'a EmbeddingRequest),
}

pub(super) type Slot = ();

impl Core {
    #[allow(clippy::unused_self)]
    pub(crate) fn record_flight(
        &self,
        _: &Progress,
        _: &Route,
        _: Recorded<'_>,
        _: &CallOptions,
        _: &str,
        _: bool,
    ) {
    }

    #[allow(clippy::unused_self)]
    pub(crate) fn record_joined(&self, _: &Progress) {}

    #[allow(clippy::unused_self)]
    pub(crate) fn record_hit(
        &self,
        _: &Route,
        _: Recorded<'_>,
        _: &CallOptions,
        _: &str,
        _: (&Cost, &CacheOutcome),
        _: u64,
    ) {
    }
}

#[allow(clippy::unused_self)]
impl Flight {
    pub(super) fn record_direct(&self) {}
}

#[allow(clippy::unused_self)]
impl Progress {
    pub(crate) fn completed(&self, _: &Result<Arc<Completion>>) {}

    pub(crate) fn embedded(&self, _: &Result<Arc<EmbeddingResponse>>) {}

    pub(super) fn paid(&self, _: &Usage, _: &Cost) {}

    pub(crate) fn told(&self) {}

    pub(super) fn ran_out(&self) {}
}
