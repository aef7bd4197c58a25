//! Vendors' price rules, each with figures worked out by hand.
#![allow(clippy::unwrap_used)]

use ossai::cost::{Date, Found, PriceContext, PriceTable, cost};
use ossai::types::{Cost, CostStatus, NanoUsd, Usage};

/// The day the facts were written down.
const DAY: &str = "2026-11-20";

fn on(day: &str) -> PriceContext<'static> {
    PriceContext {
        at: Date::parse(day).unwrap().start(),
        ..PriceContext::default()
    }
}

/// Seconds since 1970 of a UTC time.
fn at(day: &str, hour: i64, minute: i64, second: i64) -> i64 {
    Date::parse(day).unwrap().start() + hour * 3600 + minute * 60 + second
}

fn model(id: &str) -> Found {
    PriceTable::embedded().find(id).unwrap()
}

fn tokens(input: u64, output: u64) -> Usage {
    Usage {
        input_tokens: input,
        output_tokens: output,
        ..Usage::default()
    }
}

fn bill(id: &str, usage: &Usage, context: &PriceContext<'_>) -> Cost {
    let cost = cost(&model(id), usage, context);
    assert_eq!(cost.status, CostStatus::Exact, "{id}: {cost:?}");
    cost
}

fn nano(id: &str, usage: &Usage, context: &PriceContext<'_>) -> u64 {
    bill(id, usage, context).total.unwrap().0
}

#[test]
fn gpt_6_1_sol_bills_every_token_higher_from_272_001_input_tokens_on() {
    // 272,000 × $2/M + 1,000 × $10/M = 0.544 + 0.010
    assert_eq!(
        nano("openai/gpt-6.1-sol", &tokens(272_000, 1000), &on(DAY)),
        554_000_000
    );
    // 272,001 × $4/M + 1,000 × $15/M = 1.088004 + 0.015
    assert_eq!(
        nano("openai/gpt-6.1-sol", &tokens(272_001, 1000), &on(DAY)),
        1_103_004_000
    );
    // Cached input counts towards the size: 172,001 × 4 + 100,000 × 0.2 + 1,000 × 15
    let cached = Usage {
        cache_read_tokens: 100_000,
        ..tokens(272_001, 1000)
    };
    assert_eq!(
        nano("openai/gpt-6.1-sol", &cached, &on(DAY)),
        688_004_000 + 20_000_000 + 15_000_000
    );
}

#[test]
fn openai_bills_cache_writes_dearer_and_for_twelve_hours_dearer_still() {
    let usage = Usage {
        cache_read_tokens: 2000,
        cache_write_tokens: 5000,
        cache_write_12h_tokens: 1000,
        ..tokens(10_000, 0)
    };
    let cost = bill("openai/gpt-6.1-sol", &usage, &on(DAY));
    assert_eq!(cost.input_pico, 3000 * 2_000_000);
    assert_eq!(cost.cache_read_pico, 2000 * 100_000);
    assert_eq!(cost.cache_write_pico, 4000 * 2_500_000 + 1000 * 5_000_000);
    assert_eq!(cost.total, Some(NanoUsd(21_200_000)));
    // In the large tier a twelve-hour write is $10/M.
    let large = Usage {
        cache_write_tokens: 1000,
        cache_write_12h_tokens: 1000,
        ..tokens(300_000, 0)
    };
    assert_eq!(
        bill("openai/gpt-6.1-sol", &large, &on(DAY)).cache_write_pico,
        10_000_000_000
    );
}

#[test]
fn claude_bills_cache_writes_by_their_time_to_live() {
    // claude-opus-5-5: input 4, read 0.2, 5-minute write 5, 1-hour write 8, output 20 dollars a million.
    let usage = Usage {
        cache_read_tokens: 50_000,
        cache_write_tokens: 30_000,
        cache_write_1h_tokens: 10_000,
        ..tokens(100_000, 2000)
    };
    let cost = bill("anthropic/claude-opus-5-5", &usage, &on(DAY));
    assert_eq!(cost.input_pico, 20_000 * 4_000_000);
    assert_eq!(cost.cache_read_pico, 50_000 * 200_000);
    assert_eq!(
        cost.cache_write_pico,
        20_000 * 5_000_000 + 10_000 * 8_000_000
    );
    assert_eq!(cost.output_pico, 2000 * 20_000_000);
    assert_eq!(
        cost.total,
        Some(NanoUsd(80_000_000 + 10_000_000 + 180_000_000 + 40_000_000))
    );
}

