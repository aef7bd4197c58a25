//! One call from its admission to its row: whatever way it ends, it is counted, logged and recorded exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ossai::error::Billed;
use ossai::{
    CacheOutcome, CacheStatus, CallOptions, Completion, CompletionRequest, Cost, EmbeddingRequest,
    EmbeddingResponse, Error, NanoUsd, Result, Usage,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::app::App;
use crate::guard::limiter::Seat;
use crate::guard::wallet::Guarded;
use crate::metrics::Sample;
use crate::store::UsageRow;
use crate::store::keyring::Identity;
use crate::store::now_ms;
use crate::store::writer;

/// Who asks, and since when; the gate puts it beside every request it lets in.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    pub(crate) request_id: Arc<str>,
    pub(crate) arrived: Instant,
    /// The request's place, free again when the last holder is done.
    pub(crate) place: Arc<Place>,
}

/// A request's place among the concurrent ones: the server's, its tenant's and its key's.
pub(crate) struct Place {
    _room: OwnedSemaphorePermit,
    _seat: Option<Seat>,
    /// The call failed, whatever its answer looks like: a stream's head said that all was well.
    spoilt: AtomicBool,
}

impl Place {
    pub(crate) fn new(room: OwnedSemaphorePermit, seat: Option<Seat>) -> Self {
        Self {
            _room: room,
            _seat: seat,
            spoilt: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_spoilt(&self) -> bool {
        self.spoilt.load(Ordering::Acquire)
    }
}

/// What a caller asks for.
#[derive(Clone, Copy)]
pub(crate) enum Asked<'a> {
    Chat(&'a CompletionRequest),
    Embeddings(&'a EmbeddingRequest),
}

impl Asked<'_> {
    /// The record's beginning; the operation is `gen_ai.operation.name`.
    fn row(self) -> UsageRow {
        let (operation, model, user) = match self {
            Self::Chat(request) => ("chat", &request.model, &request.user),
            Self::Embeddings(request) => ("embeddings", &request.model, &request.user),
        };
        UsageRow {
            operation: operation.into(),
            provider: model.split('/').next().unwrap_or_default().to_owned(),
            model: model.clone(),
            user: user.clone(),
            ..UsageRow::default()
        }
    }

    /// What was asked for that decides the price beside the usage, where the vendor does not say what it did.
    fn terms(self) -> Usage {
        let Self::Chat(request) = self else {
            return Usage::default();
        };
        let text = |name: &str| Some(request.extra.get(name)?.as_str()?.to_owned());
        Usage {
            service_tier: request.service_tier.clone(),
            speed: text("speed"),
            region: text("inference_geo"),
            ..Usage::default()
        }
    }
}

/// A call under way. Dropping it says that its caller has gone.
pub(crate) struct Call {
    app: Arc<App>,
    caller: Caller,
    client: Guarded,
    streamed: bool,
    first_token: Option<Duration>,
    terms: Usage,
    open: Option<(UsageRow, writer::Place)>,
}

impl Call {
    /// Takes a call in.
    ///
    /// # Errors
    /// `overloaded` when usage cannot be recorded as fast as calls come.
    pub(crate) async fn begin(
        app: &Arc<App>,
        caller: Caller,
        asked: Asked<'_>,
        options: &CallOptions,
        streamed: bool,
    ) -> Result<Self> {
        let client = app.clients.get(&caller.identity.tenant)?;
        let client = Guarded::new(app, client, caller.identity.clone());
        let place = app.recorder.reserve().await?;
        let row = UsageRow {
            request_id: caller.request_id.to_string(),
            tenant: caller.identity.tenant.to_string(),
            key_id: caller.identity.key_id.as_deref().map(str::to_owned),
            tags: options.tags.clone(),
            ..asked.row()
        };
        Ok(Self {
            app: Arc::clone(app),
            caller,
            client,
            streamed,
            first_token: None,
            terms: asked.terms(),
            open: Some((row, place)),
        })
    }

    /// The client, within the caller's bounds.
    pub(crate) fn client(&self) -> &Guarded {
        &self.client
    }

    pub(crate) fn heartbeat(&self) -> Duration {
        Duration::from_secs(self.app.config.limits.heartbeat_seconds)
    }

    /// The first piece of the answer goes out.
    pub(crate) fn first_token(&mut self) {
        self.first_token
            .get_or_insert_with(|| self.caller.arrived.elapsed());
    }

    /// It was answered.
    pub(crate) fn completed(&mut self, answer: &Completion) -> Trailer {
        let trailer = Trailer::new(
            self,
            &answer.cost,
            &answer.cache,
            answer.attempts.len(),
            &answer.timing,
        );
        self.settle("ok", |row| {
            if !answer.model.is_empty() && row.model != answer.model {
                // Another model answered in its place: the figures are that one's.
                let provider = answer.model.split('/').next().unwrap_or_default();
                row.provider = provider.to_owned();
                row.model.clone_from(&answer.model);
            }
            used(row, &answer.usage, &answer.cost, &answer.cache);
            row.attempts = u32::try_from(answer.attempts.len()).unwrap_or(u32::MAX);
        });
        trailer
    }

    /// It was answered with vectors.
    pub(crate) fn embedded(&mut self, answer: &EmbeddingResponse) -> Trailer {
        let trailer = Trailer::new(
            self,
            &answer.cost,
            &answer.cache,
            answer.attempts.len(),
            &answer.timing,
        );
        self.settle("ok", |row| {
            used(row, &answer.usage, &answer.cost, &answer.cache);
            row.attempts = u32::try_from(answer.attempts.len()).unwrap_or(u32::MAX);
        });
        trailer
    }

    /// It failed.
    pub(crate) fn failed(&mut self, error: &Error) {
        let fields = error.fields();
        self.caller.place.spoilt.store(true, Ordering::Release);
        self.settle(error.kind().name(), |row| {
            row.attempts = u32::try_from(fields.attempts.len()).unwrap_or(u32::MAX);
            match &fields.partial {
                Some(partial) => {
                    used(row, &partial.usage, &partial.cost, &partial.cache);
                }
                // What was sent may be billed though nobody says how much: unknown, not nothing.
                None => row.cost = (fields.billed == Billed::No).then_some(NanoUsd::ZERO),
            }
        });
    }

    fn settle(&mut self, outcome: &str, fill: impl FnOnce(&mut UsageRow)) {
        let Some((mut row, place)) = self.open.take() else {
            return;
        };
        let latency = self.caller.arrived.elapsed();
        row.time = now_ms();
        row.outcome = outcome.to_owned();
        row.cache = "bypass".into();
        row.latency_us = micros(latency);
        row.first_token_us = self.first_token.map(micros);
        fill(&mut row);
        if row.usage.total_tokens() > 0 {
            let used = &mut row.usage;
            used.service_tier = used.service_tier.take().or(self.terms.service_tier.take());
            used.speed = used.speed.take().or(self.terms.speed.take());
            used.region = used.region.take().or(self.terms.region.take());
        }
        // What nobody knows the use of stays reserved.
        let known =
            outcome == "ok" || row.cost == Some(NanoUsd::ZERO) || row.usage != Usage::default();
        let used = row
            .usage
            .input_tokens
            .saturating_add(row.usage.output_tokens);
        self.client.settle(known.then_some(used));
        tracing::info!(
            request_id = %row.request_id,
            tenant = %row.tenant,
            key = row.key_id.as_deref(),
            operation = %row.operation,
            model = %row.model,
            outcome = %row.outcome,
            stream = self.streamed,
            input_tokens = row.usage.input_tokens,
            output_tokens = row.usage.output_tokens,
            cost_nano_usd = row.cost.map(|cost| cost.0),
            cache = %row.cache,
            joined = row.joined > 0,
            attempts = row.attempts,
            latency_ms = row.latency_us / 1000,
            "call"
        );
        self.app.metrics.record(&Sample {
            row: &row,
            streamed: self.streamed,
            latency,
            first_token: self.first_token,
        });
        place.fill(row);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // What it cost until now is not known.
        if self.open.is_some() {
            self.caller.place.spoilt.store(true, Ordering::Release);
        }
        self.settle("cancelled", |_| {});
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What a call used of a provider: nothing where a cache or another's flight answered it, so that sums are those of the
/// provider's bill.
fn used(row: &mut UsageRow, usage: &Usage, cost: &Cost, cache: &CacheOutcome) {
    if cache.status != CacheStatus::Hit && !cache.joined {
        row.usage = usage.clone();
    }
    // What a similar question was looked for with is on the same bill.
    row.cost = cost.total.map(|total| {
        NanoUsd(
            total
                .0
                .saturating_add(cache.lookup_cost.unwrap_or_default().0),
        )
    });
    row.price_version.clone_from(&cost.price_version);
    row.saved = cache.saved;
    row.joined = cache.joined.into();
    row.cache = match cache.status {
        CacheStatus::Hit => "hit",
        CacheStatus::Miss => "miss",
        _ => "bypass",
    }
    .into();
}

/// What response headers say of an answered call.
#[derive(Clone, Debug)]
pub(crate) struct Trailer {
    /// `provider/model`.
    pub(crate) model: String,
    pub(crate) cost: Option<NanoUsd>,
    /// `hit`, `miss`, `coalesced` or `bypass`.
    pub(crate) cache: &'static str,
    pub(crate) attempts: usize,
    /// The time that was neither a provider's nor a wait.
    pub(crate) overhead: Duration,
}

impl Trailer {
    fn new(
        call: &Call,
        cost: &Cost,
        cache: &CacheOutcome,
        attempts: usize,
        timing: &ossai::Timing,
    ) -> Self {
        let elsewhere = Duration::from_micros(timing.total_us.saturating_sub(timing.overhead_us));
        Self {
            model: call
                .open
                .as_ref()
                .map(|(row, _)| row.model.clone())
                .unwrap_or_default(),
            cost: cost.total,
            cache: match cache {
                CacheOutcome { joined: true, .. } => "coalesced",
                CacheOutcome {
                    status: CacheStatus::Hit,
                    ..
                } => "hit",
                CacheOutcome {
                    status: CacheStatus::Miss,
                    ..
                } => "miss",
                _ => "bypass",
            },
            attempts,
            overhead: call.caller.arrived.elapsed().saturating_sub(elsewhere),
        }
    }

    pub(crate) fn provider(&self) -> &str {
        self.model.split('/').next().unwrap_or_default()
    }
}
