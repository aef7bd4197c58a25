//! Calls that real processes share through a real Redis: one stream from the upstream for two processes, and another one
//! only when the process that had it is killed (`kill -9`) half-way, or Redis is away.
//!
//! `--redis-server PATH`. The processes are this program with `--ask PROMPT --redis URL --upstream URL`: each streams one
//! completion and prints a line for each piece, and `done`, where it came from, and the whole.

use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ossai::{Client, CompletionRequest, Config, StreamEvent};
use serde_json::json;
use sim::arguments::text;
use sim::redis::Redis;
use sim::roads::Failed;
use sim::tally::check;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};

/// Pieces of an answer, and the time between two.
const PIECES: usize = 20;
const PACE: Duration = Duration::from_millis(100);
/// How long a dead process is waited for, the rest of a stream, and room for a busy machine.
const HANDED_OVER: Duration = Duration::from_secs(12);

/// When streams were asked for.
type Streams = Arc<Mutex<Vec<Instant>>>;

fn count(streams: &Streams) -> usize {
    let streams = streams.lock().unwrap_or_else(PoisonError::into_inner);
    streams.len()
}

/// Streams [`PIECES`] pieces to everybody who asks.
async fn upstream() -> Result<(String, Streams), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    let streams = Streams::default();
    let asked = Arc::clone(&streams);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&asked)));
        }
    });
    Ok((url, streams))
}

async fn answer(stream: TcpStream, asked: Streams) -> Result<(), std::io::Error> {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if line.trim_end().is_empty() {
            break;
        }
        let line = line.to_ascii_lowercase();
        if let Some(bytes) = line.strip_prefix("content-length:") {
            length = bytes.trim().parse().unwrap_or(0);
        }
    }
    stream.read_exact(&mut vec![0; length]).await?;
    asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(Instant::now());
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    for n in 0..=PIECES {
        let choice = if n < PIECES {
            json!({"index": 0, "delta": {"content": format!("{n} ")}, "finish_reason": null})
        } else {
            json!({"index": 0, "delta": {}, "finish_reason": "stop"})
        };
        let event = json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]});
        stream
            .write_all(format!("data: {event}\n\n").as_bytes())
            .await?;
        tokio::time::sleep(PACE).await;
    }
    stream.write_all(b"data: [DONE]\n\n").await
}

async fn ask(prompt: &str) -> Result<(), Failed> {
    let url = text("redis").unwrap_or_default();
    let config = json!({
        "providers": {"openai": {"base_url": text("upstream"), "api_key": "sk-not-used"}},
        "cache": {"redis": {"url": url, "share_calls": true}},
    });
    let client = Client::new(Config::from_json(&config.to_string())?)?;
    let mut request = CompletionRequest::new("openai/m", prompt);
    request.temperature = Some(0.0);
    let mut stream = client.stream(request).await?;
    while let Some(event) = stream.next().await {
        match event? {
            StreamEvent::TextDelta { text, .. } => println!("{text}"),
            StreamEvent::End { completion } => {
                let tier = completion.cache.tier.map(|tier| json!(tier));
                println!("done {} {}", tier.unwrap_or_default(), completion.text);
            }
            _ => {}
        }
    }
    client.close(Duration::from_secs(5)).await;
    Ok(())
}

/// A process that asks.
struct Asker {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Asker {
    fn start(prompt: &str, redis: &str, upstream: &str) -> Result<Self, Failed> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--ask", prompt, "--redis", redis, "--upstream", upstream])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().ok_or("no standard output")?;
        let lines = BufReader::new(out).lines();
        Ok(Self { child, lines })
    }

    async fn line(&mut self) -> Result<String, Failed> {
        let line = tokio::time::timeout(HANDED_OVER, self.lines.next_line()).await??;
        Ok(line.ok_or("the process ended too early")?)
    }

    /// What it says at its end.
    async fn done(mut self) -> Result<String, Failed> {
        loop {
            let line = self.line().await?;
            if let Some(done) = line.strip_prefix("done ") {
                self.child.wait().await?;
                return Ok(done.to_owned());
            }
        }
    }
}

async fn checks(server: &Path) -> Result<bool, Failed> {
    let mut redis = Redis::start(server).await?;
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let (upstream, streams) = upstream().await?;
    let whole = (0..PIECES).map(|n| format!("{n} ")).collect::<String>();
    let start = |prompt: &str| Asker::start(prompt, &url, &upstream);
    let mut good = true;

    let (a, b) = (start("one")?, start("one")?);
    let (a, b) = tokio::try_join!(a.done(), b.done())?;
    let mut both = [a, b];
    both.sort();
    let fine = both == [format!("\"redis\" {whole}"), format!("null {whole}")];
    good &= check(
        fine && count(&streams) == 1,
        &format!(
            "two processes, one stream each: {} from the upstream, {both:?}",
            count(&streams)
        ),
    );

    let mut holder = start("two")?;
    for _ in 0..PIECES / 3 {
        holder.line().await?;
    }
    let other = start("two")?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = count(&streams);
    holder.child.kill().await?;
    let killed = Instant::now();
    let other = other.done().await?;
    let took = killed.elapsed();
    let after = count(&streams);
    good &= check(
        before == 2 && after == 3 && other == format!("null {whole}") && took < HANDED_OVER,
        &format!(
            "the one that has it is killed half-way: {} stream before, {} after, the other is done {took:?} later: {other}",
            before - 1,
            after - 1
        ),
    );

    redis.stop().await;
    let (a, b) = (start("three")?, start("three")?);
    let (a, b) = tokio::try_join!(a.done(), b.done())?;
    let alone = format!("null {whole}");
    good &= check(
        a == alone && b == alone && count(&streams) == 5,
        &format!(
            "without Redis each asks for itself: {} streams",
            count(&streams) - 3
        ),
    );
    Ok(good)
}

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(prompt) = text("ask") {
        return match ask(&prompt).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let server = text("redis-server").unwrap_or_default();
    let good = checks(Path::new(&server)).await;
    if good.unwrap_or_else(|error| check(false, &error.to_string())) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
