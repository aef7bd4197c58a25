//! Kept answers that shall not be given any more.

use std::time::Duration;

use super::{Client, Core};
use crate::cache::marks::{self, Id, Token};
use crate::cache::memory::Entry;
use crate::cache::{Scopes, trust};
use crate::error::{Error, ErrorKind, Result};
use crate::transport::grpc::Meta;
use crate::types::{CacheTier, Invalidated, Invalidation};

/// How long an orchestrator may take.
const PATIENCE: Duration = Duration::from_secs(10);

impl Client {
    /// Lets answers that are kept count no more: a model's, those kept for calls with a tag, or all of the client's
    /// tenant; in memory, in the tiers beneath, and in every orchestrator.
    ///
    /// When it returns, no call of this client that begins then is given one of them, nor one that was under way
    /// meanwhile, and such an answer is not kept when it comes. Other processes with the same Redis or folder hear of
    /// it within a second; one that cannot ask goes on with what it has in memory and on its own disk until it can.
    ///
    /// # Errors
    /// `invalid_request` naming the field. `connect_failed` (retriable, `detail` names the tier) where a tier could not be
    /// told, and any kind of the error table from an orchestrator: then this client has dropped what it has in memory, and
    /// nothing is said of the rest. Doing it again is harmless.
    pub async fn invalidate(&self, what: &Invalidation) -> Result<Invalidated> {
        let core = &self.core;
        core.check_open()?;
        what.check()?;
        let scope = core.scope(what);
        let outcome = core.invalidate_beneath(what, &scope).await;
        // Last, so that what came up from beneath meanwhile goes too.
        let any = outcome.as_ref().ok().and_then(|(_, any)| *any);
        core.trust.invalidated(any);
        let dropped = core.drop_in_memory(|entry| fits(what, &scope, entry));
        let (mut invalidated, _) = outcome?;
        invalidated.dropped = invalidated.dropped.saturating_add(dropped);
        if core.memory.is_some() {
            invalidated.tiers.insert(0, CacheTier::Memory);
        }
        Ok(invalidated)
    }
}

/// Whether an answer in memory is meant.
fn fits(what: &Invalidation, scope: &Id, entry: &Entry) -> bool {
    match what {
        Invalidation::All => true,
        Invalidation::Model(model) => entry.value.model() == model,
        Invalidation::Tag { .. } => entry.tags.as_ref().is_some_and(|tags| tags.contains(scope)),
    }
}

impl Core {
    /// Whether memory may be asked without asking the tiers beneath.
    pub(crate) fn trusts_memory(&self, now: Duration) -> bool {
        // A store answers in real time, however fast a test's clock runs.
        let scale = self.config.testing.time_scale.unwrap_or(1).max(1);
        self.tiers.is_none()
            || self
                .trust
                .is_recent(now, trust::WINDOW.saturating_mul(scale))
    }

    /// Notes what the tiers say of invalidations; see [`crate::cache::Trust::heard`].
    pub(crate) fn heard(&self, epoch: u64, any: Option<Token>, at: Duration) -> u64 {
        let (epoch, empty) = self.trust.heard(epoch, any, at);
        if empty {
            self.drop_in_memory(|_| true);
            self.trust.asked(at);
        }
        epoch
    }

    fn drop_in_memory(&self, fits: impl Fn(&Entry) -> bool) -> u64 {
        let kept = [&self.memory, &self.vectors].into_iter().flatten();
        if let Some(semantic) = &self.semantic {
            semantic.place.drop_where(&fits);
        }
        kept.map(|memory| memory.drop_where(&fits)).sum()
    }

    fn scope(&self, what: &Invalidation) -> Id {
        let tenant = self.config.tenant.as_deref();
        match what {
            Invalidation::All => marks::all(tenant),
            Invalidation::Model(model) => marks::model(tenant, model),
            Invalidation::Tag { name, value } => marks::tag(tenant, name, value),
        }
    }

    /// Every orchestrator, and the tiers beneath the memory.
    async fn invalidate_beneath(
        &self,
        what: &Invalidation,
        scope: &Id,
    ) -> Result<(Invalidated, Option<Token>)> {
        let mut invalidated = Invalidated::default();
        for route in self.routes.callable() {
            if !route.is_orchestrator {
                continue;
            }
            let places = std::iter::once(route.road()).chain(route.others.iter().map(|o| o.road()));
            for road in places {
                let meta = Meta {
                    timeout: Some(PATIENCE),
                    ..self.meta()
                };
                let there = road?.invalidate(what, meta).await?;
                invalidated.dropped = invalidated.dropped.saturating_add(there.dropped);
            }
            invalidated.tiers.push(CacheTier::Orchestrator);
        }
        if let Some(semantic) = &self.semantic {
            let told = semantic.place.invalidate(scope).await;
            if told.map_err(|why| not_told(CacheTier::Semantic, why))? {
                invalidated.tiers.insert(0, CacheTier::Semantic);
            }
        }
        let Some(tiers) = &self.tiers else {
            return Ok((invalidated, None));
        };
        let tenant = self.config.tenant.as_deref();
        let scopes = Scopes::new(tenant, "", &std::collections::BTreeMap::new());
        let (any, told) = tiers
            .invalidate(scope, &scopes)
            .await
            .map_err(|(tier, why)| not_told(tier, why))?;
        invalidated.tiers.splice(0..0, told);
        Ok((invalidated, any))
    }
}

fn not_told(tier: CacheTier, why: &str) -> Error {
    let name = match tier {
        CacheTier::Redis => "redis",
        CacheTier::Semantic => "semantic",
        _ => "disk",
    };
    Error::new(
        ErrorKind::ConnectFailed,
        format!("the {name} tier could not be told what is invalidated ({why})"),
    )
    .with(|fields| fields.detail = Some(name.into()))
}
