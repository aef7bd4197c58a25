//! What recorded usage promises: sums that are the records', exact money, trends, anomalies, and prices that stay.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use ossai::cost::{PriceContext, PriceTable, cost};
use ossai::ledger::{
    GroupBy, Ledger, Metric, Period, Severity, UsageFilter, UsageRow, UsageSum, Watch, csv_head,
    csv_line, parse_time,
};
use ossai::{ErrorKind, NanoUsd, Usage};
use tempfile::TempDir;

const DAY: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;

fn ledger() -> (TempDir, Ledger) {
    let folder = TempDir::new().unwrap();
    let ledger = Ledger::open(&folder.path().join("deep/usage.db")).unwrap();
    (folder, ledger)
}

fn at(text: &str) -> i64 {
    parse_time("t", text).unwrap()
}

fn by(words: &str) -> Vec<GroupBy> {
    let words = words.split(',').filter(|word| !word.is_empty());
    words
        .map(|word| GroupBy::from_name(word).unwrap())
        .collect()
}

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn one_of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len() as u64) as usize]
    }
}

/// A record of any kind within November 2026.
fn any(n: &mut Numbers) -> UsageRow {
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
fn value(row: &UsageRow, word: &str) -> String {
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

fn sum_up<'a>(rows: impl Iterator<Item = &'a UsageRow>) -> UsageSum {
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

#[test]
fn every_grouping_is_the_sum_of_the_raw_records_and_its_parts_are_the_whole() {
    let (_folder, ledger) = ledger();
    let mut numbers = Numbers(7);
    let rows: Vec<UsageRow> = (0..4000).map(|_| any(&mut numbers)).collect();
    ledger.record(&rows).unwrap();

    // What is read back is what was written, page by page.
    let all = UsageFilter::default();
    let (mut read, mut after) = (Vec::new(), 0);
    loop {
        let page = ledger.records(&all, after, 777).unwrap();
        let Some((last, _)) = page.last() else { break };
        after = *last;
        read.extend(page.into_iter().map(|(_, row)| row));
    }
    assert_eq!(read, rows);

    let whole = sum_up(rows.iter());
    assert_eq!(
        ledger.sums(&all, &[]).unwrap(),
        std::slice::from_ref(&whole)
    );
    let words = [
        "tenant",
        "key",
        "user",
        "operation",
        "provider",
        "model",
        "tag",
        "outcome",
        "hour",
        "day",
        "month",
    ];
    let mut groupings: Vec<Vec<&str>> = words.iter().map(|word| vec![*word]).collect();
    groupings.extend([
        vec!["tenant", "model", "day"],
        vec!["tag:team", "tag:job, \"x\"", "user"],
        vec![
            "tenant",
            "key",
            "user",
            "operation",
            "provider",
            "model",
            "tag",
            "outcome",
            "day",
        ],
    ]);
    for grouping in groupings {
        let mut parts: BTreeMap<Vec<(String, String)>, Vec<&UsageRow>> = BTreeMap::new();
        for row in &rows {
            let key = grouping
                .iter()
                .map(|word| ((*word).to_owned(), value(row, word)));
            parts.entry(key.collect()).or_default().push(row);
        }
        let expected: Vec<UsageSum> = parts
            .into_iter()
            .map(|(groups, rows)| UsageSum {
                groups,
                ..sum_up(rows.into_iter())
            })
            .collect();
        let groups: Vec<GroupBy> = grouping
            .iter()
            .map(|word| GroupBy::from_name(word).unwrap())
            .collect();
        let told = ledger
            .sums(
                &UsageFilter {
                    limit: Some(100_000),
                    ..all.clone()
                },
                &groups,
            )
            .unwrap();
        assert_eq!(told, expected, "{grouping:?}");
        let mut sum = UsageSum::default();
        told.iter().for_each(|part| sum.add(part));
        assert_eq!(sum, whole, "{grouping:?}");
    }
}

#[test]
fn a_filter_lets_through_what_it_names_and_nothing_else() {
    let (_folder, ledger) = ledger();
    let mut numbers = Numbers(11);
    let rows: Vec<UsageRow> = (0..1000).map(|_| any(&mut numbers)).collect();
    ledger.record(&rows).unwrap();
    let (since, until) = (at("2026-11-10"), at("2026-11-20"));
    let none = UsageFilter::default;
    type Keeps<'a> = &'a dyn Fn(&UsageRow) -> bool;
    let cases: [(UsageFilter, Keeps<'_>); 9] = [
        (
            UsageFilter {
                tenant: Some("café".into()),
                ..none()
            },
            &|row| row.tenant == "café",
        ),
        (
            UsageFilter {
                model: Some("openai/m1".into()),
                ..none()
            },
            &|row| row.model == "openai/m1",
        ),
        (
            UsageFilter {
                provider: Some("local".into()),
                ..none()
            },
            &|row| row.provider == "local",
        ),
        (
            UsageFilter {
                key_id: Some("k1".into()),
                ..none()
            },
            &|row| row.key_id.as_deref() == Some("k1"),
        ),
        (
            UsageFilter {
                user: Some("u2".into()),
                ..none()
            },
            &|row| row.user.as_deref() == Some("u2"),
        ),
        (
            UsageFilter {
                operation: Some("chat".into()),
                ..none()
            },
            &|row| row.operation == "chat",
        ),
        (
            UsageFilter {
                outcome: Some("timeout".into()),
                ..none()
            },
            &|row| row.outcome == "timeout",
        ),
        (
            UsageFilter {
                tag: Some(("team".into(), "b=c".into())),
                ..none()
            },
            &|row| row.tags.get("team").is_some_and(|team| team == "b=c"),
        ),
        (
            UsageFilter {
                since: Some(since),
                until: Some(until),
                ..none()
            },
            &|row| (since..until).contains(&row.time),
        ),
    ];
    for (filter, keeps) in cases {
        let kept: Vec<&UsageRow> = rows.iter().filter(|row| keeps(row)).collect();
        assert!(!kept.is_empty() && kept.len() < rows.len());
        let told = ledger.records(&filter, 0, 10_000).unwrap();
        assert!(
            told.iter().map(|(_, row)| row).eq(kept.iter().copied()),
            "{filter:?}"
        );
        assert_eq!(
            ledger.sums(&filter, &[]).unwrap()[0],
            sum_up(kept.into_iter())
        );
    }
}

#[test]
fn the_top_spenders_and_the_rest_are_the_whole() {
    let (_folder, ledger) = ledger();
    let mut numbers = Numbers(3);
    let rows: Vec<UsageRow> = (0..2000).map(|_| any(&mut numbers)).collect();
    ledger.record(&rows).unwrap();
    let groups = by("tenant,user,model");
    let filter = UsageFilter {
        limit: Some(100_000),
        ..UsageFilter::default()
    };
    let mut all = ledger.sums(&filter, &groups).unwrap();
    all.sort_by_key(|sum| std::cmp::Reverse(sum.cost));
    let top = ledger.top(&UsageFilter::default(), &groups, 5).unwrap();
    assert_eq!(top.rows, all[..5]);
    let mut sum = top.rest.clone();
    top.rows.iter().for_each(|row| sum.add(row));
    assert_eq!(sum, sum_up(rows.iter()));
    let top = ledger
        .top(&UsageFilter::default(), &groups, 100_000)
        .unwrap();
    assert_eq!((top.rows.len(), top.rest), (all.len(), UsageSum::default()));
}

#[test]
fn sums_that_leave_64_bits_stop_there_and_break_nothing() {
    let (_folder, ledger) = ledger();
    let row = |tenant: &str, amount: u64| UsageRow {
        tenant: tenant.into(),
        cost: Some(NanoUsd(amount)),
        usage: Usage {
            input_tokens: u64::MAX,
            ..Usage::default()
        },
        ..UsageRow::default()
    };
    let half = i64::MAX as u64;
    ledger
        .record(&[
            row("a", half),
            row("a", half),
            row("a", half),
            row("b", half),
            row("c", half - 1),
        ])
        .unwrap();
    let top = ledger
        .top(&UsageFilter::default(), &by("tenant"), 3)
        .unwrap();
    let costs: Vec<u64> = top.rows.iter().map(|row| row.cost.0).collect();
    assert_eq!(costs, [u64::MAX, half, half - 1]);
    assert_eq!(top.rows[0].usage.input_tokens, u64::MAX);
}

/// A month of three groups: one steady with a weekly rhythm, one with two days out of line, one too small to matter.
fn month() -> (TempDir, Ledger) {
    let (folder, ledger) = ledger();
    let mut rows = Vec::new();
    let start = at("2026-10-01");
    for day in 0..31_i64 {
        let mut put = |model: &str, calls: i64, each: u64| {
            for call in 0..calls {
                rows.push(UsageRow {
                    time: start + day * DAY + call * (DAY / calls.max(1)),
                    tenant: "acme".into(),
                    model: model.into(),
                    outcome: "ok".into(),
                    cost: Some(NanoUsd(each)),
                    usage: Usage {
                        input_tokens: 1000,
                        ..Usage::default()
                    },
                    ..UsageRow::default()
                });
            }
        };
        // 2026-10-01 was a Thursday: the third and fourth day are a weekend.
        let is_weekend = matches!(day % 7, 2 | 3);
        put("p/steady", if is_weekend { 10 } else { 100 }, 1_000_000);
        put(
            "p/spiky",
            50,
            match day {
                12 => 6_000_000,
                20 => 2_000_000,
                21 => 1_999_999,
                _ => 1_000_000,
            },
        );
        put("p/small", if day == 15 { 19 } else { 1 }, 1_000_000);
        put("p/dear", if day == 25 { 4 } else { 1 }, 500_000_000);
        put("p/new", if day >= 29 { 1000 } else { 0 }, 1_000_000);
    }
    ledger.record(&rows).unwrap();
    (folder, ledger)
}

#[test]
fn a_day_at_twice_its_baseline_is_medium_at_five_times_high_and_a_small_one_is_none() {
    let (_folder, ledger) = month();
    let filter = UsageFilter {
        since: Some(at("2026-10-01")),
        until: Some(at("2026-11-01")),
        ..UsageFilter::default()
    };
    let found = ledger
        .anomalies(&filter, &by("model"), &Watch::default())
        .unwrap();
    let told: Vec<_> = found
        .iter()
        .map(|one| {
            (
                &*one.groups[0].1,
                &*one.period,
                one.metric,
                one.value,
                one.baseline,
                one.times,
                one.severity,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            // Few calls, but above a dollar.
            (
                "p/dear",
                "2026-10-26",
                Metric::Cost,
                2_000_000_000,
                500_000_000,
                4.0,
                Severity::Medium
            ),
            (
                "p/dear",
                "2026-10-26",
                Metric::Tokens,
                4000,
                1000,
                4.0,
                Severity::Medium
            ),
            (
                "p/dear",
                "2026-10-26",
                Metric::Calls,
                4,
                1,
                4.0,
                Severity::Medium
            ),
            (
                "p/spiky",
                "2026-10-21",
                Metric::Cost,
                100_000_000,
                50_000_000,
                2.0,
                Severity::Medium
            ),
            (
                "p/spiky",
                "2026-10-13",
                Metric::Cost,
                300_000_000,
                50_000_000,
                6.0,
                Severity::High
            ),
        ]
    );
    // With another minimum the small one is seen, too.
    let watch = Watch {
        min_calls: 19,
        ..Watch::default()
    };
    let found = ledger.anomalies(&filter, &by("model"), &watch).unwrap();
    assert!(
        found
            .iter()
            .any(|one| one.groups[0].1 == "p/small" && one.severity == Severity::High)
    );
}

#[test]
fn an_hour_is_compared_with_the_same_hour_of_the_days_before() {
    let (_folder, ledger) = ledger();
    let mut rows = Vec::new();
    for day in 0..10_i64 {
        // Nights are quiet, noons are not: neither is out of line.
        for (hour, calls) in [(3, 30), (12, if day == 9 { 750 } else { 300 })] {
            for call in 0..calls {
                rows.push(UsageRow {
                    time: at("2026-11-01") + day * DAY + hour * HOUR + call,
                    model: "p/a".into(),
                    outcome: "ok".into(),
                    ..UsageRow::default()
                });
            }
        }
    }
    ledger.record(&rows).unwrap();
    let filter = UsageFilter {
        since: Some(at("2026-11-08")),
        until: Some(at("2026-11-11")),
        ..UsageFilter::default()
    };
    let watch = Watch {
        period: Period::Hour,
        ..Watch::default()
    };
    let found = ledger.anomalies(&filter, &by("model"), &watch).unwrap();
    assert_eq!(found.len(), 1);
    let one = &found[0];
    assert_eq!(
        (&*one.period, one.metric, one.value, one.baseline),
        ("2026-11-10T12:00:00Z", Metric::Calls, 750, 300)
    );
    assert_eq!((one.times, one.severity), (2.5, Severity::Medium));
}

#[test]
fn a_trend_has_every_group_of_both_stretches_and_the_exact_change() {
    let (_folder, ledger) = month();
    let filter = UsageFilter {
        since: Some(at("2026-10-18")),
        until: Some(at("2026-11-01")),
        ..UsageFilter::default()
    };
    let trend = ledger.trend(&filter, &by("model")).unwrap();
    assert_eq!(
        (trend.previous_since_ms, trend.since_ms),
        (at("2026-10-04"), at("2026-10-18"))
    );
    let of = |since, until, model: &str| {
        let filter = UsageFilter {
            since: Some(since),
            until: Some(until),
            model: Some(model.into()),
            ..UsageFilter::default()
        };
        sum_up(
            ledger
                .records(&filter, 0, 100_000)
                .unwrap()
                .iter()
                .map(|(_, row)| row),
        )
    };
    let mut changes = 0_i64;
    for row in &trend.rows {
        let model = &row.groups[0].1;
        assert_eq!(
            row.current,
            of(trend.since_ms, trend.until_ms, model),
            "{model}"
        );
        assert_eq!(
            row.previous,
            of(trend.previous_since_ms, trend.since_ms, model),
            "{model}"
        );
        assert_eq!(
            row.change_nano_usd,
            row.current.cost.0 as i64 - row.previous.cost.0 as i64
        );
        changes += row.change_nano_usd;
    }
    let named = |name: &str| {
        trend
            .rows
            .iter()
            .find(|row| row.groups[0].1 == name)
            .unwrap()
    };
    assert_eq!(
        (named("p/new").previous.calls, named("p/new").change_percent),
        (0, None)
    );
    assert_eq!(
        (
            named("p/dear").change_nano_usd,
            named("p/dear").change_percent
        ),
        (1_500_000_000, Some(21.4))
    );
    assert_eq!(trend.rows.len(), 5);
    assert!(
        trend
            .rows
            .is_sorted_by_key(|row| std::cmp::Reverse(row.change_nano_usd.unsigned_abs()))
    );
    let whole = ledger.trend(&filter, &[]).unwrap();
    assert_eq!(whole.rows[0].change_nano_usd, changes);
}

#[test]
fn comparisons_without_a_time_or_by_one_are_refused_by_name() {
    let (_folder, ledger) = ledger();
    let timed = UsageFilter {
        since: Some(5),
        until: Some(10),
        ..UsageFilter::default()
    };
    let backwards = UsageFilter {
        since: Some(10),
        until: Some(10),
        ..UsageFilter::default()
    };
    for (filter, groups, field) in [
        (&timed, "day", "group_by"),
        (&timed, "model,hour", "group_by"),
        (&UsageFilter::default(), "model", "since"),
        (&backwards, "model", "until"),
    ] {
        let trend = ledger.trend(filter, &by(groups)).unwrap_err();
        let found = ledger
            .anomalies(filter, &by(groups), &Watch::default())
            .unwrap_err();
        for error in [trend, found] {
            assert_eq!(
                (error.kind(), error.fields().field.as_deref()),
                (ErrorKind::InvalidRequest, Some(field))
            );
        }
    }
    let long = UsageFilter {
        since: Some(0),
        until: Some(at("2026-11-01")),
        ..UsageFilter::default()
    };
    assert!(ledger.anomalies(&long, &[], &Watch::default()).is_err());
}

#[test]
fn past_calls_price_again_to_the_same_nanodollar() {
    let (_folder, ledger) = ledger();
    let table = PriceTable::embedded();
    let mut numbers = Numbers(23);
    let models: Vec<_> = table
        .models()
        .filter(|model| !model.prices.is_empty())
        .collect();
    let rows: Vec<UsageRow> = (0..3000)
        .map(|_| {
            let model = models[numbers.below(models.len() as u64) as usize];
            let found = table.find(&model.id).unwrap();
            let input_tokens = 1 + numbers.below(300_000);
            let usage = Usage {
                input_tokens,
                output_tokens: numbers.below(5000),
                cache_read_tokens: numbers.below(input_tokens),
                service_tier: [None, Some("flex".to_owned()), Some("batch".to_owned())]
                    [numbers.below(3) as usize]
                    .clone(),
                speed: (numbers.below(8) == 0).then(|| "fast".to_owned()),
                region: (numbers.below(8) == 0).then(|| "us".to_owned()),
                ..Usage::default()
            };
            let time = at("2026-01-01") + numbers.below(320 * DAY as u64) as i64;
            let context = PriceContext {
                at: time / 1000,
                ..PriceContext::default()
            };
            let priced = cost(&found, &usage, &context);
            UsageRow {
                // Recorded a little after it was priced.
                time: time + 3,
                model: model.id.clone(),
                usage,
                cost: priced.total,
                price_version: priced.price_version,
                cache: "miss".into(),
                ..UsageRow::default()
            }
        })
        .collect();
    ledger.record(&rows).unwrap();
    let again = ledger.reprice(&UsageFilter::default(), table).unwrap();
    assert_eq!(
        (again.records, again.different, again.other_version),
        (3000, 0, 0),
        "{again:?}"
    );
    assert_eq!(again.same + again.unpriced, 3000);
    assert!(again.same > 2000);
    assert_eq!(again.recorded, again.repriced);

    // A hedged call's copy that lost was charged with its input, and the whole rounded up once.
    let row = rows
        .iter()
        .find(|row| row.cost.is_some_and(|cost| cost.0 > 0))
        .unwrap();
    let context = PriceContext {
        at: row.time / 1000,
        ..PriceContext::default()
    };
    let found = table.find(&row.model).unwrap();
    let input = Usage {
        input_tokens: row.usage.input_tokens,
        ..Usage::default()
    };
    let pico = |usage: &Usage| {
        let cost = cost(&found, usage, &context);
        u128::from(cost.input_pico)
            + u128::from(cost.cache_read_pico)
            + u128::from(cost.output_pico)
    };
    let hedged = UsageRow {
        cost: Some(NanoUsd::from_pico_ceil(pico(&row.usage) + pico(&input))),
        attempts: 2,
        ..row.clone()
    };
    ledger.record(&[hedged]).unwrap();
    let again = ledger.reprice(&UsageFilter::default(), table).unwrap();
    assert_eq!((again.records, again.different), (3001, 0));

    // What somebody changed is found; what other prices made is not judged.
    let mut wrong = row.clone();
    wrong.cost = Some(NanoUsd(wrong.cost.map_or(0, |cost| cost.0) + 1));
    wrong.request_id = "changed".into();
    let other = UsageRow {
        price_version: "1999-01-01".into(),
        ..row.clone()
    };
    ledger.record(&[wrong, other]).unwrap();
    let again = ledger.reprice(&UsageFilter::default(), table).unwrap();
    assert_eq!((again.different, again.other_version), (1, 1));
    assert_eq!(
        (&*again.different_ids, again.repriced.0 + 1),
        (&["changed".to_owned()][..], again.recorded.0)
    );
}

#[test]
fn csv_has_a_cell_for_every_column_and_an_unknown_cost_is_an_empty_one() {
    let row = UsageRow {
        user: Some("a,\"b\"".into()),
        tags: BTreeMap::from([("team".into(), "x".into())]),
        cost: None,
        saved: Some(NanoUsd(0)),
        ..UsageRow::default()
    };
    let head = csv_head();
    let names: Vec<&str> = head.trim_end().split(',').collect();
    let line = csv_line(&row);
    assert!(line.ends_with("\"{\"\"team\"\":\"\"x\"\"}\"\r\n") && line.contains("\"a,\"\"b\"\"\""));
    let plain = csv_line(&UsageRow {
        user: None,
        tags: BTreeMap::new(),
        ..row
    });
    let cells: Vec<&str> = plain.trim_end_matches("\r\n").split(',').collect();
    assert_eq!(cells.len(), names.len());
    let cell = |name: &str| cells[names.iter().position(|known| *known == name).unwrap()];
    assert_eq!(
        (cell("cost_nano_usd"), cell("saved_nano_usd"), cell("calls")),
        ("", "0", "1")
    );
}

#[test]
fn pruning_takes_the_old_and_leaves_the_rest() {
    let (_folder, ledger) = ledger();
    let row = |time| UsageRow {
        time,
        ..UsageRow::default()
    };
    let rows: Vec<UsageRow> = (0..12_000).map(row).collect();
    ledger.record(&rows).unwrap();
    assert_eq!(ledger.prune(11_000).unwrap(), 11_000);
    assert_eq!(ledger.prune(11_000).unwrap(), 0);
    let left = ledger.records(&UsageFilter::default(), 0, 20_000).unwrap();
    assert_eq!((left.len(), left[0].1.time), (1000, 11_000));
}

#[test]
fn a_file_of_the_version_before_gets_the_new_columns_and_older_programs_write_on() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("usage.db");
    let old = "time, request_id, tenant, operation, provider, model, outcome, input, output, cache_read, cache_write,
        cache_write_1h, cache_write_12h, reasoning, audio_input, audio_cache_read, audio_output, image_input, citation,
        web_searches, estimated, cost, price_version, cache, joined, attempts, latency_us";
    let insert = format!(
        "INSERT INTO usage ({old}) VALUES (5, 'r', 't', 'chat', 'p', 'p/m', 'ok', 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7,
         'v', 'miss', 0, 1, 9)"
    );
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch(
        "CREATE TABLE usage (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, request_id TEXT NOT NULL, tenant TEXT NOT NULL,
            key_id TEXT, operation TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, end_user TEXT,
            outcome TEXT NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL, cache_read INTEGER NOT NULL,
            cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, cache_write_12h INTEGER NOT NULL,
            reasoning INTEGER NOT NULL, audio_input INTEGER NOT NULL, audio_cache_read INTEGER NOT NULL,
            audio_output INTEGER NOT NULL, image_input INTEGER NOT NULL, citation INTEGER NOT NULL,
            web_searches INTEGER NOT NULL, estimated INTEGER NOT NULL, cost INTEGER, saved INTEGER,
            price_version TEXT NOT NULL, cache TEXT NOT NULL, joined INTEGER NOT NULL, attempts INTEGER NOT NULL,
            latency_us INTEGER NOT NULL, first_token_us INTEGER, tags TEXT) STRICT;",
    )
    .unwrap();
    raw.execute_batch(&insert).unwrap();
    let ledger = Ledger::open(&path).unwrap();
    raw.execute_batch(&insert).unwrap();
    drop(Ledger::open(&path).unwrap());
    let rows = ledger.records(&UsageFilter::default(), 0, 10).unwrap();
    assert_eq!(rows.len(), 2);
    assert!(
        rows.iter()
            .all(|(_, row)| row.calls == 1 && row.cost == Some(NanoUsd(7)))
    );
}

#[test]
fn a_file_that_is_none_is_refused_and_not_touched() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notes.txt");
    let text = "not a database at all, but some notes that somebody wants to keep";
    std::fs::write(&path, text).unwrap();
    let error = Ledger::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}
