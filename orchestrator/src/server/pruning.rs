//! Old records of usage go: a store that only grows fills its disk one day.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::blocking;
use crate::store::{Store, now_ms};

/// How often.
const EVERY: Duration = Duration::from_secs(3600);

/// Takes records away that are older than so many days, now and every hour.
pub(super) async fn run(store: Store, days: u32) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let ledger = store.usage().clone();
        let before = now_ms().saturating_sub(i64::from(days) * 86_400_000);
        match blocking(move || ledger.prune(before)).await {
            Ok(0) => {}
            Ok(records) => tracing::info!(records, days, "old usage records taken away"),
            Err(error) => tracing::warn!(%error, "old usage records cannot be taken away yet"),
        }
    }
}
