//! Trends and anomalies on a generated month.

use ossai::ledger::{Ledger, Metric, Period, Severity, UsageFilter, UsageRow, Watch};
use ossai::{ErrorKind, NanoUsd, Usage};
use tempfile::TempDir;

use crate::{DAY, HOUR, at, by, ledger, sum_up};

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
