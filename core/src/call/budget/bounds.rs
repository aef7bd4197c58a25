//! The most a try can take: in tokens, from the request and its model's limits, and in money, at the dearest they may be
//! billed at.

use super::Billable;
use crate::budget::config::{Budget, Reserve};
use crate::budget::{Amount, Budgets};
use crate::call::pipeline::Flight;
use crate::client::Core;
use crate::cost::{
    CacheWrites, InputEstimate, ModelKind, OutputEstimate, PriceContext, Span, dearest,
};
use crate::error::{Error, ErrorKind, Result};
use crate::types::{CompletionRequest, Content, Part};

/// What vendors add to a request that has tools, at most: Anthropic's largest published figure is 804 tokens.
const TOOL_PROMPT: u64 = 1_000;
/// Most tokens of an image that is named by its address.
const LINKED_IMAGE: u64 = 1_600;
/// An answer's length taken for likely where nothing was seen yet.
const LIKELY_OUTPUT: u64 = 2_048;

/// The most a try can use, as one way of reserving sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worst {
    pub(super) input: u64,
    /// Absent where nothing bounds it.
    output: Option<u64>,
    /// Absent where no price is known, or nothing bounds the output.
    money: Option<u64>,
}

impl Flight {
    /// How much a budget has to hold for the try.
    pub(super) fn amount(
        &self,
        what: &Billable<'_>,
        budget: &Budget,
        worst: Worst,
    ) -> Result<Amount> {
        let binds = |limit: Option<u64>| limit.is_some() && !budget.soft;
        if worst.output.is_none() && (binds(budget.tokens) || binds(budget.nano_usd)) {
            return Err(Error::new(
                ErrorKind::BudgetExceeded,
                format!(
                    "nothing bounds the answer of `{}`, and the budget of its {} is a limit: set `max_tokens`",
                    what.model(),
                    budget.scope.name()
                ),
            )
            .with(|fields| fields.field = Some("max_tokens".into())));
        }
        if worst.money.is_none() && binds(budget.nano_usd) {
            return Err(Error::new(
                ErrorKind::PriceUnknown,
                format!(
                    "no price is known for `{}`, and the budget of its {} is a limit in money",
                    what.model(),
                    budget.scope.name()
                ),
            )
            .with(|fields| fields.detail = Some(budget.scope.name().into())));
        }
        let tokens = worst.input.saturating_add(worst.output.unwrap_or(0));
        Ok(Amount::new(
            worst
                .money
                .unwrap_or(0)
                .min(budget.max_reserve_nano_usd.unwrap_or(u64::MAX)),
            tokens.min(budget.max_reserve_tokens.unwrap_or(u64::MAX)),
        ))
    }

    /// The most the try can use.
    pub(super) fn worst(
        &self,
        budgets: &Budgets,
        what: &Billable<'_>,
        reserve: Reserve,
    ) -> Result<Worst> {
        let found = self
            .core
            .found(what.model(), self.options.prices.as_ref())?;
        let limits = found.as_ref().map(|found| found.entry.limits);
        let chats = found
            .as_ref()
            .is_none_or(|found| found.entry.kind == ModelKind::Chat);
        let (input, output) = match what {
            Billable::Nothing | Billable::Together(_) => (0, Some(0)),
            Billable::Embedding(_, bytes) => (*bytes as u64, Some(0)),
            Billable::Completion(request, bytes) => {
                let input = match reserve {
                    Reserve::Strict => {
                        let context = limits.and_then(|limits| limits.context.or(limits.input));
                        bytes_bound(request, *bytes, context)
                    }
                    Reserve::Calibrated => self.core.count_request(request)?.high,
                };
                let model_most = limits.and_then(|limits| limits.output.or(limits.context));
                let choices = ["n", "best_of"]
                    .iter()
                    .filter_map(|name| request.extra.get(*name)?.as_u64())
                    .max()
                    .unwrap_or(1)
                    .max(1);
                let output = asked_output(request).or_else(|| match reserve {
                    Reserve::Strict => model_most,
                    Reserve::Calibrated => {
                        let likely = budgets
                            .outputs
                            .high(&request.model)
                            .unwrap_or(LIKELY_OUTPUT);
                        Some(model_most.map_or(likely, |most| likely.min(most)))
                    }
                });
                let output = if chats { output } else { Some(0) };
                (input, output.map(|output| output.saturating_mul(choices)))
            }
        };
        let money = match (&found, output) {
            (Some(found), Some(output)) => {
                let batch = self.options.is_batch();
                self.core
                    .ceiling(what.completion(), found, input, output, batch)
            }
            _ => None,
        };
        Ok(Worst {
            input,
            output,
            money,
        })
    }
}

