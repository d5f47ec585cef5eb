//! The engine's tables: maps by SPI and by pair, SAs by their slot, and the timers.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::hash::{BuildHasherDefault, Hasher};
use hashbrown::HashMap;
use ipsec_types::sa::ChildSaId;
use ipsec_types::{EspSpi, Instant};

/// A map whose keys this host chose, so that one multiplication is hash enough.
pub(super) type SaMap<K, V> = HashMap<K, V, BuildHasherDefault<KeyHasher>>;

/// Spreads the bits of an SPI or of a pair's number by a folded multiplication.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        // An odd constant without pattern: 2^64 divided by the golden ratio.
        let product = u128::from(self.0 ^ value) * 0x9E37_79B9_7F4A_7C15;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

/// Where in [`Slots`] something lies. It stays there until it is removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slot(usize);

/// What there is of each pair, found by the pair's number, or faster by its slot.
#[derive(Debug)]
pub(super) struct Slots<T> {
    of: SaMap<ChildSaId, Slot>,
    entries: Vec<Option<Box<T>>>,
    free: Vec<Slot>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { of: SaMap::default(), entries: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Puts in what there is of a pair, in the place of what there was.
    pub(super) fn insert(&mut self, id: ChildSaId, entry: T) -> Slot {
        self.remove(&id);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            Slot(self.entries.len() - 1)
        });
        if let Some(place) = self.entries.get_mut(slot.0) {
            *place = Some(Box::new(entry));
        }
        self.of.insert(id, slot);
        slot
    }

    pub(super) fn remove(&mut self, id: &ChildSaId) -> Option<Box<T>> {
        let slot = self.of.remove(id)?;
        self.free.push(slot);
        self.entries.get_mut(slot.0)?.take()
    }

    #[inline]
    pub(super) fn at(&mut self, slot: Slot) -> Option<&mut T> {
        self.entries.get_mut(slot.0)?.as_deref_mut()
    }

    pub(super) fn look_at(&self, slot: Slot) -> Option<&T> {
        self.entries.get(slot.0)?.as_deref()
    }

    pub(super) fn slot(&self, id: &ChildSaId) -> Option<Slot> {
        self.of.get(id).copied()
    }

    pub(super) fn get(&self, id: &ChildSaId) -> Option<&T> {
        self.entries.get(self.of.get(id)?.0)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, id: &ChildSaId) -> Option<&mut T> {
        let slot = *self.of.get(id)?;
        self.at(slot)
    }

    pub(super) fn contains_key(&self, id: &ChildSaId) -> bool {
        self.of.contains_key(id)
    }

    pub(super) fn len(&self) -> usize {
        self.of.len()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().filter_map(Option::as_deref)
    }
}

/// Whose deadline a timer is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum TimerKey {
    Inbound(EspSpi),
    Outbound(ChildSaId),
    /// An inbound SA of a group.
    Group(ChildSaId),
}

/// The deadlines of one SA that are in [`Timers`]: the soft one and the hard one.
pub(super) type Armed = [Option<Instant>; 2];

/// The deadlines of all SAs, in order. They are set when an SA is installed; a packet can only take one away,
/// so none allocates.
#[derive(Default, Debug)]
pub(super) struct Timers(BTreeSet<(Instant, TimerKey, usize)>);

impl Timers {
    /// Sets the deadlines of a new SA.
    pub(super) fn arm(&mut self, key: TimerKey, deadlines: Armed) {
        let set = deadlines.into_iter().enumerate();
        self.0.extend(set.filter_map(|(which, deadline)| Some((deadline?, key, which))));
    }

    /// Takes away what was set and no longer stands.
    pub(super) fn settle(&mut self, key: TimerKey, armed: &mut Armed, standing: Armed) {
        for (which, (armed, standing)) in armed.iter_mut().zip(standing).enumerate() {
            if let Some(deadline) = *armed
                && standing.is_none()
            {
                self.0.remove(&(deadline, key, which));
                *armed = None;
            }
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(deadline, ..)| *deadline)
    }

    /// Whose deadline has come. [`Timers::settle`] takes it away.
    pub(super) fn due(&self, now: Instant) -> Option<TimerKey> {
        self.0.first().filter(|(deadline, ..)| *deadline <= now).map(|(_, key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slot is found by its pair until that is removed, and is used again.
    #[test]
    fn slots_stay_and_are_used_again() {
        let mut slots = Slots::default();
        let [a, b] = [1, 2].map(|id| slots.insert(ChildSaId(id), id));
        assert_eq!((slots.at(a).copied(), slots.at(b).copied(), slots.len()), (Some(1), Some(2), 2));
        assert_eq!(slots.remove(&ChildSaId(1)).as_deref(), Some(&1));
        assert_eq!((slots.get(&ChildSaId(1)), slots.slot(&ChildSaId(2))), (None, Some(b)));
        assert_eq!(slots.at(a), None);
        assert_eq!(slots.insert(ChildSaId(3), 3), a);
        slots.insert(ChildSaId(3), 4);
        assert_eq!(slots.values().copied().collect::<Vec<_>>(), [4, 2]);
    }
}
