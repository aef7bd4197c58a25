//! What the configuration promises.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use ossai_orchestrator::{Auth, ServeConfig};

fn load(json: &str, env: &[(&str, &str)]) -> Result<ServeConfig, Vec<(String, String)>> {
    let env: HashMap<_, _> = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    ServeConfig::from_parts(Some(json), &|name| env.get(name).cloned()).map_err(|errors| {
        errors
            .0
            .iter()
            .map(|error| {
                (
                    error.fields().field.clone().unwrap_or_default(),
                    error.fields().message.clone(),
                )
            })
            .collect()
    })
}

fn fields(json: &str, env: &[(&str, &str)]) -> Vec<String> {
    load(json, env)
        .unwrap_err()
        .into_iter()
        .map(|(field, _)| field)
        .collect()
}

#[test]
fn nothing_at_all_is_a_server_on_loopback_without_keys() {
    let config = ServeConfig::from_parts(None, &|_| None).unwrap();
    assert_eq!(config.bind.to_string(), "127.0.0.1:8080");
    assert_eq!(config.auth(), Auth::Off);
    assert_eq!(
        (config.limits.body_bytes, config.limits.header_bytes),
        (20 << 20, 64 << 10)
    );
    assert_eq!(
        (config.limits.messages, config.limits.grpc_message_bytes),
        (10_000, 4 << 20)
    );
}

#[test]
fn every_mistake_is_reported_at_once_with_its_path() {
    let json = r#"{
        "bnd": "127.0.0.1:80",
        "auth": "maybe",
        "limits": {"body_bytes": "big", "connections": 0, "surprise": 1},
        "log": {"level": "loud"},
        "origins": ["https://a.example", "*"],
        "shutdown": {"drain_seconds": -1},
        "usage": {"retention_days": 36501},
        "client": {
            "tenant": "acme",
            "usage": {"ledger": "usage.db"},
            "retry": {"max_attempts": 0},
            "cache": {"max_byts": 1},
            "limits": {"max_in_flight": 0},
            "providers": {"mine": {"kind": "openai"}, "other": {"base_url": "http://model.example/v1", "api_key": "k"}}
        }
    }"#;
    let mut found = fields(
        json,
        &[
            ("OSSAI_DRAIN_SECONDS", "soon"),
            ("OSSAI_ALLOW_INSECURE", "perhaps"),
        ],
    );
    found.sort();
    assert_eq!(
        found,
        [
            "OSSAI_ALLOW_INSECURE",
            "OSSAI_DRAIN_SECONDS",
            "auth",
            "bnd",
            "client.cache.max_byts",
            "client.limits.max_in_flight",
            "client.providers.mine.base_url",
            "client.providers.other.base_url",
            "client.retry.max_attempts",
            "client.tenant",
            "client.usage.ledger",
            "limits.body_bytes",
            "limits.connections",
            "limits.surprise",
            "log.level",
            "origins[1]",
            "shutdown.drain_seconds",
            "usage.retention_days",
        ]
    );
}

#[test]
fn a_value_in_the_wrong_place_is_not_repeated() {
    let errors = load(
        r#"{"client": {"providers": {"openai": "sk-canary"}, "api_key": 5, "retry": "sk-canary"}}"#,
        &[],
    );
    let errors = errors.unwrap_err();
    assert_eq!(errors.len(), 3, "{errors:?}");
    for (field, message) in errors {
        assert!(!message.contains("canary"), "{field}: {message}");
        assert!(message.contains("expected"), "{field}: {message}");
    }
}

