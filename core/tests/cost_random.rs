//! Prices of random calls on every model of the table, against a second computation and against laws.
//!
//! The second computation reads `models.json` on its own, as plain JSON, and works in exact fractions of a picodollar; it
//! shares no code with the library.
#![allow(clippy::unwrap_used)]

use ossai::cost::{
    CacheWrites, Date, Found, InputEstimate, OutputEstimate, PriceContext, PriceTable, Span, cost,
    estimate,
};
use ossai::types::{Cost, CostStatus, NanoUsd, Usage};
use serde_json::Value;

/// xorshift64*: the same calls in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `most`, small numbers and the bounds of tiers as likely as large ones.
    fn tokens(&mut self, most: u64) -> u64 {
        let edges = [
            0, 1, 32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000,
        ];
        let value = match self.next() % 4 {
            0 => edges[self.next() as usize % edges.len()] + self.next() % 3,
            1 => self.next() % 100,
            _ => self.next() % 2_000_000,
        };
        value.min(most)
    }

    fn pick<'a>(&mut self, of: &[Option<&'a str>]) -> Option<&'a str> {
        of[self.next() as usize % of.len()]
    }

    fn usage(&mut self) -> Usage {
        let input = self.tokens(u64::MAX);
        let cache_read = self.tokens(input);
        let cache_write = self.tokens(input - cache_read);
        let cache_write_1h = self.tokens(cache_write);
        let audio_cached = self.tokens(cache_read);
        let fresh = input - cache_read - cache_write;
        let audio = self.tokens(fresh);
        let image = self.tokens(fresh - audio);
        let output = self.tokens(u64::MAX);
        let reasoning = self.tokens(output);
        let citation = self.tokens(output - reasoning);
        Usage {
            input_tokens: input,
            output_tokens: output,
            cache_read_tokens: cache_read,
            cache_write_tokens: cache_write,
            cache_write_1h_tokens: cache_write_1h,
            cache_write_12h_tokens: self.tokens(cache_write - cache_write_1h),
            reasoning_tokens: reasoning,
            audio_input_tokens: audio + audio_cached,
            audio_cache_read_tokens: audio_cached,
            audio_output_tokens: self.tokens(output - reasoning - citation),
            image_input_tokens: image,
            citation_tokens: citation,
            web_searches: if self.next().is_multiple_of(3) {
                self.next() % 20
            } else {
                0
            },
            ..Usage::default()
        }
    }

    fn context(&mut self) -> PriceContext<'static> {
        let start = Date::parse("2025-01-01").unwrap().start();
        PriceContext {
            at: start + (self.next() % (3 * 365 * 86_400)) as i64,
            service_tier: self.pick(&[
                None,
                None,
                Some("flex"),
                Some("priority"),
                Some("fast"),
                Some("ultrafast"),
                Some("default"),
            ]),
            batch: self.next().is_multiple_of(4),
            speed: self.pick(&[None, None, Some("fast")]),
            region: self.pick(&[None, None, Some("us"), Some("eu"), Some("mars")]),
        }
    }
}

/// A number of the table times 10^9, from its text.
fn scaled(number: &Value) -> u128 {
    let text = number.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}{fraction:0<9}").parse().unwrap()
}

/// The price of one field for this call: the last entry that names it among those that hold, and its tier.
fn price(model: &Value, field: &str, input: u64, context: &PriceContext<'_>) -> Option<u128> {
    let day = Date::of_unix(context.at).to_string();
    let entries: Vec<&Value> = model["prices"].as_array().unwrap().iter().collect();
    let mut chosen = None;
    for with_batch in [false, true] {
        for conditional in [false, true] {
            for entry in &entries {
                let when = &entry["when"];
                let from = entry["from"].as_str().unwrap_or("");
                let newest = entries
                    .iter()
                    .filter(|other| other["when"] == *when)
                    .map(|other| other["from"].as_str().unwrap_or(""))
                    .filter(|from| *from <= day.as_str())
                    .max();
                let is_batch = when["batch"] == true;
                if conditional != when.is_object()
                    || with_batch != is_batch
                    || newest != Some(from)
                    || !holds(when, context)
                {
                    continue;
                }
                let tiers = entry["tiers"].as_array();
                let tier = tiers.and_then(|tiers| {
                    tiers.iter().rfind(|tier| {
                        input > tier["above_input"].as_u64().unwrap() && tier[field].is_number()
                    })
                });
                let named = tier.map_or(&entry[field], |tier| &tier[field]);
                if named.is_number() {
                    chosen = Some(scaled(named));
                }
            }
        }
    }
    chosen
}

