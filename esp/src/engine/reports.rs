//! What the engine tells upwards: bounded, without allocating on the data path, and at a bounded rate.

use super::LifetimeEvent;
use super::acquires::{Acquires, TooMany, Want};
use super::limiter::Limiter;
use crate::ip::IpHeader;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;
use ipsec_types::sa::{ChildSaId, Direction, PacketSelectors, PolicyId, ResourceId};
use ipsec_types::{EspSpi, Instant, Path, SaReport};

/// Reports that one SA can have waiting and that are never lost: its soft and its hard expiry.
const EXPIRIES_OF_AN_SA: usize = 2;

/// Bounds of what is told upwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportConfig {
    /// Reports that may wait; default 1,024, about 100 octets each. When it is full, new ones are lost and
    /// counted. Expiries have room of their own, two for each SA, and are never lost.
    pub queue: usize,
    /// The shortest time between two [`SaReport::LastInbound`] of one pair; default 5 s. The time that a report
    /// names is therefore at most this much behind the truth.
    pub last_inbound_interval: Duration,
    /// The shortest average time between two [`SaReport::UnknownSpi`]; default 100 ms. Each may cost IKE a
    /// message, and anybody can send such packets.
    pub unknown_spi_interval: Duration,
    /// How many [`SaReport::UnknownSpi`] may come at once after a quiet time; default 8.
    pub unknown_spi_burst: u32,
    /// The shortest time between two [`SaReport::Acquire`] for one flow, and between two
    /// [`SaReport::AcquireForResource`] for one pair and resource; default 5 s.
    pub acquire_interval: Duration,
    /// How many flows and resources may have asked within that time; default 64, about 150 octets each. Further ones are dropped
    /// without a report, and ask again by a later packet.
    pub acquires: usize,
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self {
            queue: 1_024,
            last_inbound_interval: Duration::from_secs(5),
            unknown_spi_interval: Duration::from_millis(100),
            unknown_spi_burst: 8,
            acquire_interval: Duration::from_secs(5),
            acquires: 64,
        }
    }
}

/// The reports that wait, and what limits them.
#[derive(Debug)]
pub(super) struct Reports {
    config: ReportConfig,
    queue: VecDeque<SaReport>,
    /// Those in the queue that are no expiries.
    ordinary: usize,
    lost: u64,
    unknown_spi: Limiter,
    acquires: Acquires,
}

impl Reports {
    pub(super) fn new(config: ReportConfig) -> Self {
        Self {
            config,
            queue: VecDeque::with_capacity(config.queue),
            ordinary: 0,
            lost: 0,
            unknown_spi: Limiter::new(config.unknown_spi_burst),
            acquires: Acquires::new(config.acquires),
        }
    }

    /// Makes room for the expiries of so many SAs beside everything else.
    pub(super) fn make_room(&mut self, sas: usize) {
        let needed = self.config.queue.saturating_add(sas.saturating_mul(EXPIRIES_OF_AN_SA));
        self.queue.reserve(needed.saturating_sub(self.queue.len()));
    }

    pub(super) fn poll(&mut self) -> Option<SaReport> {
        let report = self.queue.pop_front()?;
        self.ordinary -= usize::from(!is_expiry(&report));
        Some(report)
    }

    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    pub(super) const fn last_inbound_interval(&self) -> Duration {
        self.config.last_inbound_interval
    }

    /// Forgets what waits to be told of an SA that was removed.
    pub(super) fn forget(&mut self, id: ChildSaId, direction: Direction) {
        self.queue.retain(|report| match report {
            SaReport::SoftExpired { id: of, direction: d, .. }
            | SaReport::HardExpired { id: of, direction: d, .. } => (*of, *d) != (id, direction),
            SaReport::LastInbound { id: of, .. } | SaReport::PeerMoved { id: of, .. } => {
                (*of, Direction::Inbound) != (id, direction)
            }
            _ => true,
        });
        self.ordinary = self.queue.iter().filter(|report| !is_expiry(report)).count();
    }

    /// The expiries of a pair that wait to be told, the oldest first.
    pub(super) fn expiries_of(&self, id: ChildSaId) -> Vec<(Direction, LifetimeEvent)> {
        let expiry = |report: &SaReport| match *report {
            SaReport::SoftExpired { id: of, direction, reason } if of == id => {
                Some((direction, LifetimeEvent::Soft(reason)))
            }
            SaReport::HardExpired { id: of, direction, reason } if of == id => {
                Some((direction, LifetimeEvent::Hard(reason)))
            }
            _ => None,
        };
        self.queue.iter().filter_map(expiry).collect()
    }

