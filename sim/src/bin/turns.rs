//! Calls that real processes share through a real Redis: one stream from the upstream for two processes, and another one
//! only when the process that had it is killed (`kill -9`) half-way, or Redis is away; whole, and given on while it comes.
//!
//! `--redis-server PATH`. The processes are this program with `--ask PROMPT --redis URL --upstream URL`, and `--relay yes`:
//! each streams one completion and prints a line for each piece, and `done`, where it came from, and the whole; or `broken`,
//! why, and what it had.

use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ossai::{Client, CompletionRequest, Config, StreamEvent};
use serde_json::json;
use sim::arguments::text;
use sim::http::Request;
use sim::redis::Redis;
use sim::roads::Failed;
use sim::tally::{check, verdict};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
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

/// The answer to every prompt, but for those with `anew`: of them each stream has other words.
fn piece(n: usize, stream: usize, prompt: &str) -> String {
    match prompt.contains("anew") && n >= PIECES / 4 {
        true => format!("{n} of {stream} "),
        false => format!("{n} "),
    }
}

async fn answer(stream: TcpStream, asked: Streams) -> Result<(), std::io::Error> {
    let mut stream = BufReader::new(stream);
    let Some(request) = Request::read(&mut stream).await? else {
        return Ok(());
    };
    let number = {
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(Instant::now());
        asked.len()
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    for n in 0..=PIECES {
        let choice = if n < PIECES {
            let text = piece(n, number, &request.body);
            json!({"index": 0, "delta": {"content": text}, "finish_reason": null})
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
    let redis = json!({"url": text("redis"), "share_calls": true, "relay_streams": text("relay").is_some(), "key": text("key")});
    let config = json!({
        "providers": {"openai": {"base_url": text("upstream"), "api_key": "sk-not-used"}},
        "cache": {"redis": redis},
    });
    let client = Client::new(Config::from_json(&config.to_string())?)?;
    let mut request = CompletionRequest::new("openai/m", prompt);
    request.temperature = Some(0.0);
    let mut stream = client.stream(request).await?;
    while let Some(event) = stream.next().await {
        match event {
            Ok(StreamEvent::TextDelta { text, .. }) => println!("{text}"),
            Ok(StreamEvent::End { completion }) => {
                let tier = completion.cache.tier.map(|tier| json!(tier));
                println!("done {} {}", tier.unwrap_or_default(), completion.text);
            }
            Ok(_) => {}
            Err(error) => {
                let fields = error.fields();
                let had = fields.partial.as_ref().map_or("", |had| &had.text);
                let why = fields.detail.as_deref().unwrap_or_default();
                println!("broken {} {why} {had}", error.kind().name());
            }
        }
    }
    client.close(Duration::from_secs(5)).await;
    Ok(())
}

/// A process that asks.
struct Asker {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// The pieces it has printed.
    had: String,
}

impl Asker {
    fn start(options: &[&str], redis: &str, upstream: &str) -> Result<Self, Failed> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--redis", redis, "--upstream", upstream, "--ask"])
            .args(options)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().ok_or("no standard output")?;
        Ok(Self {
            child,
            lines: BufReader::new(out).lines(),
            had: String::new(),
        })
    }

    /// Waits for so many pieces.
    async fn pieces(&mut self, count: usize) -> Result<(), Failed> {
        for _ in 0..count {
            let line = self.line().await?;
            self.had += &line;
        }
        Ok(())
    }

    async fn line(&mut self) -> Result<String, Failed> {
        let line = tokio::time::timeout(HANDED_OVER, self.lines.next_line()).await??;
        Ok(line.ok_or("the process ended too early")?)
    }

    /// What it says at its end; the pieces are in `had`.
    async fn end(&mut self) -> Result<String, Failed> {
        loop {
            let line = self.line().await?;
            if line.starts_with("done ") || line.starts_with("broken ") {
                self.child.wait().await?;
                return Ok(line);
            }
            self.had += &line;
        }
    }

    /// What it says at its good end.
    async fn done(mut self) -> Result<String, Failed> {
        let line = self.end().await?;
        Ok(line.strip_prefix("done ").ok_or(line.clone())?.to_owned())
    }
}

/// Streams that are given on to another process while they come.
async fn relays(redis: &mut Redis, upstream: &str, streams: &Streams) -> Result<bool, Failed> {
    const KEY: &str = "a key of at least sixteen characters";
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let whole = whole();
    let start =
        |prompt: &str| Asker::start(&[prompt, "--relay", "yes", "--key", KEY], &url, upstream);
    let mut good = true;

    let before = count(streams);
    let mut holder = start("live")?;
    holder.pieces(PIECES / 4).await?;
    let mut other = start("live")?;
    other.pieces(1).await?;
    let first = Instant::now();
    let names = redis.ask(&["KEYS", "ossai:relays:*"]).await?;
    let names = String::from_utf8(names)?;
    let name = names.lines().find(|name| !name.ends_with(":wanted"));
    let stored = redis.ask(&["GET", name.unwrap_or_default()]).await?;
    let hidden = !stored.is_empty() && !stored.windows(5).any(|bytes| bytes == b"text_");
    holder.end().await?;
    let ahead = first.elapsed();
    let end = other.end().await?;
    let asked = count(streams) - before;
    good &= check(
        asked == 1
            && end == format!("done \"redis\" {whole}")
            && other.had == whole
            && ahead > PACE * 3,
        &format!(
            "a stream is given on while it comes: {asked} from the upstream, the first piece {ahead:?} before the end: {end}"
        ),
    );
    good &= check(
        hidden,
        &format!("what is given on is sealed: {} bytes", stored.len()),
    );

    let before = count(streams);
    let mut holder = start("killed")?;
    holder.pieces(PIECES / 4).await?;
    let mut other = start("killed")?;
    other.pieces(PIECES / 3).await?;
    holder.child.kill().await?;
    let killed = Instant::now();
    let end = other.end().await?;
    let (asked, took) = (count(streams) - before, killed.elapsed());
    good &= check(
        asked == 2
            && end == format!("done null {whole}")
            && other.had == whole
            && took < HANDED_OVER,
        &format!(
            "its process is killed: the other asks and goes on where it was, {took:?} later: {end}"
        ),
    );

    let mut holder = start("anew")?;
    holder.pieces(PIECES / 4).await?;
    let mut other = start("anew")?;
    other.pieces(PIECES / 3).await?;
    holder.child.kill().await?;
    let end = other.end().await?;
    good &= check(
        end == format!("broken stream_interrupted differs {}", other.had),
        &format!("its process is killed and the new answer has other words: {end}"),
    );

    let before = count(streams);
    let mut holder = start("away")?;
    holder.pieces(PIECES / 4).await?;
    let mut other = start("away")?;
    other.pieces(PIECES / 3).await?;
    redis.stop().await;
    let (held, end) = (holder.end().await?, other.end().await?);
    let asked = count(streams) - before;
    let done = format!("done null {whole}");
    good &= check(
        asked == 2 && held == done && end == done && other.had == whole,
        &format!("Redis is killed half-way: {asked} from the upstream, {end}"),
    );
    redis.restart().await?;
    Ok(good)
}

fn whole() -> String {
    (0..PIECES).map(|n| format!("{n} ")).collect()
}

async fn checks(server: &Path) -> Result<bool, Failed> {
    let mut redis = Redis::start(server).await?;
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let (upstream, streams) = upstream().await?;
    let whole = whole();
    let start = |prompt: &str| Asker::start(&[prompt], &url, &upstream);
    let mut good = relays(&mut redis, &upstream, &streams).await?;
    let relayed = count(&streams);

    let (a, b) = (start("one")?, start("one")?);
    let (a, b) = tokio::try_join!(a.done(), b.done())?;
    let mut both = [a, b];
    both.sort();
    let fine = both == [format!("\"redis\" {whole}"), format!("null {whole}")];
    good &= check(
        fine && count(&streams) - relayed == 1,
        &format!(
            "two processes, one stream each: {} from the upstream, {both:?}",
            count(&streams) - relayed
        ),
    );

    let mut holder = start("two")?;
    holder.pieces(PIECES / 3).await?;
    let other = start("two")?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = count(&streams) - relayed;
    holder.child.kill().await?;
    let killed = Instant::now();
    let other = other.done().await?;
    let took = killed.elapsed();
    let after = count(&streams) - relayed;
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
        a == alone && b == alone && count(&streams) - relayed == 5,
        &format!(
            "without Redis each asks for itself: {} streams",
            count(&streams) - relayed - 3
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
    verdict(good)
}