fn holds(when: &Value, context: &PriceContext<'_>) -> bool {
    let minute = context.at.rem_euclid(86_400) / 60;
    let weekday = (context.at.div_euclid(86_400) + 3).rem_euclid(7) + 1;
    let clock =
        |text: &str| text[..2].parse::<i64>().unwrap() * 60 + text[3..].parse::<i64>().unwrap();
    let in_window = |window: &Value| {
        let day = window["days"]
            .as_array()
            .unwrap()
            .iter()
            .any(|day| day == weekday);
        day && window["hours"].as_array().unwrap().iter().any(|span| {
            let (from, to) = span.as_str().unwrap().split_once('-').unwrap();
            clock(from) <= minute && minute < clock(to)
        })
    };
    let Some(conditions) = when.as_object() else {
        return true;
    };
    if context.batch && conditions.contains_key("service_tier") && !conditions.contains_key("batch")
    {
        return false;
    }
    conditions.iter().all(|(name, value)| match name.as_str() {
        "batch" => value == context.batch,
        "service_tier" => context
            .service_tier
            .is_some_and(|tier| value == if tier == "fast" { "priority" } else { tier }),
        "speed" => context.speed.is_some_and(|speed| value == speed),
        "utc" => value.as_array().unwrap().iter().any(in_window),
        other => panic!("the table has a new condition: {other}"),
    })
}

/// The whole cost in nanodollars, rounded up; `None` is unknown.
fn second_opinion(model: &Value, usage: &Usage, context: &PriceContext<'_>) -> Option<u64> {
    let rate = |fields: &[&str]| {
        fields
            .iter()
            .find_map(|field| price(model, field, usage.input_tokens, context))
    };
    let has = |field| rate(&[field]).is_some();
    let u = usage;
    let kind = model["kind"].as_str().unwrap();
    let enough = if kind == "chat" {
        has("input") && has("output")
    } else {
        has("input") || has("search_per_1k")
    };
    if !enough {
        return None;
    }
    let fresh = u.input_tokens - u.cache_read_tokens - u.cache_write_tokens;
    let audio = u.audio_input_tokens - u.audio_cache_read_tokens;
    let plain_out =
        u.output_tokens - u.reasoning_tokens - u.citation_tokens - u.audio_output_tokens;
    let short = u.cache_write_tokens - u.cache_write_1h_tokens - u.cache_write_12h_tokens;
    let buckets: [(u64, &[&str]); 12] = [
        (fresh - audio - u.image_input_tokens, &["input"]),
        (audio, &["audio_in", "input"]),
        (u.image_input_tokens, &["image_in", "input"]),
        (
            u.cache_read_tokens - u.audio_cache_read_tokens,
            &["cache_read", "input"],
        ),
        (
            u.audio_cache_read_tokens,
            &["audio_cache_read", "cache_read", "audio_in", "input"],
        ),
        (short, &["cache_write", "input"]),
        (
            u.cache_write_1h_tokens,
            &["cache_write_1h", "cache_write", "input"],
        ),
        (
            u.cache_write_12h_tokens,
            &["cache_write_12h", "cache_write", "input"],
        ),
        (plain_out, &["output"]),
        (u.reasoning_tokens, &["reasoning", "output"]),
        (u.citation_tokens, &["citation", "output"]),
        (u.audio_output_tokens, &["audio_out", "output"]),
    ];
    // In 10⁻¹⁵ dollars: a price × 10⁹ is per million tokens, so one token costs price × 10⁹ × 10⁻¹⁵.
    let mut tokens = 0;
    for (count, fields) in buckets {
        if count > 0 {
            tokens += u128::from(count) * rate(fields)?;
        }
    }
    let factors = model["multipliers"].as_object();
    let factor = context.region.and_then(|region| {
        factors?
            .iter()
            .find(|(name, _)| name.ends_with(&format!(":{region}")))
            .map(|(_, factor)| scaled(factor))
    });
    // In 10⁻²⁴ dollars from here on.
    let mut sum = tokens * factor.unwrap_or(1_000_000_000);
    let mut pieces = |count: u64, rate: u128| sum += u128::from(count) * rate * 1_000_000_000_000;
    if let Some(rate) = rate(&["request_per_1k"]) {
        pieces(1, rate);
    }
    if let Some(rate) = rate(&["search_per_1k"]).filter(|_| kind == "rerank") {
        pieces(u.web_searches.max(1), rate);
    } else if let Some(rate) = rate(&["web_search_per_1k"]) {
        pieces(u.web_searches, rate);
    } else if u.web_searches > 0 && !has("request_per_1k") {
        return None;
    }
    Some(u64::try_from(sum.div_ceil(1_000_000_000_000_000)).unwrap())
}

