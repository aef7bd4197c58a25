//! The cache tiers under what befalls them: a Redis that is stopped, hung, restarted, full, read-only, locked or holds what
//! is not ours; a disk that is full, read-only or damaged; writers killed in the middle of a write.
//!
//! Whatever happens, no call fails, no answer is a wrong one, and all is well again by itself. The answers are the built-in
//! model's, made from the question, so that a wrong one shows. `--redis-server PATH` (without it the part is left out),
//! `--full DIR` a folder on a small file system of its own, which `--root` may mount read-only; `--rounds N` of kills (30).

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use ossai::{
    CacheStatus, CacheTier, CallOptions, Client, Completion, CompletionRequest, Config,
    EmbeddingRequest,
};
use serde_json::{Value, json};
use sim::arguments::{number, text};
use sim::redis::Redis;
use sim::roads::Failed;
use sim::tally::check;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// How much faster than the machine's a client's clock runs: writing is off for half a minute of it.
const SCALE: u64 = 20;
/// What a call may take beside a tier that hangs: its 100 ms for a look, and room for a busy machine.
const LOOK: Duration = Duration::from_secs(1);
/// The time of a look where slowness is not what is shown.
const PATIENT_MS: u64 = 5_000;
/// Bounds on times are for an optimised build.
const SLOWER: u32 = if cfg!(debug_assertions) { 10 } else { 1 };

fn client(cache: &Value) -> Result<Client, Failed> {
    let mut cache = cache.clone();
    // Nothing in memory: every call looks beneath it.
    cache["max_bytes"] = json!(0);
    cache["embedding_max_bytes"] = json!(0);
    let config = json!({"cache": cache, "testing": {"time_scale": SCALE}});
    Ok(Client::new(Config::from_json(&config.to_string())?)?)
}

fn request(n: u64) -> CompletionRequest {
    let prompt = format!(
        "The colour of thing {n} is blue-{n}-{}.\n\nWhat is the colour of thing {n}?",
        "x".repeat(300)
    );
    CompletionRequest::new("local/extract", prompt.as_str())
}

/// What came of some calls.
#[derive(Default)]
struct Seen {
    calls: u64,
    hits: u64,
    failed: u64,
    wrong: u64,
    longest: Duration,
}

impl Seen {
    fn fine(&self) -> bool {
        self.failed == 0 && self.wrong == 0 && self.calls > 0
    }

    fn line(&self) -> String {
        format!(
            "{} calls, {} hits, {} failed, {} wrong, the longest {} ms",
            self.calls,
            self.hits,
            self.failed,
            self.wrong,
            self.longest.as_millis()
        )
    }

    fn count(&mut self, n: u64, took: Duration, answer: Result<Completion, ossai::Error>) {
        self.calls += 1;
        self.longest = self.longest.max(took);
        match answer {
            Err(_) => self.failed += 1,
            Ok(answer) => {
                self.wrong += u64::from(!answer.text.contains(&format!("blue-{n}-x")));
                let beneath = matches!(answer.cache.tier, Some(CacheTier::Redis | CacheTier::Disk));
                self.hits += u64::from(beneath && answer.cache.status == CacheStatus::Hit);
            }
        }
    }
}

async fn calls(client: &Client, numbers: std::ops::Range<u64>) -> Seen {
    let mut seen = Seen::default();
    for n in numbers {
        let begun = Instant::now();
        let answer = client.complete(request(n)).await;
        seen.count(n, begun.elapsed(), answer);
    }
    seen
}

/// How many answers were written to the client's only tier, or given up.
fn written(client: &Client) -> u64 {
    let stats = client.stats();
    stats
        .tiers
        .iter()
        .map(|tier| tier.stores + tier.dropped)
        .sum()
}

/// The same calls, and then until each answer that had to be made anew is written or given up.
async fn calls_and_writes(client: &Client, numbers: std::ops::Range<u64>) -> Seen {
    let before = written(client);
    let seen = calls(client, numbers).await;
    let begun = Instant::now();
    while written(client) < before + seen.calls - seen.hits
        && begun.elapsed() < Duration::from_secs(10)
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    seen
}

/// Lets what is on its way to a tier arrive.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(150)).await;
}

