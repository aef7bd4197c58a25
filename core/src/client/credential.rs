//! Credentials that come from the program while calls are made: short-lived tokens, a vault, a cloud's identity.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{HeaderName, HeaderValue};

use super::config::Auth;
use super::route::auth_header;
use super::secret::Secret;
use crate::error::{Error, ErrorKind, Result};
use crate::retry::{Random, SeededRandom};

/// What a [`Credential`] answers with.
pub type CredentialFuture<'a> = Pin<
    Box<dyn Future<Output = Result<Secret, Box<dyn std::error::Error + Send + Sync>>> + Send + 'a>,
>;

/// Where a provider's credential comes from.
///
/// It is asked before the first call and again when the provider answers 401, never twice at once; calls that need the
/// credential meanwhile wait for the one answer, within their own time. What it returns is kept until the next 401.
/// A failure is shared by those who waited for it and ends their calls with `callback_error`; the next call asks anew.
pub trait Credential: Send + Sync {
    /// The credential as it is now. Dropping the future means that nobody waits for it any more.
    fn fetch(&self) -> CredentialFuture<'_>;

    /// Whose credential it is: part of every key in place of the credential itself, which may change from hour to hour.
    /// Two sources of one identity share kept answers; without one nothing is shared beyond this client.
    fn identity(&self) -> Option<String> {
        None
    }
}

impl<F, O> Credential for F
where
    F: Fn() -> O + Send + Sync,
    O: Future<Output = Result<Secret, Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    fn fetch(&self) -> CredentialFuture<'_> {
        Box::pin(self())
    }
}

/// A header value with the number of the fetch it came from.
#[derive(Clone)]
struct Held {
    number: u64,
    value: HeaderValue,
}

/// A provider's credential as its route uses it.
pub(crate) struct Live {
    source: Arc<dyn Credential>,
    auth: Auth,
    provider: String,
    held: Mutex<Option<Held>>,
    /// Fetches ended so far.
    ended: AtomicU64,
    /// Held while a fetch is under way; the failure of the last one, if it failed.
    fetching: tokio::sync::Mutex<Option<Error>>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live(***)")
    }
}

impl Live {
    pub(crate) fn new(source: Arc<dyn Credential>, auth: Auth, provider: &str) -> Self {
        Self {
            source,
            auth,
            provider: provider.to_owned(),
            held: Mutex::default(),
            ended: AtomicU64::new(0),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// What stands for the credential in keys.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let identity = self.source.identity().unwrap_or_else(|| {
            // Nobody else's.
            let random = SeededRandom::from_os();
            format!("\0{:x}{:x}", random.next_u64(), random.next_u64())
        });
        blake3::derive_key("ossai 2026 credential identity v1", identity.as_bytes())
    }

    fn held(&self) -> Option<Held> {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The value last sent.
    pub(crate) fn sent(&self) -> Option<HeaderValue> {
        self.held().map(|held| held.value)
    }

    /// The header to send, and the number under which to complain about it.
    pub(crate) async fn header(&self) -> Result<Option<(HeaderName, HeaderValue, u64)>> {
        let Some((name, _)) = auth_header(self.auth, "") else {
            return Ok(None);
        };
        let held = match self.held() {
            Some(held) => held,
            None => self.fetch(0).await?,
        };
        Ok(Some((name, held.value, held.number)))
    }

    /// A credential other than the one of this number, which was refused.
    pub(crate) async fn refresh(&self, refused: u64) -> Result<()> {
        self.fetch(refused).await.map(drop)
    }

    /// One fetch for everybody who finds the same one missing or refused.
    async fn fetch(&self, refused: u64) -> Result<Held> {
        let seen = self.ended.load(Relaxed);
        let mut failure = self.fetching.lock().await;
        if let Some(held) = self.held().filter(|held| held.number > refused) {
            return Ok(held);
        }
        if self.ended.load(Relaxed) > seen
            && let Some(error) = &*failure
        {
            return Err(error.clone());
        }
        let outcome = match self.source.fetch().await {
            Ok(secret) => self.value(&secret),
            // What the program says of it may hold what it is about: it is the source, not the message.
            Err(error) => Err(self.failed("could not be fetched").with(|fields| {
                fields.source = Some(Arc::from(error));
            })),
        };
        let number = self.ended.fetch_add(1, Relaxed) + 1;
        match outcome {
            Ok(value) => {
                let held = Held { number, value };
                *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held.clone());
                *failure = None;
                Ok(held)
            }
            Err(error) => {
                *failure = Some(error.clone());
                Err(error)
            }
        }
    }

    fn value(&self, secret: &Secret) -> Result<HeaderValue> {
        let (_, text) = auth_header(self.auth, secret.expose())
            .unwrap_or_else(|| (HeaderName::from_static("authorization"), String::new()));
        let mut value = HeaderValue::from_str(&text)
            .ok()
            .filter(|_| !secret.expose().is_empty())
            .ok_or_else(|| self.failed("is empty or no header value"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn failed(&self, how: &str) -> Error {
        Error::new(
            ErrorKind::CallbackError,
            format!("the credential of `{}` {how}", self.provider),
        )
        .with(|fields| fields.provider = Some(self.provider.clone()))
    }
}
