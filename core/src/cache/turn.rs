//! Whose turn it is to ask for an answer that several processes want at once.

use crate::types::StreamEvent;

/// A turn of ours. Dropping it lets the next one.
pub(crate) struct Lease {
    held: Box<dyn Held>,
}

/// What holds a turn.
pub(crate) trait Held: Send + Sync {
    /// Whether another process wants the events of its stream as they come.
    fn is_followed(&self) -> bool;

    /// Gives events on; the first of them has this number, and those before it were given.
    fn give_on(&self, first: usize, events: &[StreamEvent]);
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lease")
    }
}

impl Lease {
    #[cfg(feature = "redis")]
    pub(super) fn new(held: impl Held + 'static) -> Self {
        Self {
            held: Box::new(held),
        }
    }

    /// Gives on what has come of a stream since the first `given` of its events, where anybody wants it.
    pub(crate) fn give_on(&self, events: &[StreamEvent], given: &mut usize) {
        if !self.held.is_followed() {
            return;
        }
        if let Some(new) = events.get(*given..).filter(|new| !new.is_empty()) {
            self.held.give_on(*given, new);
            *given = events.len();
        }
    }
}

/// Whose turn it is.
#[derive(Debug)]
#[cfg_attr(not(feature = "redis"), allow(dead_code))]
pub(crate) enum Turn {
    Ours(Lease),
    /// Somebody else's, with this token.
    Theirs(Vec<u8>),
    /// Theirs has just ended.
    Nobodys,
}
