//! A ledger's tables, read past the client that keeps them.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;

use crate::roads::Failed;

/// What the tables say.
#[derive(Debug, Default)]
pub struct Books {
    /// Tokens, by the accounts.
    pub spent: u64,
    /// Likewise.
    pub held: u64,
    /// Sums over the holds themselves.
    pub charged: u64,
    /// Likewise, of those that are open.
    pub open: u64,
    /// How many ended so.
    pub settled: u64,
    /// Likewise.
    pub expired: u64,
    /// Spent, and the sum over the holds.
    pub money: (u64, u64),
}

/// Where a round's ledger is.
pub enum Place {
    /// A file.
    File(PathBuf),
    /// A database of the round's own.
    Database(String),
}

const LOOK: &str = "SELECT
    (SELECT coalesce(sum(spent_tokens), 0) FROM {}budget_accounts),
    (SELECT coalesce(sum(held_tokens), 0) FROM {}budget_accounts),
    (SELECT coalesce(sum(charged_tokens), 0) FROM {}budget_holds),
    (SELECT coalesce(sum(tokens), 0) FROM {}budget_entries e JOIN {}budget_holds h ON h.id = e.hold WHERE state = 'held'),
    (SELECT count(*) FROM {}budget_holds WHERE state = 'settled'),
    (SELECT count(*) FROM {}budget_holds WHERE state = 'expired'),
    (SELECT coalesce(sum(spent_money), 0) FROM {}budget_accounts),
    (SELECT coalesce(sum(charged_money), 0) FROM {}budget_holds)";

impl Place {
    /// All tables at one moment.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn books(&self) -> Result<Books, Failed> {
        let numbers: Vec<u64> = match self {
            Self::File(path) => {
                let connection = Connection::open(path)?;
                connection.busy_timeout(Duration::from_secs(5))?;
                connection.query_row(&LOOK.replace("{}", ""), [], |row| {
                    (0..8)
                        .map(|i| row.get::<_, i64>(i).map(i64::unsigned_abs))
                        .collect()
                })?
            }
            Self::Database(url) => {
                let client = database(url).await?;
                let look = LOOK.replace("{}", "ossai_").replace("),\n", ")::text,\n") + "::text";
                let row = client.query_one(&look, &[]).await?;
                (0..8)
                    .map(|i| row.try_get::<_, String>(i)?.parse().map_err(Failed::from))
                    .collect::<Result<_, Failed>>()?
            }
        };
        let [
            spent,
            held,
            charged,
            open,
            settled,
            expired,
            spent_money,
            charged_money,
        ] = numbers[..]
        else {
            return Err("eight numbers were asked for".into());
        };
        Ok(Books {
            spent,
            held,
            charged,
            open,
            settled,
            expired,
            money: (spent_money, charged_money),
        })
    }
}

async fn database(url: &str) -> Result<tokio_postgres::Client, Failed> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(async move { connection.await.ok() });
    Ok(client)
}

/// An empty database beside the one that is named.
///
/// # Errors
/// It cannot be made.
pub async fn fresh(url: &str, n: u64) -> Result<String, Failed> {
    let name = format!("round_{}_{n}", std::process::id());
    let (server, rest) = url
        .rsplit_once('/')
        .ok_or("expected postgres://host/database")?;
    let options = rest.find('?').map_or("", |at| &rest[at..]);
    database(url)
        .await?
        .batch_execute(&format!("CREATE DATABASE {name}"))
        .await?;
    Ok(format!("{server}/{name}{options}"))
}