/// Calls until one is a hit again; how long that took.
async fn recovery(client: &Client, n: u64) -> Option<Duration> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(15) {
        let seen = calls(client, n..n + 1).await;
        if !seen.fine() {
            return None;
        }
        if seen.hits == 1 {
            return Some(begun.elapsed());
        }
        settle().await;
    }
    None
}

fn recovered(what: &str, after: Option<Duration>) -> bool {
    let says = after.map_or("it did not".into(), |after| {
        format!("{} ms", after.as_millis())
    });
    check(
        after.is_some(),
        &format!("{what}: hits again by itself after {says}"),
    )
}

async fn redis_checks(server: &Path) -> Result<bool, Failed> {
    let mut redis = Redis::start(server).await?;
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let client = client(&json!({"redis": {"url": url}}))?;
    let mut good = true;

    let times = json!({"redis": {"url": url, "timeout_ms": PATIENT_MS}});
    good &= hit_times(times, "redis", Duration::from_millis(10)).await?;
    redis.ask(&["FLUSHALL"]).await?;

    let first = calls(&client, 0..20).await;
    settle().await;
    let second = calls(&client, 0..20).await;
    good &= check(
        first.fine() && second.fine() && first.hits == 0 && second.hits == 20,
        &format!("redis: what was kept is found: {}", second.line()),
    );

    redis.ask(&["CLIENT", "PAUSE", "3000", "ALL"]).await?;
    let seen = calls(&client, 0..20).await;
    good &= check(
        seen.fine() && seen.longest < LOOK,
        &format!("redis paused: {}", seen.line()),
    );
    good &= recovered("redis paused", recovery(&client, 1).await);

    redis.signal("STOP").await?;
    let seen = calls(&client, 0..20).await;
    redis.signal("CONT").await?;
    good &= check(
        seen.fine() && seen.longest < LOOK,
        &format!("redis suspended: {}", seen.line()),
    );
    good &= recovered("redis suspended", recovery(&client, 1).await);

    redis.stop().await;
    let seen = calls(&client, 0..40).await;
    good &= check(
        seen.fine() && seen.longest < LOOK && seen.hits == 0,
        &format!("redis stopped: {}", seen.line()),
    );
    redis.restart().await?;
    good &= recovered("redis restarted", recovery(&client, 1).await);

    let patient = self::client(&json!({"redis": {"url": url, "timeout_ms": PATIENT_MS}}))?;
    good &= redis_refusals(&redis, &patient).await?;
    good &= redis_foreign(&redis, &patient).await?;
    redis.stop().await;
    Ok(good)
}

/// A server that is there and does not take what it is given.
async fn redis_refusals(redis: &Redis, client: &Client) -> Result<bool, Failed> {
    let mut good = true;
    for (what, before, after) in [
        (
            "redis full",
            &["CONFIG", "SET", "maxmemory", "1"][..],
            &["CONFIG", "SET", "maxmemory", "0"][..],
        ),
        (
            "redis read-only",
            &["REPLICAOF", "127.0.0.1", "1"][..],
            &["REPLICAOF", "NO", "ONE"][..],
        ),
    ] {
        let _ = calls(client, 100..110).await;
        settle().await;
        redis.ask(before).await?;
        let fresh = calls(client, 200..220).await;
        settle().await;
        let kept = calls(client, 100..110).await;
        good &= check(
            fresh.fine() && kept.fine() && fresh.hits == 0 && kept.hits == 10,
            &format!(
                "{what}: nothing is lost but what cannot be written: {}; kept before: {}",
                fresh.line(),
                kept.line()
            ),
        );
        redis.ask(after).await?;
        redis.ask(&["FLUSHALL"]).await?;
        good &= recovered(what, recovery(client, 300).await);
    }
    redis
        .ask(&["CONFIG", "SET", "requirepass", "canary"])
        .await?;
    let cut = Command::new("true").status().await?.success();
    // Sessions from before stay open to it; new ones are refused.
    let mut killed = redis.ask(&["AUTH", "canary"]).await.is_ok() && cut;
    killed &= authorised(
        redis,
        &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"],
    )
    .await
    .is_ok();
    let seen = calls(client, 0..20).await;
    good &= check(
        killed && seen.fine() && seen.hits == 0 && seen.longest < LOOK,
        &format!("redis wants a password: {}", seen.line()),
    );
    authorised(redis, &["CONFIG", "SET", "requirepass", ""]).await?;
    good &= recovered("redis wants a password", recovery(client, 400).await);
    Ok(good)
}

