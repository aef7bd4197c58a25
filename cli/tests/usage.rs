//! What `ossai usage` promises: sums that are the records', over this machine's store and over a server alike.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::user;
use ossai::NanoUsd;
use ossai_orchestrator::{Store, UsageRow};
use serde_json::{Value, json};

const DAY: i64 = 86_400_000;

/// A month of two tenants, with one day out of line and a user who spends more than the others.
fn month(folder: &std::path::Path, tenants: &[&str], until: i64) {
    let store = Store::open(folder).unwrap();
    let mut rows = Vec::new();
    for day in 0..30 {
        for (t, tenant) in tenants.iter().enumerate() {
            for call in 0..60_i64 {
                let spike = if day == 25 && t == 0 { 5 } else { 1 };
                rows.push(UsageRow {
                    time: until - (30 - day) * DAY + call * 60_000,
                    request_id: format!("r{day}-{t}-{call}"),
                    tenant: (*tenant).to_owned(),
                    operation: "chat".into(),
                    provider: "openai".into(),
                    model: format!("openai/m{}", call % 2),
                    user: Some(format!("u{}", (call * call) % 7)),
                    outcome: if call == 3 { "timeout" } else { "ok" }.into(),
                    cost: (call != 3).then(|| NanoUsd((1_000_003 + call as u64 * 17) * spike)),
                    price_version: "call".into(),
                    cache: "miss".into(),
                    tags: BTreeMap::from([("team".to_owned(), format!("t{}", call % 3))]),
                    ..UsageRow::default()
                });
            }
        }
    }
    store.record(&rows).unwrap();
}

/// The last midnight, so that what is told does not hang on the hour.
fn midnight() -> i64 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    i64::try_from(now).unwrap() / DAY * DAY
}

/// Calls and money by these words, worked out from the raw records.
fn sums(records: &[Value], words: &[&str]) -> BTreeMap<Vec<String>, (u64, u64, u64)> {
    let mut sums = BTreeMap::new();
    for record in records {
        let key = words.iter().map(|word| match *word {
            "day" => {
                let seconds = record["time_ms"].as_i64().unwrap() / 1000;
                ossai::cost::Date::of_unix(seconds).to_string()
            }
            word => record[word].as_str().unwrap().to_owned(),
        });
        let sum = sums.entry(key.collect()).or_insert((0, 0, 0));
        sum.0 += 1;
        match record["cost_nano_usd"].as_u64() {
            Some(cost) => sum.1 += cost,
            None => sum.2 += 1,
        }
    }
    sums
}

fn told(rows: &Value, words: &[&str]) -> BTreeMap<Vec<String>, (u64, u64, u64)> {
    let rows = rows["rows"].as_array().unwrap();
    rows.iter()
        .map(|row| {
            let key = words
                .iter()
                .map(|word| row["groups"][*word].as_str().unwrap().to_owned());
            let number = |name: &str| row[name].as_u64().unwrap();
            (
                key.collect(),
                (
                    number("calls"),
                    number("cost_nano_usd"),
                    number("unknown_cost_calls"),
                ),
            )
        })
        .collect()
}

#[test]
fn sums_equal_those_over_the_raw_records() {
    let user = user().with("OSSAI_DATA_DIR", "data");
    month(
        &user.home.path().join("data"),
        &["acme", "bolt"],
        midnight(),
    );
    let records = user.run(&["usage", "--records", "--jsonl"]).ok().lines();
    assert_eq!(records.len(), 3600);
    let whole = user.run(&["usage", "--records", "--json"]).ok().json();
    assert_eq!(whole["records"].as_array(), Some(&records));
    let csv = user.run(&["usage", "--records"]).ok().out;
    assert_eq!(csv.lines().count(), 3601);
    for by in [
        "tenant,model,day",
        "user,outcome",
        "day",
        "provider,operation,tenant",
    ] {
        let words: Vec<&str> = by.split(',').collect();
        let sum = user.run(&["usage", "--by", by, "--json"]).ok().json();
        assert_eq!(told(&sum, &words), sums(&records, &words), "{by}");
    }
    let of = |words: &[&str]| {
        user.run(&[&["usage", "--json"], words].concat())
            .ok()
            .json()
    };
    let all = of(&["--by", "none"]);
    let spent: u64 = records
        .iter()
        .filter_map(|record| record["cost_nano_usd"].as_u64())
        .sum();
    assert_eq!(all["rows"][0]["cost_nano_usd"], spent);
    let top = of(&["--by", "tenant,user", "--top", "3"]);
    let money = |row: &Value| row["cost_nano_usd"].as_u64().unwrap();
    let first: u64 = top["rows"].as_array().unwrap().iter().map(money).sum();
    assert_eq!(
        (
            top["rows"].as_array().unwrap().len(),
            first + money(&top["rest"])
        ),
        (3, spent)
    );
    let red = of(&[
        "--tag", "team=t1", "--tenant", "acme", "--user", "u2", "--by", "none",
    ]);
    let kept = records.iter().filter(|record| {
        record["tags"]["team"] == "t1" && record["tenant"] == "acme" && record["user"] == "u2"
    });
    assert_eq!(red["rows"][0]["calls"], kept.count());
    let file = user.home.path().join("data/ossai.db");
    let named = user.run(&[
        "usage",
        "--json",
        "--by",
        "day",
        "--ledger",
        file.to_str().unwrap(),
    ]);
    assert_eq!(named.ok().json(), of(&["--by", "day"]));
}

