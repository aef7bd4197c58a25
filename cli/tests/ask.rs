//! What `ossai ask` promises.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Read;

use common::{Upstream, answer, begin_stream, completion, end_stream, piece, user};
use serde_json::{Value, json};

const MODEL: &[&str] = &["-m", "openai/gpt-6-luna"];

fn ask<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["ask"], MODEL, args].concat()
}

#[test]
fn without_a_key_a_question_over_files_is_answered_offline_with_citations() {
    let user = user();
    user.file(
        "docs/flights.md",
        "# Flights\n\nNobody leads a flight, so nobody's cancellation fails the others.\n",
    );
    user.file(
        "docs/cache.md",
        "# Cache\n\nOnly complete answers are stored.\n",
    );
    let ran = user
        .run(&["ask", "--over", "docs", "Why does nobody lead a flight?"])
        .ok();
    assert!(
        ran.out
            .starts_with("Nobody leads a flight, so nobody's cancellation fails the others. [1]\n"),
        "{}",
        ran.out
    );
    assert!(
        ran.out.ends_with("[1] docs/flights.md:1-3\n"),
        "{}",
        ran.out
    );
    assert_eq!(
        ran.err.matches("local/extract").count(),
        1,
        "it says once which model answers: {}",
        ran.err
    );
}

#[test]
fn json_has_the_whole_answer_and_the_passages() {
    let user = user();
    user.file("a.md", "Caches keep answers.\n");
    let value = user
        .run(&["ask", "--json", "--over", "a.md", "What do caches keep?"])
        .ok()
        .json();
    assert!(
        value["text"]
            .as_str()
            .unwrap()
            .starts_with("Caches keep answers. [1]")
    );
    assert_eq!(value["model"], "local/extract");
    assert_eq!(value["finish_reason"], "stop");
    assert!(value["usage"]["input_tokens"].as_u64().unwrap() > 0);
    assert_eq!(
        value["cost"],
        json!({"status": "exact", "total": 0, "input_pico": 0, "cache_read_pico": 0,
        "cache_write_pico": 0, "output_pico": 0, "other_pico": 0, "price_version": "local"})
    );
    assert_eq!(
        value["passages"],
        json!([{"number": 1, "path": "a.md", "first_line": 1, "last_line": 1}])
    );
}

#[test]
fn jsonl_is_events_and_the_last_is_the_whole_answer() {
    let events = user()
        .run(&[
            "ask",
            "--jsonl",
            "Caches keep answers. What do caches keep?",
        ])
        .ok()
        .lines();
    assert_eq!(events.first().unwrap()["type"], "start");
    let end = events.last().unwrap();
    assert_eq!(end["type"], "end");
    let pieces = events.iter().filter(|event| event["type"] == "text_delta");
    let text: String = pieces
        .map(|event| event["text"].as_str().unwrap())
        .collect();
    assert_eq!(end["completion"]["text"], text.as_str());
}

#[test]
fn what_is_piped_in_goes_before_the_question() {
    let ran = user()
        .run_with(&["ask", "--dry-run", "Summarise", "this"], "the text\n")
        .ok();
    assert_eq!(
        ran.json()["request"]["messages"],
        json!([{"role": "user", "content": "the text\n\nSummarise this"}])
    );
    let ran = user()
        .run_with(&["ask", "--dry-run", "-"], "only input")
        .ok();
    assert_eq!(
        ran.json()["request"]["messages"][0]["content"],
        "only input"
    );
    user().run(&["ask"]).fails(2);
}

#[test]
fn files_go_before_the_question_as_text_or_image() {
    let user = user();
    user.file("a.txt", "some text");
    user.file("b.png", b"\x89PNG\r\n\x1a\nrest");
    let ran = user
        .run(&[
            "ask",
            "--dry-run",
            "-s",
            "Be brief",
            "-f",
            "a.txt",
            "-f",
            "b.png",
            "What?",
        ])
        .ok();
    let value = ran.json();
    assert_eq!(
        value["request"]["messages"][0],
        json!({"role": "system", "content": "Be brief"})
    );
    let parts = &value["request"]["messages"][1]["content"];
    assert_eq!(parts[0]["text"], "a.txt:\nsome text");
    assert_eq!(parts[1]["media_type"], "image/png");
    assert_eq!(parts[2]["text"], "What?");
    user.file("c.bin", b"\0\x01");
    user.run(&["ask", "--dry-run", "-f", "c.bin", "What?"])
        .fails(2);
    user.run(&["ask", "--over", "missing", "What?"]).fails(1);
    user.run(&["ask", "--dry-run", "-f", "missing", "What?"])
        .fails(1);
}

