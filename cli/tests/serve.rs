//! What `ossai serve`, `keys` and `usage` promise together.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod common;

use common::{serve, user};
use serde_json::json;

#[test]
fn a_served_question_is_answered_and_recorded_there() {
    let user = user();
    let server = serve(&user, &["--data-dir", "data"]);
    let address = server.address.clone();
    let at = ["--endpoint", &address];
    let asked = user
        .run(
            &[
                &[
                    "ask",
                    "--json",
                    "-t",
                    "0",
                    "Caches keep answers. What do caches keep?",
                ],
                &at[..],
            ]
            .concat(),
        )
        .ok();
    assert!(
        asked.json()["text"]
            .as_str()
            .unwrap()
            .starts_with("Caches keep answers.")
    );
    let models = user
        .run(&[&["models", "--live"], &at[..]].concat())
        .ok()
        .out;
    assert!(models.contains("local/extract\n"));
    user.run(&[&["doctor"], &at[..]].concat()).ok();
    let usage = user
        .run(&[&["usage", "--json", "--by", "model,operation"], &at[..]].concat())
        .ok()
        .json();
    assert_eq!(
        usage["rows"][0]["groups"],
        json!({"model": "local/extract", "operation": "chat"})
    );
    assert_eq!(usage["rows"][0]["calls"], 1);
    user.run(&[&["usage", "--by", "weather"], &at[..]].concat())
        .fails(2);
    assert_eq!(server.end(), Some(0));
    let stored = user
        .run(&[
            "usage",
            "--json",
            "--by",
            "model,operation",
            "--data-dir",
            "data",
        ])
        .ok()
        .json();
    assert_eq!(stored["rows"], usage["rows"]);
    assert_eq!(
        user.run(&["usage", "--json"]).ok().json(),
        json!({"rows": []}),
        "nothing was recorded twice"
    );
    user.run(&[&["ask", "hi"], &at[..]].concat()).fails(1);
}

#[test]
fn keys_are_made_taken_refused_and_listed() {
    let user = user().with("OSSAI_DATA_DIR", "data");
    let key = user
        .run(&["keys", "create", "--tenant", "team-a", "--name", "tests"])
        .ok()
        .out
        .trim_end()
        .to_owned();
    let id = key.split('_').nth(1).unwrap().to_owned();
    let server = serve(&user, &["--require-keys"]);
    let ask = [
        "ask",
        "--endpoint",
        &server.address,
        "-m",
        "local/extract",
        "Caches keep answers. What do caches keep?",
    ];
    let refused = user.run(&ask).fails(1);
    assert!(refused.err.contains("authentication"), "{}", refused.err);
    user.run(&[&ask[..], &["--api-key", &key]].concat()).ok();
    let usage = [
        "usage",
        "--endpoint",
        &server.address,
        "--by",
        "tenant",
        "--json",
    ];
    user.run(&usage).fails(1);
    let told = user
        .run(&[&usage[..], &["--api-key", &key]].concat())
        .ok()
        .json();
    assert_eq!(told["rows"][0]["groups"]["tenant"], "team-a");
    let made = user.run(&["keys", "revoke", &id, "--json"]).ok().json();
    assert_eq!(made["was_valid"], true);
    let listed = user.run(&["keys", "list", "--json"]).ok();
    assert!(!listed.out.contains(&key));
    assert!(listed.json()["keys"][0]["revoked"].is_number());
    user.run(&["keys", "revoke", "0000000000000000"]).fails(1);
    user.run(&["keys", "create", "--tenant", "no spaces"])
        .fails(2);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn everything_wrong_with_a_server_is_said_at_once() {
    let user = user().with("OSSAI_AUTH", "perhaps");
    let ran = user
        .run(&[
            "serve",
            "--check",
            "--bind",
            "nowhere",
            "--log-format",
            "xml",
        ])
        .fails(2);
    for field in ["bind", "auth", "log.format"] {
        assert!(ran.err.contains(field), "{field}: {}", ran.err);
    }
}

#[test]
fn a_server_takes_its_own_file_or_the_client_s() {
    let user = user();
    user.file(
        "serve.json",
        r#"{"limits": {"messages": 1}, "client": {"retry": {"max_attempts": 1}}}"#,
    );
    let server = serve(&user, &["--config", "serve.json"]);
    user.run(&["serve", "--check", "--config", "serve.json"])
        .ok();
    // The client's part of the server's file is a client's configuration too.
    let shown = user
        .run(&["config", "show", "--config", "serve.json"])
        .ok()
        .json();
    assert_eq!(shown["retry"]["max_attempts"], 1);
    let ran = user
        .run(&[
            "ask",
            "--endpoint",
            &server.address,
            "-s",
            "two",
            "-m",
            "local/extract",
            "messages",
        ])
        .fails(2);
    assert!(ran.err.contains("messages"), "{}", ran.err);
    assert_eq!(server.end(), Some(0));

    user.file(
        ".config/ossai/config.json",
        r#"{"endpoint": "127.0.0.1:9", "tenant": "me", "retry": {"max_attempts": 0}}"#,
    );
    let ran = user.run(&["serve", "--bind", "127.0.0.1:0"]).fails(2);
    assert!(
        ran.err.contains("client.retry.max_attempts") && !ran.err.contains("tenant"),
        "{}",
        ran.err
    );
}

#[test]
fn keys_are_limited_rotated_and_audited() {
    let user = user().with("OSSAI_DATA_DIR", "data");
    let made = user
        .run(&[
            "keys",
            "create",
            "--tenant",
            "team-a",
            "--rpm",
            "60",
            "--tpm",
            "1000",
            "--concurrency",
            "2",
            "--models",
            "local/*,openai/gpt-4o-mini",
            "--max-tokens",
            "100",
            "--max-cost",
            "0.05",
            "--json",
        ])
        .ok()
        .json();
    assert_eq!(
        made["limits"],
        json!({"requests_per_minute": 60, "tokens_per_minute": 1000, "concurrency": 2, "models": ["local/*", "openai/gpt-4o-mini"],
               "max_tokens": 100, "max_cost_nano_usd": 50_000_000})
    );
    let id = made["id"].as_str().unwrap().to_owned();
    let changed = user
        .run(&["keys", "limit", &id, "--rpm", "5", "--json"])
        .ok()
        .json();
    assert_eq!(changed["limits"], json!({"requests_per_minute": 5}));
    let new = user
        .run(&["keys", "rotate", &id, "--overlap", "15m", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&new["tenant"], &new["limits"]),
        (&json!("team-a"), &changed["limits"])
    );
    let listed = user.run(&["keys", "list", "--json"]).ok().json();
    assert!(listed["keys"][0]["expires"].is_number());
    let log = user.run(&["keys", "audit", "--json"]).ok().json();
    let actions: Vec<_> = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].clone())
        .collect();
    assert_eq!(actions, ["key_created", "limits_changed", "key_rotated"]);
    for made in [&made, &new] {
        let secret = made["key"]
            .as_str()
            .unwrap()
            .rsplit('_')
            .next()
            .unwrap()
            .to_owned();
        assert!(!log.to_string().contains(&secret));
    }
    user.run(&["keys", "create", "--rpm", "0"]).fails(2);
    user.run(&["keys", "rotate", &id, "--overlap", "soon"])
        .fails(2);
    user.run(&["keys", "create", "--models", "gpt-4o"]).fails(2);
}
