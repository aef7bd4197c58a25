//! The flight of an embedding: inputs over a vendor's limits go out as several requests and come back as one answer.

use crate::types::RawJson;
use std::sync::Arc;

use serde_json::Value as Json;

use super::attempt::{Wire, request_id, unreadable};
use super::budget::Billable;
use super::elsewhere::Asking;
use super::flight::Publisher;
use super::pace::Asked;
use super::pipeline::{Failure, Flight, Success, Try};
use super::validate;
use crate::client::config::ProviderKind;
use crate::error::{Error, ErrorKind, Result};
use crate::provider;
use crate::types::{EmbeddingInput, EmbeddingRequest, EmbeddingResponse, Usage};

/// A flight of embeddings has no events to replay.
pub(crate) type EmbeddingLog = Publisher<(), Arc<EmbeddingResponse>>;

/// Requests of one call under way at once.
const AT_ONCE: usize = 4;

/// Most inputs and tokens a vendor takes in one request, from its documentation (November 2026).
struct VendorLimit {
    provider: &'static str,
    inputs: usize,
    tokens: usize,
}

/// OpenAI's limits, which compatible servers follow.
static DEFAULT_LIMIT: VendorLimit = VendorLimit {
    provider: "",
    inputs: 2_048,
    tokens: 300_000,
};
static LIMITS: [VendorLimit; 3] = [
    VendorLimit {
        provider: "cohere",
        inputs: 96,
        tokens: usize::MAX,
    },
    VendorLimit {
        provider: "google",
        inputs: 100,
        tokens: usize::MAX,
    },
    VendorLimit {
        provider: "voyage",
        inputs: 1_000,
        tokens: 120_000,
    },
];

/// A whole call, over the orchestrator.
struct Remote<'a>(&'a EmbeddingRequest);

impl Try for Remote<'_> {
    type Value = EmbeddingResponse;

    async fn attempt(&self, flight: &Flight) -> Result<Success<EmbeddingResponse>, Failure> {
        flight.embed_remotely(self.0).await
    }
}

/// One request of a call that may need several.
struct Piece<'a> {
    part: &'a EmbeddingRequest,
    wire: &'a Wire,
    expected: usize,
}

impl Try for Piece<'_> {
    type Value = EmbeddingResponse;

    fn billable(&self) -> Billable<'_> {
        Billable::Embedding(self.part, self.wire.body.len())
    }

    fn used(&self, _flight: &Flight, value: &EmbeddingResponse) -> Usage {
        value.usage.clone()
    }

    async fn attempt(&self, flight: &Flight) -> Result<Success<EmbeddingResponse>, Failure> {
        flight.embed(self.wire, self.expected).await
    }
}

/// An embedding, wherever it is asked for.
struct Embedding<'a> {
    log: &'a Arc<EmbeddingLog>,
    stores: bool,
}

impl Asking for Embedding<'_> {
    type Answer = Arc<EmbeddingResponse>;

    async fn ask(&self, flight: &Arc<Flight>) -> Result<Arc<EmbeddingResponse>> {
        let Asked::Embedding(request) = &flight.asked else {
            return Err(Error::new(ErrorKind::Internal, "no embedding is asked for"));
        };
        let mut standing = flight.standing();
        if self.stores && flight.core.tiers.is_some() {
            // Boxed: a client without tiers must not carry the room for their look.
            if flight.options.cache.refresh {
                Box::pin(flight.look_around(&mut standing)).await;
            } else if let Some(kept) =
                Box::pin(flight.embedding_in_tiers(request, &mut standing)).await
            {
                return Ok(kept);
            }
        }
        flight.check_missing(&request.model)?;
        let answer = flight.embed_once(Arc::clone(request), self.log).await;
        let answer = answer.inspect_err(|error| flight.note_missing(error))?;
        Ok(flight.settle_embedding(request, answer, self.stores, &standing))
    }
}

impl Flight {
    /// The whole of an embedding's flight: where it was meant to go, and the places after it when that cannot answer.
    pub(crate) async fn fly_embedding(
        self: &Arc<Self>,
        log: &Arc<EmbeddingLog>,
        stores: bool,
    ) -> Result<Arc<EmbeddingResponse>> {
        let what = Embedding { log, stores };
        match what.ask(self).await {
            Err(error) if self.has_elsewhere() => self.elsewhere(error, &what, false).await,
            outcome => outcome,
        }
    }

    /// Asks one model at one address.
    async fn embed_once(
        self: &Arc<Self>,
        request: Arc<EmbeddingRequest>,
        log: &Arc<EmbeddingLog>,
    ) -> Result<EmbeddingResponse> {
        if self.route.is_orchestrator {
            // The orchestrator knows its upstream's limits.
            return self
                .tries(|| log.latest_deadline(), &Remote(&request))
                .await;
        }
        if self.route.kind == ProviderKind::Local {
            let counter = self.core.tokens();
            return provider::local::embed(&request, &|text| counter.count(text) as u64);
        }
        let mut parts = self.split(&request);
        if self.core.gatherer.is_some()
            && parts.len() == 1
            && let Some(part) = parts.pop()
        {
            return Box::pin(self.embed_gathered(part, log)).await;
        }
        let mut whole = EmbeddingResponse::default();
        let mut raw = Vec::new();
        let mut running = tokio::task::JoinSet::new();
        let mut parts = parts.into_iter().enumerate();
        let mut answers = Vec::new();
        loop {
            while running.len() < AT_ONCE
                && let Some((place, part)) = parts.next()
            {
                let (flight, log) = (Arc::clone(self), Arc::clone(log));
                running.spawn(async move { (place, flight.embed_part(&part, &log).await) });
            }
            match running.join_next().await {
                None => break,
                Some(Ok((place, Ok(answer)))) => answers.push((place, answer)),
                Some(failed) => {
                    // The log must have one owner again before the outcome is published.
                    running.shutdown().await;
                    return Err(match failed {
                        Ok((_, Err(error))) => error,
                        _ => Error::new(ErrorKind::Internal, "an embedding task broke"),
                    });
                }
            }
        }
        answers.sort_by_key(|(place, _)| *place);
        for (_, answer) in answers {
            let offset = u32::try_from(whole.embeddings.len()).unwrap_or(u32::MAX);
            whole
                .embeddings
                .extend(answer.embeddings.into_iter().map(|mut embedding| {
                    embedding.index = embedding.index.saturating_add(offset);
                    embedding
                }));
            add(&mut whole.usage, &answer.usage);
            raw.extend(answer.raw_usage.map(Json::from));
            whole.response_model = whole.response_model.or(answer.response_model);
        }
        whole.raw_usage = match raw.len() {
            0 => None,
            1 => raw.pop().map(RawJson::from),
            _ => Some(Json::Array(raw).into()),
        };
        Ok(whole)
    }

