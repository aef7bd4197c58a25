//! What a call will cost, before it is made: a floor, a guess and a ceiling.
//!
//! The ceiling is what a budget reserves, so it leaves nothing out that the table knows: all input at the dearest
//! of the rates it may be billed at, and as much output as may come. What cannot be bounded (searches the model decides on)
//! is said in a note.

use serde::Serialize;

use super::price::cost;
use super::{Date, Found, Match, Meter, ModelKind, PriceContext, rates_in_force};
use crate::types::{CostStatus, NanoUsd, Usage};

/// Output taken for granted where the caller gives none: about a page of text.
const TYPICAL_OUTPUT: u64 = 512;

/// The same for models that reason, whose reasoning is billed as output.
const TYPICAL_REASONING_OUTPUT: u64 = 2048;

/// A retirement this many days away is worth a note.
const SOON: i64 = 90;

/// A low, an expected and a high value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Span<T> {
    /// No less than this.
    pub low: T,
    /// About this.
    pub expected: T,
    /// No more than this.
    pub high: T,
}

/// How long input that the vendor may write to its cache is kept there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheWrites {
    /// The call writes nothing: no cache marks, on a vendor that does not write by itself.
    Never,
    /// It may, for the vendor's default time. OpenAI does so by itself from GPT-5.6 on.
    #[default]
    Standard,
    /// For an hour.
    OneHour,
    /// For twelve hours.
    TwelveHours,
}

/// What goes in, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputEstimate {
    /// How many tokens; all three alike where they were counted exactly.
    pub tokens: Span<u64>,
    /// How many of them the vendor's cache is expected to hold; the ceiling does not count on it.
    pub cached: Option<u64>,
    /// How many of them are audio.
    pub audio: u64,
    /// How many of them are images.
    pub image: u64,
    /// Whether the vendor may write them to its cache.
    pub cache_writes: CacheWrites,
}

/// What comes out, in tokens, over all choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputEstimate {
    /// The request's own limit.
    pub max_tokens: Option<u64>,
    /// What the caller expects; absent means 512, or 2,048 for a model that reasons, within the limit.
    pub expected: Option<u64>,
    /// Whether it may be audio.
    pub audio: bool,
}

/// Something to know about an estimate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// A stable name: `retired`, `retires`, `tier`, `derived`, `no_output_limit`, `hours`, `searches`, `price_unknown`.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
}

/// What a call will cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// `estimated`, `unknown` where no price is known, or `exact` for a local model, which is free.
    pub status: CostStatus,
    /// The floor in nanodollars; absent where no price is known.
    pub low: Option<NanoUsd>,
    /// The likely cost; absent where no price is known.
    pub expected: Option<NanoUsd>,
    /// The ceiling; absent where no price is known or nothing bounds the output.
    pub high: Option<NanoUsd>,
    /// Input tokens.
    pub input_tokens: Span<u64>,
    /// Output tokens; `high` is absent where nothing bounds them.
    pub output_tokens: Span<Option<u64>>,
    /// As in [`crate::types::Cost`].
    pub price_version: String,
    /// What else to know.
    pub notes: Vec<Note>,
}

impl Estimate {
    /// The estimate of a call that costs nothing, which is known.
    #[must_use]
    pub(crate) fn free(input_tokens: Span<u64>, max_tokens: Option<u64>) -> Self {
        Self {
            status: CostStatus::Exact,
            low: Some(NanoUsd::ZERO),
            expected: Some(NanoUsd::ZERO),
            high: Some(NanoUsd::ZERO),
            input_tokens,
            output_tokens: Span {
                low: Some(1),
                expected: Some(max_tokens.map_or(TYPICAL_OUTPUT, |most| most.min(TYPICAL_OUTPUT))),
                high: max_tokens,
            },
            price_version: "local".into(),
            notes: Vec::new(),
        }
    }
}

