//! Where batches are, and every request to a vendor that makes them, looks for them and reads their results.
//!
//! Each is tried, paced and guarded by the circuit like any other; the one that makes a batch apart, which is tried again only
//! after a look at what the vendor has, for it must not be made twice.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::exchange::{Ask, Download, Lines};
use super::lock;
use crate::call::pace::Asked;
use crate::call::pipeline::Flight;
use crate::client::Core;
use crate::client::route::Route;
use crate::error::{Error, ErrorKind, Result};
use crate::provider::batch::{
    BatchApi, BatchState, Ended, Results, Told, creation, decode_file, number_of, upload,
};
use crate::types::CallOptions;

/// How far our clock and the vendor's may be apart where batches are told apart by their time, in seconds.
const APART: i64 = 600;
/// For how long after it was begun a batch may have been made, likewise.
const MADE_WITHIN: i64 = 7_200;
/// Most pages of a vendor's list that are looked through.
const MOST_PAGES: usize = 50;

/// Whether a batch is known to be another one.
type Others<'a> = dyn Fn(&str) -> bool + Sync + 'a;

/// Where a batch is, and how it is asked for.
pub(super) struct Host {
    pub(super) core: Arc<Core>,
    pub(super) api: BatchApi,
    pub(super) route: Arc<Route>,
    options: Arc<CallOptions>,
    model: String,
    path: &'static str,
}

/// What came of a look for a batch of which nobody knows whether it was made.
pub(super) enum Look {
    Found(String),
    /// It may be this one, which tells when it is over.
    Perhaps(String),
    Nowhere,
}

impl Host {
    pub(super) fn new(flight: &Flight, path: &'static str) -> Self {
        let options = &flight.options;
        Self {
            core: Arc::clone(&flight.core),
            api: BatchApi::of(flight.route.api),
            route: Arc::clone(&flight.route),
            options: Arc::new(CallOptions {
                headers: options.headers.clone(),
                attempt_timeout_ms: options.attempt_timeout_ms,
                first_byte_timeout_ms: options.first_byte_timeout_ms,
                stream_idle_timeout_ms: options.stream_idle_timeout_ms,
                max_attempts: options.max_attempts,
                ..CallOptions::default()
            }),
            model: flight.asked.model().unwrap_or_default().to_owned(),
            path,
        }
    }

    /// Most requests and bytes of a batch here.
    pub(super) fn limits(&self) -> (usize, usize) {
        let config = &self.core.config.batch;
        let (requests, bytes) = self.api.limits();
        let least = |vendor: usize, configured: Option<u64>| {
            let configured = configured.and_then(|n| usize::try_from(n).ok());
            configured.map_or(vendor, |n| n.min(vendor))
        };
        (
            least(requests, config.max_requests),
            least(bytes, config.max_bytes),
        )
    }

    fn flight(&self, attempts: Option<u32>) -> Flight {
        let options = match attempts {
            None => Arc::clone(&self.options),
            Some(_) => Arc::new(CallOptions {
                max_attempts: attempts,
                ..CallOptions::clone(&self.options)
            }),
        };
        let (core, route) = (&self.core, &self.route);
        Flight {
            idempotency_key: core.call_id(),
            gate: core.gate(route, &self.model),
            ..Flight::beside(core, route, &options, core.call_id(), Asked::Nothing)
        }
    }

