//! How `ossai ask` ends when there is no whole answer.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};

use common::{Upstream, answer, begin_stream, completion, end_stream, piece, user};
use serde_json::{Value, json};

const MODEL: &[&str] = &["-m", "openai/gpt-6-luna"];

fn ask<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["ask"], MODEL, args].concat()
}

#[test]
fn an_interrupt_ends_the_stream_says_what_was_used_and_records_it() {
    let upstream = Upstream::new(|_, stream| {
        begin_stream(stream);
        piece(stream, "once upon a time");
        // Until the client closes the connection.
        let _ = stream.read(&mut [0; 1]);
    });
    let user = upstream.user();
    let mut child = user.command(&ask(&["hi"])).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut text = [0; 16];
    out.read_exact(&mut text).unwrap();
    common::signal(child.id(), "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("interrupted after about") && said.contains("4 out"),
        "{said}"
    );
    let usage = user
        .run(&["usage", "--json", "--by", "model,outcome"])
        .ok()
        .json();
    assert_eq!(
        usage["rows"][0]["groups"],
        json!({"model": "openai/gpt-6-luna", "outcome": "cancelled"})
    );
    assert_eq!(usage["rows"][0]["usage"]["output_tokens"], 4);
}

#[test]
fn refusals_for_money_exit_with_3_before_anything_is_sent() {
    let upstream = Upstream::new(|_, stream| answer(stream, "200 OK", "", &completion("no")));
    let user = upstream.user();
    let ran = user.run(&ask(&["--max-cost", "0.000001", "hi"])).fails(3);
    assert!(
        ran.err.contains("budget_exceeded") && ran.out.is_empty(),
        "{}",
        ran.err
    );
    let ran = user
        .run(&[
            "ask",
            "-m",
            "openai/of-unknown-price",
            "--max-cost",
            "1",
            "hi",
        ])
        .fails(3);
    assert!(ran.err.contains("price_unknown"), "{}", ran.err);
    assert_eq!(upstream.requests(), 0);
    user.run(&ask(&[
        "--max-cost",
        "1",
        "--max-tokens",
        "10",
        "--no-stream",
        "hi",
    ]))
    .ok();
}

#[test]
fn the_vendor_s_refusals_have_their_exit_codes_and_say_what_to_do() {
    let error =
        r#"{"error": {"message": "Slow down", "type": "requests", "code": "rate_limit_exceeded"}}"#;
    let upstream = Upstream::new(move |_, stream| {
        answer(
            stream,
            "429 Too Many Requests",
            "retry-after: 3600\r\n",
            error,
        )
    });
    let ran = upstream.user().run(&ask(&["hi"])).fails(4);
    assert!(
        ran.err.contains("rate_limited") && ran.err.contains("try again in 3600 s"),
        "{}",
        ran.err
    );

    let error = r#"{"error": {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"}}"#;
    let upstream =
        Upstream::new(move |_, stream| answer(stream, "429 Too Many Requests", "", error));
    upstream.user().run(&ask(&["hi"])).fails(3);

    let error =
        r#"{"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}"#;
    let upstream = Upstream::new(move |_, stream| answer(stream, "401 Unauthorized", "", error));
    let ran = upstream.user().run(&ask(&["hi"])).fails(1);
    assert!(
        ran.err.contains("check the provider's key variable"),
        "{}",
        ran.err
    );
    assert!(!ran.err.contains("very-secret"));

    let error = r#"{"error": {"message": "The model does not exist", "code": "model_not_found"}}"#;
    let upstream = Upstream::new(move |_, stream| answer(stream, "404 Not Found", "", error));
    let ran = upstream
        .user()
        .run(&["ask", "--json", "-m", "openai/nothing", "hi"])
        .fails(1);
    let said: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(
        (&said["error"]["kind"], &said["error"]["http_status"]),
        (&json!("not_found"), &json!(404))
    );
}

#[test]
fn a_model_without_provider_or_of_an_unknown_one_is_explained() {
    let ran = user().run(&["ask", "-m", "gpt-5-mini", "hi"]).fails(2);
    assert!(ran.err.contains("perhaps openai/gpt-5-mini"), "{}", ran.err);
    let ran = user().run(&["ask", "-m", "nowhere/model", "hi"]).fails(1);
    assert!(ran.err.contains("no provider `nowhere`"), "{}", ran.err);
    let ran = user()
        .run(&["ask", "-m", "openai/gpt-6-luna", "hi"])
        .fails(1);
    assert!(ran.err.contains("OPENAI_API_KEY"), "{}", ran.err);
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let upstream = Upstream::new(|_, stream| {
        begin_stream(stream);
        for _ in 0..50 {
            piece(stream, &"words and words ".repeat(400));
        }
        end_stream(stream);
    });
    let mut child = upstream.user().command(&ask(&["hi"])).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap().as_str()
        ),
        (Some(0), "")
    );
}

#[test]
fn input_that_is_not_text_is_refused() {
    let mut child = user()
        .command(&["ask", "hi"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"\xff\xfe").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("not UTF-8")
    );
}
