//! The signals a server listens to.

use ossai::Error;
#[cfg(unix)]
use ossai::ErrorKind;

/// What a signal asks for.
#[derive(PartialEq, Eq)]
pub(super) enum Heard {
    End,
    #[cfg_attr(not(unix), allow(dead_code))]
    Reload,
}

#[cfg(unix)]
pub(super) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(super) fn new() -> Result<Self, Error> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Error::new(
                    ErrorKind::InvalidState,
                    format!("cannot listen for signals: {error}"),
                )
                .with_source(error)
            })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    pub(super) async fn heard(&mut self) -> Heard {
        tokio::select! {
            _ = self.terminate.recv() => Heard::End,
            _ = self.interrupt.recv() => Heard::End,
            _ = self.hang_up.recv() => Heard::Reload,
        }
    }

    /// The next one that asks for the end.
    pub(super) async fn next(&mut self) {
        while self.heard().await == Heard::Reload {}
    }
}

#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self)
    }

    pub(super) async fn heard(&mut self) -> Heard {
        self.next().await;
        Heard::End
    }

    pub(super) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
