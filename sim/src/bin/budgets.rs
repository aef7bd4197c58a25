//! Processes that share one budget in a file or in PostgreSQL, a third of them killed in the middle: the limit holds at every look, every
//! hold ends, and the books balance to the nanodollar.
//!
//! The parent starts worker processes (itself with `--worker CONFIG`), each with many callers on one client, kills every
//! third with SIGKILL while they call, and reads the ledger's tables while they run and afterwards. Every call that is
//! answered costs exactly what it held, so that the budget ends within one call of its limit and never above it.
//! `--rounds N` (3); `--postgres URL` for a database instead of a file; `--callers N` of each worker (40), `--calls N` there is
//! money for (1000), `--kills 0` to let all live. The first round kills nobody.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use ossai::{Client, CompletionRequest, Config, ErrorKind};
use rusqlite::Connection;
use serde_json::{Value, json};
use sim::arguments::{number, text};
use sim::roads::{self, Failed};
use sim::tally::check;
use sim::upstream::Upstream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

const WORKERS: usize = 9;
const MODEL: &str = "openai/gpt-4o-mini";
/// How long what a dead worker held stays held.
const LEASE: Duration = Duration::from_secs(15);

fn request() -> CompletionRequest {
    CompletionRequest {
        max_tokens: Some(5),
        temperature: Some(1.0),
        ..CompletionRequest::new(MODEL, "call-budget")
    }
}

/// Calls until the budget has no more.
async fn work(config: &str) -> Result<(), Failed> {
    let client = Client::new(Config::from_json(&std::fs::read_to_string(config)?)?)?;
    let mut callers = JoinSet::new();
    for _ in 0..number("callers", 40) {
        let client = client.clone();
        callers.spawn(async move {
            loop {
                match client.complete(request()).await {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::BudgetExceeded => {
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

/// What the tables say.
#[derive(Debug, Default)]
struct Books {
    spent: u64,
    held: u64,
    /// Sums over the holds themselves.
    charged: u64,
    open: u64,
    settled: u64,
    expired: u64,
    /// Spent, and the sum over the holds.
    money: (u64, u64),
}

/// Where a round's ledger is.
enum Place {
    File(PathBuf),
    /// A database of the round's own.
    Database(String),
}

const LOOK: &str = "SELECT
    (SELECT coalesce(sum(spent_tokens), 0) FROM {}budget_accounts),
    (SELECT coalesce(sum(held_tokens), 0) FROM {}budget_accounts),
    (SELECT coalesce(sum(charged_tokens), 0) FROM {}budget_holds),
    (SELECT coalesce(sum(tokens), 0) FROM {}budget_entries e JOIN {}budget_holds h ON h.id = e.hold WHERE state = 'held'),
    (SELECT count(*) FROM {}budget_holds WHERE state = 'settled'),
    (SELECT count(*) FROM {}budget_holds WHERE state = 'expired'),
    (SELECT coalesce(sum(spent_money), 0) FROM {}budget_accounts),
    (SELECT coalesce(sum(charged_money), 0) FROM {}budget_holds)";

impl Place {
    /// All tables at one moment.
    async fn books(&self) -> Result<Books, Failed> {
        let numbers: Vec<u64> = match self {
            Self::File(path) => {
                let connection = Connection::open(path)?;
                connection.busy_timeout(Duration::from_secs(5))?;
                connection.query_row(&LOOK.replace("{}", ""), [], |row| {
                    (0..8)
                        .map(|i| row.get::<_, i64>(i).map(i64::unsigned_abs))
                        .collect()
                })?
            }
            Self::Database(url) => {
                let client = database(url).await?;
                let look = LOOK.replace("{}", "ossai_").replace("),\n", ")::text,\n") + "::text";
                let row = client.query_one(&look, &[]).await?;
                (0..8)
                    .map(|i| row.try_get::<_, String>(i)?.parse().map_err(Failed::from))
                    .collect::<Result<_, Failed>>()?
            }
        };
        let [
            spent,
            held,
            charged,
            open,
            settled,
            expired,
            spent_money,
            charged_money,
        ] = numbers[..]
        else {
            return Err("eight numbers were asked for".into());
        };
        Ok(Books {
            spent,
            held,
            charged,
            open,
            settled,
            expired,
            money: (spent_money, charged_money),
        })
    }
}

async fn database(url: &str) -> Result<tokio_postgres::Client, Failed> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(async move { connection.await.ok() });
    Ok(client)
}

/// An empty database beside the one that is named.
async fn fresh(url: &str, n: u64) -> Result<String, Failed> {
    let name = format!("round_{}_{n}", std::process::id());
    let (server, _) = url
        .rsplit_once('/')
        .ok_or("expected postgres://host/database")?;
    database(url)
        .await?
        .batch_execute(&format!("CREATE DATABASE {name}"))
        .await?;
    Ok(format!("{server}/{name}"))
}

fn worker(config: &Path) -> Result<Child, Failed> {
    Ok(Command::new(std::env::current_exe()?)
        .arg("--worker")
        .arg(config)
        .args(["--callers", &number("callers", 40).to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()?)
}

async fn round(n: u64, kills: bool) -> Result<bool, Failed> {
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
    upstream.set_delay(Duration::from_millis(20));
    let mut config: Value = roads::direct(upstream.address(), 1);
    let input = roads::client(&config)?.count(&request())?.tokens;
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
    let mut workers = (0..WORKERS)
        .map(|_| worker(&path))
        .collect::<Result<Vec<_>, Failed>>()?;
    let mut over = 0;
    let mut looks = 0;
    let mut killed = 0;
    let mut look = |seen: &Books| {
        looks += 1;
        over += u32::from(
            seen.spent + seen.held > limit || seen.spent != seen.charged || seen.held != seen.open,
        );
    };
    loop {
        tokio::time::sleep(Duration::from_millis(15)).await;
        let Ok(seen) = place.books().await else {
            // Its tables are being made.
            if began.elapsed() > Duration::from_secs(60) {
                return Err(format!("round {n}: there are no tables").into());
            }
            continue;
        };
        look(&seen);
        // A third of them, one after the other, spread over the first half of the budget.
        if kills && killed < WORKERS / 3 && seen.spent >= limit * (killed as u64 + 1) / 8 {
            let id = workers[killed]
                .id()
                .ok_or("a worker ended before its time")?;
            Command::new("kill")
                .args(["-KILL", &id.to_string()])
                .status()
                .await?;
            killed += 1;
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
    // Who comes after the leases of the dead are over finds what they held charged.
    if kills {
        tokio::time::sleep(LEASE + Duration::from_millis(200)).await;
    }
    let last = roads::client(&config)?;
    let states = last.budgets().await?;
    let end = place.books().await?;
    look(&end);
    let (spent, charged) = end.money;
    println!(
        "round {n}: {killed} of {WORKERS} killed, {} settled, {} expired, {} of {limit} tokens spent, {looks} looks, {:.1?}",
        end.settled,
        end.expired,
        end.spent,
        began.elapsed()
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

async fn run() -> Result<bool, Failed> {
    if let Some(config) = text("worker") {
        work(&config).await?;
        return Ok(true);
    }
    let mut good = true;
    for n in 0..number("rounds", 3) {
        good &= round(n, n > 0 && number("kills", 1) > 0).await?;
    }
    Ok(good)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("FAIL {error}");
            ExitCode::FAILURE
        }
    }
}
