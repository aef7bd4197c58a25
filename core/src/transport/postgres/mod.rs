//! The way to a PostgreSQL: which database, and whom to trust there. Budgets and the semantic cache share it.

mod tls;

use std::str::FromStr as _;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Error as Failure};

use crate::client::{Config, Secret};
use crate::error::{Error, Result};

/// Which database, and whom to trust there.
pub(crate) struct Database {
    config: tokio_postgres::Config,
    trust: Config,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl Database {
    /// The database of the connection string in `field`, which waits so long for each of its addresses.
    ///
    /// # Errors
    /// As [`check`].
    pub(crate) fn new(
        field: &str,
        place: &Secret,
        patience: Duration,
        config: &Config,
    ) -> Result<Self> {
        let mut postgres = check(field, place)?;
        postgres.connect_timeout(patience).application_name("ossai");
        Ok(Self {
            config: postgres,
            trust: config.clone(),
        })
    }

    /// Connects. A task reads and writes for the connection; it ends with the client, or with the database.
    pub(crate) async fn connect(&self) -> std::result::Result<Client, Failure> {
        let maker = tls::Maker::new(&self.trust);
        let (client, connection) = self.config.connect(maker).await?;
        tokio::spawn(async move { connection.await.ok() });
        Ok(client)
    }
}

/// Reads the connection string in `field`; an error repeats nothing of it.
///
/// # Errors
/// `invalid_request` naming the field for a text that is no connection string, and for one that would send a password over a
/// network in the clear.
pub(crate) fn check(field: &str, place: &Secret) -> Result<tokio_postgres::Config> {
    let wrong = |expected: &str| Error::invalid(field, expected);
    let mut postgres = tokio_postgres::Config::from_str(place.expose()).map_err(|_| {
        wrong("expected a connection string: postgres://user:password@host/database")
    })?;
    if postgres.get_hosts().is_empty() {
        return Err(wrong("expected a host"));
    }
    let is_named_near = postgres.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    });
    // `hostaddr` is where it goes, whatever the host is called.
    let goes_near = (postgres.get_hostaddrs().iter()).all(std::net::IpAddr::is_loopback);
    if !(is_named_near && goes_near) {
        if postgres.get_ssl_mode() == SslMode::Disable {
            return Err(wrong(
                "expected TLS: only this machine's own is spoken to in the clear",
            ));
        }
        postgres.ssl_mode(SslMode::Require);
    }
    Ok(postgres)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(place: &str) -> Result<SslMode> {
        Ok(check("config.place", &Secret::new(place))?.get_ssl_mode())
    }

    #[test]
    fn a_network_is_only_crossed_under_tls() {
        for near in [
            "postgres://me@localhost/db",
            "postgres://me@127.0.0.1/db",
            "host=localhost hostaddr=127.0.0.1 user=me",
        ] {
            assert_eq!(of(near).unwrap(), SslMode::Prefer, "{near}");
        }
        for far in [
            "postgres://me:canary@db.example/db",
            "host=localhost hostaddr=10.0.0.1 user=me password=canary",
            "host=localhost,db.example user=me password=canary",
        ] {
            assert_eq!(of(far).unwrap(), SslMode::Require, "{far}");
        }
        for wrong in [
            "canary",
            "",
            "user=canary",
            "postgres://me:canary@db.example/db?sslmode=disable",
            "host=localhost hostaddr=10.0.0.1 user=me password=canary sslmode=disable",
        ] {
            let error = of(wrong).unwrap_err();
            assert_eq!(error.fields().field.as_deref(), Some("config.place"));
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
}
