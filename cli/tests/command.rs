//! What the command promises to scripts: exit codes, stable output, and that it works with nothing configured.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs `ossai` with a clean environment and this input.
fn ossai(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ossai"))
        .args(arguments)
        .env_clear()
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    // A command that does not read its input may have ended already.
    let _ = child
        .stdin
        .take()
        .map(|mut stdin| stdin.write_all(input.as_bytes()));
    child.wait_with_output().expect("the command ends")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}{}", stdout(output), stderr(output)))
}

#[test]
fn a_piped_count_is_a_bare_number() {
    let output = ossai(&["count"], "hello world");
    assert_eq!(
        (stdout(&output).as_str(), output.status.code()),
        ("2\n", Some(0))
    );
}

#[test]
fn a_count_in_json_has_files_total_and_encoding() {
    let report = json(&ossai(
        &["count", "--json", "-e", "cl100k_base"],
        "<|endoftext|>",
    ));
    assert_eq!(report["encoding"], "cl100k_base");
    assert_eq!(report["exact"], true);
    assert_eq!(report["files"][0]["path"], "-");
    assert_eq!(report["total"], report["files"][0]["tokens"]);
    assert!(
        report["total"].as_u64() > Some(1),
        "a special token in text is ordinary text"
    );
}

#[test]
fn folders_are_read_as_git_sees_them_and_binary_files_are_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let write =
        |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("a file");
    std::fs::create_dir(folder.path().join(".git")).expect("a folder");
    write(".gitignore", b"ignored.txt\n");
    write("ignored.txt", b"not counted");
    write("kept.txt", b"hello world");
    write("binary.bin", b"\0\0");
    let report = json(&ossai(
        &["count", "--json", &folder.path().display().to_string()],
        "",
    ));
    let names: Vec<_> = report["files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|file| file["path"].as_str())
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(names[0].is_some_and(|name| Path::new(name).ends_with("kept.txt")));
    assert_eq!(report["skipped"][0]["why"], "binary");
}

#[test]
fn truncate_encode_decode_and_fits_agree() {
    assert_eq!(
        stdout(&ossai(&["count", "-t", "1"], "hello world")),
        "hello"
    );
    let numbers = stdout(&ossai(&["count", "--encode"], "hello world"));
    assert_eq!(
        stdout(&ossai(&["count", "--decode"], &numbers)),
        "hello world"
    );
    assert_eq!(
        ossai(&["count", "--fits", "2"], "hello world")
            .status
            .code(),
        Some(0)
    );
    assert_eq!(
        ossai(&["count", "--fits", "1"], "hello world")
            .status
            .code(),
        Some(1)
    );
}

#[test]
fn a_question_over_files_is_answered_offline_with_its_source() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(
        folder.path().join("tea.md"),
        "# Tea\n\nGreen tea is steeped at eighty degrees.\n",
    )
    .expect("a file");
    let output = ossai(
        &[
            "ask",
            "--over",
            &folder.path().display().to_string(),
            "How hot is green tea steeped?",
        ],
        "",
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let answer = stdout(&output);
    assert!(
        answer.contains("eighty degrees") && answer.contains("tea.md"),
        "{answer}"
    );
    assert!(
        stderr(&output).contains("local/extract"),
        "it says which model answers"
    );
}

#[test]
fn an_answer_in_json_has_the_public_shape() {
    let answer = json(&ossai(
        &["ask", "-m", "local/extract", "--json", "What is tea?"],
        "Tea is a drink.",
    ));
    assert_eq!(answer["finish_reason"], "stop");
    assert_eq!(answer["cost"]["total"], 0);
    assert!(answer["usage"]["input_tokens"].as_u64() > Some(0));
}

#[test]
fn a_dry_run_sends_nothing_and_hides_keys() {
    let output = Command::new(env!("CARGO_BIN_EXE_ossai"))
        .args(["ask", "--dry-run", "-m", "openai/gpt-4o", "hi"])
        .env_clear()
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .env("OPENAI_API_KEY", "sk-canary-4711")
        .env("OSSAI_API_KEY", "ossai-canary-4711")
        .stdin(Stdio::null())
        .output()
        .expect("the command ends");
    assert_eq!(json(&output)["tokens"]["tokens"], 8);
    assert!(!stdout(&output).contains("canary") && !stderr(&output).contains("canary"));
}

#[test]
fn what_is_wrong_has_its_exit_code() {
    for (arguments, code, says) in [
        (&["ask", "-m", "nowhere/model", "hi"][..], 1, "nowhere"),
        (&["ask", "-m", "nothing", "hi"], 2, "provider/model"),
        (&["ask"], 2, "expected a question"),
        (
            &["ask", "-m", "openai/gpt-4o", "--max-cost", "0.0001", "hi"],
            3,
            "max_cost",
        ),
        (&["ask", "-m", "openai/gpt-4o", "hi"], 1, "OPENAI_API_KEY"),
        (&["count", "/no/such/file"], 1, "no such file"),
        (&["count", "--encoding", "none"], 2, "o200k_base"),
        (&["frobnicate"], 2, "frobnicate"),
    ] {
        let output = ossai(arguments, "");
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(says),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn an_unknown_price_is_unknown_and_never_nothing() {
    let table = stdout(&ossai(&["cost", "-m", "foo/bar,openai/gpt-4o"], "hello"));
    let row = table
        .lines()
        .find(|line| line.starts_with("foo/bar"))
        .expect("a row");
    assert!(row.contains("unknown") && !row.contains("$0"), "{row}");
}

#[test]
fn a_key_is_shown_once_and_listed_without_its_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().display().to_string();
    let key = stdout(&ossai(
        &["keys", "create", "--tenant", "acme", "--data-dir", &data],
        "",
    ));
    assert!(key.starts_with("ossai_"), "{key}");
    let list = stdout(&ossai(&["keys", "list", "--data-dir", &data], ""));
    assert!(
        list.contains("acme") && !list.contains(key.trim()),
        "{list}"
    );
}
