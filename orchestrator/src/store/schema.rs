//! The tables, and how an older file becomes the current form. Columns of `usage` that came later are added by the core,
//! whose table it is (`ossai::ledger`).

use std::path::Path;

use ossai::{Error, ErrorKind, Result};
use rusqlite::Connection;

/// Each step makes of a file of version n one of version n + 1; steps are only ever added. A step adds columns that may
/// be absent and tables, so that programs of the version before it still work with the file during an update.
const STEPS: &[&str] = &[
    "
    CREATE TABLE api_keys (
        id      TEXT PRIMARY KEY,
        tenant  TEXT NOT NULL,
        name    TEXT NOT NULL,
        hash    BLOB NOT NULL,
        created INTEGER NOT NULL,
        revoked INTEGER
    ) STRICT;
    CREATE TABLE IF NOT EXISTS usage (
        id            INTEGER PRIMARY KEY,
        time          INTEGER NOT NULL,
        request_id    TEXT NOT NULL,
        tenant        TEXT NOT NULL,
        key_id        TEXT,
        operation     TEXT NOT NULL,
        provider      TEXT NOT NULL,
        model         TEXT NOT NULL,
        end_user      TEXT,
        outcome       TEXT NOT NULL,
        input         INTEGER NOT NULL,
        output        INTEGER NOT NULL,
        cache_read    INTEGER NOT NULL,
        cache_write   INTEGER NOT NULL,
        cache_write_1h INTEGER NOT NULL,
        cache_write_12h INTEGER NOT NULL,
        reasoning     INTEGER NOT NULL,
        audio_input   INTEGER NOT NULL,
        audio_cache_read INTEGER NOT NULL,
        audio_output  INTEGER NOT NULL,
        image_input   INTEGER NOT NULL,
        citation      INTEGER NOT NULL,
        web_searches  INTEGER NOT NULL,
        estimated     INTEGER NOT NULL,
        cost          INTEGER,
        saved         INTEGER,
        price_version TEXT NOT NULL,
        cache         TEXT NOT NULL,
        joined        INTEGER NOT NULL,
        attempts      INTEGER NOT NULL,
        latency_us    INTEGER NOT NULL,
        first_token_us INTEGER,
        tags          TEXT
    ) STRICT;
    CREATE INDEX IF NOT EXISTS usage_by_time ON usage (tenant, time);
",
    "
    ALTER TABLE api_keys ADD COLUMN expires INTEGER;
    ALTER TABLE api_keys ADD COLUMN requests_per_minute INTEGER;
    ALTER TABLE api_keys ADD COLUMN tokens_per_minute INTEGER;
    ALTER TABLE api_keys ADD COLUMN concurrency INTEGER;
    ALTER TABLE api_keys ADD COLUMN models TEXT;
    ALTER TABLE api_keys ADD COLUMN max_tokens INTEGER;
    ALTER TABLE api_keys ADD COLUMN max_cost INTEGER;
    CREATE TABLE audit (
        id      INTEGER PRIMARY KEY,
        time    INTEGER NOT NULL,
        actor   TEXT NOT NULL,
        action  TEXT NOT NULL,
        tenant  TEXT,
        key_id  TEXT,
        detail  TEXT NOT NULL
    ) STRICT;
    CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
    CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
",
];

#[allow(clippy::cast_possible_truncation)]
const LATEST: u32 = STEPS.len() as u32;

pub(super) fn migrate(connection: &Connection, folder: &Path) -> Result<()> {
    let run = || -> rusqlite::Result<Option<u32>> {
        // One process at a time; the others wait for the busy time-out and then find nothing to do.
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let Some(steps) = STEPS.get(version as usize..) else {
            connection.execute_batch("ROLLBACK")?;
            return Ok((version > LATEST + 1).then_some(version));
        };
        for step in steps {
            connection.execute_batch(step)?;
        }
        connection.pragma_update(None, "user_version", LATEST)?;
        connection.execute_batch("COMMIT")?;
        Ok(None)
    };
    match run() {
        Ok(None) => Ok(()),
        Ok(Some(version)) => Err(Error::new(
            ErrorKind::InvalidState,
            format!(
                "the data folder {} has version {version}, this program knows up to {}",
                folder.display(),
                LATEST + 1
            ),
        )),
        Err(error) => Err(super::unusable(folder, error)),
    }
}
