//! API keys: made here, shown once, kept as keyed hashes.
//!
//! A key is `ossai_<id>_<secret><checksum>`: 16, 64 and 8 hexadecimal digits. The secret has 256 random bits; the
//! checksum tells a mistyped key from a revoked one without asking, and secret scanners can verify it. What is kept is
//! BLAKE3 of the secret under a key of its own file, so that a copy of the database alone tests no guesses.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use ossai::{Error, ErrorKind, Result};
use std::time::Duration;

use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::audit::{Action, record};
use super::{Store, fault, now_ms};
use crate::config::Allowance;

const PEPPER_FILE: &str = "key-hash.secret";
pub(super) const PREFIX: &str = "ossai_";
pub(super) const ID_LEN: usize = 16;
pub(super) const SECRET_LEN: usize = 64;
const CHECKSUM_LEN: usize = 8;

/// A key as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    /// The public part, by which logs and usage name it.
    pub id: String,
    /// Whose calls it makes.
    pub tenant: String,
    /// What it is for.
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    pub created: i64,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<i64>,
    /// When it ends by itself: the old key of a rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// What it may use, beside its tenant's bounds.
    pub limits: Allowance,
}

/// The columns of an [`Allowance`], in the order [`allowance`] reads them.
pub(super) const ALLOWANCE: &str =
    "requests_per_minute, tokens_per_minute, concurrency, models, max_tokens, max_cost";

/// Reads the columns [`ALLOWANCE`] from the one at `first` on.
pub(super) fn allowance(row: &Row<'_>, first: usize) -> rusqlite::Result<Allowance> {
    let number = |offset: usize| -> rusqlite::Result<Option<u64>> {
        let value: Option<i64> = row.get(first + offset)?;
        Ok(value.map(|value| value.unsigned_abs()))
    };
    let models: Option<String> = row.get(first + 3)?;
    Ok(Allowance {
        requests_per_minute: number(0)?,
        tokens_per_minute: number(1)?,
        concurrency: number(2)?,
        models: models.map(|list| {
            let names = list.split(',').filter(|name| !name.is_empty());
            names.map(str::to_owned).collect()
        }),
        max_tokens: number(4)?,
        max_cost_nano_usd: number(5)?,
    })
}

/// A new key. The text is nowhere else: show it once.
pub struct CreatedKey {
    /// The key's entry.
    pub entry: ApiKey,
    /// The key itself.
    pub key: String,
}