fn parts(cost: &Cost) -> u128 {
    [
        cost.input_pico,
        cost.cache_read_pico,
        cost.cache_write_pico,
        cost.output_pico,
        cost.other_pico,
    ]
    .into_iter()
    .map(u128::from)
    .sum()
}

fn every_model(mut check: impl FnMut(&Found, &mut Random)) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for entry in PriceTable::embedded().models() {
        check(&Found::exactly(entry.clone()), &mut random);
    }
}

#[test]
fn every_cost_equals_a_second_computation_in_exact_fractions() {
    let rows: Value = serde_json::from_str(include_str!("../data/models.json")).unwrap();
    let mut random = Random(42);
    let (mut priced, mut unknown) = (0, 0);
    for row in rows["models"].as_array().unwrap() {
        let found = PriceTable::embedded()
            .find(row["id"].as_str().unwrap())
            .unwrap();
        for _ in 0..60 {
            let (usage, context) = (random.usage(), random.context());
            let ours = cost(&found, &usage, &context).total;
            let other = second_opinion(row, &usage, &context).map(NanoUsd);
            assert_eq!(ours, other, "{} {usage:?} {context:?}", found.entry.id);
            if ours.is_some() {
                priced += 1
            } else {
                unknown += 1
            }
        }
    }
    assert!(
        priced > 5_000 && unknown > 100,
        "{priced} priced, {unknown} unknown"
    );
}

#[test]
fn the_parts_sum_to_the_whole_and_unknown_has_no_amount() {
    every_model(|found, random| {
        for _ in 0..50 {
            let cost = cost(found, &random.usage(), &random.context());
            match cost.total {
                Some(total) => assert_eq!(total, NanoUsd::from_pico_ceil(parts(&cost))),
                None => assert_eq!((cost.status, parts(&cost)), (CostStatus::Unknown, 0)),
            }
        }
    });
}

#[test]
fn more_tokens_never_cost_less() {
    every_model(|found, random| {
        for _ in 0..30 {
            let (usage, context) = (random.usage(), random.context());
            let total = |usage: &Usage| cost(found, usage, &context).total;
            let base = total(&usage);
            let more = random.tokens(1000);
            // A model without an output price has no price for output.
            if total(&Usage {
                output_tokens: 1,
                ..usage.clone()
            })
            .is_none()
            {
                continue;
            }
            let input = Usage {
                input_tokens: usage.input_tokens + more,
                ..usage.clone()
            };
            let output = Usage {
                output_tokens: usage.output_tokens + more,
                ..usage.clone()
            };
            assert!(
                total(&input) >= base,
                "{} {usage:?} +{more} in",
                found.entry.id
            );
            assert!(
                total(&output) >= base,
                "{} {usage:?} +{more} out",
                found.entry.id
            );
        }
    });
}