impl Core {
    /// The most that so many tokens can cost, in nanodollars.
    fn ceiling(
        &self,
        request: Option<&CompletionRequest>,
        found: &crate::cost::Found,
        input: u64,
        output: u64,
        batch: bool,
    ) -> Option<u64> {
        let parts = || {
            request
                .into_iter()
                .flat_map(|request| &request.messages)
                .flat_map(|message| match &message.content {
                    Content::Text(_) => [].iter(),
                    Content::Parts(parts) => parts.iter(),
                })
        };
        let of = |audio: bool, image: bool| InputEstimate {
            tokens: Span {
                low: input,
                expected: input,
                high: input,
            },
            audio: if audio { input } else { 0 },
            image: if image { input } else { 0 },
            cache_writes: if request.is_some_and(keeps_an_hour) {
                CacheWrites::OneHour
            } else {
                CacheWrites::Standard
            },
            ..InputEstimate::default()
        };
        let answer = OutputEstimate {
            max_tokens: Some(output),
            expected: Some(output),
            audio: request.is_some_and(|request| request.extra.contains_key("modalities")),
        };
        let context = PriceContext {
            batch,
            ..self.price_context(request)
        };
        let most = |estimate| dearest(found, &estimate, &answer, output, &context);
        let text = most(of(false, false))?;
        let audio = parts()
            .any(|part| matches!(part, Part::Audio(_)))
            .then(|| most(of(true, false)))
            .flatten();
        let image = parts()
            .any(|part| matches!(part, Part::Image(_)))
            .then(|| most(of(false, true)))
            .flatten();
        let dearer = [audio, image].into_iter().flatten().max();
        Some(dearer.map_or(text, |dearer| dearer.max(text)).0)
    }
}

/// Whether a request marks something to be kept in the vendor's cache for an hour, which costs more to write.
fn keeps_an_hour(request: &CompletionRequest) -> bool {
    let marked = |extra: &crate::types::Extra| {
        extra
            .get("cache_control")
            .and_then(|mark| mark.get("ttl"))
            .is_some_and(|ttl| ttl == "1h")
    };
    marked(&request.extra)
        || request.tools.iter().any(|tool| {
            serde_json::to_string(tool).is_ok_and(|text| text.contains(r#""ttl":"1h""#))
        })
        || request.messages.iter().any(|message| {
            serde_json::to_string(message).is_ok_and(|text| text.contains(r#""ttl":"1h""#))
        })
}

/// The limit a request sets on its answer, under whichever of its names.
pub(super) fn asked_output(request: &CompletionRequest) -> Option<u64> {
    ["max_completion_tokens", "max_output_tokens"]
        .iter()
        .filter_map(|name| request.extra.get(*name)?.as_u64())
        .chain(request.max_tokens)
        .max()
}

/// No fewer than a request's tokens: every token is a byte at least. Media are no text: theirs are bounded by what the
/// model can take, where that is known.
fn bytes_bound(request: &CompletionRequest, bytes: usize, context: Option<u64>) -> u64 {
    let mut tokens = bytes as u64;
    if !request.tools.is_empty() {
        tokens = tokens.saturating_add(TOOL_PROMPT);
    }
    let mut has_media = false;
    for message in &request.messages {
        let Content::Parts(parts) = &message.content else {
            continue;
        };
        for part in parts {
            match part {
                Part::Text(_) | Part::Reasoning(_) => {}
                Part::Image(_) => {
                    has_media = true;
                    tokens = tokens.saturating_add(LINKED_IMAGE);
                }
                _ => {
                    has_media = true;
                    // What a linked document holds is not known here.
                    tokens = tokens.saturating_add(context.unwrap_or(0));
                }
            }
        }
    }
    match context.filter(|_| has_media) {
        Some(context) => tokens.min(context),
        None => tokens,
    }
}
