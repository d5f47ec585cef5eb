//! Inbound SAs that were removed and still receive for a while, since another pair has their place.
//!
//! RFC 7296 §1.4.1 has each end close its inbound SA when a pair is deleted, and says not how soon. What the peer sent
//! by it before its Delete may be read after it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;
use ipsec_types::sa::ChildSaId;
use ipsec_types::{EspSpi, Instant};

/// An inbound SA that lingers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lingerer {
    pub(super) id: ChildSaId,
    pub(super) spi: EspSpi,
    /// The pair that has its place: when that ends without a successor of its own, there is no more to wait for.
    heir: ChildSaId,
    until: Instant,
}

/// All that linger, the oldest first, which is the next to end.
#[derive(Default, Debug)]
pub(super) struct Lingering(VecDeque<Lingerer>);

impl Lingering {
    pub(super) fn holds(&self, id: ChildSaId) -> bool {
        self.0.iter().any(|lingerer| lingerer.id == id)
    }

    /// The SPI of a pair that lingers.
    pub(super) fn spi(&self, id: ChildSaId) -> Option<EspSpi> {
        self.0.iter().find(|lingerer| lingerer.id == id).map(|lingerer| lingerer.spi)
    }

    pub(super) fn has_spi(&self, spi: EspSpi) -> bool {
        self.0.iter().any(|lingerer| lingerer.spi == spi)
    }

    pub(super) fn add(
        &mut self,
        now: Instant,
        linger: Duration,
        id: ChildSaId,
        spi: EspSpi,
        heir: ChildSaId,
    ) {
        self.0.push_back(Lingerer { id, spi, heir, until: now + linger });
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.front().map(|oldest| oldest.until)
    }

    /// Takes one away whose time is over.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Lingerer> {
        self.0.front().filter(|oldest| oldest.until <= now)?;
        self.take_at(0)
    }

    /// Takes away the one that has this SPI, or else the oldest.
    pub(super) fn take_for(&mut self, spi: EspSpi) -> Option<Lingerer> {
        self.take_at(self.0.iter().position(|lingerer| lingerer.spi == spi).unwrap_or(0))
    }

    /// What it was waiting for goes on for those that wait for it.
    fn take_at(&mut self, at: usize) -> Option<Lingerer> {
        let taken = self.0.remove(at)?;
        for other in self.0.iter_mut().filter(|other| other.heir == taken.id) {
            other.heir = taken.heir;
        }
        Some(taken)
    }

    /// Takes away all that have this pair for a successor, or one of those that do.
    pub(super) fn take_predecessors(&mut self, id: ChildSaId) -> Vec<Lingerer> {
        let mut taken = Vec::new();
        let mut of = Vec::from([id]);
        while let Some(heir) = of.pop() {
            self.0.retain(|lingerer| {
                let goes = lingerer.heir == heir;
                if goes {
                    taken.push(*lingerer);
                    of.push(lingerer.id);
                }
                !goes
            });
        }
        taken
    }
}
