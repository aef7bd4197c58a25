//! The events of a flight, kept from the first on for those who join late.
//!
//! Every reader has its own cursor. Two bounds keep the log small: the *log* bound, over which the oldest events that
//! the fastest reader has read are dropped (readers still before them are cut off), and the *window*, the most that
//! the fastest reader may leave unread before the publisher has to wait. The window is never wider than the log, so
//! dropping what the fastest has read always suffices, and one slow reader alone holds the socket, not memory.
//!
//! Each entry counts the readers that stand before it. That makes "how far is the fastest" a walk that only goes back
//! over events which a reader that left had read, and so joining and leaving cost constant time, amortised.

use std::collections::VecDeque;

/// Bounds of a flight's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Most bytes kept, as the publisher counts them; a single larger event is still kept until it is read.
    pub(crate) log_bytes: usize,
    /// Most events kept.
    pub(crate) log_events: usize,
    /// Most bytes the fastest reader may leave unread before the publisher waits.
    pub(crate) window_bytes: usize,
    /// Most events the fastest reader may leave unread before the publisher waits.
    pub(crate) window_events: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            log_bytes: 8 << 20,
            log_events: 65_536,
            window_bytes: 1 << 20,
            window_events: 1_024,
        }
    }
}

#[derive(Debug)]
struct Entry<E> {
    event: E,
    bytes: usize,
    /// How many readers will read this one next.
    readers: usize,
}

#[derive(Debug)]
pub(super) struct Log<E> {
    limits: Limits,
    /// Whether somebody may still join, so that events must outlive their reading.
    keep: bool,
    /// The number of the first entry; numbers start at 0.
    base: u64,
    entries: VecDeque<Entry<E>>,
    bytes: usize,
    /// How many readers have read everything.
    at_end: usize,
    /// How many readers there are, those cut off not counted.
    readers: usize,
    /// How many want the result only: they are as fast as can be.
    skippers: usize,
    /// The number of the event that the fastest reader will read next; `base` where there is no reader.
    lead: u64,
    /// The bytes of the events from `lead` on.
    unread: usize,
}

impl<E: Clone> Log<E> {
    /// An empty log; one that nobody can join late (`keep` false) hands its events over instead of copying them.
    pub(super) fn new(limits: Limits, keep: bool) -> Self {
        let log_events = limits.log_events.max(1);
        let limits = Limits {
            log_events,
            window_bytes: limits.window_bytes.min(limits.log_bytes),
            window_events: limits.window_events.clamp(1, log_events),
            ..limits
        };
        Self {
            limits,
            keep,
            base: 0,
            entries: VecDeque::new(),
            bytes: 0,
            at_end: 0,
            readers: 0,
            skippers: 0,
            lead: 0,
            unread: 0,
        }
    }

    fn index(&self, number: u64) -> usize {
        usize::try_from(number.saturating_sub(self.base)).unwrap_or(usize::MAX)
    }

    fn readers_at(&mut self, number: u64) -> &mut usize {
        let index = self.index(number);
        match self.entries.get_mut(index) {
            Some(entry) => &mut entry.readers,
            None => &mut self.at_end,
        }
    }

    /// Whether a reader that comes now would get every event.
    pub(super) fn is_whole(&self) -> bool {
        self.base == 0
    }

    /// Whether the reader at this cursor was cut off.
    pub(super) fn is_past(&self, cursor: u64) -> bool {
        cursor < self.base
    }

    /// Whether the reader at this cursor has read all there is.
    pub(super) fn is_read(&self, cursor: u64) -> bool {
        cursor >= self.base + self.entries.len() as u64
    }

    /// How many are still served: readers that were not cut off, and those who want the result only.
    pub(super) fn served(&self) -> usize {
        self.readers + self.skippers
    }

    /// Adds a reader; the cursor starts at the first event kept.
    pub(super) fn add_reader(&mut self) -> u64 {
        let cursor = self.base;
        self.readers += 1;
        *self.readers_at(cursor) += 1;
        cursor
    }

