//! The guard of a hold: whatever becomes of the try, the hold ends once.

use std::sync::Arc;

use super::ledger::{Amount, Ask, Ledger, Refused};

/// A hold that is open. Dropped, it gives back what it holds; [`Held::settle`] charges instead.
#[derive(Debug)]
pub(crate) struct Held {
    ledger: Arc<dyn Ledger>,
    /// Absent once it has ended.
    ask: Option<Arc<Ask>>,
}

impl Held {
    /// Holds what is asked. Dropping the future ends the hold, whether the ledger has got to it or not.
    ///
    /// # Errors
    /// The accounts that have not enough, or that the ledger does not answer; where only soft budgets are asked it need not.
    pub(crate) async fn reserve(ledger: &Arc<dyn Ledger>, ask: &Arc<Ask>) -> Result<Self, Refused> {
        // Made first: what was asked for is given back even if nobody waits for the answer any more.
        let mut held = Self {
            ledger: Arc::clone(ledger),
            ask: Some(Arc::clone(ask)),
        };
        let answer = ledger.reserve(ask).get().await;
        match answer.unwrap_or(Err(Refused::Unavailable(None))) {
            Ok(()) => Ok(held),
            Err(Refused::Unavailable(_)) if !ask.is_hard() => Ok(held),
            Err(refused) => {
                held.ask = None;
                Err(refused)
            }
        }
    }

    /// A hold of soft budgets whose ledger did not answer in time: what it is charged with is written when it does.
    pub(crate) fn unheld(ledger: &Arc<dyn Ledger>, ask: &Arc<Ask>) -> Self {
        Self {
            ledger: Arc::clone(ledger),
            ask: Some(Arc::clone(ask)),
        }
    }

    /// Charges this instead of what was held.
    pub(crate) fn settle(mut self, charge: Amount) {
        self.end(Some(charge));
    }

    fn end(&mut self, charge: Option<Amount>) {
        if let Some(ask) = self.ask.take() {
            self.ledger.end(&ask, charge);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.end(None);
    }
}
