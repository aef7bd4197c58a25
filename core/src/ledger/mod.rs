//! What calls used and cost, kept: one record per call or flight, and what is asked of them afterwards.
//!
//! A record holds whose call it was, what it used, what it cost and what priced it, never what was said. All sums are of
//! integers, so the parts of any grouping sum to the whole exactly. The file is SQLite (WAL, synced at each step); an
//! orchestrator's store has the same table beside its others, and several processes may write and read one file.

mod anomaly;
mod csv;
mod filter;
mod recorder;
mod reprice;
mod row;
mod sums;
mod trend;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params, params_from_iter};

pub use anomaly::{Anomaly, Metric, Period, Severity, Watch};
pub use csv::{csv_cell, csv_head, csv_line};
pub use filter::{GroupBy, UsageFilter, parse_time};
pub(crate) use recorder::Recorder;
pub use reprice::Repriced;
pub use row::UsageRow;
pub use sums::{Top, UsageSum};
pub use trend::{Trend, TrendRow};

/// Is given what a flight cost that none of its callers was told, as a record that stands for no call. It must not wait.
pub type Untold = Arc<dyn Fn(UsageRow) + Send + Sync>;

use crate::error::{Error, ErrorKind, Result};

/// How long a statement waits for another process.
const BUSY: Duration = Duration::from_secs(5);
/// Most groups of one answer that has no pages.
pub const MOST_GROUPS: usize = 100_000;
/// Records taken away in one transaction.
const PRUNED_AT_ONCE: usize = 5_000;

/// The records of one file. Cloning gives another handle of the same connection; all methods wait for the disk, so call
/// them off the async threads. Safe to share between threads, which take turns.
#[derive(Clone)]
pub struct Ledger {
    connection: Arc<Mutex<Connection>>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens a file, making it (and its folder) where it is missing: for its user only.
    ///
    /// # Errors
    /// `invalid_state` when it cannot be used.
    pub fn open(path: &Path) -> Result<Self> {
        make_private(path).map_err(|error| unusable(path, error))?;
        let connection = connect(path).map_err(|error| unusable(path, error))?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes records, all or none.
    ///
    /// # Errors
    /// `internal` when the file does not answer.
    pub fn record(&self, rows: &[UsageRow]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut connection = self.connection();
        let mut write = || {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let mut statement = transaction.prepare_cached(&row::insert_sql())?;
                for row in rows {
                    statement.execute(params_from_iter(row.values()))?;
                }
            }
            transaction.commit()
        };
        write().map_err(fault)
    }

    /// The records a filter lets through, oldest first as they were written: those after `after` (0 for the first page), at
    /// most `limit`, each with its number, which is the next page's `after`.
    ///
    /// # Errors
    /// `internal` when the file does not answer.
    pub fn records(
        &self,
        filter: &UsageFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, UsageRow)>> {
        let (clause, mut values) = filter.clause();
        let sql = format!(
            "SELECT id, {} FROM usage WHERE {clause} AND id > ? ORDER BY id LIMIT ?",
            row::names()
        );
        values.push(after.into());
        values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
        let connection = self.connection();
        let read = || {
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map(params_from_iter(values), |row| {
                Ok((row.get(0)?, UsageRow::read(row, 1)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(fault)
    }

    /// Takes the records away that ended before this, in milliseconds since 1970, a few thousand at a time so that writers
    /// are not kept waiting; says how many. Their room in the file is used again.
    ///
    /// # Errors
    /// `internal` when the file does not answer.
    pub fn prune(&self, before: i64) -> Result<u64> {
        let mut gone = 0;
        loop {
            let batch = self
                .connection()
                .execute(
                    "DELETE FROM usage WHERE id IN (SELECT id FROM usage WHERE time < ? LIMIT ?)",
                    params![before, PRUNED_AT_ONCE as i64],
                )
                .map_err(fault)?;
            gone += batch as u64;
            if batch < PRUNED_AT_ONCE {
                return Ok(gone);
            }
        }
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Money is in it: a record that was said to be kept survives a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(&row::create_sql())?;
    // Of the version before: what it did not know is added, and it goes on writing without it.
    for (name, kind) in row::COLUMNS {
        let known = transaction
            .query_row(
                "SELECT 1 FROM pragma_table_info('usage') WHERE name = ?",
                [name],
                |_| Ok(()),
            )
            .optional()?;
        if known.is_none() {
            transaction.execute_batch(&format!("ALTER TABLE usage ADD COLUMN {name} {kind}"))?;
        }
    }
    transaction.execute_batch(row::INDEXES)?;
    transaction.commit()?;
    Ok(connection)
}

fn unusable(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let message = format!("cannot use the usage ledger {}: {error}", path.display());
    Error::new(ErrorKind::InvalidState, message).with_source(error)
}

/// A database fault in the middle of work; the text stays in the source, SQL is nobody's business.
fn fault(error: rusqlite::Error) -> Error {
    Error::new(ErrorKind::Internal, "the usage ledger does not answer").with_source(error)
}

/// Makes a file only this user can read, unless it is there; SQLite gives its side files the same mode.
pub(crate) fn make_private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}