#[test]
fn an_address_others_can_reach_needs_keys_and_something_that_ends_tls() {
    assert_eq!(fields(r#"{"bind": "0.0.0.0:80"}"#, &[]), ["bind"]);
    assert_eq!(
        fields(r#"{"bind": "0.0.0.0:80", "auth": "off"}"#, &[]),
        ["auth", "bind"]
    );
    assert_eq!(
        fields(
            r#"{"bind": "[::]:80", "auth": "off", "allow_insecure": true}"#,
            &[]
        ),
        ["auth"]
    );
    let (_, message) = load(r#"{"bind": "0.0.0.0:80"}"#, &[])
        .unwrap_err()
        .remove(0);
    assert!(message.contains("or `tls`"), "{message}");
    let json = r#"{"bind": "0.0.0.0:80", "tls": {"cert": "c.pem", "key": "k.pem"}}"#;
    assert_eq!(load(json, &[]).unwrap().auth(), Auth::Keys);
    assert_eq!(
        fields(
            r#"{"tls": {"cert": "c.pem", "key": "k.pem", "keys": "k.pem"}}"#,
            &[]
        ),
        ["tls.keys"]
    );
    let config = load(r#"{"bind": "0.0.0.0:80", "allow_insecure": true}"#, &[]).unwrap();
    assert_eq!(config.auth(), Auth::Keys);
    assert_eq!(
        load(r#"{"bind": "[::1]:80"}"#, &[]).unwrap().auth(),
        Auth::Off
    );
    assert_eq!(
        fields(r#"{"metrics_bind": "0.0.0.0:9090"}"#, &[]),
        ["metrics_bind"]
    );
}

#[test]
fn the_environment_goes_over_the_document() {
    let env = [
        ("OSSAI_BIND", "127.0.0.1:9"),
        ("OSSAI_AUTH", "keys"),
        ("OSSAI_DRAIN_SECONDS", "7"),
        ("OSSAI_ORIGINS", "https://a.example, https://b.example"),
        ("OSSAI_LOG_FORMAT", "text"),
    ];
    let config = load(
        r#"{"bind": "127.0.0.1:8", "shutdown": {"drain_seconds": 1, "notice_seconds": 2}}"#,
        &env,
    )
    .unwrap();
    assert_eq!(config.bind.port(), 9);
    assert_eq!(config.auth(), Auth::Keys);
    assert_eq!(
        (
            config.shutdown.drain_seconds,
            config.shutdown.notice_seconds
        ),
        (7, 2)
    );
    assert_eq!(config.origins, ["https://a.example", "https://b.example"]);
    assert_eq!(fields("{}", &[("OSSAI_BIND", "nowhere")]), ["bind"]);
}

#[test]
fn a_document_that_is_none_is_said_to_be_none() {
    for json in ["", "[]", "{", "{} {}"] {
        assert!(
            load(json, &[]).unwrap_err()[0]
                .1
                .starts_with("the document"),
            "{json}"
        );
    }
}

#[test]
fn a_configuration_made_in_code_is_checked_too() {
    let mut config = ServeConfig {
        bind: "0.0.0.0:1".parse().unwrap(),
        ..ServeConfig::default()
    };
    config.client.tenant = Some("x".into());
    assert_eq!(config.check().unwrap_err().0.len(), 2);
    assert!(ServeConfig::default().check().is_ok());
}

#[test]
fn keys_in_a_configuration_cannot_be_printed() {
    let config = load(
        r#"{"client": {"providers": {"openai": {"api_key": "sk-canary"}}}}"#,
        &[],
    )
    .unwrap();
    assert!(!format!("{config:?}").contains("canary"));
    assert!(!serde_json::to_string(&config).unwrap().contains("canary"));
}

#[test]
fn a_database_of_budgets_is_a_secret_and_is_not_spoken_to_in_the_clear_over_a_network() {
    let with = |place: &str, more: &str| {
        let limit = r#"{"window": "day", "nano_usd": 5}"#;
        let json = format!(
            r#"{{"client": {{"budgets": {{"postgres": "{place}", "limits": [{limit}]{more}}}}}}}"#
        );
        load(&json, &[])
    };
    let near = "postgres://ossai:hunter2@127.0.0.1:5432/ossai?sslmode=disable";
    let far = "postgres://ossai:hunter2@db.example/ossai";
    for place in [
        near,
        far,
        "host=/run/postgresql user=ossai password=hunter2",
    ] {
        let config = with(place, "").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&config).unwrap().contains("hunter2"));
    }
    for (place, more) in [
        (
            "postgres://ossai:hunter2@db.example/ossai?sslmode=disable",
            "",
        ),
        (
            "postgres://ossai:hunter2@10.0.0.1/ossai?sslmode=disable",
            "",
        ),
        ("user=hunter2", ""),
        ("hunter2://db.example", ""),
        (near, r#", "ledger": "budgets.db""#),
    ] {
        let errors = with(place, more).unwrap_err();
        let (field, message) = &errors[0];
        assert_eq!((errors.len(), &**field), (1, "client.budgets.postgres"));
        assert!(!message.contains("hunter2"), "{message}");
    }
}
