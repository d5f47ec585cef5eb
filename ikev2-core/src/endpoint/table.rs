//! Where the IKE SAs are kept: generational slots, found by handle, with one timer each. Nothing here looks at an SA that is not due.

use crate::event::IkeSaHandle;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use ipsec_types::Instant;

#[derive(Debug)]
struct Slot<S> {
    generation: u32,
    content: Option<Box<S>>,
    /// The deadline that stands in `timers`.
    deadline: Option<Instant>,
}

/// A table of `S`.
pub(crate) struct Table<S> {
    slots: Vec<Slot<S>>,
    free: Vec<u32>,
    timers: BTreeSet<(Instant, u32)>,
    /// How often anyone got at an entry.
    visits: Cell<u64>,
}

impl<S: fmt::Debug> fmt::Debug for Table<S> {
    /// Without the visits: to look at an entry changes nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("slots", &self.slots)
            .field("free", &self.free)
            .field("timers", &self.timers)
            .finish_non_exhaustive()
    }
}

impl<S> Default for Table<S> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), timers: BTreeSet::new(), visits: Cell::new(0) }
    }
}

impl<S> Table<S> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len().saturating_sub(self.free.len())
    }

    /// The handle that the next insertion will have.
    pub(crate) fn next_handle(&self) -> IkeSaHandle {
        let slot = self.free.last().copied().unwrap_or(u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
        let generation = self.slot(slot).map_or(0, |slot| slot.generation);
        IkeSaHandle { slot, generation }
    }

    /// Puts one under [`Table::next_handle`].
    pub(crate) fn insert(&mut self, content: S) -> IkeSaHandle {
        let handle = self.next_handle();
        let content = Some(Box::new(content));
        if self.free.pop().is_some() {
            if let Some(slot) = self.slots.get_mut(handle.slot as usize) {
                slot.content = content;
            }
        } else {
            self.slots.push(Slot { generation: handle.generation, content, deadline: None });
        }
        handle
    }

    /// Removes one; its handle is never given out again.
    pub(crate) fn remove(&mut self, handle: IkeSaHandle) {
        self.set_deadline(handle, None);
        let Some(slot) = self.slots.get_mut(handle.slot as usize) else { return };
        if slot.generation == handle.generation && slot.content.take().is_some() {
            // A slot whose generations are used up is left empty for good.
            if let Some(next) = slot.generation.checked_add(1) {
                slot.generation = next;
                self.free.push(handle.slot);
            }
        }
    }

    /// How often anyone got at an entry.
    pub(crate) fn visits(&self) -> u64 {
        self.visits.get()
    }

    /// There is no way to an entry but past here.
    fn count_visit(&self) {
        self.visits.set(self.visits.get().saturating_add(1));
    }

    fn slot(&self, slot: u32) -> Option<&Slot<S>> {
        self.slots.get(slot as usize)
    }

    /// The one with this handle.
    pub(crate) fn get(&self, handle: IkeSaHandle) -> Option<&S> {
        self.count_visit();
        let slot = self.slot(handle.slot).filter(|slot| slot.generation == handle.generation)?;
        slot.content.as_deref()
    }

    /// The same, to change.
    pub(crate) fn get_mut(&mut self, handle: IkeSaHandle) -> Option<&mut S> {
        self.count_visit();
        let slot = self.slots.get_mut(handle.slot as usize)?;
        if slot.generation == handle.generation { slot.content.as_deref_mut() } else { None }
    }

    /// All of them, in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (IkeSaHandle, &S)> {
        (0u32..).zip(&self.slots).filter_map(|(number, slot)| {
            let handle = IkeSaHandle { slot: number, generation: slot.generation };
            self.count_visit();
            Some((handle, slot.content.as_deref()?))
        })
    }

    /// Sets the one timer of an entry. The end of time never comes: a deadline there is none.
    pub(crate) fn set_deadline(&mut self, handle: IkeSaHandle, deadline: Option<Instant>) {
        let deadline = deadline.filter(|at| *at < Instant::MAX);
        let Some(slot) = self.slots.get_mut(handle.slot as usize) else { return };
        if slot.generation != handle.generation || slot.deadline == deadline {
            return;
        }
        if let Some(old) = core::mem::replace(&mut slot.deadline, deadline) {
            self.timers.remove(&(old, handle.slot));
        }
        if let Some(new) = deadline {
            self.timers.insert((new, handle.slot));
        }
    }

    /// The first deadline.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The first entry whose deadline has come.
    pub(crate) fn first_due(&self, now: Instant) -> Option<IkeSaHandle> {
        let (_, slot) = self.timers.first().filter(|(at, _)| *at <= now)?;
        Some(IkeSaHandle { slot: *slot, generation: self.slot(*slot)?.generation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_never_names_another_one() {
        let mut table = Table::default();
        let first = table.insert("first");
        assert_eq!(table.get(first), Some(&"first"));
        table.remove(first);
        let second = table.insert("second");
        assert_eq!(second.slot, first.slot);
        assert_eq!(table.get(first), None);
        assert_eq!(table.get(second), Some(&"second"));
        table.remove(first);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn only_what_is_due_is_found_and_in_order() {
        let mut table = Table::default();
        let handles: Vec<_> = (1..=3).map(|n| table.insert(n)).collect();
        let at = Instant::from_millis;
        table.set_deadline(handles[0], Some(at(30)));
        table.set_deadline(handles[1], Some(at(10)));
        table.set_deadline(handles[2], Some(at(20)));
        table.set_deadline(handles[2], Some(at(40)));
        assert_eq!(table.next_deadline(), Some(at(10)));
        assert_eq!(table.first_due(at(9)), None);
        assert_eq!(table.first_due(at(35)), Some(handles[1]));
        table.set_deadline(handles[1], None);
        assert_eq!(table.first_due(at(35)), Some(handles[0]));
        table.remove(handles[0]);
        assert_eq!(table.first_due(at(35)), None);
        assert_eq!(table.next_deadline(), Some(at(40)));
    }
}
