//! Credentials that the host's program gives while calls are made: they leave as host calls that belong to no call, on a
//! queue of the session's own that somebody must serve as long as the session is open.

use std::sync::Arc;
use std::time::Duration;

use ossai::client::CredentialFuture;
use ossai::{Credential, Secret};
use serde_json::value::RawValue;

use crate::host::{HostCallKind, HostCalls};
use crate::queue::Queue;
use crate::session::CallId;

/// How long the host has for a credential; the calls that need it wait no longer than their own time.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a session asks its host for beside calls.
#[derive(Debug)]
pub struct Callbacks {
    /// Where it asks.
    pub queue: Queue,
    /// Providers whose credential the host gives, each with whose it is ([`Credential::identity`]).
    pub credentials: Vec<(String, Option<String>)>,
}

impl Callbacks {
    /// The credentials as the core asks for them.
    pub(crate) fn sources(
        self,
        hosts: &Arc<HostCalls>,
    ) -> impl Iterator<Item = (String, Arc<dyn Credential>)> {
        let (queue, hosts) = (self.queue, Arc::clone(hosts));
        self.credentials
            .into_iter()
            .map(move |(provider, identity)| {
                let source = Source {
                    provider: provider.clone(),
                    identity,
                    queue: queue.clone(),
                    hosts: Arc::clone(&hosts),
                };
                (provider, Arc::new(source) as Arc<dyn Credential>)
            })
    }
}

struct Source {
    provider: String,
    identity: Option<String>,
    queue: Queue,
    hosts: Arc<HostCalls>,
}

impl Credential for Source {
    fn fetch(&self) -> CredentialFuture<'_> {
        Box::pin(async move {
            let answer = self
                .hosts
                .ask(
                    &self.queue,
                    CallId(0),
                    HostCallKind::Credential,
                    &self.provider,
                    "",
                    RawValue::NULL.to_owned(),
                    PATIENCE,
                )
                .await?;
            match answer {
                Ok(value) => match serde_json::from_str::<Secret>(value.get()) {
                    Ok(secret) => Ok(secret),
                    // Without the value: it may be the credential in another shape.
                    Err(_) => Err("the callback did not return a string".into()),
                },
                Err(failure) => Err(format!("{}: {}", failure.kind, failure.message).into()),
            }
        })
    }

    fn identity(&self) -> Option<String> {
        self.identity.clone()
    }
}
