//! The audit log: what was done to keys and limits, by whom and when. The database itself refuses to change or delete a
//! line (triggers), and a change and its line are one transaction. Secrets are not in it: keys go by their public ids.

use ossai::Result;
use rusqlite::{Connection, params};
use serde::Serialize;

use super::{Store, fault, now_ms};

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// Its number; later lines have higher ones.
    pub id: i64,
    /// When, in milliseconds since 1970.
    pub time: i64,
    /// Who: the operating system's user on the command line, `library` for a program, `server` for a server's own acts.
    pub actor: String,
    /// `key_created`, `key_rotated`, `key_revoked` or `limits_changed`.
    pub action: String,
    /// Whose key it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The key's public id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// What else there is to know.
    pub detail: String,
}

/// What was done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    KeyCreated,
    KeyRotated,
    KeyRevoked,
    LimitsChanged,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::KeyCreated => "key_created",
            Self::KeyRotated => "key_rotated",
            Self::KeyRevoked => "key_revoked",
            Self::LimitsChanged => "limits_changed",
        }
    }
}

pub(super) fn record(
    connection: &Connection,
    actor: &str,
    action: Action,
    tenant: Option<&str>,
    key_id: Option<&str>,
    detail: &str,
) -> Result<()> {
    connection
        .execute(
            "INSERT INTO audit (time, actor, action, tenant, key_id, detail) VALUES (?, ?, ?, ?, ?, ?)",
            params![now_ms(), actor, action.name(), tenant, key_id, detail],
        )
        .map(drop)
        .map_err(fault)
}

impl Store {
    /// The newest lines of the audit log, at most `most`, oldest of them first.
    ///
    /// # Errors
    /// `internal` when the store does not answer.
    pub fn audit(&self, most: usize) -> Result<Vec<AuditEntry>> {
        let connection = self.connection();
        let mut statement = connection
            .prepare(
                "SELECT id, time, actor, action, tenant, key_id, detail FROM audit ORDER BY id DESC LIMIT ?",
            )
            .map_err(fault)?;
        let rows = statement.query_map([i64::try_from(most).unwrap_or(i64::MAX)], |row| {
            Ok(AuditEntry {
                id: row.get(0)?,
                time: row.get(1)?,
                actor: row.get(2)?,
                action: row.get(3)?,
                tenant: row.get(4)?,
                key_id: row.get(5)?,
                detail: row.get(6)?,
            })
        });
        let mut entries: Vec<AuditEntry> = rows.and_then(Iterator::collect).map_err(fault)?;
        entries.reverse();
        Ok(entries)
    }
}