    pub(super) fn expired(&mut self, id: ChildSaId, direction: Direction, event: LifetimeEvent) {
        self.queue.push_back(match event {
            LifetimeEvent::Soft(reason) => SaReport::SoftExpired { id, direction, reason },
            LifetimeEvent::Hard(reason) => SaReport::HardExpired { id, direction, reason },
        });
    }

    pub(super) fn last_inbound(&mut self, id: ChildSaId, at: Instant) {
        self.push(SaReport::LastInbound { id, at });
    }

    pub(super) fn peer_moved(&mut self, id: ChildSaId, path: Path) {
        self.push(SaReport::PeerMoved { id, path });
    }

    pub(super) fn unknown_spi(&mut self, now: Instant, spi: EspSpi, path: Path) {
        let ReportConfig { unknown_spi_interval, unknown_spi_burst, .. } = self.config;
        if self.unknown_spi.admits(now, unknown_spi_interval, unknown_spi_burst) {
            self.push(SaReport::UnknownSpi { spi, path });
        }
    }

    /// Asks for an SA of this policy for the packet. Whether one is asked for, now or since a while; where there is no room
    /// for the question, a later packet asks it.
    pub(super) fn acquire(&mut self, now: Instant, policy: PolicyId, packet: &IpHeader) -> bool {
        let report = |packet| SaReport::Acquire { policy, packet };
        self.ask(now, Want::Policy(policy), packet, report)
    }

    /// Asks for an SA like this pair for a resource that has none, as [`Reports::acquire`] does.
    pub(super) fn acquire_for(
        &mut self,
        now: Instant,
        id: ChildSaId,
        resource: ResourceId,
        packet: &IpHeader,
    ) {
        let report = |packet| SaReport::AcquireForResource { id, resource, packet };
        self.ask(now, Want::Resource(id, resource), packet, report);
    }

    fn ask(
        &mut self,
        now: Instant,
        want: Want,
        packet: &IpHeader,
        report: impl FnOnce(PacketSelectors) -> SaReport,
    ) -> bool {
        match self.acquires.ask(now, self.config.acquire_interval, want, packet) {
            Ok(Some(packet)) => {
                let told = self.push(report(packet));
                if !told {
                    self.acquires.take_back();
                }
                told
            }
            Ok(None) => true,
            Err(TooMany) => {
                self.lost = self.lost.saturating_add(1);
                false
            }
        }
    }

    /// Whether there was room.
    fn push(&mut self, report: SaReport) -> bool {
        let room = self.ordinary < self.config.queue;
        if room {
            self.ordinary += 1;
            self.queue.push_back(report);
        } else {
            self.lost = self.lost.saturating_add(1);
        }
        room
    }
}

const fn is_expiry(report: &SaReport) -> bool {
    matches!(report, SaReport::SoftExpired { .. } | SaReport::HardExpired { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_loses_new_reports_but_no_expiry() {
        let config = ReportConfig { queue: 2, ..ReportConfig::default() };
        let mut reports = Reports::new(config);
        reports.make_room(1);
        let capacity = reports.queue.capacity();
        for at in 0..4 {
            reports.last_inbound(ChildSaId(1), Instant::from_millis(at));
        }
        let reason = ipsec_types::sa::ExpiryReason::Time;
        reports.expired(ChildSaId(1), Direction::Inbound, LifetimeEvent::Soft(reason));
        reports.expired(ChildSaId(1), Direction::Inbound, LifetimeEvent::Hard(reason));
        assert_eq!((reports.lost(), reports.queue.len(), reports.queue.capacity()), (2, 4, capacity));
        assert!(matches!(reports.poll(), Some(SaReport::LastInbound { at: Instant::ZERO, .. })));
        reports.last_inbound(ChildSaId(2), Instant::ZERO);
        reports.forget(ChildSaId(1), Direction::Inbound);
        assert!(matches!(reports.poll(), Some(SaReport::LastInbound { id: ChildSaId(2), .. })));
        assert_eq!((reports.poll(), reports.ordinary), (None, 0));
    }
}
