//! What the server keeps: API keys, one record per finished call and the audit log, in one SQLite file in one folder.
//!
//! WAL mode lets the command line read and manage keys while a server runs. Calls never wait for the disk: their rows go
//! through a bounded queue to one writer thread ([`writer`]).

mod audit;
pub(crate) mod keyring;
mod keys;
mod schema;
pub(crate) mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ossai::ledger::{GroupBy, Ledger};
use ossai::{Error, ErrorKind, Result};
use rusqlite::Connection;

pub use audit::AuditEntry;
pub(crate) use keys::check_tenant;
pub use keys::{ApiKey, CreatedKey};
pub(crate) use ossai::ledger::{UsageFilter, UsageRow, UsageSum};

const FILE: &str = "ossai.db";

/// The store of one data folder. Cloning gives another handle; all methods wait for the disk, so call them off the
/// async threads.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    /// Who acts, for the audit log.
    actor: Arc<str>,
}

struct Inner {
    folder: PathBuf,
    connection: Mutex<Connection>,
    usage: Ledger,
    pepper: [u8; 32],
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("folder", &self.inner.folder)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store of a folder, making both where they are missing: the folder with mode 0700, its files with 0600.
    ///
    /// # Errors
    /// `invalid_state` when the folder cannot be used or was written by a newer version.
    pub fn open(folder: &Path) -> Result<Self> {
        make_private_folder(folder)
            .and_then(|()| make_private_file(&folder.join(FILE)))
            .map_err(|error| unusable(folder, error))?;
        let pepper = keys::pepper(folder).map_err(|error| unusable(folder, error))?;
        let connection = connect(folder)?;
        schema::migrate(&connection, folder)?;
        let usage = Ledger::open(&folder.join(FILE))?;
        Ok(Self {
            inner: Arc::new(Inner {
                folder: folder.to_owned(),
                connection: Mutex::new(connection),
                usage,
                pepper,
            }),
            actor: Arc::from("library"),
        })
    }

    /// The same store in somebody's name, which the audit log gets: at most 128 characters, control characters left out.
    #[must_use]
    pub fn acting_as(mut self, actor: &str) -> Self {
        let shown: String = actor
            .chars()
            .filter(|c| !c.is_control())
            .take(128)
            .collect();
        self.actor = Arc::from(shown);
        self
    }

    pub(crate) fn actor(&self) -> Arc<str> {
        Arc::clone(&self.actor)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// The database, which holds the budgets' ledger too.
    pub(crate) fn file(&self) -> PathBuf {
        self.inner.folder.join(FILE)
    }

    /// The recorded calls.
    #[must_use]
    pub fn usage(&self) -> &Ledger {
        &self.inner.usage
    }

    /// Writes records of finished calls at once: for programs that call without a server.
    ///
    /// # Errors
    /// `internal` when the store does not answer.
    pub fn record(&self, rows: &[UsageRow]) -> Result<()> {
        self.inner.usage.record(rows)
    }

    /// Sums the recorded calls, ordered by group; without a grouping there is one row.
    ///
    /// # Errors
    /// `internal` when the store does not answer.
    pub fn query_usage(&self, filter: &UsageFilter, group_by: &[GroupBy]) -> Result<Vec<UsageSum>> {
        self.inner.usage.sums(filter, group_by)
    }

    pub(crate) fn connection(&self) -> MutexGuard<'_, Connection> {
        self.inner
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pepper(&self) -> &[u8; 32] {
        &self.inner.pepper
    }
}

pub(crate) fn connect(folder: &Path) -> Result<Connection> {
    let open = || {
        let connection = Connection::open(folder.join(FILE))?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // Money is in it: a row that was said to be kept survives a power cut.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        Ok(connection)
    };
    open().map_err(|error: rusqlite::Error| unusable(folder, error))
}

fn unusable(folder: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let message = format!("cannot use the data folder {}: {error}", folder.display());
    Error::new(ErrorKind::InvalidState, message).with_source(error)
}

/// A database fault in the middle of work; the text stays in the source, SQL is nobody's business.
pub(crate) fn fault(error: rusqlite::Error) -> Error {
    Error::new(ErrorKind::Internal, "the store does not answer").with_source(error)
}

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes a file only this user can read, unless it is there; SQLite gives its side files the same mode.
fn make_private_file(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}