    async fn ask(&self, ask: Ask) -> Result<Bytes> {
        self.flight(None).tries(|| None, &ask).await
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Bytes> {
        let uri = self.route.uri_with(path, query.iter().copied())?;
        self.ask(Ask::get(uri)).await
    }

    pub(super) async fn told(&self, vendor: &str) -> Result<Told> {
        let body = self
            .get(&format!("{}/{vendor}", self.api.path()), &[])
            .await?;
        self.api.decode(self.route.api, &body)
    }

    pub(super) async fn cancel(&self, vendor: &str) -> Result<()> {
        let path = format!("{}/{vendor}/cancel", self.api.path());
        let uri = self.route.uri_with(&path, [])?;
        let empty = ("application/json".to_owned(), Bytes::from_static(b"{}"));
        self.ask(Ask::post(uri, empty)).await.map(drop)
    }

    /// What makes the batch; at OpenAI its file is taken there first.
    pub(super) async fn prepared(&self, ours: &str, requests: &[Bytes]) -> Result<Ask> {
        let body = self.api.body(ours, self.path, requests);
        let body = match self.api {
            BatchApi::Anthropic => body,
            BatchApi::OpenAi => {
                let (kind, form) = upload(ours, &body);
                drop(body);
                let uri = self.route.uri_with("/files", [])?;
                let answer = self.ask(Ask::post(uri, (kind, form.into()))).await?;
                creation(ours, &decode_file(&answer)?, self.path)
            }
        };
        let uri = self.route.uri_with(self.api.path(), [])?;
        Ok(Ask::post(uri, ("application/json".into(), body.into())))
    }

    /// Makes the batch, once.
    pub(super) async fn make(
        &self,
        ours: &str,
        count: usize,
        at: i64,
        ask: &Ask,
        others: &Others<'_>,
    ) -> Result<String, Unmade> {
        let core = &self.core;
        let most = self
            .options
            .max_attempts
            .unwrap_or(core.policy.max_attempts);
        let mut tried = 0;
        loop {
            let mut flight = self.flight(Some(1));
            // Its tries are one request.
            flight.idempotency_key = ours.to_owned();
            let answer = flight.tries(|| None, ask).await;
            let made = answer.and_then(|body| self.api.decode(self.route.api, &body));
            let error = match made {
                Ok(told) => return Ok(told.id),
                Err(error) => error,
            };
            if may_be_made(&error) {
                match self.look(ours, count, at, others).await {
                    Ok(Look::Found(vendor) | Look::Perhaps(vendor)) => return Ok(vendor),
                    Ok(Look::Nowhere) => {}
                    Err(_) => return Err(Unmade::Perhaps(error)),
                }
            }
            tried += 1;
            if tried >= most || !error.is_retriable() {
                return Err(Unmade::Surely(error));
            }
            let throttle = error.kind() == ErrorKind::RateLimited;
            let delay = core
                .policy
                .backoff
                .delay(tried - 1, throttle, &*core.random);
            let hint = error.retry_after().unwrap_or_default();
            if hint > core.policy.longest_hint {
                return Err(Unmade::Surely(error));
            }
            core.clock.sleep(delay.max(hint)).await;
        }
    }

    /// Looks whether the vendor has a batch of ours. OpenAI keeps our number of it; at Anthropic only the results of one that
    /// is over have it, so that until then one of the same time and size may be it.
    pub(super) async fn look(
        &self,
        ours: &str,
        count: usize,
        at: i64,
        others: &Others<'_>,
    ) -> Result<Look> {
        let at = at.div_euclid(1_000);
        let cursor = match self.api {
            BatchApi::OpenAi => "after",
            BatchApi::Anthropic => "after_id",
        };
        let mut after: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let mut query = vec![("limit", "100")];
            query.extend(after.as_deref().map(|after| (cursor, after)));
            let body = self.get(self.api.path(), &query).await?;
            let page = self.api.decode_page(self.route.api, &body)?;
            let mut older = false;
            for told in page.batches {
                // The newest come first.
                older |= told.created.is_some_and(|made| made < at - APART);
                match self.api {
                    BatchApi::OpenAi if told.ours.as_deref() == Some(ours) => {
                        return Ok(Look::Found(told.id));
                    }
                    BatchApi::Anthropic if !others(&told.id) => {
                        let timely = told
                            .created
                            .is_none_or(|made| (at - APART..=at + MADE_WITHIN).contains(&made));
                        if !timely || told.requests.is_some_and(|n| n != count) {
                            continue;
                        }
                        let BatchState::Ended(ended) = &told.state else {
                            return Ok(Look::Perhaps(told.id));
                        };
                        if self.has_ours(ours, ended).await? {
                            return Ok(Look::Found(told.id));
                        }
                    }
                    _ => {}
                }
            }
            after = page.after;
            if older || after.is_none() {
                break;
            }
        }
        Ok(Look::Nowhere)
    }

    async fn has_ours(&self, ours: &str, ended: &Ended) -> Result<bool> {
        let found = Mutex::new(false);
        let each = |line: &[u8]| *lock(&found) |= number_of(ours, line).is_some();
        for results in &ended.results {
            self.results(results, usize::MAX, &each).await?;
        }
        let found = *lock(&found);
        Ok(found)
    }

    /// Reads results line by line.
    pub(super) async fn results(
        &self,
        results: &Results,
        most: usize,
        each: &(dyn Fn(&[u8]) + Sync),
    ) -> Result<()> {
        let uri = match results {
            Results::Path(path) => self.route.uri_with(path, [])?,
            Results::Url(url) => self.own(url)?,
        };
        let what = Download {
            uri,
            lines: Lines {
                most,
                longest: self.core.config.limits.max_response_bytes,
            },
            each,
        };
        self.flight(None).tries(|| None, &what).await
    }

    /// An address the vendor gave, if it is the vendor's own: the credential goes there.
    fn own(&self, address: &str) -> Result<http::Uri> {
        let blocked = |why: &str| {
            let text = format!("the vendor's results are said to be {why}");
            Error::new(ErrorKind::RedirectBlocked, text)
        };
        let url = url::Url::parse(address).map_err(|_| blocked("at an address that is none"))?;
        if url.origin().ascii_serialization() != self.route.origin {
            return Err(blocked("at another origin, where the key may not go"));
        }
        http::Uri::try_from(url.as_str()).map_err(|_| blocked("at an address that is none"))
    }
}

/// Why there is no batch.
pub(super) enum Unmade {
    Surely(Error),
    /// Nobody knows.
    Perhaps(Error),
}

/// Whether the vendor may have made a batch although this came of it.
fn may_be_made(error: &Error) -> bool {
    let fields = error.fields();
    let refused = fields
        .http_status
        .is_some_and(|status| (400..500).contains(&status));
    let unsent = matches!(
        fields.kind,
        ErrorKind::ConnectFailed
            | ErrorKind::CircuitOpen
            | ErrorKind::Authentication
            | ErrorKind::CallbackError
    );
    !refused && !unsent
}
