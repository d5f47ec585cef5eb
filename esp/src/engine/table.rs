//! The engine's tables: maps by SPI and by pair, and the timers.

use alloc::collections::BTreeSet;
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

/// Whose deadline a timer is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum TimerKey {
    Inbound(EspSpi),
    Outbound(ChildSaId),
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
