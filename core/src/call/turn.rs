//! Flights that several processes would fly at once, flown by one of them: the others wait for what it leaves in Redis.
//!
//! Who waits for a stream may be shown its events while they come; what happens to it then is [`super::shown`]'s matter.
//! Who waits finds the answer, or that nobody asks for it any more: its asker failed, had nothing to keep, or died, which is
//! known when its lease has run out. Then one of those who wait asks. Nobody's failure is another process's, and a Redis
//! that cannot be asked keeps nobody waiting.

use std::sync::Arc;
use std::time::Duration;

use super::kept::{Standing, publish};
use super::key::Key;
use super::pace::Asked;
use super::pipeline::Flight;
use super::shown::{Skip, is_about};
use super::stream::EventLog;
use crate::cache::turn::{Lease, Turn};
use crate::cache::{Follow, Tiers, policy};
use crate::client::config::ProviderKind;
use crate::error::Result;
use crate::types::{Completion, StreamEvent, TraceStep};

/// How often whose turn it is is asked, at first and later.
const SOON: Duration = Duration::from_millis(20);
const LATER: Duration = Duration::from_millis(250);
/// The same while its stream is given on.
const FOLLOWED: Duration = Duration::from_millis(60);
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
        let mut following: Option<Following> = None;
        loop {
            let turn = tiers.turn(&key, &standing.seen, streamed).await;
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
                let holder = theirs.as_deref().filter(|_| streamed);
                following =
                    holder.and_then(|holder| Following::of(self, tiers, &key, standing, holder));
            }
            asker = theirs;
            if let Some(stream) = &mut following {
                match stream.new_events(self, tiers).await {
                    None => following = None,
                    Some(events) if events.is_empty() => {}
                    Some(events) => {
                        publish(events, log).await?;
                        wait = SOON;
                    }
                }
            }
            core.clock.sleep(wait.saturating_mul(scale)).await;
            let most = if following.is_some() { FOLLOWED } else { LATER };
            wait = (wait * 3 / 2).min(most);
        }
    }
}

/// Another process's stream, shown while it comes.
struct Following {
    follow: Follow,
    /// What only says that an answer begins.
    held: Vec<StreamEvent>,
    /// What was shown of an earlier process's stream.
    skip: Skip,
    over: bool,
}

impl Following {
    fn of(
        flight: &Flight,
        tiers: &Tiers,
        key: &Key,
        standing: &Standing,
        holder: &[u8],
    ) -> Option<Self> {
        Some(Self {
            follow: tiers.follow(key, &standing.seen, holder)?,
            held: Vec::new(),
            skip: (flight.progress.shown(|shown| shown.skip())).unwrap_or_default(),
            over: false,
        })
    }

    /// What has come since the last look and was not shown yet, now to be shown; `None` where no more can be had so.
    async fn new_events(&mut self, flight: &Flight, tiers: &Tiers) -> Option<Vec<StreamEvent>> {
        if self.over {
            return None;
        }
        let mut events = tiers.followed(&mut self.follow).await?;
        self.skip.pass(&mut events).ok()?;
        self.held.append(&mut events);
        if self.held.iter().all(is_about) {
            return Some(Vec::new());
        }
        let mut events = std::mem::take(&mut self.held);
        let progress = &flight.progress;
        if progress.shown.get().is_none() {
            let step = || TraceStep::new("flight", "relayed");
            progress.trace.note(&*flight.core.clock, step);
        }
        progress.shown.get_or_init(Box::default);
        let bad =
            progress.shown(|shown| events.iter().position(|event| shown.push(event).is_err()));
        if let Some(bad) = bad.flatten() {
            events.truncate(bad);
            self.over = true;
        }
        Some(events)
    }
}
