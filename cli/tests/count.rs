//! What `ossai count` promises.
#![allow(clippy::unwrap_used)]

mod common;

use common::user;
use serde_json::json;

#[test]
fn one_text_into_a_pipe_is_a_bare_number() {
    let user = user();
    assert_eq!(user.run_with(&["count"], "hello world").ok().out, "2\n");
    assert_eq!(
        user.run_with(&["count", "-"], "hello world").ok().out,
        "2\n"
    );
    user.file("a.txt", "hello world");
    assert_eq!(user.run(&["count", "a.txt"]).ok().out, "2\n");
    assert_eq!(user.run(&["count"]).ok().out, "0\n");
}

#[test]
fn json_has_one_stable_form() {
    let user = user();
    user.file("t/a.txt", "hello world");
    user.file("t/b.bin", b"\0\x01");
    user.file("t/c.txt", b"\xff\xfe");
    let value = user.run(&["count", "--json", "t"]).ok().json();
    assert_eq!(
        value,
        json!({
            "total": 2,
            "files": [{"path": "t/a.txt", "tokens": 2, "bytes": 11}],
            "skipped": [{"path": "t/b.bin", "why": "binary"}, {"path": "t/c.txt", "why": "not UTF-8"}],
            "encoding": "o200k_base",
            "exact": true,
        })
    );
    let lines = user.run(&["count", "--jsonl", "t"]).ok().lines();
    assert_eq!(
        lines,
        [json!({"path": "t/a.txt", "tokens": 2, "bytes": 11})]
    );
}

#[test]
fn counts_are_those_of_the_published_encodings() {
    // Numbers of tiktoken 0.14.
    let text = "The café costs 12345 €, 日本語 🙂\n\n  fn main() {\n        go()\n}\t";
    for (encoding, tokens) in [
        ("o200k_base", 20),
        ("cl100k_base", 23),
        ("p50k_base", 28),
        ("r50k_base", 34),
    ] {
        let value = user()
            .run_with(&["count", "--json", "-e", encoding], text)
            .ok()
            .json();
        assert_eq!(
            (&value["total"], &value["encoding"]),
            (&json!(tokens), &json!(encoding))
        );
    }
}

#[test]
fn names_of_special_tokens_are_ordinary_text() {
    let ran = user()
        .run_with(&["count", "--encode"], "a<|endoftext|>")
        .ok();
    assert_eq!(ran.out, "64 27 91 419 1440 919 91 29\n");
}

#[test]
fn text_goes_to_numbers_and_back() {
    let user = user();
    let text = "  naïve 🙂 <|endoftext|>\n\tcode();";
    let ids = user.run_with(&["count", "--encode"], text).ok().out;
    assert_eq!(user.run_with(&["count", "--decode"], &ids).ok().out, text);
    let json = user
        .run_with(&["count", "--encode", "--json"], text)
        .ok()
        .json();
    assert_eq!(
        user.run_with(&["count", "--decode"], json["tokens"].to_string())
            .ok()
            .out,
        text
    );
    user.run_with(&["count", "--decode"], "1 two").fails(2);
    user.run_with(&["count", "--decode"], "4000000000").fails(2);
}

#[test]
fn a_cut_text_is_the_longest_that_fits_and_unchanged() {
    let ran = user()
        .run_with(&["count", "-t", "2"], "hello world again")
        .ok();
    assert_eq!(ran.out, "hello world");
    let escapes = "\x1b[31mred\x1b[0m";
    assert_eq!(
        user().run_with(&["count", "-t", "1000"], escapes).ok().out,
        escapes
    );
}

#[test]
fn fitting_is_told_by_the_exit_code_alone() {
    let fits = user()
        .run_with(&["count", "--fits", "2"], "hello world")
        .ok();
    let over = user()
        .run_with(&["count", "--fits", "1"], "hello world")
        .fails(1);
    assert_eq!((fits.out + &fits.err + &over.out + &over.err).as_str(), "");
}

#[test]
fn folders_are_read_as_git_sees_them() {
    let user = user();
    user.file("t/.gitignore", "skipped/\n*.log\n");
    user.file("t/skipped/a.txt", "no");
    user.file("t/a.log", "no");
    user.file("t/.hidden", "no");
    user.file("t/deep/er/a.txt", "hello");
    user.file("t/b.txt", "hello world");
    let ran = user.run(&["count", "t"]).ok();
    assert_eq!(
        ran.out,
        "           2  t/b.txt\n           1  t/deep/er/a.txt\n           3  total (2 files)\n"
    );
    assert_eq!(
        ran.err, "",
        "no progress bar and no notice where nobody looks"
    );
    assert_eq!(
        user.run(&["count", "t/a.log"]).ok().out,
        "1\n",
        "a file that is named is counted"
    );
}

#[test]
fn a_tree_counted_on_all_cores_is_the_sum_of_its_files() {
    let user = user();
    let mut sum = 0;
    for n in 0..300 {
        let text = "hello world ".repeat(n % 7) + "end";
        sum += user_count(&text);
        user.file(&format!("t/{}/{n}.txt", n % 10), &text);
    }
    let value = user.run(&["count", "--json", "t"]).ok().json();
    assert_eq!(value["total"], sum);
    let paths: Vec<&str> = value["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert!(paths.len() == 300 && paths.is_sorted());
}

fn user_count(text: &str) -> u64 {
    ossai::tokens::Encoding::get("o200k_base")
        .unwrap()
        .count(text) as u64
}

#[test]
fn a_named_file_that_is_no_text_is_a_failure() {
    let user = user();
    user.file("a.bin", b"\0");
    let ran = user.run(&["count", "a.bin"]).fails(1);
    assert_eq!(
        (ran.out.as_str(), ran.err.as_str()),
        ("", "a.bin: not counted: binary\n")
    );
}

#[test]
fn wrong_arguments_say_what_was_expected() {
    let ran = user().run(&["count", "missing.txt"]).fails(1);
    assert!(ran.err.contains("missing.txt: no such file"), "{}", ran.err);
    let ran = user().run_with(&["count", "-e", "o300k"], "a").fails(2);
    assert!(
        ran.err.contains("expected one of o200k_base"),
        "{}",
        ran.err
    );
    user().run(&["count", "--truncate", "x"]).fails(2);
    user().run(&["count", "--encode", "--decode"]).fails(2);
    user()
        .run_with(
            &["count", "-m", "anthropic/claude-haiku-5-5", "--encode"],
            "a",
        )
        .fails(2);
}

#[test]
fn a_model_s_own_encoding_counts_and_an_estimate_says_so() {
    let old = user()
        .run_with(&["count", "-m", "gpt-4", "--json"], "hello world")
        .ok()
        .json();
    assert_eq!(
        (&old["encoding"], &old["exact"]),
        (&json!("cl100k_base"), &json!(true))
    );
    let text = "A sentence of some length. ".repeat(100);
    let claude = user()
        .run_with(
            &["count", "-m", "anthropic/claude-haiku-5-5", "--json"],
            &text,
        )
        .ok()
        .json();
    let n = |name: &str| claude[name].as_u64().unwrap();
    assert_eq!(claude["exact"], false);
    assert!(n("low") < n("total") && n("total") < n("high"), "{claude}");
}
