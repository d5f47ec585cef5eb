//! What the engine holds of one SA, and what packets tell it of the peer.

use super::Arrival;
use super::reports::Reports;
use super::table::{Armed, TimerKey, Timers};
use super::used_keys::{KeyPrint, Progress};
use crate::inbound::{Age, Authentic, InboundSa};
use crate::outbound::OutboundSa;
use core::net::SocketAddr;
use ipsec_types::sa::{ChildSaId, Direction, ResourceId, SaKeys};
use ipsec_types::{Encapsulation, Instant, Path};

/// An inbound SA and what the engine remembers of its peer; first what every packet needs.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Inbound {
    pub(super) id: ChildSaId,
    /// When the next packet is to be reported.
    pub(super) tell_at: Instant,
    /// Whose timers it has.
    pub(super) key: TimerKey,
    /// Where the peer is, as IKE said last.
    pub(super) path: Path,
    /// The address that was reported as the peer's new one since then.
    pub(super) moved_to: Option<SocketAddr>,
    pub(super) encapsulation: Encapsulation,
    /// It lingers: nothing more is told of it.
    pub(super) removed: bool,
    pub(super) sa: InboundSa,
    /// The pair that took its place.
    pub(super) heir: Option<ChildSaId>,
    /// What its key is known by: see [`super::used_keys`].
    pub(super) print: KeyPrint,
    pub(super) armed: Armed,
    /// Where SAs are to move: see [`super::EngineConfig::keep_keys`].
    pub(super) keys: Option<SaKeys>,
}

/// How far an inbound SA has come.
pub(super) const fn progress_of(sa: &InboundSa) -> Progress {
    Progress { number: sa.newest_number(), packets: sa.packets() }
}

/// An outbound SA with its timers.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Outbound {
    pub(super) id: ChildSaId,
    pub(super) sa: OutboundSa,
    /// The one that it is for, among those with the same selectors.
    pub(super) resource: Option<ResourceId>,
    /// What its key is known by: see [`super::used_keys`].
    pub(super) print: KeyPrint,
    pub(super) armed: Armed,
    pub(super) keys: Option<SaKeys>,
    /// The highest ceiling that a checkpoint has; 0 where there is none.
    pub(super) checkpoint: u64,
}

impl Outbound {
    /// Reads what every packet needs of it but the key.
    #[inline]
    pub(super) fn touch(&self) -> u64 {
        self.id.0 ^ self.sa.touch()
    }

    /// Tells the limits that were reached, and takes away the timers that no longer stand.
    #[inline]
    pub(super) fn tell(&mut self, timers: &mut Timers, reports: &mut Reports) {
        while let Some(event) = self.sa.poll_event() {
            let id = self.id;
            reports.expired(id, Direction::Outbound, event);
            timers.settle(TimerKey::Outbound(id), &mut self.armed, self.sa.deadlines());
        }
    }
}

impl Inbound {
    /// Reads what every packet needs of it but the key.
    #[inline]
    pub(super) fn touch(&self) -> u64 {
        self.id.0 ^ u64::from(self.path.remote.port()) ^ u64::from(self.removed) ^ self.sa.touch()
    }

    /// See [`super::used_keys`].
    pub(super) const fn progress(&self) -> Progress {
        progress_of(&self.sa)
    }

    /// As [`Outbound::tell`].
    #[inline]
    pub(super) fn tell(&mut self, timers: &mut Timers, reports: &mut Reports) {
        while let Some(event) = self.sa.poll_event() {
            if !self.removed {
                reports.expired(self.id, Direction::Inbound, event);
            }
            timers.settle(self.key, &mut self.armed, self.sa.deadlines());
        }
    }

    const fn is_of_group(&self) -> bool {
        matches!(self.key, TimerKey::Group(_))
    }

    /// What an authentic packet says of its peer: that it lives, and where it is.
    #[inline]
    pub(super) fn note_authentic(
        &mut self,
        now: Instant,
        authentic: &Authentic,
        arrival: Arrival,
        reports: &mut Reports,
    ) {
        // Of a group's members none is a peer.
        if self.removed || self.is_of_group() {
            return;
        }
        let id = self.id;
        if now >= self.tell_at {
            self.tell_at = now + reports.last_inbound_interval();
            reports.last_inbound(id, now);
        }
        // An old straggler from the old address proves nothing about where the peer is now.
        if authentic.age == Age::Newest
            && (self.moved_to.is_some() || arrival.path.remote != self.path.remote)
        {
            self.note_place(id, arrival, reports);
        }
    }

    #[cold]
    fn note_place(&mut self, id: ChildSaId, arrival: Arrival, reports: &mut Reports) {
        let both_udp =
            arrival.encapsulation == Encapsulation::Udp && self.encapsulation == Encapsulation::Udp;
        let (known, mut seen) = (self.path.remote, arrival.path.remote);
        if !both_udp {
            // The port is not the peer's, or none: the address alone tells.
            seen.set_port(known.port());
        }
        if (seen.ip(), seen.port()) == (known.ip(), known.port()) {
            self.moved_to = None;
        } else if self.moved_to != Some(seen) {
            self.moved_to = Some(seen);
            let mut path = Path { remote: seen, kind: self.path.kind, ..arrival.path };
            if !both_udp {
                path.local.set_port(self.path.local.port());
            }
            reports.peer_moved(id, path);
        }
    }
}
