//! The ledger in PostgreSQL: processes of many machines, which share its balances and its clock.
//!
//! A batch is one call of a function in the database: one round trip, one transaction. It locks the accounts it touches in
//! the order of their keys, so writers wait for each other and never in a circle, and it is synced before it is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Statement};

use super::account::Account;
use super::kept::{Fault, Keeping, Message, Outcome, Round};
use super::ledger::{Amount, Ask, Balance, MOST_LISTED};
use crate::client::{Config, Secret};
use crate::error::Result;
use crate::transport::postgres::Database;

const TABLES: &str = include_str!("tables.sql");
/// Waits for whoever is making tables, outside of a transaction: within one what they made would not be seen.
const ALONE: &str = "SELECT pg_advisory_lock(7818351104731)";
/// How long the database may take for a batch.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most ends of one batch that were said before it.
const CHUNK: usize = 1000;
/// How long a connection may be quiet before it is asked whether it still stands.
const QUIET: Duration = Duration::from_millis(500);
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(100);
const FIELD: &str = "config.budgets.postgres";

/// The database of a connection string.
///
/// # Errors
/// As [`Database::new`].
pub(crate) fn database(place: &Secret, config: &Config) -> Result<Database> {
    Database::new(FIELD, place, PATIENCE, config)
}

/// An open connection.
struct Open {
    client: Client,
    work: Statement,
    reap: Statement,
    used: Instant,
}

/// The database, connected to when it is first needed, and anew after it went away.
pub(super) struct Server<'a> {
    database: &'a Database,
    runtime: Option<Runtime>,
    open: Option<Open>,
}

impl<'a> Server<'a> {
    pub(super) fn new(database: &'a Database) -> Self {
        // Without one every round fails, which is told.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Self {
            database,
            runtime: runtime.ok(),
            open: None,
        }
    }
}

impl Keeping for Server<'_> {
    fn keep(&mut self, round: &Round<'_>) -> std::result::Result<Vec<Outcome>, Fault> {
        let Some(runtime) = &self.runtime else {
            return Err(Fault {
                error: "the system gives no event loop".to_owned(),
                doubts: false,
            });
        };
        let (database, open) = (self.database, &mut self.open);
        let outcome = runtime.block_on(async {
            let mut doubts = false;
            let kept = tokio::time::timeout(PATIENCE, keep(database, open, round, &mut doubts));
            match kept.await {
                Ok(Ok(outcomes)) => Ok(outcomes),
                Ok(Err(error)) => {
                    // The database said no: then nothing is kept. Else nobody knows.
                    let said_no = error.as_db_error().is_some();
                    Err((error.to_string(), doubts && !said_no))
                }
                Err(_) => Err(("the database does not answer in time".to_owned(), doubts)),
            }
        });
        outcome.map_err(|(error, doubts)| {
            self.open = None;
            Fault { error, doubts }
        })
    }
}

async fn keep(
    database: &Database,
    open: &mut Option<Open>,
    round: &Round<'_>,
    doubts: &mut bool,
) -> std::result::Result<Vec<Outcome>, tokio_postgres::Error> {
    if let Some(quiet) = open
        && quiet.used.elapsed() >= QUIET
        && quiet.client.simple_query("").await.is_err()
    {
        // It went away while nobody asked it anything.
        *open = None;
    }
    let open = match open {
        Some(open) => open,
        none => none.insert(connected(database).await?),
    };
    open.used = Instant::now();
    let lists = |message: &Message| matches!(message, Message::List(..));
    if round.batch.iter().any(lists) {
        open.client.query_one(&open.reap, &[]).await?;
    }
    let owed: Vec<Value> = round
        .owed
        .iter()
        .map(|(ask, charge)| end(ask, *charge))
        .collect();
    let mut chunks: Vec<&[Value]> = owed.chunks(CHUNK).collect();
    let last = chunks.pop().unwrap_or_default();
    for chunk in chunks {
        // Ending twice is ending once: what breaks off here is said again.
        let said = json!({"owner": round.owner, "lease": null, "work": chunk}).to_string();
        open.client.query_one(&open.work, &[&said]).await?;
    }
    let mut work = last.to_vec();
    work.extend(round.batch.iter().map(item));
    let said = json!({"owner": round.owner, "lease": round.lease, "work": work}).to_string();
    *doubts = true;
    let answer: String = open.client.query_one(&open.work, &[&said]).await?.get(0);
    if round.lease.is_some() {
        // It lives, so its own holds are not among those of the dead. What fails now is done by the next.
        let _ = open.client.query_one(&open.reap, &[]).await;
    }
    let answers: Vec<Value> = serde_json::from_str(&answer).unwrap_or_default();
    let mut answers = answers.into_iter().skip(last.len());
    Ok(round
        .batch
        .iter()
        .map(|message| outcome(message, answers.next()))
        .collect())
}

