//! The keys as a running server checks them: in memory, refreshed when another process changed the file.
//!
//! Every refusal takes the same steps, so that neither answer nor time tells an unknown key from a revoked one.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use ossai::Result;
use rusqlite::Connection;
use subtle::ConstantTimeEq;

use super::keys::{ALLOWANCE, SECRET_LEN, allowance, hash, parse};
use super::{Store, connect, fault, now_ms};
use crate::guard::{Bounds, Policy};

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) tenant: Arc<str>,
    pub(crate) key_id: Option<Arc<str>>,
    /// What it may use.
    pub(crate) bounds: Arc<Bounds>,
}

struct Entry {
    identity: Identity,
    hash: [u8; 32],
    /// Until when, in milliseconds since 1970.
    valid_until: i64,
}

/// All keys of a store.
pub(crate) struct Keyring {
    pepper: [u8; 32],
    entries: RwLock<HashMap<Arc<str>, Entry>>,
}

impl Keyring {
    /// The keyring, and what keeps it fresh.
    pub(crate) fn open(store: &Store, policy: Policy) -> Result<(Arc<Self>, Refresher)> {
        let keyring = Arc::new(Self {
            pepper: *store.pepper(),
            entries: RwLock::default(),
        });
        let connection = connect(store.folder())?;
        let mut refresher = Refresher {
            keyring: Arc::clone(&keyring),
            connection,
            policy,
            version: None,
        };
        refresher.refresh()?;
        Ok((keyring, refresher))
    }

    /// Whose key this is, if it is one that holds.
    pub(crate) fn check(&self, presented: &str) -> Option<Identity> {
        const NOBODY: ([u8; 32], &str) = ([0; 32], "");
        let parsed = parse(presented);
        let (id, secret) = parsed.unwrap_or((NOBODY.1, NOBODY.1));
        // A malformed key costs the same hash as a well-formed one.
        let filler = "0".repeat(SECRET_LEN);
        let computed = hash(
            &self.pepper,
            if parsed.is_some() { secret } else { &filler },
        );
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(id);
        let kept = entry.map_or(&NOBODY.0, |entry| &entry.hash);
        let same = bool::from(computed.ct_eq(kept));
        let valid = entry.is_some_and(|entry| now_ms() < entry.valid_until);
        (same & valid & parsed.is_some())
            .then(|| entry.map(|entry| entry.identity.clone()))
            .flatten()
    }
}

/// Reads the keys again when the file has changed.
pub(crate) struct Refresher {
    keyring: Arc<Keyring>,
    connection: Connection,
    policy: Policy,
    version: Option<i64>,
}

impl Refresher {
    /// Reads the keys if the file has changed since the last time; waits for the disk.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        // SQLite's counter of other connections' commits: cheap enough to ask several times a second.
        let version: i64 = self
            .connection
            .pragma_query_value(None, "data_version", |row| row.get(0))
            .map_err(fault)?;
        if self.version == Some(version) {
            return Ok(());
        }
        let read = || -> rusqlite::Result<HashMap<Arc<str>, Entry>> {
            let mut statement = self.connection.prepare(&format!(
                "SELECT id, tenant, hash, revoked, expires, {ALLOWANCE} FROM api_keys"
            ))?;
            let rows = statement.query_map([], |row| {
                let id: Arc<str> = Arc::from(row.get::<_, String>(0)?);
                let tenant: Arc<str> = Arc::from(row.get::<_, String>(1)?);
                let revoked: Option<i64> = row.get(3)?;
                let expires: Option<i64> = row.get(4)?;
                let identity = Identity {
                    bounds: Arc::new(self.policy.bounds(&tenant, Some(&allowance(row, 5)?))),
                    tenant,
                    key_id: Some(Arc::clone(&id)),
                };
                Ok((
                    id,
                    Entry {
                        identity,
                        hash: row.get(2)?,
                        valid_until: revoked
                            .or(expires)
                            .unwrap_or(i64::MAX)
                            .min(expires.unwrap_or(i64::MAX)),
                    },
                ))
            })?;
            rows.collect()
        };
        let entries = read().map_err(fault)?;
        *self
            .keyring
            .entries
            .write()
            .unwrap_or_else(PoisonError::into_inner) = entries;
        self.version = Some(version);
        Ok(())
    }
}
