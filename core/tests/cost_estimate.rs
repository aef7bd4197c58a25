//! What an estimate promises, with figures worked out by hand.
#![allow(clippy::unwrap_used)]

use ossai::cost::{
    CacheWrites, Date, Estimate, InputEstimate, OutputEstimate, PriceContext, PriceTable, Span,
    estimate,
};
use ossai::types::{CostStatus, NanoUsd};

fn today() -> PriceContext<'static> {
    PriceContext {
        at: Date::parse("2026-11-20").unwrap().start(),
        ..PriceContext::default()
    }
}

fn exactly(tokens: u64) -> InputEstimate {
    InputEstimate {
        tokens: Span {
            low: tokens,
            expected: tokens,
            high: tokens,
        },
        cache_writes: CacheWrites::Never,
        ..InputEstimate::default()
    }
}

fn of(id: &str, input: &InputEstimate, output: &OutputEstimate) -> Estimate {
    estimate(
        &PriceTable::embedded().find(id).unwrap(),
        input,
        output,
        &today(),
    )
}

fn codes(estimate: &Estimate) -> Vec<&str> {
    estimate.notes.iter().map(|note| note.code).collect()
}

#[test]
fn an_estimate_has_a_floor_a_guess_and_a_ceiling() {
    // gpt-6.1-sol: 2 / 10, writes 2.5. One token of answer, 500 expected, 4,000 at most.
    let output = OutputEstimate {
        max_tokens: Some(4000),
        expected: Some(500),
        ..OutputEstimate::default()
    };
    let estimate = of("openai/gpt-6.1-sol", &exactly(10_000), &output);
    assert_eq!(estimate.low, Some(NanoUsd(20_000_000 + 10_000)));
    assert_eq!(estimate.expected, Some(NanoUsd(20_000_000 + 5_000_000)));
    assert_eq!(estimate.high, Some(NanoUsd(20_000_000 + 40_000_000)));
    assert_eq!(
        estimate.output_tokens,
        Span {
            low: Some(1),
            expected: Some(500),
            high: Some(4000)
        }
    );
    assert_eq!(
        (estimate.status, estimate.price_version.as_str()),
        (CostStatus::Estimated, "2026-11-20")
    );
}

#[test]
fn the_ceiling_counts_input_as_written_to_the_cache_and_never_as_read_from_it() {
    let output = OutputEstimate {
        max_tokens: Some(100),
        ..OutputEstimate::default()
    };
    let input = InputEstimate {
        cached: Some(8000),
        cache_writes: CacheWrites::Standard,
        ..exactly(10_000)
    };
    let estimate = of("openai/gpt-6.1-sol", &input, &output);
    assert_eq!(estimate.high, Some(NanoUsd(25_000_000 + 1_000_000)));
    // 2,000 × 2 + 8,000 × 0.1 + 100 × 10
    assert_eq!(
        estimate.expected,
        Some(NanoUsd(4_000_000 + 800_000 + 1_000_000))
    );
    let hour = InputEstimate {
        cache_writes: CacheWrites::OneHour,
        ..exactly(10_000)
    };
    assert_eq!(
        of("anthropic/claude-opus-5-5", &hour, &output).high,
        Some(NanoUsd(80_000_000 + 2_000_000))
    );
}

#[test]
fn without_a_limit_the_ceiling_is_the_models_own() {
    let estimate = of(
        "openai/gpt-6.1-sol",
        &exactly(1000),
        &OutputEstimate::default(),
    );
    assert_eq!(
        estimate.output_tokens,
        Span {
            low: Some(1),
            expected: Some(2048),
            high: Some(128_000)
        }
    );
    assert_eq!(estimate.high, Some(NanoUsd(2_000_000 + 1_280_000_000)));
    // xAI names no output limit: its context window is taken, and said.
    let estimate = of("xai/grok-4.3", &exactly(1000), &OutputEstimate::default());
    assert_eq!(estimate.output_tokens.high, Some(1_000_000));
    assert!(codes(&estimate).contains(&"no_output_limit"));
    // A model nobody knows a limit of has no ceiling.
    let table = PriceTable::embedded()
        .with_overlay(r#"{"acme/a": {"input": 1, "output": 1}}"#)
        .unwrap();
    let estimate = ossai::cost::estimate(
        &table.find("acme/a").unwrap(),
        &exactly(10),
        &OutputEstimate::default(),
        &today(),
    );
    assert_eq!(
        (estimate.high, estimate.output_tokens.expected),
        (None, Some(512))
    );
    assert!(estimate.expected.is_some() && codes(&estimate) == ["no_output_limit"]);
}

#[test]
fn embeddings_have_no_output() {
    let estimate = of(
        "openai/text-embedding-3-small",
        &exactly(1_000_000),
        &OutputEstimate::default(),
    );
    assert_eq!(
        (estimate.low, estimate.high),
        (Some(NanoUsd(20_000_000)), Some(NanoUsd(20_000_000)))
    );
    assert_eq!(estimate.output_tokens.high, Some(0));
}

#[test]
fn audio_that_may_come_out_is_in_the_ceiling() {
    let output = OutputEstimate {
        max_tokens: Some(100),
        audio: true,
        ..OutputEstimate::default()
    };
    let input = InputEstimate {
        audio: 400,
        ..exactly(1000)
    };
    // 600 × 2.5 + 400 × 32 + 100 × 64
    assert_eq!(
        of("openai/gpt-audio", &input, &output).high,
        Some(NanoUsd(1_500_000 + 12_800_000 + 6_400_000))
    );
}

#[test]
fn notes_tell_of_tiers_hours_retirement_and_unknown_prices() {
    let output = OutputEstimate {
        max_tokens: Some(100),
        ..OutputEstimate::default()
    };
    let wide = InputEstimate {
        tokens: Span {
            low: 1,
            expected: 270_000,
            high: 280_000,
        },
        ..exactly(0)
    };
    assert_eq!(
        codes(&of("openai/gpt-6-luna", &wide, &output)),
        ["tier", "searches"]
    );
    assert_eq!(
        codes(&of("deepseek/deepseek-v4-pro", &exactly(1), &output)),
        ["hours"]
    );
    assert_eq!(
        codes(&of("deepseek/deepseek-chat", &exactly(1), &output)),
        ["retired"]
    );
    assert_eq!(
        codes(&of("anthropic/claude-sonnet-4-5", &exactly(1), &output)),
        ["retires", "searches"]
    );
    assert_eq!(
        codes(&of("openai/gpt-6-luna-2026-12-24", &exactly(1), &output)),
        ["derived", "searches"]
    );
    let unknown = of("cohere/command-a-plus-05-2026", &exactly(1), &output);
    assert_eq!(
        (unknown.status, codes(&unknown)),
        (CostStatus::Unknown, vec!["price_unknown"])
    );
    assert_eq!(
        (unknown.low, unknown.expected, unknown.high),
        (None, None, None)
    );
}
