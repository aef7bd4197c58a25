//! Processes that share one budget in a file or in PostgreSQL, a third of them killed in the middle: the limit holds at every look, every
//! hold ends, and the books balance to the nanodollar.
//!
//! The parent starts worker processes (itself with `--worker CONFIG`), each with many callers on one client, kills every
//! third with SIGKILL while they call, and reads the ledger's tables while they run and afterwards. Every call that is
//! answered costs exactly what it held, so that the budget ends within one call of its limit and never above it. The leases of
//! the dead are waited for while the next rounds run.
//! `--rounds N` (3); `--postgres URL` for a database instead of a file; `--callers N` of each worker (40), `--calls N` there is
//! money for (1000), `--kills 0` to let all live; `--memory N` for N thousand-caller
//! rounds of one process before the others. The first round kills nobody.
//! `--once 1` lets every caller call once, at a moment drawn from the round's number, and kills in every round while the
//! first calls are under way: exactly as many are admitted as there is money for, and those of the dead are among them.

use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use ossai::{Client, CompletionRequest, Config, ErrorKind};
use serde_json::{Value, json};
use sim::arguments::{number, text};
use sim::books::{Books, Place, fresh};
use sim::chance::Chance;
use sim::roads::{self, Failed};
use sim::tally::{check, verdict};
use sim::upstream::Upstream;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

const WORKERS: usize = 9;
const MODEL: &str = "openai/gpt-4o-mini";
/// How long what a dead worker held stays held.
const LEASE: Duration = Duration::from_secs(15);
/// Within which those come who call once.
const ARRIVALS_MS: u64 = 1000;

/// What the callers of this worker ask.
fn request(worker: u64) -> CompletionRequest {
    CompletionRequest {
        max_tokens: Some(5),
        temperature: Some(1.0),
        ..CompletionRequest::new(MODEL, format!("call-budget-{worker}"))
    }
}

