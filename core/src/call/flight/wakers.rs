//! Sets of parked wakers, with entry and exit in constant time.
//!
//! No waker is woken or dropped while a lock is held: either may run a task's destructor, which may hold a subscriber
//! of the same flight. So wakers leave a set by value and meet their end after the lock is released.

use std::task::Waker;

/// Where a future stands in a [`WakerSet`]; empty at first and again after every wake-up.
#[derive(Debug, Default)]
pub(super) struct Ticket(Option<(u64, usize)>);

impl Ticket {
    /// Whether the set may still hold a waker under this ticket.
    pub(super) fn is_set(&self) -> bool {
        self.0.is_some()
    }
}

#[derive(Debug)]
enum Slot {
    Parked(Waker),
    /// The next vacant slot.
    Vacant(Option<usize>),
}

/// Parked wakers, one per ticket.
#[derive(Debug, Default)]
pub(super) struct WakerSet {
    /// Counts the drains: a ticket of an earlier round is void, so that no drain has to visit the tickets.
    round: u64,
    slots: Vec<Slot>,
    vacant: Option<usize>,
}

impl WakerSet {
    /// Parks a waker under the ticket, in place of the one it had; drop what comes back after the lock.
    #[must_use]
    pub(super) fn park(&mut self, ticket: &mut Ticket, waker: &Waker) -> Option<Waker> {
        if let Some((round, at)) = ticket.0
            && round == self.round
            && let Some(Slot::Parked(parked)) = self.slots.get_mut(at)
        {
            if parked.will_wake(waker) {
                return None;
            }
            return Some(std::mem::replace(parked, waker.clone()));
        }
        let parked = Slot::Parked(waker.clone());
        let at = match self.vacant {
            Some(at) => {
                if let Some(Slot::Vacant(next)) = self.slots.get(at) {
                    self.vacant = *next;
                }
                if let Some(slot) = self.slots.get_mut(at) {
                    *slot = parked;
                }
                at
            }
            None => {
                self.slots.push(parked);
                self.slots.len() - 1
            }
        };
        ticket.0 = Some((self.round, at));
        None
    }

    /// Takes the ticket's waker out, if it is still parked; drop what comes back after the lock.
    #[must_use]
    pub(super) fn unpark(&mut self, ticket: &mut Ticket) -> Option<Waker> {
        let (round, at) = ticket.0.take()?;
        if round != self.round {
            return None;
        }
        let slot = self.slots.get_mut(at)?;
        match std::mem::replace(slot, Slot::Vacant(self.vacant)) {
            Slot::Parked(waker) => {
                self.vacant = Some(at);
                Some(waker)
            }
            vacant => {
                *slot = vacant;
                None
            }
        }
    }

    /// Takes out every waker, to be woken after the lock.
    pub(super) fn drain_into(&mut self, wakes: &mut Wakes) {
        if self.slots.is_empty() {
            return;
        }
        self.round += 1;
        self.vacant = None;
        for slot in self.slots.drain(..) {
            if let Slot::Parked(waker) = slot {
                wakes.push(waker);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn parked(&self) -> usize {
        let parked = |slot: &&Slot| matches!(slot, Slot::Parked(_));
        self.slots.iter().filter(parked).count()
    }
}

/// Wakers to wake once the lock is released.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Wakes {
    /// Apart from the rest, so that the usual one costs no allocation.
    first: Option<Waker>,
    rest: Vec<Waker>,
}

impl Wakes {
    fn push(&mut self, waker: Waker) {
        match self.first {
            None => self.first = Some(waker),
            Some(_) => self.rest.push(waker),
        }
    }

    /// Wakes them all; hold no lock.
    pub(super) fn wake(self) {
        self.first
            .into_iter()
            .chain(self.rest)
            .for_each(Waker::wake);
    }
}