/// A command of somebody who knows the password.
async fn authorised(redis: &Redis, command: &[&str]) -> Result<(), Failed> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", redis.port)).await?;
    let quoted: Vec<String> = command.iter().map(|word| format!("\"{word}\"")).collect();
    let lines = format!("AUTH canary\r\n{}\r\nQUIT\r\n", quoted.join(" "));
    stream.write_all(lines.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if answer.contains("-ERR") || answer.contains("-NOAUTH") {
        return Err(answer.into());
    }
    Ok(())
}

/// A server that holds what is not ours.
async fn redis_foreign(redis: &Redis, client: &Client) -> Result<bool, Failed> {
    let mut good = true;
    redis.ask(&["FLUSHALL"]).await?;
    let _ = calls(client, 0..2).await;
    settle().await;
    let mut keys = redis.keys().await?;
    // What answers are checked against stays as it is.
    keys.retain(|key| !key.contains("marks:"));
    let mut values = Vec::new();
    for key in &keys {
        values.push(redis.ask(&["GET", key]).await?);
    }
    let ([one, two], [first, second]) = (keys.as_slice(), values.as_slice()) else {
        return Err(format!("expected two keys, found {}", keys.len()).into());
    };
    let mut wrong = Seen::default();
    let mut add = |seen: Seen| {
        wrong.calls += seen.calls;
        wrong.hits += seen.hits;
        wrong.failed += seen.failed;
        wrong.wrong += seen.wrong;
        wrong.longest = wrong.longest.max(seen.longest);
    };
    for at in (0..first.len()).step_by(7) {
        let mut flipped = first.clone();
        flipped[at] ^= 0x10;
        redis.ask(&[b"SET", one.as_bytes(), &flipped]).await?;
        redis
            .ask(&[b"SET", two.as_bytes(), &second[..at.min(second.len())]])
            .await?;
        add(calls_and_writes(client, 0..2).await);
    }
    let spoilt = wrong.fine() && wrong.hits == 0;
    good &= check(
        spoilt,
        &format!("redis: flipped and cut values: {}", wrong.line()),
    );

    settle().await;
    redis.ask(&[b"SET", one.as_bytes(), second]).await?;
    redis.ask(&[b"SET", two.as_bytes(), first]).await?;
    let seen = calls(client, 0..2).await;
    good &= check(
        seen.fine() && seen.hits == 0,
        &format!("redis: swapped values: {}", seen.line()),
    );

    for kind in [&["LPUSH"][..], &["SADD"][..]] {
        settle().await;
        for key in [one, two] {
            redis.ask(&["DEL", key]).await?;
            redis.ask(&[kind[0], key, "x"]).await?;
        }
        let seen = calls(client, 0..2).await;
        good &= check(
            seen.fine() && seen.hits == 0,
            &format!("redis: a {} in their place: {}", kind[0], seen.line()),
        );
    }
    settle().await;
    redis.ask(&["DEL", one]).await?;
    redis.ask(&["SETRANGE", one, "200000000", "x"]).await?;
    let seen = calls(client, 0..2).await;
    good &= check(
        seen.fine() && seen.longest < LOOK,
        &format!("redis: 200 MB in their place: {}", seen.line()),
    );
    good &= recovered("redis with foreign values", recovery(client, 0).await);
    Ok(good)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => found.push(entry.path()),
            }
        }
    }
    found
}

