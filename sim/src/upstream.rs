//! An upstream that speaks just enough Chat Completions, fails on command, and remembers what it did for each call.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::http::Request;

/// What it does with the next requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Answers.
    Well,
    /// 429 with `retry-after: 1`.
    Throttling,
    /// 500.
    Failing,
    /// Never answers.
    Silent,
}

const MOODS: [Mood; 4] = [Mood::Well, Mood::Throttling, Mood::Failing, Mood::Silent];

/// What was done for one call.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// When its requests came.
    pub requests: Vec<Instant>,
    /// Whole answers sent.
    pub answered: u32,
    /// The idempotency keys its requests carried.
    pub keys: Vec<String>,
}

#[derive(Debug, Default)]
struct Shared {
    mood: AtomicUsize,
    delay_ms: AtomicU64,
    /// Tokens of input and output every answer says it used.
    usage: Mutex<(u64, u64)>,
    calls: Mutex<HashMap<String, Record>>,
}

/// A running upstream; it ends with the runtime, or when it is told to.
#[derive(Clone, Debug)]
pub struct Upstream {
    address: SocketAddr,
    task: AbortHandle,
    shared: Arc<Shared>,
}

impl Upstream {
    /// Listens on a free port of this machine, with room for a thousand connections at once.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(4096)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            usage: Mutex::new((9, 9)),
            ..Shared::default()
        });
        let task = tokio::spawn(accept(listener, shared.clone())).abort_handle();
        Ok(Self {
            address,
            task,
            shared,
        })
    }

    /// Closes its port and every connection.
    pub fn end(&self) {
        self.task.abort();
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what it does.
    pub fn set(&self, mood: Mood) {
        let index = MOODS.iter().position(|m| *m == mood).unwrap_or(0);
        self.shared.mood.store(index, Ordering::Release);
    }

    /// How long it thinks before each answer.
    pub fn set_delay(&self, delay: Duration) {
        let ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.shared.delay_ms.store(ms, Ordering::Release);
    }

    /// What every answer says it used.
    pub fn set_usage(&self, input: u64, output: u64) {
        *self
            .shared
            .usage
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = (input, output);
    }

    /// What was done for each call so far, by the call's name; the memory of it is cleared.
    #[must_use]
    pub fn take(&self) -> HashMap<String, Record> {
        std::mem::take(
            &mut *self
                .shared
                .calls
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

impl Shared {
    fn record(&self, call: &str, change: impl FnOnce(&mut Record)) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        change(calls.entry(call.to_owned()).or_default());
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = open.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let shared = shared.clone();
        open.spawn(async move {
            // A client that leaves is no fault of the upstream's.
            let _ = serve(stream, &shared).await;
        });
    }
}

struct Asked {
    call: String,
    key: String,
    stream: bool,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let body = &request.body;
        let call = body.find("call-").map_or("", |at| {
            let rest = &body[at..];
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                .unwrap_or(rest.len());
            &rest[..end]
        });
        Self {
            call: call.to_owned(),
            key: request
                .header("idempotency-key")
                .unwrap_or_default()
                .to_owned(),
            stream: body.contains("\"stream\":true"),
        }
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = Request::read(&mut stream).await? {
        let request = Asked::of(&request);
        shared.record(&request.call, |record| {
            record.requests.push(Instant::now());
            record.keys.push(request.key.clone());
        });
        let delay = shared.delay_ms.load(Ordering::Acquire);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        let mood = MOODS[shared.mood.load(Ordering::Acquire)];
        let (status, extra, body) = match mood {
            Mood::Well => {
                let usage = *shared.usage.lock().unwrap_or_else(PoisonError::into_inner);
                ("200 OK", "", answer(&request, usage))
            }
            Mood::Throttling => (
                "429 Too Many Requests",
                "retry-after: 1\r\n",
                r#"{"error":{"message":"slow down","type":"rate_limit_error"}}"#.to_owned(),
            ),
            Mood::Failing => (
                "500 Internal Server Error",
                "",
                r#"{"error":{"message":"oh","type":"server_error"}}"#.to_owned(),
            ),
            Mood::Silent => std::future::pending().await,
        };
        let kind = match (request.stream, mood) {
            (true, Mood::Well) => "text/event-stream",
            _ => "application/json",
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{extra}content-length: {}\r\n\r\n",
            body.len()
        );
        stream
            .get_mut()
            .write_all((head + &body).as_bytes())
            .await?;
        if mood == Mood::Well {
            shared.record(&request.call, |record| record.answered += 1);
        }
    }
    Ok(())
}

/// The text every right answer has.
#[must_use]
pub fn answer_to(call: &str) -> String {
    format!("one two three: the answer to {call}")
}

fn answer(request: &Asked, (input, output): (u64, u64)) -> String {
    let text = answer_to(&request.call);
    let total = input + output;
    let usage = format!(
        r#"{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{total}}}"#
    );
    if !request.stream {
        return format!(
            r#"{{"id":"c","object":"chat.completion","created":1,"model":"gpt-4o-mini","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{usage}}}"#
        );
    }
    let chunk = |delta: &str, finish: &str| {
        format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-4o-mini\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{delta}\"}},\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    let mut body: String = text
        .split_inclusive(' ')
        .map(|word| chunk(word, "null"))
        .collect();
    body += &chunk("", "\"stop\"");
    body += &format!(
        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-4o-mini\",\"choices\":[],\"usage\":{usage}}}\n\ndata: [DONE]\n\n"
    );
    body
}