#[test]
fn cache_reads_are_no_fixed_fraction_of_input() {
    let read = Usage {
        cache_read_tokens: 1_000_000,
        ..tokens(1_000_000, 0)
    };
    for (id, dollars_per_thousand_million) in [
        ("anthropic/claude-opus-5-5", 200),  // 0.05 of 4
        ("anthropic/claude-fable-5-2", 200), // 0.025 of 8
        ("anthropic/claude-fable-5", 1000),  // 0.1 of 10
    ] {
        assert_eq!(
            nano(id, &read, &on(DAY)),
            dollars_per_thousand_million * 1_000_000,
            "{id}"
        );
    }
}

#[test]
fn claude_haiku_5_5_has_its_cliff_at_100_000() {
    let table = model("anthropic/claude-haiku-5-5");
    let below = nano("anthropic/claude-haiku-5-5", &tokens(100_000, 0), &on(DAY));
    let above = nano("anthropic/claude-haiku-5-5", &tokens(100_001, 0), &on(DAY));
    assert_eq!(table.entry.prices[0].tiers[0].above_input, 100_000);
    assert_eq!(above / 100_001, below / 100_000 * 5);
}

#[test]
fn gemini_bills_more_above_200_000_and_xai_from_200_000_on() {
    // gemini-2.5-pro: 1.25 / 10, above 200,000: 2.5 / 15
    assert_eq!(
        nano("google/gemini-2.5-pro", &tokens(200_000, 100), &on(DAY)),
        250_000_000 + 1_000_000
    );
    assert_eq!(
        nano("google/gemini-2.5-pro", &tokens(200_001, 100), &on(DAY)),
        500_002_500 + 1_500_000
    );
    // grok-4.7: 2 / 6, at 200,000: 4 / 12
    assert_eq!(
        nano("xai/grok-4.7", &tokens(199_999, 100), &on(DAY)),
        399_998_000 + 600_000
    );
    assert_eq!(
        nano("xai/grok-4.7", &tokens(200_000, 100), &on(DAY)),
        800_000_000 + 1_200_000
    );
}

#[test]
fn a_conditional_price_brings_its_own_tiers_and_leaves_the_rest_standard() {
    // gemini-2.5-pro in a batch: 0.625 / 5, above 200,000 1.25 / 7.5; cache reads are not named: 0.125, above 0.25.
    let batch = PriceContext {
        batch: true,
        ..on(DAY)
    };
    let cached = |input| Usage {
        cache_read_tokens: 1000,
        ..tokens(input, 100)
    };
    assert_eq!(
        nano("google/gemini-2.5-pro", &cached(101_000), &batch),
        62_500_000 + 125_000 + 500_000
    );
    assert_eq!(
        nano("google/gemini-2.5-pro", &cached(201_000), &batch),
        250_000_000 + 250_000 + 750_000
    );
}

#[test]
fn processing_tiers_and_batches_have_their_prices() {
    let sol = |context: &PriceContext<'_>| {
        nano("openai/gpt-6.1-sol", &tokens(1_000_000 / 4, 1000), context)
    };
    let with = |tier| PriceContext {
        service_tier: Some(tier),
        ..on(DAY)
    };
    // 250,000 input and 1,000 output at 2/10, 1/5, 4/20 and 12/60.
    assert_eq!(sol(&on(DAY)), 510_000_000);
    assert_eq!(sol(&with("flex")), 255_000_000);
    assert_eq!(sol(&with("priority")), 1_020_000_000);
    assert_eq!(
        sol(&with("fast")),
        1_020_000_000,
        "fast is billed as priority"
    );
    assert_eq!(sol(&with("ultrafast")), 3_060_000_000);
    assert_eq!(
        sol(&PriceContext {
            batch: true,
            ..on(DAY)
        }),
        255_000_000
    );
    for standard in ["auto", "default", "standard", ""] {
        assert_eq!(sol(&with(standard)), 510_000_000);
    }
    // Anthropic's fast mode: claude-opus-5-5 at 8 / 40; xAI's batch takes off a fifth: grok-4.3 at 1 / 2.
    let fast = PriceContext {
        speed: Some("fast"),
        ..on(DAY)
    };
    assert_eq!(
        nano("anthropic/claude-opus-5-5", &tokens(1000, 100), &fast),
        8_000_000 + 4_000_000
    );
    let batch = PriceContext {
        batch: true,
        ..on(DAY)
    };
    assert_eq!(
        nano("xai/grok-4.3", &tokens(1000, 100), &batch),
        1_000_000 + 200_000
    );
}