/// Connects, and tries again while the database is away: it may be starting. The caller's patience ends it.
async fn connected(database: &Database) -> std::result::Result<Open, tokio_postgres::Error> {
    loop {
        match connect(database).await {
            Err(error)
                if error
                    .code()
                    .is_none_or(|code| *code == SqlState::CANNOT_CONNECT_NOW) =>
            {
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

async fn connect(database: &Database) -> std::result::Result<Open, tokio_postgres::Error> {
    let client = database.connect().await?;
    client
        .batch_execute(
            "SET synchronous_commit = on; SET statement_timeout = 5000; SET lock_timeout = 5000",
        )
        .await?;
    let made = "SELECT to_regprocedure('ossai_budget_1(text)') IS NOT NULL
        AND to_regprocedure('ossai_budget_reap_1()') IS NOT NULL";
    // Made by whoever comes first, so that a role that may not make tables can use them. Who waited for another to make
    // them leaves them alone: making them again would lock, in another order, what is being written to.
    if !client.query_one(made, &[]).await?.get::<_, bool>(0) {
        client.batch_execute(ALONE).await?;
        if !client.query_one(made, &[]).await?.get::<_, bool>(0) {
            client.batch_execute(TABLES).await?;
        }
        client
            .batch_execute("SELECT pg_advisory_unlock(7818351104731)")
            .await?;
    }
    let work = client.prepare("SELECT ossai_budget_1($1)").await?;
    let reap = client.prepare("SELECT ossai_budget_reap_1()").await?;
    Ok(Open {
        client,
        work,
        reap,
        used: Instant::now(),
    })
}

fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Texts of PostgreSQL hold every character but one.
fn escaped(id: &str) -> String {
    id.replace('\u{1}', "\u{1}1").replace('\0', "\u{1}0")
}

fn unescaped(id: &str) -> String {
    id.replace("\u{1}0", "\0").replace("\u{1}1", "\u{1}")
}

fn entries(ask: &Ask) -> Value {
    let entries = ask.entries.iter().enumerate().map(|(n, entry)| {
        let bound = entry.bound.as_ref();
        json!({
            "n": n,
            "a": escaped(&entry.account.id),
            "p": entry.account.period,
            "x": entry.ends,
            "m": int(entry.amount.money),
            "t": int(entry.amount.tokens),
            "lm": bound.and_then(|bound| bound.money).map(int),
            "lt": bound.and_then(|bound| bound.tokens).map(int),
        })
    });
    entries.collect()
}

fn amount(amount: Amount) -> Value {
    json!([int(amount.money), int(amount.tokens)])
}

fn end(ask: &Ask, charge: Option<Amount>) -> Value {
    json!({"op": "end", "id": format!("{:032x}", ask.id), "input": amount(ask.input), "charge": charge.map(amount), "entries": entries(ask)})
}

fn item(message: &Message) -> Value {
    match message {
        Message::Reserve(ask, _) => {
            json!({"op": "reserve", "id": format!("{:032x}", ask.id), "input": amount(ask.input), "entries": entries(ask)})
        }
        Message::End(ask, charge) => end(ask, *charge),
        Message::List(now, _) => json!({"op": "list", "now": now, "most": MOST_LISTED}),
        Message::Read(accounts, _) => {
            let accounts = accounts.iter().enumerate().map(
                |(n, account)| json!({"n": n, "a": escaped(&account.id), "p": account.period}),
            );
            json!({"op": "read", "accounts": accounts.collect::<Value>()})
        }
        Message::Flush(_) => json!({"op": "flush"}),
    }
}

/// Four numbers from the one at `at` on.
fn balance(row: &Value, at: usize) -> Balance {
    let number = |i: usize| row.get(at + i).and_then(Value::as_u64).unwrap_or(0);
    Balance {
        spent: Amount {
            money: number(0),
            tokens: number(1),
        },
        held: Amount {
            money: number(2),
            tokens: number(3),
        },
    }
}

fn outcome(message: &Message, answer: Option<Value>) -> Outcome {
    // Without an answer nothing is known, which is not what an empty one says.
    let Some(answer) = answer else {
        return Outcome::Nothing;
    };
    let rows = answer.as_array();
    match message {
        Message::Reserve(ask, _) => Outcome::Reserved(match rows {
            None => Ok(()),
            Some(rows) => {
                let mut shorts = Vec::new();
                for (place, (entry, row)) in ask.entries.iter().zip(rows).enumerate() {
                    entry.check(place, &balance(row, 0), &mut shorts);
                }
                Err(shorts)
            }
        }),
        Message::List(..) => {
            let listed = rows.into_iter().flatten().filter_map(|row| {
                let account = Account {
                    id: Arc::from(unescaped(row.get(0)?.as_str()?)),
                    period: row.get(1)?.as_i64()?,
                };
                Some((account, balance(row, 2)))
            });
            Outcome::Listed(listed.collect())
        }
        Message::Read(..) => {
            let read = rows.into_iter().flatten().map(|row| balance(row, 0));
            Outcome::Read(read.collect())
        }
        Message::End(..) | Message::Flush(_) => Outcome::Nothing,
    }
}