impl std::fmt::Debug for CreatedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedKey")
            .field("entry", &self.entry)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Makes a key for a tenant (1 to 128 of `A-Za-z0-9._-`); `name` says what it is for (at most 128 characters).
    ///
    /// Running servers accept it within a second.
    ///
    /// # Errors
    /// `invalid_request` naming `tenant` or `name`; `internal` when the store does not answer.
    pub fn create_key(&self, tenant: &str, name: &str) -> Result<CreatedKey> {
        self.create_limited_key(tenant, name, &Allowance::default())
    }

    /// [`Store::create_key`] with bounds of its own.
    ///
    /// # Errors
    /// As [`Store::create_key`]; `invalid_request` naming the bound that is wrong.
    pub fn create_limited_key(
        &self,
        tenant: &str,
        name: &str,
        limits: &Allowance,
    ) -> Result<CreatedKey> {
        check_tenant("tenant", tenant)?;
        if name.chars().count() > 128 || name.chars().any(char::is_control) {
            return Err(Error::invalid(
                "name",
                "expected at most 128 characters, no control characters",
            ));
        }
        limits.check("limits")?;
        self.write(|transaction| {
            let made = insert(transaction, self.pepper(), tenant, name, limits)?;
            let id = Some(made.entry.id.as_str());
            record(
                transaction,
                &self.actor(),
                Action::KeyCreated,
                Some(tenant),
                id,
                &limits.describe(),
            )?;
            Ok(made)
        })
    }

    /// Makes a key in another's place, with its tenant, name and limits; the old one holds for `overlap` longer.
    ///
    /// # Errors
    /// `not_found` when there is no such key, `invalid_state` when it holds no longer; `internal` when the store does not
    /// answer.
    pub fn rotate_key(&self, id: &str, overlap: Duration) -> Result<CreatedKey> {
        self.write(|transaction| {
            let old = find(transaction, id)?;
            let now = now_ms();
            if old.revoked.is_some() || old.expires.is_some_and(|at| at <= now) {
                return Err(Error::new(
                    ErrorKind::InvalidState,
                    "id: the key holds no longer, there is nothing to rotate",
                )
                .with(|fields| fields.field = Some("id".into())));
            }
            let made = insert(
                transaction,
                self.pepper(),
                &old.tenant,
                &old.name,
                &old.limits,
            )?;
            let overlap = i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX);
            let ends = now.saturating_add(overlap);
            let ends = old.expires.map_or(ends, |known| known.min(ends));
            transaction
                .execute(
                    "UPDATE api_keys SET expires = ? WHERE id = ?",
                    params![ends, id],
                )
                .map_err(fault)?;
            let detail = format!("new={} old_ends_ms={ends}", made.entry.id);
            record(
                transaction,
                &self.actor(),
                Action::KeyRotated,
                Some(&old.tenant),
                Some(id),
                &detail,
            )?;
            Ok(made)
        })
    }

    /// Replaces a key's limits; running servers follow within a second. Absent ones are taken away.
    ///
    /// # Errors
    /// `not_found` when there is no such key, `invalid_request` naming the bound that is wrong; `internal` when the store
    /// does not answer.
    pub fn limit_key(&self, id: &str, limits: &Allowance) -> Result<ApiKey> {
        limits.check("limits")?;
        self.write(|transaction| {
            let old = find(transaction, id)?;
            let models = limits.models.as_ref().map(|names| names.join(","));
            transaction
                .execute(
                    "UPDATE api_keys SET requests_per_minute = ?, tokens_per_minute = ?, concurrency = ?, models = ?,
                     max_tokens = ?, max_cost = ? WHERE id = ?",
                    params![
                        column(limits.requests_per_minute),
                        column(limits.tokens_per_minute),
                        column(limits.concurrency),
                        models,
                        column(limits.max_tokens),
                        column(limits.max_cost_nano_usd),
                        id
                    ],
                )
                .map_err(fault)?;
            record(
                transaction,
                &self.actor(),
                Action::LimitsChanged,
                Some(&old.tenant),
                Some(id),
                &format!("from [{}] to [{}]", old.limits.describe(), limits.describe()),
            )?;
            find(transaction, id)
        })
    }

    /// All keys, oldest first, revoked ones included.
    ///
    /// # Errors
    /// `internal` when the store does not answer.
    pub fn list_keys(&self) -> Result<Vec<ApiKey>> {
        let connection = self.connection();
        let mut statement = connection
            .prepare(&format!("{SELECT} ORDER BY rowid"))
            .map_err(fault)?;
        let rows = statement.query_map([], entry);
        rows.and_then(Iterator::collect).map_err(fault)
    }

    /// Revokes a key; running servers refuse it within a second. Says whether it was valid until now.
    ///
    /// # Errors
    /// `not_found` when there is no such key; `internal` when the store does not answer.
    pub fn revoke_key(&self, id: &str) -> Result<bool> {
        self.write(|transaction| {
            let old = find(transaction, id)?;
            let changed = transaction
                .execute(
                    "UPDATE api_keys SET revoked = ? WHERE id = ? AND revoked IS NULL",
                    params![now_ms(), id],
                )
                .map_err(fault)?;
            if changed > 0 {
                record(
                    transaction,
                    &self.actor(),
                    Action::KeyRevoked,
                    Some(&old.tenant),
                    Some(id),
                    "",
                )?;
            }
            Ok(changed > 0)
        })
    }

    /// One change together with its line in the audit log: both or neither.
    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let mut connection = self.connection();
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(fault)?;
        let done = work(&transaction)?;
        transaction.commit().map_err(fault)?;
        Ok(done)
    }
}

const SELECT: &str = "SELECT id, tenant, name, created, revoked, expires, \
    requests_per_minute, tokens_per_minute, concurrency, models, max_tokens, max_cost FROM api_keys";

fn entry(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    Ok(ApiKey {
        id: row.get(0)?,
        tenant: row.get(1)?,
        name: row.get(2)?,
        created: row.get(3)?,
        revoked: row.get(4)?,
        expires: row.get(5)?,
        limits: allowance(row, 6)?,
    })
}

