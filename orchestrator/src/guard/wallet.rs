//! What a call may cost (OWASP LLM10, denial of wallet): the one way from a route to the core's client, so that every
//! route's calls are looked at alike.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ossai::{
    CallOptions, Client, Completion, CompletionRequest, CompletionStream, EmbeddingInput,
    EmbeddingRequest, EmbeddingResponse, Error, ErrorKind, EstimateOptions, Extra, NanoUsd, Result,
};

use crate::app::App;
use crate::http::off_thread;
use crate::store::keyring::Identity;

/// What would let a caller steer the server's own connections or credentials.
const FORBIDDEN: &[&str] = &[
    "api_base",
    "api_key",
    "base_url",
    "extra_headers",
    "extra_query",
    "proxy",
];

/// Other names of what `max_tokens` and the number of answers say, by which a ceiling could be passed.
const SYNONYMS: &[&str] = &["max_completion_tokens", "max_output_tokens", "best_of", "n"];

/// The core's client, within a caller's bounds. Its methods are the client's, and their errors, with these before them:
/// `invalid_request` for a field that is the server's own or a `max_tokens` over the ceiling, `permission_denied` for a
/// model that is not allowed, `rate_limited` and `request_too_large` for the tokens of a minute; a cost over the ceiling is
/// the core's `budget_exceeded`.
#[derive(Clone)]
pub(crate) struct Guarded {
    client: Client,
    app: Arc<App>,
    identity: Identity,
    /// Tokens reserved until the call is settled.
    reserved: Arc<AtomicU64>,
}

impl Guarded {
    pub(crate) fn new(app: &Arc<App>, client: Client, identity: Identity) -> Self {
        Self {
            client,
            app: Arc::clone(app),
            identity,
            reserved: Arc::default(),
        }
    }

    pub(crate) async fn complete_with(
        &self,
        request: impl Into<Arc<CompletionRequest>>,
        options: impl Into<Arc<CallOptions>>,
    ) -> Result<Completion> {
        let (request, options) = self.completion(request.into(), options.into()).await?;
        self.client.complete_with(request, options).await
    }

    pub(crate) async fn stream_with(
        &self,
        request: impl Into<Arc<CompletionRequest>>,
        options: impl Into<Arc<CallOptions>>,
    ) -> Result<CompletionStream> {
        let (request, options) = self.completion(request.into(), options.into()).await?;
        self.client.stream_with(request, options).await
    }

    pub(crate) async fn embed_with(
        &self,
        request: impl Into<Arc<EmbeddingRequest>>,
        options: impl Into<Arc<CallOptions>>,
    ) -> Result<EmbeddingResponse> {
        let (request, options) = (request.into(), self.identified(options.into()));
        check_extra(&request.extra)?;
        if !self.identity.bounds.looks {
            return self.client.embed_with(request, options).await;
        }
        self.check_model("model", &request.model)?;
        if self.counts_tokens() {
            let (client, asked) = (self.client.clone(), Arc::clone(&request));
            let tokens = off_thread(move || Ok(input_tokens(&client, &asked))).await?;
            self.reserve(tokens)?;
        }
        self.client.embed_with(request, options).await
    }

    async fn completion(
        &self,
        mut request: Arc<CompletionRequest>,
        options: Arc<CallOptions>,
    ) -> Result<(Arc<CompletionRequest>, Arc<CallOptions>)> {
        let mut options = self.identified(options);
        check_extra(&request.extra)?;
        let bounds = &self.identity.bounds;
        if !bounds.looks {
            return Ok((request, options));
        }
        self.check_model("model", &request.model)?;
        if bounds.picks_models() {
            self.check_fallbacks(&request.model, &mut options)?;
        }
        if let Some(ceiling) = bounds.least(|of| of.max_tokens) {
            match request.max_tokens {
                None => Arc::make_mut(&mut request).max_tokens = Some(ceiling),
                Some(asked) if asked > ceiling => {
                    self.app.metrics.refused("max_tokens");
                    return Err(Error::invalid(
                        "max_tokens",
                        format_args!("expected at most {ceiling}, the ceiling of this key"),
                    ));
                }
                Some(_) => {}
            }
        }
        if let Some(ceiling) = bounds.least(|of| of.max_cost_nano_usd).map(NanoUsd)
            && options.max_cost.is_none_or(|own| own > ceiling)
        {
            Arc::make_mut(&mut options).max_cost = Some(ceiling);
        }
        if self.counts_tokens() {
            let (client, asked) = (self.client.clone(), Arc::clone(&request));
            let estimate =
                off_thread(move || client.estimate(&asked, &EstimateOptions::default())).await?;
            let output = estimate.output_tokens.expected.unwrap_or(0);
            self.reserve(estimate.input_tokens.expected.saturating_add(output))?;
        }
        Ok((request, options))
    }