/// Estimates a call: `low` is the fewest tokens with what is cached and one token of answer, `expected` the likely call,
/// `high` the most it can cost (behaviour: the reserve of a budget).
///
/// The ceiling on output is the request's limit, else the model's, else its context window.
#[must_use]
pub fn estimate(
    found: &Found,
    input: &InputEstimate,
    output: &OutputEstimate,
    context: &PriceContext<'_>,
) -> Estimate {
    let entry = &*found.entry;
    let answers = entry.kind == ModelKind::Chat;
    let limits = entry.limits;
    let model_most = limits.output.or(limits.context).or(limits.input);
    let most = if answers {
        output.max_tokens.or(model_most)
    } else {
        Some(0)
    };
    let typical = if entry.has_cap("reasoning") {
        TYPICAL_REASONING_OUTPUT
    } else {
        TYPICAL_OUTPUT
    };
    let within = |tokens: u64| most.map_or(tokens, |most| tokens.min(most));
    let out = Span {
        low: Some(within(1)),
        expected: Some(within(output.expected.unwrap_or(typical))),
        high: most,
    };

    let likely = |tokens: u64, answer: u64| Usage {
        input_tokens: tokens,
        cache_read_tokens: input.cached.unwrap_or(0).min(tokens),
        audio_input_tokens: input.audio.min(tokens),
        image_input_tokens: input.image.min(tokens),
        output_tokens: answer,
        audio_output_tokens: if output.audio { answer } else { 0 },
        estimated: true,
        ..Usage::default()
    };
    let expected = cost(
        found,
        &likely(input.tokens.expected, out.expected.unwrap_or(0)),
        context,
    );
    let low = cost(
        found,
        &likely(input.tokens.low, out.low.unwrap_or(0)),
        context,
    );
    let high = most.and_then(|most| dearest(found, input, output, most, context));

    let mut notes = Vec::new();
    let mut note = |code, message: String| notes.push(Note { code, message });
    if let Some(day) = entry.dates.retires {
        let left = day.days_since(Date::of_unix(context.at));
        if left <= 0 {
            note("retired", format!("{} is retired since {day}", entry.id));
        } else if left <= SOON {
            note("retires", format!("{} retires on {day}", entry.id));
        }
    }
    if expected.status == CostStatus::Unknown {
        note(
            "price_unknown",
            format!("no price is known for {}", entry.id),
        );
    } else {
        let at = |tokens| rates_in_force(entry, context, tokens);
        if at(input.tokens.expected) != at(input.tokens.high) {
            note(
                "tier",
                format!(
                    "at {} input tokens a larger request's prices apply",
                    input.tokens.high
                ),
            );
        } else if at(0) != at(input.tokens.high) {
            note("tier", "a larger request's prices apply".into());
        }
        if found.matched == Match::Derived {
            note(
                "derived",
                format!(
                    "priced as {}, which the price table does not confirm",
                    entry.id
                ),
            );
        }
        if entry
            .prices
            .iter()
            .any(|price| price.when.as_ref().is_some_and(|when| !when.utc.is_empty()))
        {
            note("hours", "the price depends on the hour".into());
        }
        if at(0).get(Meter::WebSearch).is_some() && at(0).get(Meter::Request).is_none() {
            note("searches", "web searches are billed on top".into());
        }
        if answers && output.max_tokens.is_none() && limits.output.is_none() {
            let bound = if most.is_some() {
                "its context window is taken"
            } else {
                "the ceiling is unknown"
            };
            note(
                "no_output_limit",
                format!("the output limit of {} is not known; {bound}", entry.id),
            );
        }
    }

    Estimate {
        status: expected.status,
        low: low.total,
        expected: expected.total,
        high,
        input_tokens: input.tokens,
        output_tokens: out,
        price_version: expected.price_version,
        notes,
    }
}

/// The most the call can cost: the dearest of the ways its tokens may be billed.
pub(crate) fn dearest(
    found: &Found,
    input: &InputEstimate,
    output: &OutputEstimate,
    most: u64,
    context: &PriceContext<'_>,
) -> Option<NanoUsd> {
    let tokens = input.tokens.high;
    let rates = rates_in_force(&found.entry, context, tokens);
    let dearer = |a, b| rates.get(a).unwrap_or(0) > rates.get(b).unwrap_or(0);
    let mut usage = Usage {
        input_tokens: tokens,
        output_tokens: most,
        estimated: true,
        ..Usage::default()
    };
    if output.audio && dearer(Meter::AudioOut, Meter::Output) {
        usage.audio_output_tokens = most;
    } else if dearer(Meter::Reasoning, Meter::Output) {
        usage.reasoning_tokens = most;
    }
    usage.audio_input_tokens = input.audio.min(tokens);
    usage.image_input_tokens = input.image.min(tokens - usage.audio_input_tokens);
    // Text is fresh, written to the cache or (in a batch that gives no discount on it) read from it, whichever is dearest;
    // audio and images stay fresh at their own rates.
    let text = tokens - usage.audio_input_tokens - usage.image_input_tokens;
    let read = Usage {
        cache_read_tokens: text,
        ..usage.clone()
    };
    let written = Usage {
        cache_write_tokens: text,
        cache_write_1h_tokens: if input.cache_writes == CacheWrites::OneHour {
            text
        } else {
            0
        },
        cache_write_12h_tokens: if input.cache_writes == CacheWrites::TwelveHours {
            text
        } else {
            0
        },
        ..usage.clone()
    };
    let mut ways = vec![usage, read];
    if input.cache_writes != CacheWrites::Never {
        ways.push(written);
    }
    ways.iter()
        .filter_map(|usage| cost(found, usage, context).total)
        .max()
}