    pub(super) async fn embed_part(
        &self,
        part: &EmbeddingRequest,
        log: &EmbeddingLog,
    ) -> Result<EmbeddingResponse> {
        let (_, model) = validate::split_model(&part.model)?;
        let wire: Wire = provider::encode_embedding(part, model)?.into();
        let expected = part.input.len();
        self.tries(
            || log.latest_deadline(),
            &Piece {
                part,
                wire: &wire,
                expected,
            },
        )
        .await
    }

    pub(super) async fn embed(
        &self,
        wire: &Wire,
        expected: usize,
    ) -> Result<Success<EmbeddingResponse>, Failure> {
        let phase = &self.progress.phase;
        let mut response = self.post(wire, "application/json", phase).await?;
        let body = response.body(phase).await?;
        let value = provider::decode_embedding(&body, expected)
            .map_err(|error| unreadable(error, &response))?;
        Ok(Success {
            value,
            status: Some(response.status.as_u16()),
            upstream_request_id: request_id(response.headers()),
        })
    }

    fn limit(&self) -> &'static VendorLimit {
        LIMITS
            .iter()
            .find(|limit| limit.provider == self.route.name)
            .unwrap_or(&DEFAULT_LIMIT)
    }

    /// Most inputs and tokens the vendor takes in one request.
    pub(super) fn vendor_limit(&self) -> (usize, usize) {
        let limit = self.limit();
        (limit.inputs, limit.tokens)
    }

    /// The request in pieces a vendor takes.
    fn split(&self, request: &EmbeddingRequest) -> Vec<EmbeddingRequest> {
        let limit = self.limit();
        let piece = |input: EmbeddingInput| EmbeddingRequest {
            input,
            ..request.clone_without_input()
        };
        match &request.input {
            EmbeddingInput::Texts(texts) => {
                let counter = self.core.tokens();
                let size = |text: &String| counter.count(text);
                ranges(texts, limit, size)
                    .map(|texts| piece(EmbeddingInput::Texts(texts.to_vec())))
                    .collect()
            }
            EmbeddingInput::TokenLists(lists) => ranges(lists, limit, Vec::len)
                .map(|lists| piece(EmbeddingInput::TokenLists(lists.to_vec())))
                .collect(),
            EmbeddingInput::Text(_) | EmbeddingInput::Tokens(_) => vec![request.clone()],
        }
    }
}

impl EmbeddingRequest {
    pub(super) fn clone_without_input(&self) -> Self {
        Self {
            model: self.model.clone(),
            input: EmbeddingInput::default(),
            dimensions: self.dimensions,
            user: self.user.clone(),
            extra: self.extra.clone(),
        }
    }
}

/// Runs of items that stay within a limit each; an item over it stands alone, for the vendor to judge.
fn ranges<'a, T>(
    items: &'a [T],
    limit: &VendorLimit,
    size: impl Fn(&T) -> usize,
) -> impl Iterator<Item = &'a [T]> {
    let mut rest = items;
    std::iter::from_fn(move || {
        let mut tokens = 0_usize;
        let fitting = rest
            .iter()
            .take(limit.inputs)
            .take_while(|item| {
                tokens = tokens.saturating_add(size(item));
                tokens <= limit.tokens
            })
            .count();
        let (run, after) = rest.split_at(fitting.max(1).min(rest.len()));
        rest = after;
        (!run.is_empty()).then_some(run)
    })
}

fn add(sum: &mut Usage, usage: &Usage) {
    sum.input_tokens = sum.input_tokens.saturating_add(usage.input_tokens);
    sum.output_tokens = sum.output_tokens.saturating_add(usage.output_tokens);
    sum.image_input_tokens = sum
        .image_input_tokens
        .saturating_add(usage.image_input_tokens);
    sum.estimated |= usage.estimated;
    if sum.service_tier.is_none() {
        sum.service_tier.clone_from(&usage.service_tier);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_cut_at_either_limit_and_none_is_lost() {
        let limit = VendorLimit {
            provider: "",
            inputs: 3,
            tokens: 10,
        };
        let cut = |sizes: &[usize]| {
            ranges(sizes, &limit, |n| *n)
                .map(<[usize]>::to_vec)
                .collect::<Vec<_>>()
        };
        assert_eq!(cut(&[1, 1, 1, 1]), [vec![1, 1, 1], vec![1]]);
        assert_eq!(cut(&[6, 4, 1]), [vec![6, 4], vec![1]]);
        assert_eq!(cut(&[50, 1]), [vec![50], vec![1]]);
        assert_eq!(cut(&[]), Vec::<Vec<usize>>::new());
    }
}