#[test]
fn a_batch_is_billed_as_a_batch_whatever_tier_was_asked_for() {
    // gpt-4o-mini: batch 0.075; its priority tier has a cache price of 0.125, its batch none, so the standard 0.075.
    let context = PriceContext {
        batch: true,
        service_tier: Some("priority"),
        ..on(DAY)
    };
    let usage = Usage {
        cache_read_tokens: 400,
        ..tokens(1000, 0)
    };
    assert_eq!(
        nano("openai/gpt-4o-mini", &usage, &context),
        45_000 + 30_000
    );
}

#[test]
fn what_the_vendor_says_it_did_goes_before_what_was_asked() {
    let asked = PriceContext {
        service_tier: Some("priority"),
        ..on(DAY)
    };
    let done = |tier: &str| Usage {
        service_tier: Some(tier.into()),
        ..tokens(1000, 0)
    };
    assert_eq!(
        nano("openai/gpt-6.1-sol", &done("default"), &asked),
        2_000_000
    );
    assert_eq!(nano("openai/gpt-6.1-sol", &done("flex"), &asked), 1_000_000);
    // Anthropic reports a batch as a tier.
    assert_eq!(
        nano("anthropic/claude-opus-5-5", &done("batch"), &on(DAY)),
        2_000_000
    );
}

#[test]
fn a_tier_without_a_price_is_billed_as_standard_and_said_to_be_estimated() {
    let odd = PriceContext {
        service_tier: Some("scale"),
        ..on(DAY)
    };
    let cost = cost(&model("openai/gpt-6.1-sol"), &tokens(1000, 0), &odd);
    assert_eq!(
        (cost.status, cost.total),
        (CostStatus::Estimated, Some(NanoUsd(2_000_000)))
    );
}

#[test]
fn a_variant_ends_with_the_promotion_it_was_priced_in() {
    // Gemini 4 Argon: 2 until November, 4 from December; flex at 1 is only known for the promotion.
    let flex = |day| PriceContext {
        service_tier: Some("flex"),
        ..on(day)
    };
    let argon = |context: &PriceContext<'_>| {
        cost(&model("google/gemini-4-argon"), &tokens(1000, 0), context)
    };
    assert_eq!(argon(&on("2026-11-30")).total, Some(NanoUsd(2_000_000)));
    assert_eq!(argon(&flex("2026-11-30")).total, Some(NanoUsd(1_000_000)));
    assert_eq!(argon(&on("2026-12-01")).total, Some(NanoUsd(4_000_000)));
    let later = argon(&flex("2026-12-01"));
    assert_eq!(
        (later.status, later.total),
        (CostStatus::Estimated, Some(NanoUsd(4_000_000)))
    );
}

#[test]
fn a_region_raises_the_token_prices_but_not_those_by_the_piece() {
    let us = PriceContext {
        region: Some("us"),
        ..on(DAY)
    };
    let usage = Usage {
        web_searches: 3,
        cache_read_tokens: 400,
        ..tokens(1000, 100)
    };
    let cost = bill("openai/gpt-6.1-sol", &usage, &us);
    assert_eq!(cost.input_pico, 600 * 2_200_000);
    assert_eq!(cost.cache_read_pico, 400 * 110_000);
    assert_eq!(cost.output_pico, 100 * 11_000_000);
    assert_eq!(cost.other_pico, 3 * 10_000_000_000);
    // Anthropic reports where it ran; asking is not needed.
    let ran_in_us = Usage {
        region: Some("us".into()),
        ..tokens(1000, 0)
    };
    assert_eq!(
        nano("anthropic/claude-opus-5-5", &ran_in_us, &on(DAY)),
        4_400_000
    );
    let ran_anywhere = Usage {
        region: Some("global".into()),
        ..tokens(1000, 0)
    };
    assert_eq!(
        nano("anthropic/claude-opus-5-5", &ran_anywhere, &us),
        4_000_000
    );
}