#[test]
fn a_month_has_its_anomaly_and_its_trend_on_this_machine_and_over_a_server_alike() {
    let user = user();
    let midnight = midnight();
    month(&user.home.path().join("data"), &["default"], midnight);
    let day = |back: i64| ossai::cost::Date::of_unix((midnight - back * DAY) / 1000).to_string();
    let (since, until) = (day(7), day(0));
    let server = common::serve(&user, &["--data-dir", "data"]);
    let over = ["--endpoint", &*server.address];
    let here = ["--data-dir", "data"];
    for (at, is_over) in [(&over, true), (&here, false)] {
        let ask = |words: &[&str]| {
            user.run(
                &[
                    &["usage", "--json", "--since", &since, "--until", &until],
                    words,
                    &at[..],
                ]
                .concat(),
            )
        };
        let found = ask(&["--anomalies", "--by", "model"]).ok().json();
        let found = found["anomalies"].as_array().unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        for one in found {
            assert_eq!(
                (
                    &one["period"],
                    &one["metric"],
                    &one["severity"],
                    &one["times"]
                ),
                (&json!(day(5)), &json!("cost"), &json!("high"), &json!(5.0))
            );
        }
        assert_eq!(
            ask(&["--anomalies", "--hourly", "--by", "none"])
                .ok()
                .json()["anomalies"][0]["period"],
            format!("{}T00:00:00Z", day(5))
        );
        let trend = ask(&["--trend", "--by", "tenant"]).ok().json();
        let row = &trend["rows"][0];
        let money = |place: &Value| place["cost_nano_usd"].as_i64().unwrap();
        assert_eq!(
            row["change_nano_usd"],
            money(&row["current"]) - money(&row["previous"])
        );
        assert_eq!(
            (money(&row["current"]), &row["change_percent"]),
            (money(&row["previous"]) / 7 * 11, &json!(57.1))
        );
        let records = ask(&["--records"]).ok().json();
        assert_eq!(
            told(&ask(&["--by", "model,day"]).ok().json(), &["model", "day"]),
            sums(records["records"].as_array().unwrap(), &["model", "day"])
        );
        let top = ask(&["--by", "user", "--top", "1"]).ok().json();
        assert_eq!(
            top["rest"]["calls"].as_u64().unwrap() + top["rows"][0]["calls"].as_u64().unwrap(),
            420
        );
        ask(&["--trend", "--by", "day"]).fails(2);
        let again = ask(&["--reprice"]);
        if is_over {
            again.fails(2);
        } else {
            let again = again.ok().json();
            assert_eq!(
                (
                    &again["records"],
                    &again["other_version"],
                    &again["unpriced"]
                ),
                (&json!(420), &json!(413), &json!(7))
            );
        }
    }
    let shown = user
        .run(&[
            "usage",
            "--anomalies",
            "--since",
            &since,
            "--until",
            &until,
            "--data-dir",
            "data",
        ])
        .ok()
        .out;
    assert!(shown.contains("high") && shown.contains("5.0"), "{shown}");
    assert_eq!(server.end(), Some(0));
}

#[test]
fn a_clients_own_ledger_is_written_by_it_and_read_from_its_configuration_or_by_name() {
    let user = user();
    user.file("own.json", r#"{"usage": {"ledger": "own/usage.db"}}"#);
    let own = ["--config", "own.json"];
    for question in ["Caches keep answers. What do caches keep?", "Why?"] {
        user.run(
            &[
                &["ask", "-t", "0", "-m", "local/extract", question],
                &own[..],
            ]
            .concat(),
        )
        .ok();
    }
    let sum = user
        .run(&[&["usage", "--json"], &own[..]].concat())
        .ok()
        .json();
    let row = &sum["rows"][0];
    assert_eq!(
        (
            &row["groups"]["model"],
            &row["calls"],
            &row["cost_nano_usd"]
        ),
        (&json!("local/extract"), &json!(2), &json!(0))
    );
    let named = user.run(&["usage", "--json", "--ledger", "own/usage.db"]);
    assert_eq!(named.ok().json(), sum);
    // Not a second time in this machine's store.
    let store = user.run(&["usage", "--json"]).ok().json();
    assert_eq!(store, json!({"rows": []}));
    let gone = [
        &["usage", "prune", "--older-than", "0m", "--json"],
        &own[..],
    ]
    .concat();
    let gone = user.run(&gone).ok().json();
    assert!(gone["records"].as_u64() <= Some(2));
}

#[test]
fn old_records_are_pruned_and_the_others_stay() {
    let user = user().with("OSSAI_DATA_DIR", "data");
    assert_eq!(
        user.run(&["usage", "prune", "--json"]).ok().json(),
        json!({"records": 0})
    );
    month(&user.home.path().join("data"), &["acme"], midnight());
    user.run(&["usage", "prune", "--older-than", "soon"])
        .fails(2);
    let gone = user
        .run(&["usage", "prune", "--older-than", "10d", "--json"])
        .ok()
        .json();
    let left = user.run(&["usage", "--by", "none", "--json"]).ok().json();
    let gone = gone["records"].as_u64().unwrap();
    assert!((1200..=1260).contains(&gone), "{gone}");
    assert_eq!(gone + left["rows"][0]["calls"].as_u64().unwrap(), 1800);
}
