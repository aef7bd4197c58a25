//! A local upstream that costs as little as possible, so that what is measured is the client.
//!
//! Usage: `mock [PORT]`; prints its address. It speaks as much HTTP/1.1 as OpenAI clients need, on one thread. The first
//! part of the path chooses how it answers, so that no body has to be read:
//!
//! - `/v1/…` an answer of about 900 bytes at once; `/kb/v1/…` one with 1,000 bytes of text
//! - `/tenkb/v1/…` one with 10,000 bytes of text, every word drawn anew
//! - `/slow/v1/…` the same as `/v1`, 50 ms later
//! - `/embed/v1/…` a short vector for each input, 50 ms later; of this body the inputs are counted
//! - `/burst/v1/…` a stream of 2,000 one-token events, as fast as they go
//! - `/paced/v1/…` a stream of 1,000 one-token events, one per millisecond
//! - `GET /count` the calls answered since it was last asked

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const BURST: usize = 2_000;
const PACED: usize = 1_000;
/// Requests whose head is longer are refused.
const MAX_HEAD: usize = 64 * 1024;

struct Answers {
    call: Vec<u8>,
    kilobyte: Vec<u8>,
    ten_kilobytes: Vec<u8>,
    stream_head: Vec<u8>,
    event: Vec<u8>,
    stream_end: Vec<u8>,
    burst: Vec<u8>,
}

