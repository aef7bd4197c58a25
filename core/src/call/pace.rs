//! The stage before each try: a call waits where its vendor has said that nothing is left.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::HeaderMap;

use super::hedge::Racer;
use super::pipeline::{Flight, micros, millis};
use crate::error::{Error, ErrorKind, Result};
use crate::limit::{self, Amounts, Ask, Pacer, Refused, Ticket};
use crate::types::{CompletionRequest, Content, EmbeddingInput, EmbeddingRequest, Part, TraceStep};

/// `detail` of an error that says that nobody was asked.
pub(super) const PACED: &str = "paced";

/// What a flight asks for.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Completion(Arc<CompletionRequest>),
    Embedding(Arc<EmbeddingRequest>),
    /// Something that counts against no model.
    Nothing,
}

/// A flight's place in its vendor's limits.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    ticket: Mutex<Ticket>,
}

impl Asked {
    pub(crate) fn model(&self) -> Option<&str> {
        match self {
            Self::Completion(request) => Some(&request.model),
            Self::Embedding(request) => Some(&request.model),
            Self::Nothing => None,
        }
    }

    /// What it is expected to use: of the answer's length nothing is known, one token says that there will be one.
    pub(crate) fn amounts(&self) -> Amounts {
        let input = self.tokens();
        [1.0, input + 1.0, input, 1.0]
    }

    /// About how many tokens go in, at four bytes each: the next answer corrects it.
    fn tokens(&self) -> f64 {
        let bytes: usize = match self {
            Self::Completion(request) => request
                .messages
                .iter()
                .map(|message| match &message.content {
                    Content::Text(text) => text.len(),
                    Content::Parts(parts) => parts
                        .iter()
                        .map(|part| match part {
                            Part::Text(part) => part.text.len(),
                            _ => 4_000,
                        })
                        .sum(),
                })
                .sum(),
            Self::Embedding(request) => match &request.input {
                EmbeddingInput::Text(text) => text.len(),
                EmbeddingInput::Texts(texts) => texts.iter().map(String::len).sum(),
                EmbeddingInput::Tokens(tokens) => tokens.len() * 4,
                EmbeddingInput::TokenLists(lists) => lists.iter().map(|list| list.len() * 4).sum(),
            },
            Self::Nothing => 0,
        };
        (bytes / 4) as f64
    }
}

impl Flight {
    /// Its place, or that of the copy it is.
    fn place(&self) -> &Pace {
        self.racer
            .as_ref()
            .and_then(Racer::pace)
            .unwrap_or(&self.progress.pace)
    }

    /// Whether a try would have to wait now.
    pub(super) fn would_pace(&self) -> bool {
        let (Some(pacer), Some(lane)) = (self.pacer(), self.route.pace.as_deref()) else {
            return false;
        };
        !pacer
            .would_wait(&self.asked.amounts(), lane.now())
            .is_zero()
    }

    fn pacer(&self) -> Option<Arc<Pacer>> {
        self.route.pace.as_deref()?.pacer(self.asked.model()?)
    }

    /// Waits for the call's turn, where its vendor has spoken of limits.
    ///
    /// # Errors
    /// `rate_limited` with `retry_after` when the turn would come after `latest`, or later than the longest wait an
    /// upstream may ask for; `overloaded` when too many wait already.
    pub(crate) async fn pace(&self, latest: Option<Duration>) -> Result<()> {
        let (Some(pacer), Some(lane)) = (self.pacer(), self.route.pace.as_deref()) else {
            return Ok(());
        };
        let core = &self.core;
        let left = latest.map_or(Duration::MAX, |latest| {
            latest.saturating_sub(core.clock.now())
        });
        let ask = Ask {
            amounts: self.asked.amounts(),
            priority: self.options.priority.unwrap_or(0),
            patience: left.min(core.policy.longest_hint),
            max_waiting: usize::try_from(core.config.pacing.max_waiting).unwrap_or(usize::MAX),
        };
        match pacer.admit(ask, lane, &*core.clock).await {
            Ok(admitted) => {
                *self
                    .place()
                    .ticket
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = admitted.ticket;
                if let Some(why) = admitted.why {
                    self.progress.queued(micros(admitted.waited));
                    self.progress.trace.note(&*core.clock, || {
                        TraceStep::new("pace", "waited")
                            .why(why)
                            .wait_ms(millis(admitted.waited))
                    });
                }
                Ok(())
            }
            Err(refused) => Err(self.turned_away(refused)),
        }
    }

    fn turned_away(&self, refused: Refused) -> Error {
        let (kind, wait, why) = match refused {
            Refused::TooLong(wait, why) => (ErrorKind::RateLimited, wait, why),
            Refused::Full(wait) => (ErrorKind::Overloaded, wait, "max_waiting"),
        };
        self.progress.trace.note(&*self.core.clock, || {
            TraceStep::new("pace", "refused")
                .why(why)
                .wait_ms(millis(wait))
        });
        let message = match kind {
            ErrorKind::Overloaded => {
                "too many calls wait for this model's limit (`pacing.max_waiting`)".to_owned()
            }
            _ => format!(
                "the provider's limit ({why}) leaves room in {} ms, later than the call can wait",
                millis(wait)
            ),
        };
        Error::new(kind, message).with(|fields| {
            fields.detail = Some(PACED.into());
            fields.phase = Some("queue".into());
            fields.retry_after_ms = Some(millis(wait));
        })
    }

    /// Learns from what an answer says of limits; `hint` is its `Retry-After` when it refused the call for them.
    pub(crate) fn learn(&self, headers: &HeaderMap, hint: Option<Duration>) {
        let (Some(lane), Some(model)) = (self.route.pace.as_deref(), self.asked.model()) else {
            return;
        };
        let windows = limit::read(headers, self.core.clock.wall());
        if windows.is_none() && hint.is_none() {
            return;
        }
        let (pacer, now) = (lane.pacer_or_new(model), lane.now());
        if let Some(windows) = windows {
            let ticket = *self
                .place()
                .ticket
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            pacer.learn(ticket, &windows, now);
        }
        if let Some(hint) = hint {
            pacer.shut(hint, now);
        }
    }
}
