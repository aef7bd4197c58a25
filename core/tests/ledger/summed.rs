//! Sums, filters and the top.

use std::collections::BTreeMap;

use ossai::ledger::{GroupBy, UsageFilter, UsageRow, UsageSum};
use ossai::{NanoUsd, Usage};

use crate::{Numbers, any, at, by, ledger, sum_up, value};

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
