//! The questions kept, and the nearest of them: every vector is looked at, so what is nearest is found.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Wanted, cosine};
use crate::cache::memory::Entry;
use crate::call::key::Key;

/// A kept answer with its question.
#[derive(Debug)]
pub(crate) struct Item {
    /// The key of exactly this call.
    pub(crate) key: Key,
    /// The text that may differ.
    pub(crate) text: Box<str>,
    /// Its direction, of length 1.
    pub(crate) vector: Arc<[f32]>,
    /// The answer, with its times and tags.
    pub(crate) entry: Entry,
    /// How old it was when it was found, where it is kept elsewhere: this process may be younger.
    pub(crate) found_age: Option<Duration>,
}

impl Item {
    fn bytes(&self) -> u64 {
        let bytes = size_of::<Self>() + self.text.len() + self.vector.len() * 4;
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        bytes.saturating_add(self.entry.bytes())
    }
}

/// Those of one group, the oldest first; a search holds on to the ones it began with.
type Group = Arc<VecDeque<Arc<Item>>>;

#[derive(Debug, Default)]
struct State {
    groups: HashMap<Key, Group>,
    /// Groups in the order their items came: each name stands for one item, the oldest of that group then.
    order: VecDeque<Key>,
    bytes: u64,
}

/// The kept questions of a client, by what they share.
#[derive(Debug)]
pub(crate) struct Index {
    state: Mutex<State>,
    max_entries: usize,
    max_bytes: u64,
}

/// Vectors compared before others get their turn.
const AT_ONCE: usize = 512;

impl Index {
    pub(crate) fn new(max_entries: u64, max_bytes: u64) -> Self {
        Self {
            state: Mutex::default(),
            max_entries: usize::try_from(max_entries).unwrap_or(usize::MAX),
            max_bytes,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The nearest of a group that are kept at `now`, no older than `max_age` and at least as similar as `threshold`, the
    /// nearest first.
    pub(crate) async fn nearest(&self, wanted: &Wanted<'_>) -> Vec<(f32, Arc<Item>)> {
        let Wanted {
            group,
            vector,
            now,
            max_age,
            threshold,
            top,
        } = *wanted;
        let Some(items) = self.state().groups.get(group).cloned() else {
            return Vec::new();
        };
        let mut nearest: Vec<(f32, Arc<Item>)> = Vec::with_capacity(top.saturating_add(1));
        for (place, item) in items.iter().enumerate() {
            if place % AT_ONCE == AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let age = now.saturating_sub(item.entry.stored_at);
            if !item.entry.is_fresh(now) || max_age.is_some_and(|most| age > most) {
                continue;
            }
            let Some(similarity) = cosine(vector, &item.vector) else {
                continue;
            };
            if f64::from(similarity) < threshold {
                continue;
            }
            // Of two equally near ones the newer.
            let before = nearest.partition_point(|(nearer, _)| *nearer > similarity);
            if before < top {
                nearest.insert(before, (similarity, Arc::clone(item)));
                nearest.truncate(top);
            }
        }
        nearest
    }

    /// Keeps an answer, in place of the one to exactly this question; the oldest ones make room.
    pub(crate) fn put(&self, group: Key, item: Item) {
        let bytes = item.bytes();
        let mut state = self.state();
        state.forget(&group, &item.key);
        if bytes > self.max_bytes || self.max_entries == 0 {
            return;
        }
        state.bytes = state.bytes.saturating_add(bytes);
        let items = state.groups.entry(group).or_default();
        Arc::make_mut(items).push_back(Arc::new(item));
        state.order.push_back(group);
        while state.order.len() > self.max_entries || state.bytes > self.max_bytes {
            if !state.drop_oldest() {
                break;
            }
        }
    }

    /// Takes away what fits.
    pub(crate) fn drop_where(&self, fits: impl Fn(&Entry) -> bool) {
        let state = &mut *self.state();
        let mut nth: HashMap<Key, usize> = HashMap::new();
        state.order.retain(|group| {
            let place = nth.entry(*group).or_default();
            let item = state.groups.get(group).and_then(|items| items.get(*place));
            *place += 1;
            item.is_some_and(|item| !fits(&item.entry))
        });
        state.groups.retain(|_, items| {
            if items.iter().any(|item| fits(&item.entry)) {
                Arc::make_mut(items).retain(|item| !fits(&item.entry));
            }
            !items.is_empty()
        });
        let left = state.groups.values().flat_map(|items| items.iter());
        state.bytes = left.map(|item| item.bytes()).sum();
    }

    /// The vector of exactly this question, where it is kept.
    pub(crate) fn vector(&self, group: &Key, key: &Key) -> Option<Arc<[f32]>> {
        let state = self.state();
        let item = state
            .groups
            .get(group)?
            .iter()
            .find(|item| item.key == *key)?;
        Some(Arc::clone(&item.vector))
    }

    pub(crate) fn clear(&self) {
        *self.state() = State::default();
    }

    /// Entries and bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        let state = self.state();
        let entries = u64::try_from(state.order.len()).unwrap_or(u64::MAX);
        (entries, state.bytes)
    }
}

impl State {
    fn drop_oldest(&mut self) -> bool {
        let Some(group) = self.order.pop_front() else {
            return false;
        };
        let Some(items) = self.groups.get_mut(&group) else {
            return true;
        };
        let dropped = Arc::make_mut(items).pop_front();
        let bytes = dropped.map_or(0, |item| item.bytes());
        let empty = items.is_empty();
        self.bytes = self.bytes.saturating_sub(bytes);
        if empty {
            self.groups.remove(&group);
        }
        true
    }