async fn disk_damage() -> Result<bool, Failed> {
    let folder = tempfile::tempdir()?;
    let times = json!({"disk": {"path": folder.path().join("times"), "timeout_ms": PATIENT_MS}});
    let quick = hit_times(times, "disk", Duration::from_millis(100)).await?;
    let client = client(&json!({"disk": {"path": folder.path()}}))?;
    let first = calls(&client, 0..10).await;
    client.close(Duration::from_secs(60)).await;
    let client = self::client(&json!({"disk": {"path": folder.path(), "timeout_ms": 900}}))?;
    let second = calls(&client, 0..10).await;
    let mut good = quick;
    good &= check(
        first.fine() && second.fine() && second.hits == 10,
        &format!(
            "disk: another client finds what was kept: {}",
            second.line()
        ),
    );
    let kept: Vec<_> = files(&folder.path().join("ossai-cache-1/completions"))
        .into_iter()
        .map(|path| (std::fs::read(&path).unwrap_or_default(), path))
        .collect();
    let mut whole = Seen::default();
    for round in 0..200_usize {
        for (bytes, path) in &kept {
            let mut bytes = bytes.clone();
            let at = (round * 131) % bytes.len().max(1);
            match round % 3 {
                0 => bytes.truncate(at),
                _ => bytes[at] ^= 1 << (round % 8),
            }
            std::fs::write(path, bytes)?;
        }
        let seen = calls_and_writes(&client, 0..10).await;
        whole.calls += seen.calls;
        whole.hits += seen.hits;
        whole.failed += seen.failed;
        whole.wrong += seen.wrong;
    }
    good &= check(
        whole.fine() && whole.hits == 0,
        &format!("disk: flipped and cut files, 200 rounds: {}", whole.line()),
    );
    good &= recovered("disk damaged", recovery(&client, 1).await);
    std::fs::remove_dir_all(folder.path())?;
    let seen = calls(&client, 0..10).await;
    good &= check(
        seen.fine(),
        &format!("disk: the folder is taken away: {}", seen.line()),
    );
    good &= recovered("disk taken away", recovery(&client, 1).await);
    Ok(good)
}

/// A small file system: filled, emptied, made read-only.
async fn disk_full(folder: &Path, remount: bool) -> Result<bool, Failed> {
    let client = client(&json!({"disk": {"path": folder}}))?;
    let seen = calls(&client, 0..400).await;
    settle().await;
    let stats = client.stats();
    let tier = stats.tiers.first().ok_or("no disk tier")?;
    let mut good = check(
        seen.fine() && tier.dropped > 0 && tier.stores > 10,
        &format!(
            "disk full: {}; {} written, {} not",
            seen.line(),
            tier.stores,
            tier.dropped
        ),
    );
    let again = calls(&client, 0..10).await;
    good &= check(
        again.fine() && again.hits == 10,
        &format!("disk full: what is there is found: {}", again.line()),
    );
    if remount {
        let mount = |way: &str| {
            let options = format!("remount,{way}");
            Command::new("mount")
                .args(["-o", &options])
                .arg(folder)
                .status()
        };
        good &= mount("ro").await?.success();
        let (fresh, kept) = (calls(&client, 500..520).await, calls(&client, 0..10).await);
        good &= check(
            fresh.fine() && kept.fine() && kept.hits == 10,
            &format!(
                "disk read-only: {}; kept before: {}",
                fresh.line(),
                kept.line()
            ),
        );
        good &= mount("rw").await?.success();
    }
    for file in files(&folder.join("ossai-cache-1/completions"))
        .iter()
        .skip(20)
    {
        std::fs::remove_file(file)?;
    }
    good &= recovered("disk full", recovery(&client, 600).await);
    Ok(good)
}

fn batch(n: u64) -> EmbeddingRequest {
    let texts: Vec<String> = (0..100).map(|i| format!("text {i} of batch {n}")).collect();
    serde_json::from_value(json!({"model": "local/hash", "input": texts})).unwrap_or_default()
}

/// Not read, but written again.
fn anew() -> CallOptions {
    let mut options = CallOptions::default();
    options.cache.refresh = true;
    options
}

/// How long hits of a tier take, with values of 10 kB, against the bound at the 95th percentile.
async fn hit_times(cache: Value, what: &str, bound: Duration) -> Result<bool, Failed> {
    let client = client(&cache)?;
    let texts = |n: u64| -> Vec<String> { (0..10).map(|i| format!("text {i} of {n}")).collect() };
    let asked = |n: u64| -> Result<EmbeddingRequest, Failed> {
        let request = json!({"model": "local/hash", "input": texts(n), "dimensions": 256});
        Ok(serde_json::from_value(request)?)
    };
    for n in 0..100 {
        client.embed(asked(n)?).await?;
    }
    settle().await;
    let mut times = Vec::new();
    for n in 0..2_000 {
        let request = asked(n % 100)?;
        let begun = Instant::now();
        let answer = client.embed(request).await?;
        times.push(begun.elapsed());
        if answer.cache.status != CacheStatus::Hit {
            return Ok(check(false, &format!("{what}: look {n} was no hit")));
        }
    }
    times.sort_unstable();
    let at = |share: usize| {
        times
            .get(times.len() * share / 100)
            .copied()
            .unwrap_or_default()
    };
    let (p50, p95, p99) = (at(50), at(95), at(99));
    let bound = bound * SLOWER;
    Ok(check(
        p95 <= bound,
        &format!(
            "{what}: a hit of 10 kB takes {} / {} / {} µs (p50 / p95 / p99), at most {} ms wanted of this build at p95",
            p50.as_micros(),
            p95.as_micros(),
            p99.as_micros(),
            bound.as_millis()
        ),
    ))
}