#[test]
fn deepseek_doubles_at_peak_hours_on_weekdays_only() {
    // 1,000 input and 1,000 output at 1.32 / 3.96 peak, 0.66 / 1.98 off peak.
    let (peak, off) = (5_280_000, 2_640_000);
    let price = |day: &str, h, m, s| {
        let context = PriceContext {
            at: at(day, h, m, s),
            ..PriceContext::default()
        };
        nano("deepseek/deepseek-v4-pro", &tokens(1000, 1000), &context)
    };
    // 2026-11-16 was a Monday, 2026-11-20 a Friday.
    for day in ["2026-11-16", "2026-11-20"] {
        assert_eq!(price(day, 0, 59, 59), off);
        assert_eq!(price(day, 1, 0, 0), peak);
        assert_eq!(price(day, 3, 59, 59), peak);
        assert_eq!(price(day, 4, 0, 0), off);
        assert_eq!(price(day, 5, 59, 59), off);
        assert_eq!(price(day, 6, 0, 0), peak);
        assert_eq!(price(day, 9, 59, 59), peak);
        assert_eq!(price(day, 10, 0, 0), off);
        assert_eq!(price(day, 23, 59, 59), off);
    }
    for day in ["2026-11-21", "2026-11-22"] {
        assert_eq!(price(day, 2, 0, 0), off, "weekend");
        assert_eq!(price(day, 8, 0, 0), off, "weekend");
    }
    assert_eq!(price("2026-11-23", 1, 0, 0), peak, "Monday again");
}

#[test]
fn mistral_large_4_is_billed_at_the_price_of_its_day() {
    let large = |context: &PriceContext<'_>| {
        bill(
            "mistral/mistral-large-4",
            &tokens(1_000_000, 1_000_000),
            context,
        )
    };
    for (day, cents, version) in [
        ("2026-10-01", 277, "2026-11-20"), // 0.68 + 2.09
        ("2026-10-19", 277, "2026-11-20"),
        ("2026-10-20", 554, "2026-11-20+2026-10-20"), // 1.36 + 4.18
        ("2026-10-28", 554, "2026-11-20+2026-10-20"),
        ("2026-10-29", 280, "2026-11-20+2026-10-29"), // 0.70 + 2.10
        ("2027-05-05", 280, "2026-11-20+2026-10-29"),
    ] {
        let cost = large(&on(day));
        assert_eq!(cost.total, Some(NanoUsd(cents * 10_000_000)), "{day}");
        assert_eq!(cost.price_version, version, "{day}");
    }
    // Batches follow: 0.34 + 1.045 in the promotion, 0.68 + 2.09 at list price, 0.35 + 1.05 since.
    for (day, nano) in [
        ("2026-10-14", 1_385_000_000),
        ("2026-10-20", 2_770_000_000),
        ("2026-10-29", 1_400_000_000),
    ] {
        assert_eq!(
            large(&PriceContext {
                batch: true,
                ..on(day)
            })
            .total,
            Some(NanoUsd(nano)),
            "{day}"
        );
    }
}

#[test]
fn perplexity_bills_reasoning_citations_and_searches_apart() {
    // sonar-deep-research: 2 / 8, reasoning 3, citations 2, searches 5 a thousand.
    let usage = Usage {
        reasoning_tokens: 500,
        citation_tokens: 200,
        web_searches: 7,
        ..tokens(1000, 1000)
    };
    let cost = bill("perplexity/sonar-deep-research", &usage, &on(DAY));
    assert_eq!(cost.input_pico, 1000 * 2_000_000);
    assert_eq!(
        cost.output_pico,
        300 * 8_000_000 + 500 * 3_000_000 + 200 * 2_000_000
    );
    assert_eq!(cost.other_pico, 7 * 5_000_000_000);
    assert_eq!(
        cost.total,
        Some(NanoUsd(2_000_000 + 4_300_000 + 35_000_000))
    );
    // sonar-pro: 3 / 15 and 14 a thousand requests, its searches included.
    let usage = Usage {
        web_searches: 2,
        ..tokens(1000, 100)
    };
    assert_eq!(
        nano("perplexity/sonar-pro", &usage, &on(DAY)),
        3_000_000 + 1_500_000 + 14_000_000
    );
}

#[test]
fn audio_has_its_own_rates_in_and_out_and_from_the_cache() {
    // gpt-audio: text 2.5 / 10, audio 32 / 64.
    let usage = Usage {
        audio_input_tokens: 600,
        audio_output_tokens: 50,
        ..tokens(1000, 80)
    };
    let cost = bill("openai/gpt-audio", &usage, &on(DAY));
    assert_eq!(cost.input_pico, 400 * 2_500_000 + 600 * 32_000_000);
    assert_eq!(cost.output_pico, 30 * 10_000_000 + 50 * 64_000_000);
    // gemini-2.5-flash: text 0.3, audio 1, cached text 0.03, cached audio 0.1; 200 of the 600 audio tokens were cached.
    let usage = Usage {
        cache_read_tokens: 300,
        audio_input_tokens: 600,
        audio_cache_read_tokens: 200,
        ..tokens(1000, 0)
    };
    let cost = bill("google/gemini-2.5-flash", &usage, &on(DAY));
    assert_eq!(cost.input_pico, 300 * 300_000 + 400 * 1_000_000);
    assert_eq!(cost.cache_read_pico, 100 * 30_000 + 200 * 100_000);
}

