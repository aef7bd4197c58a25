//! Runs the binary as a user would, with an empty home and none of the tester's own keys, and a scripted HTTP server.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// What a run left.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.err))
    }

    pub fn lines(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub fn fails(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self
    }
}

/// A user: a home, and what is in the environment.
pub struct User {
    pub home: tempfile::TempDir,
    env: Vec<(String, String)>,
}

pub fn user() -> User {
    User {
        home: tempfile::tempdir().unwrap(),
        env: Vec::new(),
    }
}

impl User {
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Writes a file beneath the home, which is also the working folder.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ossai"));
        command
            .args(args)
            .env_clear()
            .current_dir(self.home.path())
            .env("HOME", self.home.path());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "")
    }

    pub fn run_with(&self, args: &[&str], stdin: impl AsRef<[u8]>) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        let (mut input, bytes) = (child.stdin.take().unwrap(), stdin.as_ref().to_vec());
        let writer = std::thread::spawn(move || drop(input.write_all(&bytes)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// What the scripted server answers to a request's path.
pub type Script = dyn Fn(&str, &mut TcpStream) + Send + Sync;

/// A server on a free port that answers every request by a script and closes.
pub struct Upstream {
    pub address: String,
    requests: Arc<AtomicUsize>,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    pub fn new(script: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (requests, bodies) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(Mutex::new(Vec::new())),
        );
        let script: Arc<Script> = Arc::new(script);
        let (counted, kept) = (Arc::clone(&requests), Arc::clone(&bodies));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, counted, kept) =
                    (Arc::clone(&script), Arc::clone(&counted), Arc::clone(&kept));
                std::thread::spawn(move || {
                    let mut stream = stream;
                    let Some((path, body)) = read_request(&stream) else {
                        return;
                    };
                    counted.fetch_add(1, Ordering::SeqCst);
                    kept.lock().unwrap().push(body);
                    script(&path, &mut stream);
                });
            }
        });
        Self {
            address,
            requests,
            bodies,
        }
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub fn bodies(&self) -> Vec<Value> {
        self.bodies
            .lock()
            .unwrap()
            .iter()
            .map(|body| serde_json::from_str(body).unwrap())
            .collect()
    }

    /// A user with an OpenAI key for this server.
    pub fn user(&self) -> User {
        user()
            .with("OPENAI_API_KEY", "sk-very-secret")
            .with("OPENAI_BASE_URL", format!("http://{}/v1", self.address))
    }
}

fn read_request(stream: &TcpStream) -> Option<(String, String)> {
    let mut reader = BufReader::new(stream);
    let (mut path, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if path.is_empty() {
            path = line.split(' ').nth(1)?.to_owned();
        } else if line.is_empty() {
            break;
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, String::from_utf8(body).ok()?))
}

pub fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &str) {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n"
    );
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body.as_bytes()));
}

/// An OpenAI chat answer.
pub fn completion(text: &str) -> String {
    serde_json::json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_790_000_000, "model": "gpt-6-luna",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    })
    .to_string()
}

/// Begins an event stream that is not ended.
pub fn begin_stream(stream: &mut TcpStream) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let _ = stream.write_all(head.as_bytes());
}

/// One piece of text of an event stream.
pub fn piece(stream: &mut TcpStream, text: &str) {
    let event = serde_json::json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "gpt-6-luna",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}],
    });
    let _ = stream
        .write_all(format!("data: {event}\n\n").as_bytes())
        .and_then(|()| stream.flush());
}

/// The end of an event stream.
pub fn end_stream(stream: &mut TcpStream) {
    let event = serde_json::json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "gpt-6-luna",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    });
    let _ = stream.write_all(format!("data: {event}\n\ndata: [DONE]\n\n").as_bytes());
}

#[cfg(unix)]
pub fn signal(pid: u32, name: &str) {
    // The shell's own `kill`: slim images have no other.
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// `ossai serve` on a free port.
#[cfg(unix)]
pub struct Served {
    child: std::process::Child,
    pub address: String,
}

#[cfg(unix)]
pub fn serve(user: &User, args: &[&str]) -> Served {
    let mut child = user
        .command(&[&["serve", "--bind", "127.0.0.1:0"], args].concat())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = line.trim_end().strip_prefix("http://").unwrap().to_owned();
    Served { child, address }
}

#[cfg(unix)]
impl Served {
    /// SIGTERM, and the exit code.
    pub fn end(self) -> Option<i32> {
        signal(self.child.id(), "TERM");
        self.child.wait_with_output().unwrap().status.code()
    }
}
