//! The connections to the database: few, each with one piece of work at a time, made when they are needed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

use crate::cache::tier::Fault;
use crate::transport::postgres::Database;

const TABLES: &str = include_str!("tables.sql");
/// Waits for whoever is making tables, outside of a transaction: within one what they made would not be seen.
const ALONE: &str = "SELECT pg_advisory_lock(7818351104732)";
const TOGETHER: &str = "SELECT pg_advisory_unlock(7818351104732)";
/// All is made in one transaction, but the vectors go with the extension.
const MADE: &str = "SELECT to_regprocedure('ossai_semantic_tidy_1(bytea,bigint,bigint)') IS NOT NULL
    AND EXISTS (SELECT 1 FROM pg_attribute
        WHERE attrelid = to_regclass('ossai_semantic_1') AND attname = 'embedding' AND NOT attisdropped)";

/// What the database can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Find,
    Known,
    Put,
    Forget,
    Tidy,
}

impl Work {
    fn writes(self) -> bool {
        matches!(self, Self::Put | Self::Forget | Self::Tidy)
    }
}

/// In the order of [`Work`].
const WORK: [&str; 5] = [
    "SELECT * FROM ossai_semantic_find_1($1, $2, $3, $4, $5, $6, $7, $8)",
    "SELECT * FROM ossai_semantic_known_1($1, $2, $3)",
    "SELECT ossai_semantic_put_1($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    "SELECT ossai_semantic_forget_1($1, $2, $3)",
    "SELECT * FROM ossai_semantic_tidy_1($1, $2, $3)",
];

pub(super) type Parameters = Vec<Box<dyn ToSql + Sync + Send>>;

/// An open connection.
struct Open {
    client: Client,
    work: Vec<Statement>,
}

/// A few connections to one database.
pub(super) struct Line {
    database: Arc<Database>,
    /// How long a connection may take.
    patience: Duration,
    /// How long a piece of work may take.
    limit: Duration,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Open>>,
}

impl Line {
    pub(super) fn new(
        database: Arc<Database>,
        connections: u32,
        patience: Duration,
        limit: Duration,
    ) -> Self {
        Self {
            database,
            patience,
            limit,
            places: Arc::new(Semaphore::new(
                usize::try_from(connections).unwrap_or(usize::MAX),
            )),
            idle: Mutex::default(),
        }
    }

    /// Has a piece of work done that does no harm twice. A connection that turns out to be broken is made anew once.
    pub(super) async fn ask(
        self: &Arc<Self>,
        work: Work,
        parameters: Parameters,
    ) -> Result<Vec<Row>, Fault> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| Fault::Away("io"))?;
        let line = Arc::clone(self);
        // In a task of its own: who leaves meanwhile breaks neither a connection nor one that is being made.
        let asked = tokio::spawn(async move {
            let answer = line.done(work, &parameters).await;
            drop(place);
            answer
        });
        asked.await.unwrap_or(Err(Fault::Away("io")))
    }

    async fn done(&self, work: Work, parameters: &Parameters) -> Result<Vec<Row>, Fault> {
        let parameters: Vec<&(dyn ToSql + Sync)> =
            (parameters.iter().map(|parameter| &**parameter as _)).collect();
        let mut again = true;
        loop {
            let idle = self.idle().pop();
            let was_idle = idle.is_some();
            let open = match idle {
                Some(open) if open.client.is_closed() => continue,
                Some(open) => open,
                None => self.connected().await?,
            };
            let Some(statement) = open.work.get(work as usize) else {
                return Err(Fault::Foreign("error"));
            };
            let query = open.client.query(statement, &parameters);
            match tokio::time::timeout(self.limit, query).await {
                Ok(Ok(rows)) => {
                    self.idle().push(open);
                    return Ok(rows);
                }
                Ok(Err(error)) => match fault(&error, work.writes()) {
                    Fault::Away("io") if was_idle && std::mem::take(&mut again) => {
                        // The others broke with it.
                        self.idle().clear();
                    }
                    fault @ Fault::Away(_) => return Err(fault),
                    // It said so and goes on: nothing is wrong with the connection.
                    fault => {
                        self.idle().push(open);
                        return Err(fault);
                    }
                },
                // What hangs is let go of.
                Err(_) => return Err(Fault::Away("timeout")),
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Open>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connected(&self) -> Result<Open, Fault> {
        match tokio::time::timeout(self.patience, self.connect()).await {
            Ok(Ok(open)) => Ok(open),
            Ok(Err(error)) => Err(match fault(&error, false) {
                fault @ Fault::Away(_) => fault,
                fault => Fault::Away(fault.why()),
            }),
            Err(_) => Err(Fault::Away("connect")),
        }
    }

    async fn connect(&self) -> Result<Open, Error> {
        let client = self.database.connect().await?;
        // What is waited for longer is of use to nobody; a cache that loses its last second has lost little.
        let limit = self.limit.as_millis().max(1);
        let lock = (limit / 2).max(1);
        client
            .batch_execute(&format!(
                "SET statement_timeout = 0; SET lock_timeout = {lock}; SET synchronous_commit = off;
                 SET default_transaction_isolation = 'read committed'; SET client_min_messages = warning"
            ))
            .await?;
        // Made by whoever comes first, so that a role that may not make tables can use them.
        if !client.query_one(MADE, &[]).await?.get::<_, bool>(0) {
            client.batch_execute("SET lock_timeout = 0").await?;
            client.batch_execute(ALONE).await?;
            if !client.query_one(MADE, &[]).await?.get::<_, bool>(0) {
                client.batch_execute(TABLES).await?;
            }
            client.batch_execute(TOGETHER).await?;
            client
                .batch_execute(&format!("SET lock_timeout = {lock}"))
                .await?;
        }
        let timeout = format!("SET statement_timeout = {limit}");
        let (work, ()) = tokio::try_join!(
            futures_util::future::try_join_all(WORK.map(|text| client.prepare(text))),
            client.batch_execute(&timeout),
        )?;
        Ok(Open { client, work })
    }

    /// A connection for long work, with no limit but the caller's.
    pub(super) async fn apart(&self) -> Result<Client, Error> {
        self.database.connect().await
    }
}

/// What an error of the database or on the way there means for the tier.
fn fault(error: &Error, writing: bool) -> Fault {
    let Some(code) = error.code() else {
        return Fault::Away("io");
    };
    let refused = |why| {
        if writing {
            Fault::Refused(why)
        } else {
            Fault::Away(why)
        }
    };
    let class = code.code().get(..2).unwrap_or_default();
    if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        refused("permission")
    } else if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        refused("read_only")
    } else if *code == SqlState::DISK_FULL {
        refused("full")
    } else if *code == SqlState::LOCK_NOT_AVAILABLE {
        // Somebody invalidates, or has the very row: that passes.
        Fault::Foreign("busy")
    } else if *code == SqlState::QUERY_CANCELED {
        Fault::Away("timeout")
    } else if *code == SqlState::UNDEFINED_OBJECT || *code == SqlState::UNDEFINED_FILE {
        Fault::Away("no_pgvector")
    } else {
        match class {
            "22" | "23" | "54" => Fault::Foreign("data"),
            "40" => Fault::Foreign("busy"),
            "28" => Fault::Away("auth"),
            "42" => Fault::Away("tables"),
            "53" | "57" => Fault::Away("loading"),
            _ => Fault::Away("error"),
        }
    }
}
