//! API keys: made here, shown once, kept as keyed hashes.
//!
//! A key is `ossai_<id>_<secret><checksum>`: 16, 64 and 8 hexadecimal digits. The secret has 256 random bits; the
//! checksum tells a mistyped key from a revoked one without asking, and secret scanners can verify it. What is kept is
//! BLAKE3 of the secret under a key of its own file, so that a copy of the database alone tests no guesses.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use ossai::{Error, ErrorKind, Result};
use rusqlite::params;
use serde::Serialize;

use super::{Store, fault, now_ms};

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
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !(1..=128).contains(&tenant.len()) || !tenant.chars().all(allowed) {
            return Err(Error::invalid(
                "tenant",
                "expected 1 to 128 of A-Z a-z 0-9 . _ -",
            ));
        }
        if name.chars().count() > 128 || name.chars().any(char::is_control) {
            return Err(Error::invalid(
                "name",
                "expected at most 128 characters, no control characters",
            ));
        }
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
        };
        self.connection()
            .execute(
                "INSERT INTO api_keys (id, tenant, name, hash, created) VALUES (?, ?, ?, ?, ?)",
                params![
                    entry.id,
                    entry.tenant,
                    entry.name,
                    hash(self.pepper(), &secret),
                    entry.created
                ],
            )
            .map_err(fault)?;
        Ok(CreatedKey { entry, key })
    }

    /// All keys, oldest first, revoked ones included.
    ///
    /// # Errors
    /// `internal` when the store does not answer.
    pub fn list_keys(&self) -> Result<Vec<ApiKey>> {
        let connection = self.connection();
        let mut statement = connection
            .prepare("SELECT id, tenant, name, created, revoked FROM api_keys ORDER BY rowid")
            .map_err(fault)?;
        let rows = statement.query_map([], |row| {
            Ok(ApiKey {
                id: row.get(0)?,
                tenant: row.get(1)?,
                name: row.get(2)?,
                created: row.get(3)?,
                revoked: row.get(4)?,
            })
        });
        rows.and_then(Iterator::collect).map_err(fault)
    }

    /// Revokes a key; running servers refuse it within a second. Says whether it was valid until now.
    ///
    /// # Errors
    /// `not_found` when there is no such key; `internal` when the store does not answer.
    pub fn revoke_key(&self, id: &str) -> Result<bool> {
        let connection = self.connection();
        let changed = connection
            .execute(
                "UPDATE api_keys SET revoked = ? WHERE id = ? AND revoked IS NULL",
                params![now_ms(), id],
            )
            .map_err(fault)?;
        let known: bool = connection
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM api_keys WHERE id = ?)",
                [id],
                |row| row.get(0),
            )
            .map_err(fault)?;
        if !known {
            return Err(Error::new(ErrorKind::NotFound, "id: there is no such key")
                .with(|fields| fields.field = Some("id".into())));
        }
        Ok(changed > 0)
    }
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
