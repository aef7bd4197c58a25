//! The PostgreSQL of a test: who runs it, and what its administrator says there.

use tokio::process::Command;
use tokio_postgres::NoTls;

use crate::arguments::text;
use crate::roads::Failed;

/// Has the server stopped, started, hung or resumed by the program of `--control`.
///
/// # Errors
/// When it cannot.
pub async fn control(what: &str) -> Result<(), Failed> {
    let program = text("control").ok_or("expected --control PROGRAM")?;
    let status = Command::new(program).arg(what).status().await?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the server cannot {what}").into())
    }
}

/// What the administrator of a database says there; the first word of each row.
///
/// # Errors
/// The database's.
pub async fn sql(url: &str, text: &str) -> Result<Vec<String>, Failed> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    let mut words = Vec::new();
    for message in client.simple_query(text).await? {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
            words.push(row.get(0).unwrap_or_default().to_owned());
        }
    }
    Ok(words)
}
