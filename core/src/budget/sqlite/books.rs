//! The tables, and what is done to them within one transaction.
//!
//! Names begin with `budget_`, so that the file may be one that has other tables too: an orchestrator's store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::budget::account::Account;
use crate::budget::ledger::{Amount, Ask, Balance, MOST_LISTED, Short};

/// How long a statement waits for another process.
const BUSY: Duration = Duration::from_secs(5);
/// Where sums stop: far from the end of SQLite's integers.
const MOST_SPENT: i64 = 4_000_000_000_000_000_000;
/// How long ended holds are remembered, in milliseconds: an end that comes again or late finds its hold.
const REMEMBERED: i64 = 7 * 86_400_000;
/// How long the balances of past windows are kept, in milliseconds.
const KEPT: i64 = 90 * 86_400_000;
/// Rows taken away at once.
const SWEPT: i64 = 1000;
/// The version of these tables.
const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS budget_version (version INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS budget_accounts (
        account      TEXT NOT NULL,
        period       INTEGER NOT NULL,
        ends         INTEGER,
        spent_money  INTEGER NOT NULL DEFAULT 0,
        spent_tokens INTEGER NOT NULL DEFAULT 0,
        held_money   INTEGER NOT NULL DEFAULT 0,
        held_tokens  INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account, period)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS budget_owners (
        id      INTEGER PRIMARY KEY,
        expires INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS budget_holds (
        id             BLOB PRIMARY KEY,
        owner          INTEGER NOT NULL,
        state          TEXT NOT NULL CHECK (state IN ('held', 'settled', 'released', 'expired')),
        made           INTEGER NOT NULL,
        ended          INTEGER,
        input_money    INTEGER NOT NULL,
        input_tokens   INTEGER NOT NULL,
        charged_money  INTEGER NOT NULL DEFAULT 0,
        charged_tokens INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS budget_entries (
        hold    BLOB NOT NULL,
        account TEXT NOT NULL,
        period  INTEGER NOT NULL,
        money   INTEGER NOT NULL,
        tokens  INTEGER NOT NULL,
        PRIMARY KEY (hold, account, period)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS budget_holds_open ON budget_holds (owner) WHERE state = 'held';
    CREATE INDEX IF NOT EXISTS budget_holds_ended ON budget_holds (ended) WHERE state <> 'held';
    CREATE INDEX IF NOT EXISTS budget_accounts_over ON budget_accounts (ends);
";

/// How an end came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The hold is over.
    Now,
    /// It was over before, in the same way.
    Before,
    /// It was over before, and was charged with something else; that stays.
    Conflict,
}

/// The open file.
pub(crate) struct Books(Connection);

impl Books {
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        // What cannot be made here is told by the opening.
        let _ = crate::ledger::make_private(path);
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A hold that was said to be kept survives a power cut.
        connection.pragma_update(None, "synchronous", "FULL")?;
        let mut books = Self(connection);
        let work = books.begin()?;
        work.execute_batch(TABLES)?;
        let version: Option<i64> = work
            .query_row("SELECT version FROM budget_version", [], |row| row.get(0))
            .optional()?;
        match version {
            None => {
                work.execute("INSERT INTO budget_version VALUES (?)", [VERSION])?;
            }
            Some(VERSION) => {}
            // Written by a newer version: what its columns mean is not known here.
            Some(_) => return Err(rusqlite::Error::InvalidQuery),
        }
        work.commit()?;
        Ok(books)
    }

    /// Begins what is kept whole or not at all; waits for other processes.
    pub(crate) fn begin(&mut self) -> rusqlite::Result<Work<'_>> {
        self.0
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map(Work)
    }
}

/// One transaction, alone in the file.
pub(crate) struct Work<'a>(Transaction<'a>);

impl<'a> std::ops::Deref for Work<'a> {
    type Target = Transaction<'a>;
    fn deref(&self) -> &Transaction<'a> {
        &self.0
    }
}

fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn nat(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

impl Work<'_> {
    pub(crate) fn commit(self) -> rusqlite::Result<()> {
        self.0.commit()
    }

    /// What is on an account.
    pub(crate) fn balance(&self, account: &Account) -> rusqlite::Result<Balance> {
        let mut select = self.prepare_cached(
            "SELECT spent_money, spent_tokens, held_money, held_tokens FROM budget_accounts
             WHERE account = ? AND period = ?",
        )?;
        let found = select
            .query_row(params![&*account.id, account.period], |row| balance(row, 0))
            .optional()?;
        Ok(found.unwrap_or_default())
    }

    /// Holds on every account, or says what is missing and holds nothing.
    pub(crate) fn reserve(
        &self,
        ask: &Ask,
        owner: i64,
        now: i64,
    ) -> rusqlite::Result<Result<(), Vec<Short>>> {
        let mut shorts = Vec::new();
        for (place, entry) in ask.entries.iter().enumerate() {
            entry.check(place, &self.balance(&entry.account)?, &mut shorts);
        }
        if !shorts.is_empty() {
            return Ok(Err(shorts));
        }
        self.insert(ask, owner, now, "held", Amount::default())?;
        for entry in &ask.entries {
            self.book(&entry.account, entry.ends, Amount::default(), entry.amount)?;
        }
        Ok(Ok(()))
    }

    fn insert(
        &self,
        ask: &Ask,
        owner: i64,
        now: i64,
        state: &str,
        charge: Amount,
    ) -> rusqlite::Result<()> {
        let id = ask.id.to_be_bytes();
        let ended = (state != "held").then_some(now);
        self.prepare_cached(
            "INSERT INTO budget_holds (id, owner, state, made, ended, input_money, input_tokens, charged_money, charged_tokens)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            id,
            owner,
            state,
            now,
            ended,
            int(ask.input.money),
            int(ask.input.tokens),
            int(charge.money),
            int(charge.tokens),
        ])?;
        let mut insert =
            self.prepare_cached("INSERT INTO budget_entries VALUES (?, ?, ?, ?, ?)")?;
        for entry in &ask.entries {
            insert.execute(params![
                id,
                &*entry.account.id,
                entry.account.period,
                int(entry.amount.money),
                int(entry.amount.tokens),
            ])?;
        }
        Ok(())
    }

    /// Adds to what is spent and to what is held.
    fn book(
        &self,
        account: &Account,
        ends: Option<i64>,
        spent: Amount,
        held: Amount,
    ) -> rusqlite::Result<()> {
        self.prepare_cached(
            "INSERT INTO budget_accounts (account, period, ends, spent_money, spent_tokens, held_money, held_tokens)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (account, period) DO UPDATE SET
                spent_money  = min(spent_money  + excluded.spent_money,  ?8),
                spent_tokens = min(spent_tokens + excluded.spent_tokens, ?8),
                held_money   = min(held_money   + excluded.held_money,   ?8),
                held_tokens  = min(held_tokens  + excluded.held_tokens,  ?8)",
        )?
        .execute(params![
            &*account.id,
            account.period,
            ends,
            int(spent.money),
            int(spent.tokens),
            int(held.money),
            int(held.tokens),
            MOST_SPENT,
        ])
        .map(drop)
    }

    /// Ends a hold with a charge, or with none; `expired` where nobody is left to say what it was.
    pub(crate) fn end(
        &self,
        ask: &Ask,
        owner: i64,
        charge: Option<Amount>,
        now: i64,
    ) -> rusqlite::Result<Ended> {
        let id = ask.id.to_be_bytes();
        let found = self
            .prepare_cached(
                "SELECT state, charged_money, charged_tokens FROM budget_holds WHERE id = ?",
            )?
            .query_row(params![id], |row| {
                let state: String = row.get(0)?;
                let charged = Amount {
                    money: nat(row.get(1)?),
                    tokens: nat(row.get(2)?),
                };
                Ok((state, charged))
            })
            .optional()?;
        let Some((state, charged)) = found else {
            // It was let pass without the ledger.
            let Some(charge) = charge else {
                return Ok(Ended::Before);
            };
            self.insert(ask, owner, now, "settled", charge)?;
            for entry in &ask.entries {
                self.book(&entry.account, entry.ends, charge, Amount::default())?;
            }
            return Ok(Ended::Now);
        };
        let new = charge.unwrap_or_default();
        match state.as_str() {
            "settled" if new == charged => return Ok(Ended::Before),
            "settled" => return Ok(Ended::Conflict),
            "released" if charge.is_none() => return Ok(Ended::Before),
            _ => {}
        }
        let state = if charge.is_some() {
            "settled"
        } else {
            "released"
        };
        self.close(&id, charged, new, state, now)?;
        Ok(Ended::Now)
    }

    /// Books what a hold is charged with in place of what it held, or of what it was charged with.
    fn close(
        &self,
        id: &[u8],
        old: Amount,
        new: Amount,
        state: &str,
        now: i64,
    ) -> rusqlite::Result<()> {
        self.prepare_cached(
            "UPDATE budget_accounts SET
                spent_money  = max(0, min(spent_money  - ?2 + ?4, ?6)),
                spent_tokens = max(0, min(spent_tokens - ?3 + ?5, ?6)),
                held_money   = max(0, held_money  - CASE h.state WHEN 'held' THEN e.money  ELSE 0 END),
                held_tokens  = max(0, held_tokens - CASE h.state WHEN 'held' THEN e.tokens ELSE 0 END)
             FROM budget_entries e JOIN budget_holds h ON h.id = e.hold
             WHERE e.hold = ?1 AND budget_accounts.account = e.account AND budget_accounts.period = e.period",
        )?
        .execute(params![
            id,
            int(old.money),
            int(old.tokens),
            int(new.money),
            int(new.tokens),
            MOST_SPENT,
        ])?;
        self.prepare_cached(
            "UPDATE budget_holds SET state = ?2, ended = ?3, charged_money = ?4, charged_tokens = ?5 WHERE id = ?1",
        )?
        .execute(params![id, state, now, int(new.money), int(new.tokens)])
        .map(drop)
    }

    /// Says that a process lives.
    pub(crate) fn renew(&self, owner: i64, until: i64) -> rusqlite::Result<()> {
        self.prepare_cached(
            "INSERT INTO budget_owners VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET expires = excluded.expires",
        )?
        .execute(params![owner, until])
        .map(drop)
    }

    /// Charges what dead processes held with its input, and lets go of what is past; says how many holds expired.
    pub(crate) fn reap(&self, now: i64) -> rusqlite::Result<usize> {
        let mut select = self.prepare_cached(
            "SELECT h.id, h.input_money, h.input_tokens FROM budget_holds h
             LEFT JOIN budget_owners o ON o.id = h.owner
             WHERE h.state = 'held' AND coalesce(o.expires, 0) < ?",
        )?;
        let dead = select
            .query_map(params![now], |row| {
                let input = Amount {
                    money: nat(row.get(1)?),
                    tokens: nat(row.get(2)?),
                };
                Ok((row.get::<_, Vec<u8>>(0)?, input))
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for (id, input) in &dead {
            self.close(id, Amount::default(), *input, "expired", now)?;
        }
        self.execute("DELETE FROM budget_owners WHERE expires < ?", [now])?;
        let old = "SELECT id FROM budget_holds WHERE state <> 'held' AND ended < ?1 LIMIT ?2";
        let before = params![now.saturating_sub(REMEMBERED), SWEPT];
        self.execute(
            &format!("DELETE FROM budget_entries WHERE hold IN ({old})"),
            before,
        )?;
        let before = params![now.saturating_sub(REMEMBERED), SWEPT];
        self.execute(
            &format!("DELETE FROM budget_holds WHERE id IN ({old})"),
            before,
        )?;
        self.execute(
            "DELETE FROM budget_accounts WHERE (account, period) IN (SELECT account, period FROM budget_accounts
             WHERE ends < ? AND held_money = 0 AND held_tokens = 0 LIMIT ?)",
            params![now.saturating_sub(KEPT), SWEPT],
        )?;
        Ok(dead.len())
    }

    /// The accounts of the windows that hold `now`.
    pub(crate) fn list(&self, now: i64) -> rusqlite::Result<Vec<(Account, Balance)>> {
        let mut select = self.prepare_cached(
            "SELECT account, period, spent_money, spent_tokens, held_money, held_tokens FROM budget_accounts
             WHERE period <= ?1 AND (ends IS NULL OR ends > ?1) ORDER BY account LIMIT ?2",
        )?;
        let rows = select.query_map(params![now, int(MOST_LISTED as u64)], |row| {
            let account = Account {
                id: Arc::from(row.get::<_, String>(0)?),
                period: row.get(1)?,
            };
            Ok((account, balance(row, 2)?))
        })?;
        rows.collect()
    }
}

fn balance(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Balance> {
    Ok(Balance {
        spent: Amount {
            money: nat(row.get(at)?),
            tokens: nat(row.get(at + 1)?),
        },
        held: Amount {
            money: nat(row.get(at + 2)?),
            tokens: nat(row.get(at + 3)?),
        },
    })
}
