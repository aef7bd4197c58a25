//! Flights that several processes would fly at once, flown by one of them: the others wait for what it leaves in Redis.
//!
//! Who waits finds the answer, or that nobody asks for it any more: its asker failed, had nothing to keep, or died, which is
//! known when its lease has run out. Then one of those who wait asks. Nobody's failure is another process's, and a Redis
//! that cannot be asked keeps nobody waiting.

use std::sync::Arc;
use std::time::Duration;

use super::kept::Standing;
use super::key::Key;
use super::pace::Asked;
use super::pipeline::Flight;
use super::stream::EventLog;
use crate::cache::policy;
use crate::cache::turn::{Lease, Turn};
use crate::client::config::ProviderKind;
use crate::error::Result;
use crate::types::{Completion, TraceStep};

/// How often whose turn it is is asked, at first and later.
const SOON: Duration = Duration::from_millis(20);
const LATER: Duration = Duration::from_millis(250);
/// How many askers are waited for, one after the other.
const MOST: u32 = 3;

/// What came of waiting.
pub(super) enum Waited {
    /// Somebody else has asked.
    Kept(Arc<Completion>),
    /// It is for this flight to ask; with a lease unless others may ask too.
    Ask(Option<Box<Lease>>),
}

impl Flight {
    /// Waits while another process asks for the same, as long as somebody waits for this flight.
    ///
    /// # Errors
    /// `cancelled`, where nobody waits any more.
    pub(super) async fn await_turn(
        &self,
        key: Key,
        log: &EventLog,
        streamed: bool,
        standing: &mut Standing,
    ) -> Result<Waited> {
        let core = &self.core;
        let Some(tiers) = core.tiers.as_ref().filter(|tiers| tiers.shares()) else {
            return Ok(Waited::Ask(None));
        };
        let Asked::Completion(request) = &self.asked else {
            return Ok(Waited::Ask(None));
        };
        let deterministic =
            policy::is_deterministic(request, self.route.kind == ProviderKind::Local);
        // Who takes only what is young enough may not take what another has waited for.
        if self.options.cache.max_age_ms.is_some()
            || !policy::may_coalesce(&core.config, &self.options, deterministic)
        {
            return Ok(Waited::Ask(None));
        }
        let scale = core.config.testing.time_scale.unwrap_or(1).max(1);
        let (mut wait, mut asker, mut askers) = (SOON, None, 0);
        loop {
            let turn = tiers.turn(&key, &standing.seen).await;
            let (ours, theirs) = match turn {
                None => return Ok(Waited::Ask(None)),
                Some(Turn::Ours(lease)) => (Some(Box::new(lease)), None),
                Some(Turn::Theirs(token)) => (None, Some(token)),
                Some(Turn::Nobodys) => (None, None),
            };
            // Each time an asker ends it may have left the answer; and between the look before and this lease, too.
            if ours.is_some() || (asker.is_some() && theirs != asker) {
                let kept = Box::pin(self.in_tiers(key, log, streamed, standing)).await?;
                if let Some(kept) = kept {
                    return Ok(Waited::Kept(kept));
                }
                if ours.is_some() {
                    return Ok(Waited::Ask(ours));
                }
            }
            if theirs.is_some() && theirs != asker {
                if askers == 0 {
                    self.progress
                        .trace
                        .note(&*core.clock, || TraceStep::new("flight", "elsewhere"));
                }
                askers += 1;
                if askers > MOST {
                    return Ok(Waited::Ask(None));
                }
                wait = SOON;
            }
            asker = theirs;
            core.clock.sleep(wait.saturating_mul(scale)).await;
            wait = (wait * 3 / 2).min(LATER);
        }
    }
}
