//! Processes that put calls into a vendor's batches and are killed (`kill -9`) at any moment, again and again, until one of them
//! has all its answers: each answer is the call's own, and no call was sent again whose answer had not been read before.
//!
//! `[--rounds N] [--seed N]`. The processes are this program with `--ask JOURNAL --upstream URL --round N`; the vendor is here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ossai::budget::SharedBudgets;
use ossai::ledger::Untold;
use ossai::{CallOptions, Client, CompletionRequest, Config, ErrorKind};
use serde_json::{Value, json};
use sim::arguments::{number, text};
use sim::chance::Chance;
use sim::http::Request;
use sim::roads::Failed;
use sim::tally::{check, verdict};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

/// Calls of a round.
const CALLS: usize = 5;
/// A round that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the vendor has.
#[derive(Default)]
struct Vendor {
    files: Vec<String>,
    /// Each with its file and the client's number of it.
    batches: Vec<(usize, Value, Instant)>,
    /// Files of results somebody has read.
    read: BTreeSet<usize>,
}

type Shared = Arc<Mutex<Vendor>>;

fn lock(vendor: &Shared) -> MutexGuard<'_, Vendor> {
    vendor.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Vendor {
    fn shown(&self, number: usize) -> Option<Value> {
        let (file, metadata, made) = self.batches.get(number)?;
        let over = made.elapsed() > Duration::from_millis(150);
        Some(json!({
            "id": format!("batch_{number}"),
            "status": if over { "completed" } else { "in_progress" },
            "output_file_id": over.then(|| format!("file-{file}")),
            "metadata": metadata,
        }))
    }

    /// What an answer is to a request; slow where `kill -9` shall fall between the deed and its being known.
    fn answer(&mut self, method: &str, path: &str, body: &str) -> Option<String> {
        let path = path.split('?').next()?;
        let answer = match (method, path) {
            ("POST", "/v1/files") => {
                self.files.push(body.to_owned());
                json!({"id": format!("file-{}", self.files.len() - 1)})
            }
            ("POST", "/v1/batches") => {
                let asked: Value = serde_json::from_str(body).ok()?;
                let file = asked.get("input_file_id")?.as_str()?;
                let file = file.strip_prefix("file-")?.parse().ok()?;
                let metadata = asked.get("metadata")?.clone();
                self.batches.push((file, metadata, Instant::now()));
                self.shown(self.batches.len() - 1)?
            }
            ("GET", "/v1/batches") => {
                let all = (0..self.batches.len()).rev();
                let all: Vec<_> = all.filter_map(|number| self.shown(number)).collect();
                json!({"data": all, "has_more": false})
            }
            ("GET", path) if path.ends_with("/content") => {
                let file = path.strip_prefix("/v1/files/file-")?;
                let file: usize = file.strip_suffix("/content")?.parse().ok()?;
                self.read.insert(file);
                return Some(self.results(file));
            }
            ("GET", path) => {
                let number = path.strip_prefix("/v1/batches/batch_")?;
                self.shown(number.parse().ok()?)?
            }
            _ => return None,
        };
        Some(answer.to_string())
    }

    fn requests(&self, file: usize) -> impl Iterator<Item = (String, String)> {
        let file = self.files.get(file).map_or("", String::as_str);
        let lines = file.lines().filter_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let id = line.get("custom_id")?.as_str()?.to_owned();
            let asked = line.pointer("/body/messages/0/content")?.as_str()?;
            Some((id, asked.to_owned()))
        });
        lines.collect::<Vec<_>>().into_iter()
    }

    fn results(&self, file: usize) -> String {
        let lines: Vec<_> = self
            .requests(file)
            .map(|(id, asked)| {
                let message = json!({"role": "assistant", "content": format!("answer to {asked}")});
                let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
                let usage = json!({"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18});
                let body = json!({"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage});
                json!({"custom_id": id, "response": {"status_code": 200, "request_id": "r", "body": body}}).to_string()
            })
            .collect();
        // In another order than they came in.
        lines
            .into_iter()
            .rev()
            .fold(String::new(), |all, line| all + &line + "\n")
    }
}

async fn serve(listener: TcpListener, vendor: Shared, seed: u64) {
    let chance = Arc::new(Mutex::new(Chance::new(seed)));
    while let Ok((stream, _)) = listener.accept().await {
        let (vendor, chance) = (Arc::clone(&vendor), Arc::clone(&chance));
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            while let Ok(Some(())) = one(&mut stream, &vendor, &chance).await {}
        });
    }
}

async fn one(
    stream: &mut BufReader<TcpStream>,
    vendor: &Shared,
    chance: &Mutex<Chance>,
) -> Result<Option<()>, Failed> {
    let Some(request) = Request::read(stream).await? else {
        return Ok(None);
    };
    let (method, path) = (&request.method, &request.path);
    let answer = lock(vendor).answer(method, path, &request.body);
    let wait = chance
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .below(40);
    tokio::time::sleep(Duration::from_millis(wait)).await;
    let (status, answer) = match answer {
        Some(answer) => ("200 OK", answer),
        None => ("404 Not Found", "{}".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        answer.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(answer.as_bytes()).await?;
    Ok(Some(()))
}

/// Asks, as one of the processes.
async fn ask(journal: &str) -> Result<(), Failed> {
    let config = json!({
        "providers": {"openai": {"base_url": text("upstream"), "api_key": "sk-not-used"}},
        "batch": {"journal": journal, "window_ms": 20, "poll_ms": 20, "max_poll_ms": 40},
    });
    let client = Client::new(Config::from_json(&config.to_string())?)?;
    let round = number("round", 0);
    let had = text("had").unwrap_or_default();
    let had: BTreeSet<usize> = had.split(',').filter_map(|n| n.parse().ok()).collect();
    let mut calls = tokio::task::JoinSet::new();
    for n in (0..CALLS).filter(|n| !had.contains(n)) {
        let client = client.clone();
        calls.spawn(async move {
            let asked = format!("round {round} call {n}");
            let options = CallOptions {
                batch: Some(true),
                ..CallOptions::default()
            };
            let request = CompletionRequest::new("openai/m", asked.as_str());
            let answer = client.complete_with(request, options).await;
            let right = |text: &str| text == format!("answer to {asked}");
            match answer {
                Ok(answer) if right(&answer.text) => {
                    println!("{n}");
                    Ok(())
                }
                Ok(answer) => Err(format!("{asked}: {}", answer.text)),
                Err(error) => Err(format!("{asked}: {error}")),
            }
        });
    }
    for outcome in calls.join_all().await {
        outcome?;
    }
    Ok(())
}

async fn round(number: u64, folder: &Path, url: &str, chance: &mut Chance) -> Result<u64, Failed> {
    let journal = folder.join("batches");
    let mut kills = 0;
    let mut had: BTreeSet<usize> = BTreeSet::new();
    loop {
        let list: Vec<_> = had.iter().map(ToString::to_string).collect();
        let mut child = Command::new(std::env::current_exe()?)
            .args([
                "--ask",
                &journal.to_string_lossy(),
                "--upstream",
                url,
                "--round",
                &number.to_string(),
            ])
            .args(["--had", &list.join(",")])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
        // Some processes live long enough by then to have sent something, some to have read it.
        let life = Duration::from_millis(200 + chance.below(600 + 60 * kills));
        let ended = tokio::time::timeout(life, child.wait()).await;
        if ended.is_err() {
            child.kill().await?;
            kills += 1;
        }
        while let Some(line) = lines.next_line().await? {
            had.insert(line.parse()?);
        }
        match ended {
            Ok(Ok(ended)) if !ended.success() => return Err("a process failed".into()),
            Ok(Err(error)) => return Err(error.into()),
            _ if had.len() == CALLS => return Ok(kills),
            _ => {}
        }
    }
}

/// Who records calls itself is told what a batch cost that ended later than its caller waited, and nothing of one in time.
async fn late(url: &str) -> Result<bool, Failed> {
    let rows = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&rows);
    let config = json!({
        "providers": {"openai": {"base_url": url, "api_key": "sk-not-used"}},
        "batch": {"window_ms": 20, "poll_ms": 20, "max_poll_ms": 40},
    });
    let config = Config::from_json(&config.to_string())?;
    let budgets = SharedBudgets::new(&config)?;
    let untold: Untold = Arc::new(move |row| {
        let mut rows = told.lock().unwrap_or_else(PoisonError::into_inner);
        rows.push(row);
    });
    let client = Client::with_records(config, &budgets, untold)?;
    let ask = async |asked: &str, timeout_ms: u64| {
        let options = CallOptions {
            batch: Some(true),
            timeout_ms: Some(timeout_ms),
            ..CallOptions::default()
        };
        let request = CompletionRequest::new("openai/gpt-4o-mini", asked);
        client.complete_with(request, options).await
    };
    let in_time = ask("in time", 10_000).await?;
    let in_time = in_time.cost.total.unwrap_or_default();
    let error = ask("too late", 100).await.err();
    let count = || rows.lock().unwrap_or_else(PoisonError::into_inner).len();
    let begun = Instant::now();
    while count() == 0 && begun.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client.close(Duration::from_secs(5)).await;
    let rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
    let [row] = rows.as_slice() else {
        return Ok(check(false, &format!("{} late costs are told", rows.len())));
    };
    let timed_out = error.is_some_and(|error| error.kind() == ErrorKind::Timeout);
    Ok(check(
        timed_out && in_time.0 > 0 && row.cost == Some(in_time) && row.calls == 0,
        &format!(
            "what a batch cost that ended too late for its caller is told: {} nUSD for {} tokens of {}, {}",
            row.cost.unwrap_or_default().0,
            row.usage.total_tokens(),
            row.model,
            row.outcome
        ),
    ))
}

async fn checks() -> Result<bool, Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    let vendor = Shared::default();
    let seed = number("seed", 7);
    tokio::spawn(serve(listener, Arc::clone(&vendor), seed));
    let (rounds, mut chance) = (number("rounds", 20), Chance::new(seed));
    let folder = tempfile::tempdir()?;
    let good = late(&url).await?;
    *lock(&vendor) = Vendor::default();
    let mut kills = 0;
    for n in 0..rounds {
        kills +=
            tokio::time::timeout(PATIENCE, round(n, folder.path(), &url, &mut chance)).await??;
    }
    let vendor = lock(&vendor);
    let mut sent: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (file, _, _) in &vendor.batches {
        for (_, asked) in vendor.requests(*file) {
            sent.entry(asked).or_default().push(*file);
        }
    }
    let asked = usize::try_from(rounds)? * CALLS;
    // Whoever was killed with the answer in hand asks again: nobody else does.
    let again = sent.values().filter(|files| files.len() > 1).count();
    let unread = |files: &&Vec<usize>| {
        let before = files.len().saturating_sub(1);
        files
            .iter()
            .take(before)
            .any(|file| !vendor.read.contains(file))
    };
    let doubled = sent.values().filter(unread).count();
    let journal = std::fs::read_to_string(folder.path().join("batches"))?;
    let silent = !journal.contains("round") && !journal.contains("sk-");
    Ok(good
        & check(
            sent.len() == asked && doubled == 0 && silent,
            &format!(
                "{rounds} rounds, {kills} processes killed: {asked} calls answered rightly out of {} batches ({} files); sent again: {doubled} unread, {again} of processes killed with the answer in hand",
                vendor.batches.len(),
                vendor.files.len(),
            ),
        ))
}

#[tokio::main]
async fn main() -> ExitCode {
    let good = match text("ask") {
        Some(journal) => ask(&journal).await.map(|()| true),
        None => checks().await,
    };
    verdict(good)
}
