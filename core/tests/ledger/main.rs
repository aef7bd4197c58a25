//! What recorded usage promises: sums that are the records', exact money, trends, anomalies, and prices that stay.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used)]

mod compared;
mod kept;
mod repriced;
mod summed;

use std::collections::BTreeMap;

use ossai::ledger::{GroupBy, Ledger, UsageRow, UsageSum, parse_time};
use ossai::{NanoUsd, Usage};
use tempfile::TempDir;

pub(crate) const DAY: i64 = 86_400_000;
pub(crate) const HOUR: i64 = 3_600_000;

pub(crate) fn ledger() -> (TempDir, Ledger) {
    let folder = TempDir::new().unwrap();
    let ledger = Ledger::open(&folder.path().join("deep/usage.db")).unwrap();
    (folder, ledger)
}

pub(crate) fn at(text: &str) -> i64 {
    parse_time("t", text).unwrap()
}

pub(crate) fn by(words: &str) -> Vec<GroupBy> {
    let words = words.split(',').filter(|word| !word.is_empty());
    words
        .map(|word| GroupBy::from_name(word).unwrap())
        .collect()
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    pub(crate) fn one_of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len() as u64) as usize]
    }
}

/// A record of any kind within November 2026.
pub(crate) fn any(n: &mut Numbers) -> UsageRow {
    let some = |n: &mut Numbers, text: String| (n.below(3) > 0).then_some(text);
    let mut tags = BTreeMap::new();
    for name in ["team", "job, \"x\""] {
        if n.below(2) == 0 {
            tags.insert(
                name.to_owned(),
                n.one_of(&["a", "b=c", "é,\"\n"]).to_owned(),
            );
        }
    }
    let provider = n.one_of(&["openai", "anthropic", "local"]);
    UsageRow {
        time: at("2026-11-01") + n.below(30 * DAY as u64) as i64,
        request_id: format!("r{}", n.below(1 << 40)),
        tenant: n.one_of(&["acme", "bolt", "café"]).into(),
        key_id: some(n, format!("k{}", n.0 % 3)),
        operation: n.one_of(&["chat", "embeddings"]).into(),
        provider: provider.into(),
        model: format!("{provider}/m{}", n.below(3)),
        user: some(n, format!("u{}", n.0 % 5)),
        outcome: n.one_of(&["ok", "ok", "ok", "timeout", "cancelled"]).into(),
        usage: Usage {
            input_tokens: n.below(100_000),
            output_tokens: n.below(10_000),
            cache_read_tokens: n.below(50_000),
            reasoning_tokens: n.below(1000),
            web_searches: n.below(2),
            service_tier: (n.below(4) == 0).then(|| "flex".to_owned()),
            ..Usage::default()
        },
        cost: (n.below(10) > 0).then(|| NanoUsd(n.below(1 << 31) * n.below(1 << 10) + 1)),
        saved: (n.below(5) == 0).then(|| NanoUsd(n.below(1 << 30))),
        price_version: "2026-11-20".into(),
        cache: n.one_of(&["hit", "miss", "bypass"]).into(),
        calls: 1 + (n.below(20) == 0) as u32 * 49,
        joined: n.below(2) as u32,
        attempts: 1,
        latency_us: n.below(1 << 24),
        first_token_us: None,
        tags,
    }
}

/// The value of a record under a word, worked out without the ledger.
pub(crate) fn value(row: &UsageRow, word: &str) -> String {
    let second = row.time.div_euclid(1000);
    let date = ossai::cost::Date::of_unix(second).to_string();
    match word {
        "tenant" => row.tenant.clone(),
        "key" => row.key_id.clone().unwrap_or_default(),
        "user" => row.user.clone().unwrap_or_default(),
        "operation" => row.operation.clone(),
        "provider" => row.provider.clone(),
        "model" => row.model.clone(),
        "outcome" => row.outcome.clone(),
        "day" => date,
        "hour" => format!("{date}T{:02}:00:00Z", second.rem_euclid(86_400) / 3600),
        "month" => date[..7].to_owned(),
        "tag" if row.tags.is_empty() => String::new(),
        "tag" => serde_json::to_string(&row.tags).unwrap(),
        word => row
            .tags
            .get(word.strip_prefix("tag:").unwrap())
            .cloned()
            .unwrap_or_default(),
    }
}

pub(crate) fn sum_up<'a>(rows: impl Iterator<Item = &'a UsageRow>) -> UsageSum {
    let mut sum = UsageSum::default();
    for row in rows {
        let calls = u64::from(row.calls);
        sum.calls += calls;
        sum.errors += if row.outcome == "ok" { 0 } else { calls };
        sum.cache_hits += if row.cache == "hit" { calls } else { 0 };
        sum.joined += u64::from(row.joined);
        sum.usage.input_tokens += row.usage.input_tokens;
        sum.usage.output_tokens += row.usage.output_tokens;
        sum.usage.cache_read_tokens += row.usage.cache_read_tokens;
        sum.usage.reasoning_tokens += row.usage.reasoning_tokens;
        sum.usage.web_searches += row.usage.web_searches;
        sum.cost.0 += row.cost.map_or(0, |cost| cost.0);
        sum.unknown_cost_calls += u64::from(row.cost.is_none());
        sum.saved.0 += row.saved.map_or(0, |saved| saved.0);
    }
    sum
}