#[test]
fn no_usage_can_make_it_panic_or_wrap() {
    let most = u64::MAX;
    let all = Usage {
        input_tokens: most,
        output_tokens: most,
        cache_read_tokens: most,
        cache_write_tokens: most,
        cache_write_1h_tokens: most,
        cache_write_12h_tokens: most,
        reasoning_tokens: most,
        audio_input_tokens: most,
        audio_cache_read_tokens: most,
        audio_output_tokens: most,
        image_input_tokens: most,
        citation_tokens: most,
        web_searches: most,
        ..Usage::default()
    };
    let dearest = PriceTable::embedded()
        .with_overlay(
            r#"{"models": [{"id": "x/y", "multipliers": {"region:us": 100}, "prices": [{"input": 1e6, "output": 1e6,
                "cache_read": 1e6, "cache_write": 1e6, "web_search_per_1k": 1e6, "request_per_1k": 1e6}]}]}"#,
        )
        .unwrap();
    let mut models: Vec<Found> = PriceTable::embedded()
        .models()
        .cloned()
        .map(Found::exactly)
        .collect();
    models.push(dearest.find("x/y").unwrap());
    for found in &models {
        for at in [i64::MIN, -1, 0, 1_800_000_000, i64::MAX] {
            for region in [None, Some("us")] {
                let cost = cost(
                    found,
                    &all,
                    &PriceContext {
                        at,
                        region,
                        ..PriceContext::default()
                    },
                );
                assert!(
                    cost.total.is_none_or(|total| total == NanoUsd(u64::MAX)),
                    "{} {cost:?}",
                    found.entry.id
                );
            }
        }
    }
    // Parts larger than their whole are billed by the parts.
    let odd = Usage {
        cache_read_tokens: 10,
        input_tokens: 5,
        ..Usage::default()
    };
    let cost = cost(&models[0], &odd, &PriceContext::default());
    assert_eq!(cost.input_pico, 0);
}

#[test]
fn an_estimate_encloses_every_call_it_was_made_for() {
    every_model(|found, random| {
        for _ in 0..20 {
            let context = random.context();
            let low = random.tokens(500_000);
            let high = low + random.tokens(100_000);
            let most = 1 + random.tokens(100_000);
            let input = InputEstimate {
                tokens: Span {
                    low,
                    expected: low.midpoint(high),
                    high,
                },
                cache_writes: CacheWrites::TwelveHours,
                ..InputEstimate::default()
            };
            let output = OutputEstimate {
                max_tokens: Some(most),
                ..OutputEstimate::default()
            };
            let estimated = estimate(found, &input, &output, &context);
            if estimated.status == CostStatus::Unknown {
                assert_eq!(
                    (estimated.low, estimated.expected, estimated.high),
                    (None, None, None)
                );
                continue;
            }
            assert_eq!(estimated.status, CostStatus::Estimated);
            assert!(
                estimated.low <= estimated.expected && estimated.expected <= estimated.high,
                "{estimated:?}"
            );
            let chat = estimated.output_tokens.high != Some(0);
            for _ in 0..5 {
                let input_tokens = low + random.next() % (high - low + 1);
                let output_tokens = if chat { 1 + random.next() % most } else { 0 };
                let read = random.tokens(input_tokens);
                let usage = Usage {
                    input_tokens,
                    output_tokens,
                    cache_read_tokens: read,
                    cache_write_tokens: random.tokens(input_tokens - read),
                    reasoning_tokens: random.tokens(output_tokens),
                    ..Usage::default()
                };
                let real = cost(found, &usage, &context).total;
                assert!(
                    real <= estimated.high,
                    "{} {usage:?} {context:?} {estimated:?}",
                    found.entry.id
                );
            }
        }
    });
}
