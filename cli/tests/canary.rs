//! What must not be seen is not: a provider's key, a caller's key and a prompt that can be told apart, looked for in
//! everything the command and the server write anywhere, while the provider answers, refuses, garbles and fails.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Upstream, User, answer, completion, signal};
use serde_json::json;

const KEY: &str = "sk-canary7f3aKEY";
const PROMPT: &str = "canary-prompt-91c2";

/// How the provider behaves: it repeats the key in its errors, as careless servers do, and the prompt in its garbage.
const MODES: [&str; 4] = ["answers", "refuses", "garbles", "fails"];

fn provider(mode: &Arc<AtomicUsize>) -> Upstream {
    let mode = Arc::clone(mode);
    Upstream::new(move |_, stream| {
        let said = json!({"error": {"message": format!("Incorrect API key provided: {KEY}"), "type": "x"}});
        match MODES[mode.load(Ordering::SeqCst)] {
            "answers" => answer(stream, "200 OK", "", &completion("Fine.")),
            "refuses" => answer(stream, "401 Unauthorized", "", &said.to_string()),
            "garbles" => answer(stream, "200 OK", "", &format!("{{\"{PROMPT}\": {KEY}")),
            _ => answer(stream, "500 Internal Server Error", "", &said.to_string()),
        }
    })
}

#[track_caller]
fn clean(place: &str, bytes: &[u8], canaries: &[&str]) {
    for canary in canaries {
        let found = bytes.windows(canary.len()).any(|w| w == canary.as_bytes());
        let shown = String::from_utf8_lossy(bytes);
        assert!(
            !found,
            "{canary} is in {place}: {}",
            shown.chars().take(2000).collect::<String>()
        );
    }
}

/// Every file beneath a folder.
fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.is_file() {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

fn http(address: &str, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

fn post(address: &str, key: &str, stream: bool) -> Vec<u8> {
    let body = json!({"model": "openai/gpt-6-luna", "stream": stream, "messages": [{"role": "user", "content": PROMPT}]});
    let body = body.to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    http(address, &head)
}

fn ask(user: &User, more: &[&str]) -> Vec<u8> {
    let ran = user.run(&[&["ask", "-m", "openai/gpt-6-luna", PROMPT], more].concat());
    format!("{}\n{}", ran.out, ran.err).into_bytes()
}

#[test]
fn neither_keys_nor_prompts_are_in_anything_the_command_or_the_server_writes() {
    let mode = Arc::new(AtomicUsize::new(0));
    let upstream = provider(&mode);
    let home = upstream.user().with("OPENAI_API_KEY", KEY);
    let temporary = home.file("tmp/.keep", "");
    let temporary = temporary.parent().unwrap().display().to_string();
    let user = home
        .with("TMPDIR", temporary)
        .with("OSSAI_DATA_DIR", "data");
    let created = user.run(&["keys", "create", "--tenant", "team-a"]).ok().out;
    let own = created.trim_end().to_owned();
    let secret = own.rsplit('_').next().unwrap().to_owned();
    let canaries = [KEY, PROMPT, secret.as_str()];

    let mut child = user
        .command(&[
            "serve",
            "--bind",
            "127.0.0.1:0",
            "--require-keys",
            "--log-level",
            "trace",
        ])
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line.trim_end().strip_prefix("http://").unwrap().to_owned();
    let mut log = child.stderr.take().unwrap();
    let log = std::thread::spawn(move || {
        let mut lines = Vec::new();
        log.read_to_end(&mut lines).map(|_| lines)
    });

    let mut seen = 0;
    for (n, name) in MODES.iter().enumerate() {
        mode.store(n, Ordering::SeqCst);
        let over = ["--endpoint", &address, "--api-key", &own];
        let json_over = [&["--json"], &over[..]].concat();
        for (how, said) in [
            ("ask", ask(&user, &[])),
            ("ask --json", ask(&user, &["--json"])),
            ("ask --stream", ask(&user, &["--stream"])),
            ("ask over gRPC", ask(&user, &over)),
            ("ask --json over gRPC", ask(&user, &json_over)),
            ("HTTP", post(&address, &own, false)),
            ("HTTP stream", post(&address, &own, true)),
            (
                "HTTP with another key",
                post(&address, &format!("{own}x"), false),
            ),
        ] {
            assert!(!said.is_empty());
            seen += 1;
            clean(
                &format!("{how} while the provider {name}"),
                &said,
                &canaries,
            );
        }
    }
    assert_eq!(seen, 32);
    assert!(upstream.requests() >= 24, "{}", upstream.requests());
    for path in ["/metrics", "/v1/models", "/readyz"] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {own}\r\nconnection: close\r\n\r\n"
        );
        let said = http(&address, &request);
        assert!(
            said.starts_with(b"HTTP/1.1 200"),
            "{path}: {}",
            String::from_utf8_lossy(&said)
        );
        clean(path, &said, &canaries);
    }
    for args in [
        &["doctor"][..],
        &["usage", "--json"],
        &["keys", "list"],
        &["models", "--json"],
    ] {
        let ran = user.run(args);
        clean(
            args[0],
            format!("{}\n{}", ran.out, ran.err).as_bytes(),
            &canaries,
        );
    }
    signal(child.id(), "TERM");
    child.wait().unwrap();
    let log = log.join().unwrap().unwrap();
    assert!(
        String::from_utf8_lossy(&log).contains("gpt-6-luna"),
        "nothing was logged"
    );
    clean("the log", &log, &canaries);

    let mut kept = Vec::new();
    files(user.home.path(), &mut kept);
    assert!(
        kept.iter().any(|(name, _)| name.contains("data")),
        "{:?}",
        kept.len()
    );
    for (name, bytes) in &kept {
        clean(name, bytes, &canaries);
    }
}