    /// Takes a reader away.
    pub(super) fn remove_reader(&mut self, cursor: u64) {
        if self.is_past(cursor) {
            return; // It was cut off, and counted then.
        }
        self.readers -= 1;
        *self.readers_at(cursor) -= 1;
        while self.lead > self.base && *self.readers_at(self.lead) == 0 {
            self.lead -= 1;
            let index = self.index(self.lead);
            self.unread += self.entries.get(index).map_or(0, |entry| entry.bytes);
        }
    }

    pub(super) fn add_skipper(&mut self) {
        self.skippers += 1;
    }

    pub(super) fn remove_skipper(&mut self) {
        self.skippers -= 1;
    }

    /// Events and bytes that the fastest has not read.
    fn behind(&self) -> (usize, usize) {
        if self.skippers > 0 {
            return (0, 0);
        }
        (self.entries.len() - self.index(self.lead), self.unread)
    }

    /// Whether an event of this size may be appended; one alone always may, however large.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        let (events, unread) = self.behind();
        events == 0
            || (events < self.limits.window_events
                && unread.saturating_add(bytes) <= self.limits.window_bytes)
    }

    /// Whether half the window is free: the point at which waking the publisher pays, rather than at every event.
    pub(super) fn is_roomy(&self) -> bool {
        let (events, unread) = self.behind();
        events <= self.limits.window_events / 2 && unread <= self.limits.window_bytes / 2
    }

    /// Appends an event and drops old ones over the bound; says how many readers that cut off.
    pub(super) fn push(&mut self, event: E, bytes: usize) -> usize {
        self.bytes = self.bytes.saturating_add(bytes);
        self.unread = self.unread.saturating_add(bytes);
        self.entries.push_back(Entry {
            event,
            bytes,
            readers: std::mem::take(&mut self.at_end),
        });
        let mut cut_off = 0;
        // The newest stays, however large: a reader that kept up must be able to read it.
        while (self.bytes > self.limits.log_bytes || self.entries.len() > self.limits.log_events)
            && self.entries.len() > 1
            && (self.skippers > 0 || self.base < self.lead)
            && let Some(dropped) = self.entries.pop_front()
        {
            self.base += 1;
            self.bytes = self.bytes.saturating_sub(dropped.bytes);
            cut_off += dropped.readers;
            if self.lead < self.base {
                self.lead = self.base;
                self.unread = self.unread.saturating_sub(dropped.bytes);
            }
        }
        self.readers -= cut_off;
        cut_off
    }

    /// Moves up to `max` events on from the cursor into `out` and says how many; `None` where the reader was cut off.
    pub(super) fn read(&mut self, cursor: &mut u64, max: usize, out: &mut Vec<E>) -> Option<usize> {
        if self.is_past(*cursor) {
            return None;
        }
        let from = self.index(*cursor);
        let count = max.min(self.entries.len().saturating_sub(from));
        if count == 0 {
            return Some(0);
        }
        if self.keep {
            // First of all, as a copy may panic.
            let events = self.entries.range(from..from + count);
            out.extend(events.map(|entry| entry.event.clone()));
        }
        *self.readers_at(*cursor) -= 1;
        *cursor += count as u64;
        while self.lead < *cursor {
            let index = self.index(self.lead);
            let bytes = self.entries.get(index).map_or(0, |entry| entry.bytes);
            self.unread = self.unread.saturating_sub(bytes);
            self.lead += 1;
        }
        if !self.keep {
            for entry in self.entries.drain(..from + count) {
                self.bytes = self.bytes.saturating_sub(entry.bytes);
                out.push(entry.event);
            }
            self.base = *cursor;
        }
        *self.readers_at(*cursor) += 1;
        Some(count)
    }
}

#[cfg(all(test, not(ossai_loom)))]
#[path = "log_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