    /// The options with the key the call came with, where a budget wants to know.
    fn identified(&self, mut options: Arc<CallOptions>) -> Arc<CallOptions> {
        if !self.app.clients.budgets.is_empty() {
            Arc::make_mut(&mut options)
                .key_id
                .clone_from(&self.identity.key_id);
        }
        options
    }

    fn check_model(&self, field: &str, model: &str) -> Result<()> {
        if self.identity.bounds.permit(model) {
            return Ok(());
        }
        self.app.metrics.refused("model");
        Err(Error::new(
            ErrorKind::PermissionDenied,
            format!("{field}: this key may not ask that model"),
        )
        .with(|fields| {
            fields.field = Some(field.to_owned());
            fields.detail = Some("models".into());
        }))
    }

    /// A model that may not be asked is not asked in another's place either: a caller's own list is checked, the
    /// configured one is cut down to what is allowed.
    fn check_fallbacks(&self, model: &str, options: &mut Arc<CallOptions>) -> Result<()> {
        if let Some(named) = &options.fallbacks {
            return named.iter().enumerate().try_for_each(|(i, model)| {
                self.check_model(&format!("options.fallbacks[{i}]"), model)
            });
        }
        let configured = self.app.config.client.fallback.models.get(model);
        if let Some(models) = configured.filter(|list| !list.is_empty()) {
            let bounds = &self.identity.bounds;
            let allowed = models.iter().filter(|model| bounds.permit(model));
            Arc::make_mut(options).fallbacks = Some(allowed.cloned().collect());
        }
        Ok(())
    }

    fn counts_tokens(&self) -> bool {
        let bounds = &self.identity.bounds;
        bounds.least(|of| of.tokens_per_minute).is_some()
    }

    fn reserve(&self, tokens: u64) -> Result<()> {
        let limiter = &self.app.limiter;
        limiter
            .reserve(&self.identity, tokens, Instant::now())
            .inspect_err(|_| self.app.metrics.refused("tokens_per_minute"))?;
        self.reserved.store(tokens, Ordering::Release);
        Ok(())
    }

    /// Settles what was reserved; without a number the reservation stays.
    pub(crate) fn settle(&self, used: Option<u64>) {
        let reserved = self.reserved.swap(0, Ordering::AcqRel);
        if reserved > 0
            && let Some(used) = used
        {
            self.app.limiter.settle(&self.identity, reserved, used);
        }
    }
}

fn check_extra(extra: &Extra) -> Result<()> {
    if extra.is_empty() {
        return Ok(());
    }
    if let Some(name) = FORBIDDEN.iter().find(|name| extra.contains_key(**name)) {
        return Err(Error::invalid(
            *name,
            "expected nothing: where calls go is the server's to say",
        ));
    }
    let several = |name: &&&str| extra.get(**name).is_some_and(|value| *value != 1);
    match SYNONYMS.iter().find(several) {
        None => Ok(()),
        Some(name) => Err(Error::invalid(
            *name,
            "expected nothing: `max_tokens` bounds a call, several requests get several answers",
        )),
    }
}

fn input_tokens(client: &Client, request: &EmbeddingRequest) -> u64 {
    let count = |text: &String| client.count_text(&request.model, text).tokens;
    match &request.input {
        EmbeddingInput::Text(text) => count(text),
        EmbeddingInput::Texts(texts) => texts.iter().map(count).sum(),
        EmbeddingInput::Tokens(tokens) => tokens.len() as u64,
        EmbeddingInput::TokenLists(lists) => lists.iter().map(|list| list.len() as u64).sum(),
    }
}