fn find(connection: &Connection, id: &str) -> Result<ApiKey> {
    connection
        .query_row(&format!("{SELECT} WHERE id = ?"), [id], entry)
        .map_err(|error| match error {
            rusqlite::Error::QueryReturnedNoRows => {
                Error::new(ErrorKind::NotFound, "id: there is no such key")
                    .with(|fields| fields.field = Some("id".into()))
            }
            error => fault(error),
        })
}

fn insert(
    connection: &Connection,
    pepper: &[u8; 32],
    tenant: &str,
    name: &str,
    limits: &Allowance,
) -> Result<CreatedKey> {
    let mut random = [0_u8; 8 + 32];
    getrandom::fill(&mut random).map_err(|error| {
        Error::new(ErrorKind::Internal, "the system gives no random numbers").with_source(error)
    })?;
    let (id, secret) = random.split_at(8);
    let (id, secret) = (hex(id), hex(secret));
    let key = format!("{PREFIX}{id}_{secret}{}", checksum(&id, &secret));
    let entry = ApiKey {
        id,
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        created: now_ms(),
        revoked: None,
        expires: None,
        limits: limits.clone(),
    };
    connection
        .execute(
            &format!("INSERT INTO api_keys (id, tenant, name, hash, created, {ALLOWANCE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
            params![
                entry.id,
                entry.tenant,
                entry.name,
                hash(pepper, &secret),
                entry.created,
                column(limits.requests_per_minute),
                column(limits.tokens_per_minute),
                column(limits.concurrency),
                limits.models.as_ref().map(|names| names.join(",")),
                column(limits.max_tokens),
                column(limits.max_cost_nano_usd),
            ],
        )
        .map_err(fault)?;
    Ok(CreatedKey { entry, key })
}

/// As SQLite holds it; the checks have bounded it.
fn column(value: Option<u64>) -> Option<i64> {
    value.map(|value| i64::try_from(value).unwrap_or(i64::MAX))
}

/// A tenant's name: 1 to 128 of `A-Za-z0-9._-`.
pub(crate) fn check_tenant(field: &str, tenant: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=128).contains(&tenant.len()) && tenant.chars().all(allowed) {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        "expected 1 to 128 of A-Z a-z 0-9 . _ -",
    ))
}

pub(super) fn hash(pepper: &[u8; 32], secret: &str) -> [u8; 32] {
    *blake3::keyed_hash(pepper, secret.as_bytes()).as_bytes()
}

fn checksum(id: &str, secret: &str) -> String {
    let digest = blake3::derive_key(
        "ossai 2026 API key checksum v1",
        format!("{id}_{secret}").as_bytes(),
    );
    hex(&digest).chars().take(CHECKSUM_LEN).collect()
}

/// The id and the secret of a key's text, if it is whole.
pub(super) fn parse(key: &str) -> Option<(&str, &str)> {
    let (id, rest) = key.strip_prefix(PREFIX)?.split_at_checked(ID_LEN)?;
    let (secret, sum) = rest.strip_prefix('_')?.split_at_checked(SECRET_LEN)?;
    (checksum(id, secret) == sum).then_some((id, secret))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The key of the hashes: made once, whole or not at all even when two processes start at once.
pub(super) fn pepper(folder: &Path) -> std::io::Result<[u8; 32]> {
    let path = folder.join(PEPPER_FILE);
    if !path.exists() {
        let mut fresh = [0_u8; 32];
        getrandom::fill(&mut fresh).map_err(std::io::Error::other)?;
        let mut unique = [0_u8; 8];
        getrandom::fill(&mut unique).map_err(std::io::Error::other)?;
        let draft = folder.join(format!("{PEPPER_FILE}.{}", hex(&unique)));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&draft)?;
        file.write_all(&fresh)?;
        file.sync_all()?;
        let linked = std::fs::hard_link(&draft, &path);
        std::fs::remove_file(&draft)?;
        match linked {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let bytes = std::fs::read(&path)?;
    bytes
        .try_into()
        .map_err(|_| std::io::Error::other(format!("{PEPPER_FILE} is not 32 bytes")))
}
