//! What `ossai budget` promises.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Upstream, begin_stream, end_stream, piece, user};
use serde_json::{Value, json};

#[test]
fn a_budget_is_set_shown_spent_refused_and_taken_away() {
    let upstream = Upstream::new(|_, stream| {
        begin_stream(stream);
        piece(stream, "Hi");
        end_stream(stream);
    });
    let user = upstream.user();
    let ledger = user.file("ledger.db", "");
    std::fs::remove_file(&ledger).unwrap();
    let config = user.file(
        "config.json",
        json!({"timeouts": {"total_ms": 20_000}, "budgets": {"ledger": ledger}}).to_string(),
    );
    let path = config.to_str().unwrap();
    let set = |args: &[&str]| {
        let mut all = vec!["--config", path, "budget", "set"];
        all.extend_from_slice(args);
        user.run(&all).ok()
    };
    set(&["--window", "total", "--tokens", "500", "--usd", "1.50"]);
    set(&["--window", "total", "--tokens", "400", "--usd", "2"]);
    set(&[
        "--scope",
        "model",
        "--name",
        "openai/gpt-4o-mini",
        "--window",
        "day",
        "--usd",
        "0.000000001",
        "--soft",
    ]);
    let written: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    assert_eq!(
        written["timeouts"]["total_ms"], 20_000,
        "the rest is as it was"
    );
    let limits = written["budgets"]["limits"].as_array().unwrap();
    assert_eq!(limits.len(), 2, "{written}");
    assert_eq!(
        (&limits[0]["tokens"], &limits[0]["nano_usd"]),
        (&json!(400), &json!(2_000_000_000_u64))
    );

    let ask = |prompt: &str| {
        user.run(&[
            "--config",
            path,
            "ask",
            "-m",
            "openai/gpt-4o-mini",
            "--max-tokens",
            "100",
            prompt,
        ])
    };
    ask("One").ok();
    let shown = user
        .run(&["--config", path, "--json", "budget", "show"])
        .ok()
        .json();
    let budgets = shown["budgets"].as_array().unwrap();
    let tenant = budgets.iter().find(|one| one["scope"] == "tenant").unwrap();
    let spent = tenant["spent_tokens"].as_u64().unwrap();
    assert!(spent > 0 && tenant["held_tokens"] == 0, "{tenant}");
    let soft = budgets.iter().find(|one| one["scope"] == "model").unwrap();
    assert_eq!(soft["spent_nano_usd"], tenant["spent_nano_usd"]);
    let table = user.run(&["--config", path, "budget", "show"]).ok().out;
    assert!(
        table.contains("400 tokens") && table.contains("(soft)"),
        "{table}"
    );

    set(&["--window", "total", "--tokens", "50"]);
    let refused = ask("Two").fails(3);
    assert!(refused.err.contains("budget"), "{}", refused.err);
    assert_eq!(upstream.requests(), 1);

    let remove = ["--config", path, "budget", "remove", "--window", "total"];
    user.run(&remove).ok();
    user.run(&remove).fails(1);
    ask("Three").ok();
}

#[test]
fn a_budget_that_is_none_is_wrong_use_and_leaves_the_file_as_it_was() {
    let user = user();
    let config = user.file("config.json", "{}\n");
    let path = config.to_str().unwrap();
    for wrong in [
        &["--window", "day"][..],
        &["--window", "week", "--usd", "1"],
        &["--scope", "tag", "--window", "day", "--usd", "1"],
        &["--window", "day", "--usd", "-1"],
        &["--window", "day", "--usd", "1", "--soft", "--clamp"],
    ] {
        let mut all = vec!["--config", path, "budget", "set"];
        all.extend_from_slice(wrong);
        user.run(&all).fails(2);
    }
    assert_eq!(std::fs::read_to_string(&config).unwrap(), "{}\n");
}