#[test]
fn what_has_no_rate_of_its_own_is_billed_as_the_broader_kind() {
    // gemini-4-argon has one input rate: audio, images and a cache write (no such price) all cost input.
    let usage = Usage {
        audio_input_tokens: 100,
        image_input_tokens: 200,
        cache_write_tokens: 300,
        reasoning_tokens: 40,
        ..tokens(1000, 100)
    };
    assert_eq!(
        nano("google/gemini-4-argon", &usage, &on(DAY)),
        2_000_000 + 1_000_000
    );
    // gpt-4 has no cache price: a cache read costs what input costs, never nothing.
    let plain = nano("openai/gpt-4", &tokens(1000, 0), &on(DAY));
    let cached = Usage {
        cache_read_tokens: 900,
        ..tokens(1000, 0)
    };
    assert_eq!(nano("openai/gpt-4", &cached, &on(DAY)), plain);
}

#[test]
fn a_rerank_call_is_at_least_one_search() {
    let call = cost(&model("cohere/rerank-v3.5"), &Usage::default(), &on(DAY));
    assert_eq!(
        (call.status, call.total),
        (CostStatus::Estimated, Some(NanoUsd(2_000_000)))
    );
    let counted = Usage {
        web_searches: 3,
        ..Usage::default()
    };
    assert_eq!(nano("cohere/rerank-v3.5", &counted, &on(DAY)), 6_000_000);
}

#[test]
fn what_has_no_price_is_unknown_and_never_zero() {
    let unpriced = cost(
        &model("cohere/command-a-plus-05-2026"),
        &tokens(1000, 10),
        &on(DAY),
    );
    assert_eq!(
        (unpriced.status, unpriced.total),
        (CostStatus::Unknown, None)
    );
    // xAI's searches have no price in the table.
    let searched = Usage {
        web_searches: 1,
        ..tokens(1000, 10)
    };
    assert_eq!(
        cost(&model("xai/grok-4.7"), &searched, &on(DAY)).status,
        CostStatus::Unknown
    );
    // A chat model without an output price.
    let half = PriceTable::embedded()
        .with_overlay(r#"{"acme/one": {"input": 1}}"#)
        .unwrap();
    let half = cost(&half.find("acme/one").unwrap(), &tokens(1000, 0), &on(DAY));
    assert_eq!((half.status, half.total), (CostStatus::Unknown, None));
    assert!(PriceTable::embedded().find("acme/unheard-of").is_none());
}

#[test]
fn a_call_is_rounded_up_once_to_a_nanodollar() {
    // voyage-4-lite: 0.02/M is 20,000 pUSD a token; pplx-embed 0.004/M is 4,000; one token of 0.0025/M is 2,500 pUSD.
    let table = PriceTable::embedded()
        .with_overlay(r#"{"acme/tiny": {"input": 0.0001, "output": 0.0001}}"#)
        .unwrap();
    let tiny = table.find("acme/tiny").unwrap();
    let total = |usage| cost(&tiny, &usage, &on(DAY)).total.unwrap().0;
    assert_eq!(total(tokens(1, 0)), 1, "100 pUSD");
    assert_eq!(
        total(tokens(1, 1)),
        1,
        "200 pUSD: not one nanodollar for each part"
    );
    assert_eq!(total(tokens(10, 0)), 1, "1000 pUSD exactly");
    assert_eq!(total(tokens(10, 1)), 2);
    assert_eq!(
        total(tokens(0, 0)),
        0,
        "a priced call without tokens is known to cost nothing"
    );
}

#[test]
fn estimated_usage_gives_an_estimated_cost() {
    let usage = Usage {
        estimated: true,
        ..tokens(1000, 0)
    };
    let cost = cost(&model("openai/gpt-6.1-sol"), &usage, &on(DAY));
    assert_eq!(
        (cost.status, cost.total),
        (CostStatus::Estimated, Some(NanoUsd(2_000_000)))
    );
}
