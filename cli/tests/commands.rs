//! What the other commands promise, and what all of them do.
#![allow(clippy::unwrap_used)]

mod common;

use common::user;
use serde_json::{Value, json};

const COMMANDS: &[&str] = &[
    "ask",
    "count",
    "cost",
    "embed",
    "models",
    "usage",
    "budget",
    "keys",
    "serve",
    "doctor",
    "completions",
];

#[test]
fn every_command_explains_itself_with_an_example() {
    for command in COMMANDS {
        let ran = user().run(&[command, "--help"]).ok();
        assert!(
            ran.out.contains("Example") && ran.out.contains(&format!("ossai {command}")),
            "{command}: {}",
            ran.out
        );
    }
    assert!(user().run(&["--help"]).ok().out.contains("130 interrupted"));
}

#[test]
fn a_mistyped_command_exits_with_2_and_keeps_standard_output_clean() {
    let ran = user().run(&["cuont"]).fails(2);
    assert!(
        ran.out.is_empty() && ran.err.contains("count"),
        "{}",
        ran.err
    );
    user().run(&["--json", "--jsonl", "models"]).fails(2);
}

#[test]
fn help_never_shows_the_key_in_the_environment() {
    let ran = user()
        .with("OSSAI_API_KEY", "very-secret")
        .run(&["ask", "--help"])
        .ok();
    assert!(!ran.out.contains("very-secret"));
}

#[test]
fn colour_follows_the_conventions() {
    let coloured = |user: common::User, args: &[&str]| user.run(args).out.contains('\x1b');
    let doctor = &["doctor", "--offline"];
    assert!(!coloured(user(), doctor), "a pipe has none");
    assert!(coloured(user().with("CLICOLOR_FORCE", "1"), doctor));
    assert!(!coloured(user().with("NO_COLOR", "1"), doctor));
    assert!(coloured(
        user().with("NO_COLOR", "1"),
        &["doctor", "--offline", "--color", "always"]
    ));
    assert!(!coloured(
        user().with("CLICOLOR_FORCE", "1"),
        &["doctor", "--offline", "--color", "never"]
    ));
    assert!(!coloured(
        user().with("CLICOLOR_FORCE", "1"),
        &["doctor", "--offline", "--json"]
    ));
}

#[test]
fn an_unknown_price_is_unknown_and_never_nothing() {
    let ran = user()
        .run_with(&["cost", "-m", "openai/gpt-6-luna,acme/new"], "hello")
        .ok();
    let row = ran
        .out
        .lines()
        .find(|line| line.starts_with("acme/new"))
        .unwrap();
    assert_eq!(
        row.split_whitespace().skip(2).collect::<Vec<_>>(),
        ["unknown"; 3]
    );
    let value = user()
        .run_with(&["cost", "--json", "-m", "acme/new"], "hello")
        .ok()
        .json();
    assert_eq!(value["models"][0]["estimate"]["status"], "unknown");
    assert!(
        value["models"][0]["estimate"]
            .get("expected")
            .is_none_or(Value::is_null)
    );
}

#[test]
fn a_cost_is_ordered_and_cheaper_in_a_batch() {
    let expected = |more: &[&str]| {
        let args = [
            &[
                "cost",
                "--json",
                "-m",
                "openai/gpt-5.4-mini",
                "--output-tokens",
                "100",
            ],
            more,
        ]
        .concat();
        let estimate =
            user().run_with(&args, "hello ".repeat(1000)).ok().json()["models"][0]["estimate"]
                .clone();
        let n = |name: &str| estimate[name].as_u64().unwrap();
        assert!(
            n("low") <= n("expected") && n("expected") <= n("high"),
            "{estimate}"
        );
        n("expected")
    };
    // About 1000 tokens at 0.75 $ and 100 at 4.5 $ per million.
    let plain = expected(&[]);
    assert!((1_150_000..1_250_000).contains(&plain), "{plain}");
    assert_eq!(expected(&["--batch"]), plain / 2);
    assert!(expected(&["--cached", "900"]) < plain);
}

