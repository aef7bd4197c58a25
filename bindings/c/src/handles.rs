//! Objects by number: slot, generation and kind in one integer below 2⁵³, so that a number that is late, doubled, made up or
//! of another kind misses instead of meeting an object that is none of its own.

use std::sync::{Arc, PoisonError, RwLock};

const INDEX_BITS: u32 = 20;
const GENERATION_BITS: u32 = 31;
const LIMIT: usize = 1 << INDEX_BITS;

/// The objects of one kind. Whoever looks one up holds it: removing it frees nothing under a call.
pub(crate) struct Handles<T> {
    kind: u64,
    slots: RwLock<Slots<T>>,
}

struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<usize>,
}

struct Slot<T> {
    /// From 1, so that no handle is 0.
    generation: u64,
    value: Option<Arc<T>>,
}

impl<T> Handles<T> {
    /// `kind` is 0 or 1.
    pub(crate) const fn new(kind: u64) -> Self {
        Self {
            kind,
            slots: RwLock::new(Slots {
                slots: Vec::new(),
                free: Vec::new(),
            }),
        }
    }

    fn handle(&self, index: usize, generation: u64) -> u64 {
        // Below 2²⁰: `insert` keeps to the limit.
        let index = u64::try_from(index).unwrap_or(0);
        (self.kind << (INDEX_BITS + GENERATION_BITS)) | (generation << INDEX_BITS) | index
    }

    /// Keeps the object; `None` when there are too many.
    pub(crate) fn insert(&self, value: Arc<T>) -> Option<u64> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = slots.free.pop() {
            let slot = slots.slots.get_mut(index)?;
            slot.generation += 1;
            slot.value = Some(value);
            let generation = slot.generation;
            return Some(self.handle(index, generation));
        }
        let index = slots.slots.len();
        if index >= LIMIT {
            return None;
        }
        slots.slots.push(Slot {
            generation: 1,
            value: Some(value),
        });
        Some(self.handle(index, 1))
    }

    /// The slot a handle names, if the handle is of this kind at all.
    fn place(&self, handle: u64) -> Option<(usize, u64)> {
        let index = usize::try_from(handle & ((1 << INDEX_BITS) - 1)).ok()?;
        let generation = (handle >> INDEX_BITS) & ((1 << GENERATION_BITS) - 1);
        (self.handle(index, generation) == handle).then_some((index, generation))
    }

    /// The object, held.
    pub(crate) fn get(&self, handle: u64) -> Option<Arc<T>> {
        let (index, generation) = self.place(handle)?;
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.slots.get(index)?;
        slot.value
            .as_ref()
            .filter(|_| slot.generation == generation)
            .cloned()
    }

    /// Forgets the object; it ends when nobody holds it any more.
    pub(crate) fn remove(&self, handle: u64) -> Option<Arc<T>> {
        let (index, generation) = self.place(handle)?;
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.slots.get_mut(index)?;
        if slot.generation != generation {
            return None;
        }
        let value = slot.value.take()?;
        // A slot whose generations are used up is never used again.
        if generation < (1 << GENERATION_BITS) - 1 {
            slots.free.push(index);
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_finds_its_own_object_and_none_after_that_is_gone() {
        let handles = Handles::new(1);
        let first = handles.insert(Arc::new("first")).expect("room");
        assert!(first > 0 && first < 1 << 53);
        assert_eq!(handles.get(first).as_deref(), Some(&"first"));
        assert_eq!(handles.remove(first).as_deref(), Some(&"first"));
        assert!(handles.remove(first).is_none(), "twice");
        let second = handles.insert(Arc::new("second")).expect("room");
        assert_ne!(first, second, "the slot again, another number");
        assert!(handles.get(first).is_none(), "late");
        assert_eq!(handles.get(second).as_deref(), Some(&"second"));
    }

    #[test]
    fn a_number_of_another_kind_or_of_nothing_misses() {
        let (queues, sessions) = (Handles::new(0), Handles::new(1));
        let queue = queues.insert(Arc::new(())).expect("room");
        sessions.insert(Arc::new(())).expect("room");
        assert!(sessions.get(queue).is_none());
        for made_up in [0, 1, u64::MAX, 1 << 53, queue | 1 << 60, queue + 1] {
            assert!(queues.get(made_up).is_none() && queues.remove(made_up).is_none());
        }
    }

    #[test]
    fn what_is_held_outlives_its_number() {
        let handles = Handles::new(0);
        let handle = handles.insert(Arc::new(7)).expect("room");
        let held = handles.get(handle).expect("there");
        drop(handles.remove(handle));
        assert_eq!(*held, 7);
    }

    #[test]
    fn a_slot_without_further_generations_is_left_alone() {
        let handles = Handles::new(0);
        let last = (1 << GENERATION_BITS) - 1;
        handles.insert(Arc::new(())).expect("room");
        handles.slots.write().expect("no panic under it").slots[0].generation = last;
        assert!(handles.remove(handles.handle(0, last)).is_some());
        let next = handles.insert(Arc::new(())).expect("room");
        assert_eq!(next & 1, 1, "another slot");
    }
}