#[test]
fn a_dry_run_sends_nothing_and_shows_no_key() {
    let upstream = Upstream::new(|_, stream| answer(stream, "200 OK", "", &completion("no")));
    let user = upstream.user().with("OSSAI_API_KEY", "ossai-very-secret");
    user.file("config.json", r#"{"providers": {"openai": {"api_key": "sk-also-secret", "headers": {"x-auth": "my-secret"}}}}"#);
    let ran = user
        .run(&ask(&[
            "--config",
            "config.json",
            "--dry-run",
            "--max-tokens",
            "100",
            "hi",
        ]))
        .ok();
    let value = ran.json();
    assert_eq!(upstream.requests(), 0);
    assert!(
        !ran.out.contains("secret") && !ran.err.contains("secret"),
        "{}{}",
        ran.out,
        ran.err
    );
    assert_eq!(value["request"]["model"], "openai/gpt-6-luna");
    assert!(value["tokens"]["tokens"].as_u64().unwrap() > 0);
    assert!(value["estimate"]["high"].as_u64().unwrap() > 0);
}

#[test]
fn pieces_come_out_as_they_come_in() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::new(move |_, stream| {
        begin_stream(stream);
        piece(stream, "first ");
        wait.lock().unwrap().recv().unwrap();
        piece(stream, "second");
        end_stream(stream);
    });
    let mut child = upstream
        .user()
        .command(&ask(&["--cost", "hi"]))
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut first = [0; 6];
    out.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first ");
    go.send(()).unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "second\n");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("10 tokens in, 5 out, $0.0000035"), "{said}");
}

#[cfg(unix)]
#[test]
fn many_identical_calls_at_once_are_one_upstream_call() {
    let upstream =
        Upstream::new(|_, stream| answer(stream, "200 OK", "", &completion("One answer.")));
    let ran = upstream.user().run(&ask(&["--at-once", "50", "hi"])).ok();
    assert_eq!(ran.out, "One answer.\n");
    assert_eq!(upstream.requests(), 1);
    assert!(
        ran.err
            .contains("50 calls: 1 flights, 49 joined, 0 cache hits, 1 upstream calls"),
        "{}",
        ran.err
    );
}

#[test]
fn a_repeated_question_at_temperature_0_is_a_memory_hit() {
    let upstream =
        Upstream::new(|_, stream| answer(stream, "200 OK", "", &completion("One answer.")));
    let ran = upstream
        .user()
        .run(&ask(&["-t", "0", "--repeat", "3", "--no-stream", "hi"]))
        .ok();
    assert_eq!(
        (ran.out.as_str(), upstream.requests()),
        ("One answer.\n", 1)
    );
    assert!(ran.err.contains("cache hit, saved $"), "{}", ran.err);
    let again = upstream
        .user()
        .run(&ask(&[
            "-t",
            "0",
            "--repeat",
            "3",
            "--no-stream",
            "--no-cache",
            "hi",
        ]))
        .ok();
    assert_eq!((again.code, upstream.requests()), (0, 4));
}

#[test]
fn a_schema_reaches_the_model_from_a_file_or_inline() {
    let upstream = Upstream::new(|_, stream| answer(stream, "200 OK", "", &completion("{}")));
    let user = upstream.user();
    let schema = r#"{"type": "object", "properties": {"city": {"type": "string"}}}"#;
    user.file("schema.json", schema);
    user.run(&ask(&["--no-stream", "--schema", schema, "hi"]))
        .ok();
    user.run(&ask(&["--no-stream", "--schema", "schema.json", "hi"]))
        .ok();
    for body in upstream.bodies() {
        let sent = body.pointer("/response_format/json_schema/schema").unwrap();
        assert_eq!(*sent, serde_json::from_str::<Value>(schema).unwrap());
    }
    user.run(&ask(&["--schema", "{broken", "hi"])).fails(2);
}

#[test]
fn the_first_model_of_ollama_answers_where_it_runs() {
    let upstream = Upstream::new(|path, stream| {
        if path.ends_with("/models") {
            answer(
                stream,
                "200 OK",
                "",
                r#"{"object": "list", "data": [{"id": "tiny:1b"}, {"id": "big:70b"}]}"#,
            );
        } else {
            answer(stream, "200 OK", "", &completion("From Ollama."));
        }
    });
    let user = user().with("OLLAMA_HOST", upstream.address.clone());
    let value = user.run(&["ask", "--json", "hi"]).ok().json();
    assert_eq!(
        (&value["model"], &value["text"]),
        (&json!("ollama/tiny:1b"), &json!("From Ollama."))
    );
    let named = user
        .with("OSSAI_MODEL", "ollama/big:70b")
        .run(&["ask", "--json", "hi"])
        .ok()
        .json();
    assert_eq!(named["model"], "ollama/big:70b");
}

#[test]
fn calls_are_recorded_unless_told_otherwise() {
    let user = user();
    user.run(&["ask", "--no-record", "hi"]).ok();
    assert_eq!(
        user.run(&["usage", "--json"]).ok().json(),
        json!({"rows": []})
    );
    user.run(&["ask", "--tag", "team=search", "hi"]).ok();
    let usage = user
        .run(&["usage", "--json", "--by", "model,tag:team", "--since", "1h"])
        .ok()
        .json();
    assert_eq!(
        usage["rows"][0]["groups"],
        json!({"model": "local/extract", "tag:team": "search"})
    );
    assert_eq!(usage["rows"][0]["calls"], 1);
}