    fn forget(&mut self, group: &Key, key: &Key) {
        let Some(items) = self.groups.get_mut(group) else {
            return;
        };
        let Some(place) = items.iter().position(|item| item.key == *key) else {
            return;
        };
        let dropped = Arc::make_mut(items).remove(place);
        let empty = items.is_empty();
        self.bytes = self
            .bytes
            .saturating_sub(dropped.map_or(0, |item| item.bytes()));
        if empty {
            self.groups.remove(group);
        }
        // Its own place in the order: as many of its group are before it as there were in the group.
        let own = (self.order.iter().enumerate())
            .filter(|(_, name)| *name == group)
            .nth(place)
            .map(|(at, _)| at);
        if let Some(at) = own {
            self.order.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::memory::Value;
    use crate::types::{Answer, Completion};

    fn item(key: u8, vector: &[f32], text: &str, at: u64) -> Item {
        let completion = Arc::new(Completion::from(Answer {
            text: text.into(),
            ..Answer::default()
        }));
        Item {
            key: Key([key; 32]),
            text: text.into(),
            vector: super::super::normalised(vector).unwrap().into(),
            entry: Entry::new(
                Value::Completion {
                    completion,
                    events: None,
                },
                Duration::from_secs(at),
                Duration::from_secs(100),
            ),
            found_age: None,
        }
    }

    fn found(index: &Index, group: Key, vector: &[f32], now: u64, top: usize) -> Vec<String> {
        let vector = super::super::normalised(vector).unwrap();
        let now = Duration::from_secs(now);
        let wanted = Wanted {
            group: &group,
            vector: &vector,
            now,
            max_age: None,
            threshold: 0.5,
            top,
        };
        let search = index.nearest(&wanted);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let found = runtime.unwrap().block_on(search);
        found
            .iter()
            .map(|(_, item)| item.text.to_string())
            .collect()
    }

    const ONE: Key = Key([1; 32]);
    const OTHER: Key = Key([2; 32]);

    #[test]
    fn the_nearest_of_the_same_group_are_found_in_their_order() {
        let index = Index::new(100, 1 << 20);
        index.put(ONE, item(1, &[1.0, 0.0], "a", 0));
        index.put(ONE, item(2, &[1.0, 0.2], "b", 0));
        index.put(ONE, item(3, &[1.0, 0.5], "c", 0));
        index.put(ONE, item(4, &[0.0, 1.0], "far", 0));
        index.put(OTHER, item(5, &[1.0, 0.1], "other", 0));
        assert_eq!(found(&index, ONE, &[1.0, 0.1], 1, 5), ["b", "a", "c"]);
        assert_eq!(found(&index, ONE, &[1.0, 0.1], 1, 1), ["b"]);
        assert_eq!(found(&index, OTHER, &[1.0, 0.1], 1, 5), ["other"]);
        assert!(found(&index, Key([3; 32]), &[1.0, 0.1], 1, 5).is_empty());
        assert!(found(&index, ONE, &[1.0, 0.1, 0.0], 1, 5).is_empty());
    }

    #[test]
    fn what_is_over_its_time_or_too_old_is_not_found() {
        let index = Index::new(100, 1 << 20);
        index.put(ONE, item(1, &[1.0], "a", 0));
        assert_eq!(found(&index, ONE, &[1.0], 99, 5), ["a"]);
        assert!(found(&index, ONE, &[1.0], 100, 5).is_empty());
    }

    #[test]
    fn the_same_question_is_kept_once_with_its_newest_answer() {
        let index = Index::new(100, 1 << 20);
        index.put(ONE, item(1, &[1.0], "old", 0));
        index.put(ONE, item(2, &[1.0], "between", 0));
        index.put(ONE, item(1, &[1.0], "new", 1));
        assert_eq!(index.size().0, 2);
        let mut all = found(&index, ONE, &[1.0], 1, 5);
        all.sort();
        assert_eq!(all, ["between", "new"]);
        assert!(index.vector(&ONE, &Key([1; 32])).is_some());
        assert!(index.vector(&ONE, &Key([9; 32])).is_none());
    }

    #[test]
    fn entries_and_bytes_are_bounded_and_the_oldest_make_room() {
        let index = Index::new(3, 1 << 20);
        for n in 0..10 {
            let group = if n % 2 == 0 { ONE } else { OTHER };
            index.put(group, item(n, &[1.0], &n.to_string(), 0));
        }
        assert_eq!(index.size().0, 3);
        let mut all = found(&index, ONE, &[1.0], 1, 5);
        all.extend(found(&index, OTHER, &[1.0], 1, 5));
        all.sort();
        assert_eq!(all, ["7", "8", "9"]);

        let one = item(1, &[1.0], &"x".repeat(1_000), 0).bytes();
        let index = Index::new(1_000, one * 4);
        for n in 0..50 {
            index.put(ONE, item(n, &[1.0], &"x".repeat(1_000), 0));
            assert!(index.size().1 <= one * 4);
        }
        assert_eq!(index.size(), (4, one * 4));
        index.put(ONE, item(99, &[1.0], &"x".repeat(100_000), 0));
        assert_eq!(
            index.size().0,
            4,
            "what is over the whole bound is not kept"
        );
        index.clear();
        assert_eq!(index.size(), (0, 0));
    }

    #[test]
    fn what_is_invalidated_is_taken_away_and_nothing_else() {
        let index = Index::new(100, 1 << 20);
        for n in 0..6 {
            let group = if n % 2 == 0 { ONE } else { OTHER };
            index.put(group, item(n, &[1.0], &n.to_string(), u64::from(n)));
        }
        index.drop_where(|entry| entry.stored_at < Duration::from_secs(3));
        assert_eq!(index.size().0, 3);
        assert_eq!(found(&index, ONE, &[1.0], 9, 5), ["4"]);
        index.drop_where(|_| true);
        assert_eq!(index.size(), (0, 0));
    }

    #[test]
    fn bytes_and_order_stay_right_whatever_is_put() {
        use crate::retry::{Random, SeededRandom};
        let random = SeededRandom::new(7);
        let pick = |n: u64| u8::try_from(random.next_u64() % n).unwrap();
        let index = Index::new(20, 1 << 20);
        for round in 0..2_000 {
            let group = Key([pick(4); 32]);
            index.put(
                group,
                item(pick(12), &[1.0], &"x".repeat(pick(40).into()), round),
            );
            let state = index.state();
            let all: Vec<_> = state
                .groups
                .values()
                .flat_map(|group| group.iter())
                .collect();
            assert_eq!(all.len(), state.order.len());
            assert_eq!(
                all.iter().map(|item| item.bytes()).sum::<u64>(),
                state.bytes
            );
            assert!(all.len() <= 20 && state.groups.values().all(|group| !group.is_empty()));
        }
    }
}
