//! A provider for the tests: it does what it is told, and tells what it saw.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What it does with one request.
pub(crate) enum Act {
    /// Answers.
    Answer {
        status: u16,
        headers: String,
        body: String,
    },
    /// Sends these events and says that it is over.
    Stream(Vec<String>),
    /// Sends these events, then nothing, until the caller has gone.
    StreamAndHang(Vec<String>),
    /// Sends the first events, and when it is told to the others; then says that it is over.
    StreamThen(Vec<String>, tokio::sync::oneshot::Receiver<()>, Vec<String>),
    /// Answers when it is told to.
    Wait(tokio::sync::oneshot::Receiver<()>),
    /// Says nothing until the caller has gone.
    Hang,
}

/// What it saw.
#[derive(Debug)]
pub(crate) enum Seen {
    Request {
        head: String,
        body: Value,
    },
    /// A caller that was kept waiting went away.
    Gone,
}

pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) seen: UnboundedReceiver<Seen>,
    script: Arc<Mutex<VecDeque<Act>>>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, seen) = unbounded_channel();
        let script = Arc::<Mutex<VecDeque<Act>>>::default();
        let acts = Arc::clone(&script);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&acts), sender.clone()));
            }
        });
        Self {
            address,
            seen,
            script,
        }
    }

    /// What it does with the next request that has no act yet; without any it answers [`answer`].
    pub(crate) fn then(&self, act: Act) -> &Self {
        self.script.lock().unwrap().push_back(act);
        self
    }

    pub(crate) async fn request(&mut self) -> (String, Value) {
        match self.seen.recv().await.unwrap() {
            Seen::Request { head, body } => (head, body),
            Seen::Gone => panic!("a caller went away"),
        }
    }
}

async fn serve(
    mut socket: TcpStream,
    script: Arc<Mutex<VecDeque<Act>>>,
    seen: UnboundedSender<Seen>,
) {
    while let Some((head, body)) = read_request(&mut socket).await {
        let act = script.lock().unwrap().pop_front();
        let is_embedding = head.contains("/embeddings");
        let _ = seen.send(Seen::Request { head, body });
        let whole = |status: u16, headers: &str, body: &str| {
            format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let text = match act {
            None if is_embedding => whole(200, "", &vectors().to_string()),
            None => whole(200, "", &answer().to_string()),
            Some(Act::Answer {
                status,
                headers,
                body,
            }) => whole(status, &headers, &body),
            Some(Act::Wait(told)) => {
                let _ = told.await;
                whole(200, "", &answer().to_string())
            }
            Some(Act::Stream(events)) => sse(&events, "data: [DONE]\n\n") + "0\r\n\r\n",
            Some(Act::StreamThen(first, told, rest)) => {
                let _ = socket.write_all(sse(&first, "").as_bytes()).await;
                let _ = told.await;
                let whole = sse(&rest, "data: [DONE]\n\n");
                let (_, body) = whole.split_once("\r\n\r\n").unwrap();
                format!("{body}0\r\n\r\n")
            }
            Some(Act::StreamAndHang(events)) => {
                let _ = socket.write_all(sse(&events, "").as_bytes()).await;
                return wait_until_gone(socket, &seen).await;
            }
            Some(Act::Hang) => return wait_until_gone(socket, &seen).await,
        };
        if socket.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn wait_until_gone(mut socket: TcpStream, seen: &UnboundedSender<Seen>) {
    let mut byte = [0];
    while matches!(socket.read(&mut byte).await, Ok(n) if n > 0) {}
    let _ = seen.send(Seen::Gone);
}

fn sse(events: &[String], end: &str) -> String {
    let body: String = events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .chain([end.to_owned()])
        .collect();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n",
        body.len()
    )
}

async fn read_request(socket: &mut TcpStream) -> Option<(String, Value)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length:")?
                        .trim()
                        .parse()
                        .ok()
                })
                .unwrap_or(0);
            if body.len() >= length {
                return Some((
                    head.to_owned(),
                    serde_json::from_str(body).unwrap_or(Value::Null),
                ));
            }
        }
        match socket.read(&mut buffer).await {
            Ok(n) if n > 0 => bytes.extend_from_slice(&buffer[..n]),
            _ => return None,
        }
    }
}

/// An answer of `gpt-4o-mini`: 1000 tokens in, 100 out.
pub(crate) fn answer() -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    })
}

pub(crate) fn vectors() -> Value {
    json!({
        "object": "list", "model": "text-embedding-3-small",
        "data": [{"object": "embedding", "index": 0, "embedding": [1.0, 0.5]}],
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    })
}

pub(crate) fn chunk(content: &str) -> String {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": null}],
    })
    .to_string()
}

/// A good stream of `Hello.` in two pieces, with usage.
pub(crate) fn good_stream() -> Vec<String> {
    vec![
        chunk("Hel"),
        chunk("lo."),
        json!({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}).to_string(),
        json!({"id": "chatcmpl-1", "choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}}).to_string(),
    ]
}

pub(crate) fn failure(status: u16, headers: &str) -> Act {
    let body = json!({"error": {"message": "it broke", "type": "server_error", "param": null, "code": null}});
    Act::Answer {
        status,
        headers: headers.into(),
        body: body.to_string(),
    }
}