/// Calls until the budget has no more, or each caller once.
async fn work(config: &str) -> Result<(), Failed> {
    let client = Client::new(Config::from_json(&std::fs::read_to_string(config)?)?)?;
    let mut moments = text("seed").map(|_| Chance::new(number("seed", 0)));
    let is_once = moments.is_some();
    let own = number("seed", 0) % WORKERS as u64;
    if is_once {
        // All begin together, with the ledger open and the vocabulary read.
        client.budgets().await?;
        client.count(&request(0))?;
        println!("ready");
        std::io::stdin().read_line(&mut String::new())?;
    }
    let mut callers = JoinSet::new();
    for _ in 0..number("callers", 40) {
        let client = client.clone();
        let begins = moments.as_mut().map_or(0, |seed| seed.below(ARRIVALS_MS));
        callers.spawn(async move {
            tokio::time::sleep(Duration::from_millis(begins)).await;
            loop {
                match client.complete(request(own)).await {
                    Ok(_) if is_once => return,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::BudgetExceeded => {
                        if is_once {
                            return;
                        }
                        // What others hold may come back; what is spent does not.
                        let left = error.fields().budgets.first();
                        if left.is_none_or(|on| on.spent + on.asked > on.limit) {
                            return;
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    // The file has many writers.
                    Err(error) if error.kind() == ErrorKind::BudgetUnavailable => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    callers.join_all().await;
    client.close(Duration::from_secs(10)).await;
    Ok(())
}

fn worker(config: &Path, seed: Option<u64>) -> Result<Child, Failed> {
    let seeded = seed.map(|seed| ["--seed".to_owned(), seed.to_string()]);
    let (input, output) = match seed {
        Some(_) => (Stdio::piped(), Stdio::piped()),
        None => (Stdio::null(), Stdio::inherit()),
    };
    Ok(Command::new(std::env::current_exe()?)
        .arg("--worker")
        .arg(config)
        .args(["--callers", &number("callers", 40).to_string()])
        .args(seeded.into_iter().flatten())
        .stdin(input)
        .stdout(output)
        .kill_on_drop(true)
        .spawn()?)
}

/// A round whose workers have ended.
struct Ran {
    n: u64,
    kills: bool,
    killed: usize,
    place: Place,
    config: Value,
    /// What a call costs, its input, and what there is for all, in tokens.
    each: u64,
    input: u64,
    limit: u64,
    looks: u32,
    over: u32,
    took: Duration,
    /// When the leases of the dead are over.
    over_at: Instant,
    _folder: tempfile::TempDir,
}

impl Ran {
    fn look(&mut self, seen: &Books) {
        self.looks += 1;
        self.over += u32::from(
            seen.spent + seen.held > self.limit
                || seen.spent != seen.charged
                || seen.held != seen.open,
        );
    }
}

async fn round(n: u64, kills: bool) -> Result<Ran, Failed> {
    let folder = tempfile::tempdir()?;
    let calls = number("calls", 1000);
    let (place, setting) = match text("postgres") {
        None => {
            let file = folder.path().join("ledger.db");
            (Place::File(file.clone()), ("ledger", json!(file)))
        }
        Some(url) => {
            let own = fresh(&url, n).await?;
            (Place::Database(own.clone()), ("postgres", json!(own)))
        }
    };
    let upstream = Upstream::start().await?;
    // The few calls of those who call once must be under way still when a process dies.
    let once = number("once", 0) > 0;
    upstream.set_delay(Duration::from_millis(if once { 1500 } else { 20 }));
    let mut config: Value = roads::direct(upstream.address(), 1);
    let input = roads::client(&config)?.count(&request(0))?.tokens;
    let each = input + 5;
    let limit = each * calls;
    upstream.set_usage(input, 5);
    config["budgets"] = json!({
        "lease_ms": u64::try_from(LEASE.as_millis())?,
        "limits": [{"window": "total", "tokens": limit, "nano_usd": 1_000_000_000_000_u64, "reserve": "calibrated"}],
    });
    config["budgets"][setting.0] = setting.1;
    let path = folder.path().join("config.json");
    std::fs::write(&path, config.to_string())?;
    let began = Instant::now();
    let mut workers = (0..WORKERS as u64)
        .map(|i| worker(&path, once.then_some(n * WORKERS as u64 + i)))
        .collect::<Result<Vec<_>, Failed>>()?;
    if once {
        for worker in &mut workers {
            let output = worker.stdout.take().ok_or("a worker has no output")?;
            BufReader::new(output).read_line(&mut String::new()).await?;
        }
        // Their inputs end.
        workers
            .iter_mut()
            .for_each(|worker| drop(worker.stdin.take()));
    }
    let mut ran = Ran {
        n,
        kills,
        killed: 0,
        place,
        config,
        each,
        input,
        limit,
        looks: 0,
        over: 0,
        took: Duration::ZERO,
        over_at: began,
        _folder: folder,
    };
    let mut asked = [None; WORKERS];
    let mut dead = Vec::new();
    loop {
        tokio::time::sleep(Duration::from_millis(15)).await;
        let taken = upstream.take();
        for (own, last) in (0_u64..).zip(&mut asked) {
            let record = taken.get(&format!("call-budget-{own}"));
            *last = record
                .and_then(|record| record.requests.last().copied())
                .or(*last);
        }
        let Ok(seen) = ran.place.books().await else {
            // Its tables are being made.
            if began.elapsed() > Duration::from_secs(60) {
                return Err(format!("round {n}: there are no tables").into());
            }
            continue;
        };
        ran.look(&seen);
        // A third of them, one after the other, spread over the first half of the budget, or over what those who call once hold.
        let (used, parts) = match once {
            true => (seen.spent + seen.held, 4),
            false => (seen.spent, 8),
        };
        if kills && ran.killed < WORKERS / 3 && used >= limit * (ran.killed as u64 + 1) / parts {
            // Of those who call once the one whose call came last: it is under way.
            let living = (0..WORKERS).filter(|i| !dead.contains(i));
            let last = living.max_by_key(|i| asked[*i]).filter(|_| once);
            let victim = last.unwrap_or(ran.killed);
            dead.push(victim);
            let id = workers[victim]
                .id()
                .ok_or("a worker ended before its time")?;
            Command::new("kill")
                .args(["-KILL", &id.to_string()])
                .status()
                .await?;
            ran.killed += 1;
        }
        let mut running = 0;
        for worker in &mut workers {
            running += usize::from(worker.try_wait()?.is_none());
        }
        if running == 0 {
            break;
        }
        if began.elapsed() > Duration::from_secs(120) {
            return Err(format!("round {n}: the workers do not end: {seen:?}").into());
        }
    }
    ran.took = began.elapsed();
    ran.over_at = Instant::now() + LEASE + Duration::from_millis(200);
    Ok(ran)
}

/// Who comes after the leases of the dead are over finds what they held charged.
async fn ended(mut ran: Ran) -> Result<bool, Failed> {
    if ran.kills {
        tokio::time::sleep_until(ran.over_at.into()).await;
    }
    let last = roads::client(&ran.config)?;
    let states = last.budgets().await?;
    let end = ran.place.books().await?;
    ran.look(&end);
    let Ran {
        n,
        kills,
        killed,
        each,
        input,
        limit,
        looks,
        over,
        took,
        ..
    } = ran;
    let calls = limit / each;
    let (spent, charged) = end.money;
    println!(
        "round {n}: {killed} of {WORKERS} killed, {} settled, {} expired, {} of {limit} tokens spent, {looks} looks, {:.1?}",
        end.settled, end.expired, end.spent, took
    );
    let say = |text: &str| format!("round {n}: {text}");
    let mut good = check(
        over == 0,
        &say("spent and held are within the limit and add up at every look"),
    );
    good &= check(
        end.held == 0 && end.open == 0,
        &say("nothing is held when nobody calls"),
    );
    good &= check(
        end.spent == end.settled * each + end.expired * input,
        &say("every call is charged once, those of the dead with their input"),
    );
    good &= check(
        spent == charged && spent > 0,
        &say("the books balance to the nanodollar"),
    );
    good &= check(
        states
            .first()
            .is_some_and(|state| state.spent_tokens == end.spent),
        &say("a client says what the ledger says"),
    );
    if kills {
        good &= check(
            killed == WORKERS / 3,
            &say("a third of the processes was killed under load"),
        );
        good &= check(end.expired > 0, &say("the dead left holds behind"));
    }
    if kills && number("once", 0) > 0 {
        let callers = number("callers", 40) * WORKERS as u64;
        let admitted = end.settled + end.expired;
        good &= check(
            admitted == calls && took < LEASE,
            &say(&format!(
                "of {callers} callers {admitted} are admitted, exactly as many as there is money for, {} of them of the dead",
                end.expired
            )),
        );
    } else if kills {
        good &= check(
            end.spent <= limit && limit - end.spent < each,
            &say("the living spent what was left to them"),
        );
    } else {
        good &= check(
            end.settled == calls && end.spent == limit,
            &say("as many calls are admitted as there is money for, exactly"),
        );
    }
    Ok(good)
}

/// A thousand callers of one process, whose ledger is its memory.
async fn in_memory(seed: u64) -> Result<bool, Failed> {
    const CALLERS: usize = 1000;
    let calls = number("calls", 100);
    let upstream = Upstream::start().await?;
    upstream.set_delay(Duration::from_millis(5));
    let mut config = roads::direct(upstream.address(), 1);
    config["testing"] = json!({"seed": seed});
    let input = roads::client(&config)?.count(&request(0))?.tokens;
    upstream.set_usage(input, 5);
    let limit = (input + 5) * calls;
    config["budgets"] = json!({"limits": [
        {"window": "total", "tokens": limit, "nano_usd": 1_000_000_000_000_u64, "reserve": "calibrated"},
    ]});
    let client = roads::client(&config)?;
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let client = client.clone();
        callers.spawn(async move { client.complete(request(0)).await });
    }
    let (mut cost, mut admitted, mut refused) = (0, 0, 0);
    for outcome in callers.join_all().await {
        match outcome {
            Ok(answer) => {
                admitted += 1;
                cost += answer.cost.total.map_or(0, |total| total.0);
            }
            Err(error) => refused += u64::from(error.kind() == ErrorKind::BudgetExceeded),
        }
    }
    let states = client.budgets().await?;
    let state = states.first().ok_or("there is no budget")?;
    let mut good = check(
        admitted == calls && admitted + refused == CALLERS as u64,
        &format!(
            "memory, seed {seed}: of {CALLERS} callers {admitted} are admitted, exactly as many as there is money for"
        ),
    );
    good &= check(
        (state.spent_tokens, state.held_tokens, state.held_nano_usd.0) == (limit, 0, 0)
            && state.spent_nano_usd.0 == cost
            && cost > 0,
        &format!("memory, seed {seed}: the books balance to the nanodollar"),
    );
    Ok(good)
}

async fn run() -> Result<bool, Failed> {
    if let Some(config) = text("worker") {
        work(&config).await?;
        return Ok(true);
    }
    let mut good = true;
    for seed in 0..number("memory", 0) {
        good &= in_memory(seed).await?;
    }
    let mut over = Vec::new();
    for n in 0..number("rounds", 3) {
        over.push(
            round(
                n,
                (n > 0 || number("once", 0) > 0) && number("kills", 1) > 0,
            )
            .await?,
        );
    }
    for ran in over {
        good &= ended(ran).await?;
    }
    Ok(good)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    verdict(run().await)
}