/// Writes as fast as it can until it is killed.
async fn writer(folder: &Path) -> Result<(), Failed> {
    let client = client(&json!({"disk": {"path": folder}}))?;
    let mut n = 0;
    loop {
        client.embed_with(batch(n % 8), anew()).await?;
        client.complete_with(request(n % 8), anew()).await?;
        n += 1;
        // Whoever waits for this line knows that files are being written.
        println!("{n}");
    }
}

async fn killed(rounds: u64) -> Result<bool, Failed> {
    let folder = tempfile::tempdir()?;
    let right = client(&json!({"enabled": false}))?;
    let mut wanted = Vec::new();
    for n in 0..8 {
        wanted.push(right.embed(batch(n)).await?.embeddings);
    }
    let own = std::env::current_exe()?;
    let (mut whole, mut wrong, mut hits, mut left, mut unfinished) = (Seen::default(), 0, 0, 0, 0);
    for round in 0..rounds {
        let mut children = Vec::new();
        for _ in 0..3 {
            let mut child = Command::new(&own)
                .arg("--writer")
                .arg(folder.path())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            let out = child.stdout.take().ok_or("no standard output")?;
            let mut lines = BufReader::new(out).lines();
            let _ = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await?;
            children.push((child, lines));
        }
        tokio::time::sleep(Duration::from_millis(5 + round * 7 % 40)).await;
        for (child, _) in &mut children {
            child.kill().await?;
        }
        let there = files(&folder.path().join("ossai-cache-1"));
        let ends = |path: &&PathBuf| path.extension().is_some_and(|end| end == "tmp");
        let count = there.iter().filter(ends).count();
        unfinished += usize::from(count > 0);
        left = left.max(count);
        // A client of its own each round, like a process that comes after.
        let timeout = 1_000 + round;
        let client = client(&json!({"disk": {"path": folder.path(), "timeout_ms": timeout}}))?;
        let seen = calls(&client, 0..8).await;
        whole.calls += seen.calls;
        whole.hits += seen.hits;
        whole.failed += seen.failed;
        whole.wrong += seen.wrong;
        for (n, wanted) in (0..).zip(&wanted) {
            match client.embed(batch(n)).await {
                Err(_) => whole.failed += 1,
                Ok(answer) => {
                    wrong += u64::from(answer.embeddings != *wanted);
                    hits += u64::from(answer.cache.tier == Some(CacheTier::Disk));
                }
            }
        }
        client.close(Duration::from_secs(60)).await;
    }
    Ok(check(
        whole.fine() && wrong == 0 && left <= 2 && hits > 0 && whole.hits > 0,
        &format!(
            "disk: three writers killed at once, {rounds} rounds: {}; vectors: {hits} hits, {wrong} wrong; \
             caught in a write {unfinished} times, never more than {left} unfinished files",
            whole.line()
        ),
    ))
}

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(folder) = text("writer") {
        let _ = writer(Path::new(&folder)).await;
        return ExitCode::FAILURE;
    }
    let mut outcomes = Vec::new();
    if let Some(server) = text("redis-server") {
        outcomes.push(redis_checks(Path::new(&server)).await);
    }
    outcomes.push(disk_damage().await);
    if let Some(folder) = text("full") {
        let remount = std::env::args().any(|argument| argument == "--root");
        outcomes.push(disk_full(Path::new(&folder), remount).await);
    }
    outcomes.push(killed(number("rounds", 30)).await);
    let mut good = true;
    for outcome in outcomes {
        good &= outcome.unwrap_or_else(|error| check(false, &error.to_string()));
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
