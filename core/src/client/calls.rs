//! Completions and streams as a caller asks for them: check, memory look-up, join or start a flight, wait.
//!
//! Everything up to the wait happens on the caller's thread without a task, so that a hit or a mistake costs no hop.

use std::pin::{Pin, pin};
use std::sync::Arc;

use super::completion_stream::CompletionStream;
use super::{Client, Core};
use crate::call::key::Key;
use crate::call::validate;
use crate::error::Result;
use crate::observe::Counters;
use crate::transport::timer::IdleTimer;
use crate::types::{CallOptions, Completion, CompletionRequest};

impl Client {
    /// Asks for a completion and waits for the whole answer.
    ///
    /// # Errors
    /// Any kind of the error table; `attempts` tells what was tried. Dropping the future cancels the call: when nobody
    /// else waits for the same answer the upstream request is closed.
    pub async fn complete(&self, request: impl Into<Arc<CompletionRequest>>) -> Result<Completion> {
        self.complete_with(request, CallOptions::default()).await
    }

    /// [`Client::complete`] with options.
    ///
    /// # Errors
    /// As [`Client::complete`].
    pub async fn complete_with(
        &self,
        request: impl Into<Arc<CompletionRequest>>,
        options: impl Into<Arc<CallOptions>>,
    ) -> Result<Completion> {
        give_way().await;
        let outcome = self.core.complete(request.into(), options.into()).await;
        self.core.count_outcome(&outcome);
        outcome
    }

    /// Asks for a completion as a stream and waits for its first event.
    ///
    /// # Errors
    /// As [`Client::complete`] until the first event; later ones come out of the stream.
    pub async fn stream(
        &self,
        request: impl Into<Arc<CompletionRequest>>,
    ) -> Result<CompletionStream> {
        self.stream_with(request, CallOptions::default()).await
    }

    /// [`Client::stream`] with options.
    ///
    /// # Errors
    /// As [`Client::stream`].
    pub async fn stream_with(
        &self,
        request: impl Into<Arc<CompletionRequest>>,
        options: impl Into<Arc<CallOptions>>,
    ) -> Result<CompletionStream> {
        let core = &self.core;
        give_way().await;
        let outcome = async {
            let options = options.into();
            validate::no_batch(
                &options,
                "expected none of a stream: a batch's answer comes whole (`complete`)",
            )?;
            let call = core.prepare(request.into(), options)?;
            if let Some((entry, _)) = core.look_up_stream(&call) {
                core.renew(&call, &entry);
                return Ok(CompletionStream::replay(Arc::clone(core), call, &entry));
            }
            let subscriber = core.depart(&call, true)?;
            CompletionStream::open(Arc::clone(core), call, subscriber).await
        }
        .await;
        core.count_outcome(&outcome);
        outcome
    }

    /// The answer to this request if the memory cache has it; never waits and needs no runtime.
    ///
    /// # Errors
    /// `invalid_request` and `not_found`, as the call itself would answer.
    pub fn lookup(
        &self,
        request: &Arc<CompletionRequest>,
        options: &Arc<CallOptions>,
    ) -> Result<Option<Completion>> {
        let call = self
            .core
            .prepare(Arc::clone(request), Arc::clone(options))?;
        Ok(self.core.look_up(&call).map(|(entry, _)| {
            self.core.renew(&call, &entry);
            self.core.hit(&call, &entry)
        }))
    }

    /// The key under which this request's answer is kept and shared: equal keys are equal calls, in every language.
    ///
    /// # Errors
    /// `invalid_request` and `not_found`, as the call itself would answer.
    pub fn key(&self, request: &CompletionRequest) -> Result<Key> {
        let (provider, model) = validate::split_model(&request.model)?;
        crate::call::depth::completion(request)?;
        let route = self.core.route(provider)?;
        Ok(self.core.key(
            route,
            if route.is_orchestrator {
                &request.model
            } else {
                model
            },
            request,
        ))
    }
}

/// Lets others on the thread have their turn every so many calls: what is answered or refused at once never waits, and a
/// task that asks on and on would keep every timer from running.
pub(super) async fn give_way() {
    tokio::task::coop::consume_budget().await;
}

impl Core {
    async fn complete(
        self: &Arc<Self>,
        request: Arc<CompletionRequest>,
        options: Arc<CallOptions>,
    ) -> Result<Completion> {
        let call = self.prepare(request, options)?;
        if let Some((entry, _)) = self.look_up(&call) {
            self.renew(&call, &entry);
            return Ok(self.hit(&call, &entry));
        }
        let mut subscriber = self.depart(&call, false)?;
        let mut timer = IdleTimer::new(
            Arc::clone(&self.clock),
            call.deadline.saturating_sub(call.started),
        );
        let answer = timer.limit(pin!(subscriber.result())).await;
        let joined = subscriber.joined();
        if answer.is_some() && !joined {
            subscriber.progress().told();
        }
        let answer = answer.unwrap_or_else(|| Err(subscriber.progress().timed_out("total")));
        match answer {
            Ok(answer) => Ok(self.deliver(&call, &answer, joined, None)),
            Err(error) => Err(self.blame(&call, error)),
        }
    }

    /// A call made for another one, which may not contain its own kind.
    pub(crate) fn complete_boxed(
        core: Arc<Self>,
        request: CompletionRequest,
        options: CallOptions,
    ) -> Pin<Box<dyn Future<Output = Result<Completion>> + Send>> {
        Box::pin(async move { core.complete(Arc::new(request), Arc::new(options)).await })
    }

    pub(crate) fn count_outcome<T>(&self, outcome: &Result<T>) {
        Counters::add(&self.counters.calls, 1);
        if outcome.is_err() {
            Counters::add(&self.counters.failures, 1);
        }
    }
}