#[test]
fn models_are_chosen_by_name_ability_and_price() {
    let ids = |args: &[&str]| -> Vec<String> {
        let lines = user()
            .run(&[&["models", "--jsonl"], args].concat())
            .ok()
            .lines();
        lines
            .iter()
            .map(|model| model["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(
        ids(&["haiku", "--provider", "anthropic"])
            .contains(&"anthropic/claude-haiku-5-5".to_owned())
    );
    let cheap = ids(&["--cap", "tools", "--max-input-price", "0.1"]);
    assert!(
        cheap.contains(&"openai/gpt-6-luna".to_owned())
            && !cheap.contains(&"openai/gpt-5.4-mini".to_owned())
    );
    let live = user().run(&["models", "--live", "--json"]).ok().json();
    assert_eq!(live["models"][0]["id"], "local/extract");
    let ran = user().run(&["models", "--cap", "flying"]).fails(2);
    assert!(ran.err.contains("tools"), "{}", ran.err);
    user().run(&["models", "--max-input-price", "-1"]).fails(2);
}

#[test]
fn vectors_come_one_a_line_in_the_order_of_the_texts() {
    let user = user();
    let both = user
        .run(&["embed", "first text", "second text"])
        .ok()
        .lines();
    let piped = user
        .run_with(&["embed", "--jsonl"], "first text\nsecond text\n")
        .ok()
        .lines();
    assert_eq!(both.len(), 2);
    assert_ne!(both[0], both[1]);
    assert_eq!(
        (&piped[1]["index"], &piped[1]["embedding"]),
        (&json!(1), &both[1])
    );
    user.file("a.txt", "first text");
    assert_eq!(user.run(&["embed", "-f", "a.txt"]).ok().lines()[0], both[0]);
}

#[test]
fn the_configuration_is_found_shown_without_keys_and_checked() {
    let user = user().with("OSSAI_TENANT", "t1");
    let path = user.run(&["config", "path"]).ok().out;
    assert!(path.trim_end().ends_with("ossai/config.json"), "{path}");
    std::fs::create_dir_all(std::path::Path::new(path.trim_end()).parent().unwrap()).unwrap();
    std::fs::write(
        path.trim_end(),
        r#"{"providers": {"openai": {"api_key": "sk-secret"}}, "retry": {"max_attempts": 5}}"#,
    )
    .unwrap();
    let shown = user.run(&["config", "show"]).ok();
    assert!(!shown.out.contains("sk-secret"));
    let shown = shown.json();
    assert_eq!(
        (&shown["tenant"], &shown["retry"]["max_attempts"]),
        (&json!("t1"), &json!(5))
    );
    assert_eq!(shown["providers"]["openai"]["api_key"], "***");
    assert!(user.run(&["config", "schema"]).ok().json()["properties"]["providers"].is_object());
    std::fs::write(path.trim_end(), r#"{"retry": {"max_atempts": 5}}"#).unwrap();
    let ran = user.run(&["config", "show"]).fails(2);
    assert!(ran.err.contains("config.retry.max_atempts"), "{}", ran.err);
    let checks = user.run(&["doctor", "--offline", "--json"]).fails(1).json();
    assert_eq!(checks["ok"], false);
}

#[test]
fn the_doctor_names_keys_without_showing_them_and_fails_with_a_dead_server() {
    let user = user().with("ANTHROPIC_API_KEY", "sk-ant-secret");
    let ran = user.run(&["doctor", "--offline", "--json"]).ok();
    assert!(ran.out.contains("ANTHROPIC_API_KEY") && !ran.out.contains("sk-ant-secret"));
    let names: Vec<_> = ran.json()["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].clone())
        .collect();
    for name in [
        "configuration",
        "keys",
        "tokenizer",
        "prices",
        "clock",
        "data folder",
    ] {
        assert!(names.contains(&json!(name)), "{name}");
    }
    user.run(&["doctor", "--endpoint", "127.0.0.1:9"]).fails(1);
}

#[test]
fn completion_scripts_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = user().run(&["completions", shell]).ok().out;
        assert!(
            script.contains("completions") && script.contains("doctor"),
            "{shell}"
        );
    }
    user().run(&["completions", "command.com"]).fails(2);
}