fn completion(text: &str) -> Vec<u8> {
    let body = format!(
        "{{\"id\":\"chatcmpl-CeQ1JZ8kqv0dRAoYn7bXtL2wMhPfU\",\"object\":\"chat.completion\",\"created\":1795219200,\
         \"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\
         \"content\":\"{text}\",\"refusal\":null,\"annotations\":[]}},\"logprobs\":null,\"finish_reason\":\"stop\"}}],\
         \"usage\":{{\"prompt_tokens\":84,\"completion_tokens\":56,\"total_tokens\":140,\
         \"prompt_tokens_details\":{{\"cached_tokens\":0,\"audio_tokens\":0}},\
         \"completion_tokens_details\":{{\"reasoning_tokens\":0,\"audio_tokens\":0,\
         \"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}}},\
         \"service_tier\":\"default\",\"system_fingerprint\":\"fp_44added55e\"}}"
    );
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_8a4f0c2b7d\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn text(bytes: usize) -> String {
    "The sky is blue because air scatters short waves of light more than long ones. "
        .chars()
        .cycle()
        .take(bytes)
        .collect()
}

/// Text that compresses as prose does: words drawn by a linear congruential generator (Knuth's MMIX constants).
fn drawn(bytes: usize) -> String {
    const WORDS: [&str; 32] = [
        "the",
        "of",
        "scatter",
        "light",
        "and",
        "evening",
        "wave",
        "longer",
        "path",
        "air",
        "to",
        "a",
        "red",
        "observer",
        "molecule",
        "in",
        "short",
        "is",
        "blue",
        "horizon",
        "because",
        "more",
        "than",
        "passes",
        "through",
        "sun",
        "which",
        "when",
        "atmosphere",
        "each",
        "almost",
        "seen",
    ];
    let (mut text, mut state) = (String::new(), 1_u64);
    while text.len() < bytes {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(state >> 59).unwrap_or_default();
        text.push_str(WORDS.get(at).copied().unwrap_or_default());
        text.push(' ');
    }
    text.truncate(bytes);
    text
}

/// As many vectors as the body has inputs.
fn embeddings(body: &[u8]) -> Vec<u8> {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let inputs = body["input"].as_array().map_or(1, Vec::len);
    let data: Vec<_> = (0..inputs)
        .map(|index| serde_json::json!({"object": "embedding", "index": index, "embedding": [0.5, 0.25, 0.125]}))
        .collect();
    let body =
        serde_json::json!({"object": "list", "data": data, "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": inputs, "total_tokens": inputs}})
        .to_string();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn chunk(data: &str) -> Vec<u8> {
    let event = format!("data: {data}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}

fn delta(delta: &str, finish: &str, usage: &str) -> Vec<u8> {
    chunk(&format!(
        "{{\"id\":\"chatcmpl-CeQ1JZ8kqv0dRAoYn7bXtL2wMhPfU\",\"object\":\"chat.completion.chunk\",\"created\":1795219200,\
         \"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_44added55e\",\
         \"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}],\"usage\":{usage}}}"
    ))
}

impl Answers {
    fn new() -> Self {
        let event = delta("{\"content\":\" token\"}", "null", "null");
        let mut stream_head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req_8a4f0c2b7d\r\n\
              transfer-encoding: chunked\r\n\r\n"
            .to_vec();
        stream_head.extend(delta(
            "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}",
            "null",
            "null",
        ));
        let mut stream_end = delta(
            "{}",
            "\"stop\"",
            "{\"prompt_tokens\":84,\"completion_tokens\":2000,\"total_tokens\":2084}",
        );
        stream_end.extend(chunk("[DONE]"));
        stream_end.extend(b"0\r\n\r\n");
        let mut burst = stream_head.clone();
        for _ in 0..BURST {
            burst.extend(&event);
        }
        burst.extend(&stream_end);
        Self {
            call: completion(&text(220)),
            kilobyte: completion(&text(1_000)),
            ten_kilobytes: completion(&drawn(10_000)),
            stream_head,
            event,
            stream_end,
            burst,
        }
    }
}

/// Length of the body, or `None` when the head has none that is understood.
fn content_length(head: &[u8]) -> Option<usize> {
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"content-length") {
            return std::str::from_utf8(value.get(1..)?)
                .ok()?
                .trim()
                .parse()
                .ok();
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return None;
        }
    }
    Some(0)
}

async fn paced(socket: &mut TcpStream, answers: &Answers) -> io::Result<()> {
    socket.write_all(&answers.stream_head).await?;
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    for _ in 0..PACED {
        tick.tick().await;
        socket.write_all(&answers.event).await?;
    }
    socket.write_all(&answers.stream_end).await
}

async fn serve(
    mut socket: TcpStream,
    answers: Rc<Answers>,
    count: Rc<Cell<u64>>,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = vec![0; MAX_HEAD];
    let mut filled = 0;
    loop {
        let head_end = loop {
            if let Some(at) = memchr::memmem::find(&buffer[..filled], b"\r\n\r\n") {
                break at + 4;
            }
            if filled == buffer.len() {
                return Ok(());
            }
            match socket.read(&mut buffer[filled..]).await? {
                0 => return Ok(()),
                n => filled += n,
            }
        };
        let head = &buffer[..head_end];
        let path = head.split(|byte| *byte == b' ').nth(1).unwrap_or(b"");
        let kind = [
            &b"/v1/"[..],
            b"/kb/",
            b"/slow/",
            b"/burst/",
            b"/paced/",
            b"/count",
            b"/tenkb/",
            b"/embed/",
        ]
        .iter()
        .position(|prefix| path.starts_with(prefix));
        let Some(length) = content_length(head) else {
            let refusal =
                b"HTTP/1.1 411 Length Required\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            return socket.write_all(refusal).await;
        };
        // The body is read to its end and forgotten; what follows it is the next request.
        let mut left = length.saturating_sub(filled - head_end);
        let consumed = (head_end + length).min(filled);
        let mut body = Vec::new();
        let is_read = kind == Some(7);
        if is_read {
            body.extend_from_slice(&buffer[head_end..consumed]);
        }
        buffer.copy_within(consumed..filled, 0);
        filled -= consumed;
        while left > 0 {
            let room = left.min(buffer.len());
            match socket.read(&mut buffer[..room]).await? {
                0 => return Ok(()),
                n => {
                    left -= n;
                    if is_read {
                        body.extend_from_slice(&buffer[..n]);
                    }
                }
            }
        }
        if kind != Some(5) {
            count.set(count.get() + 1);
        }
        match kind {
            Some(0) => socket.write_all(&answers.call).await?,
            Some(1) => socket.write_all(&answers.kilobyte).await?,
            Some(2) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                socket.write_all(&answers.call).await?;
            }
            Some(3) => socket.write_all(&answers.burst).await?,
            Some(4) => paced(&mut socket, &answers).await?,
            Some(5) => {
                let body = count.replace(0).to_string();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                socket.write_all(answer.as_bytes()).await?;
            }
            Some(6) => socket.write_all(&answers.ten_kilobytes).await?,
            Some(7) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                socket.write_all(&embeddings(&body)).await?;
            }
            _ => {
                let refusal = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
                socket.write_all(refusal).await?;
            }
        }
    }
}

fn main() -> io::Result<()> {
    let port: u16 = std::env::args()
        .nth(1)
        .map_or(Ok(0), |port| port.parse())
        .map_err(|_| io::Error::other("usage: mock [PORT]"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        println!("http://{}", listener.local_addr()?);
        let (answers, count) = (Rc::new(Answers::new()), Rc::new(Cell::new(0)));
        loop {
            let (socket, _) = listener.accept().await?;
            let (answers, count) = (Rc::clone(&answers), Rc::clone(&count));
            // A connection the client drops is none of our business.
            tokio::task::spawn_local(async move {
                let _ = serve(socket, answers, count).await;
            });
        }
    })
}
