//! The audit events that wait, and the rate of each kind.

use super::Arrival;
use super::acquires::selectors_of;
use super::limiter::Limiter;
use crate::audit::{AuditConfig, AuditEvent, AuditRecord};
use crate::ecn::Ecn;
use crate::error::OpenError;
use crate::ip::IpHeader;
use crate::packet::EspHeader;
use crate::statistics::DropReason;
use alloc::collections::VecDeque;
use ipsec_types::sa::ChildSaId;
use ipsec_types::{Instant, Path};

/// See the module. Its memory is taken once.
#[derive(Debug)]
pub(super) struct Audits {
    config: AuditConfig,
    queue: VecDeque<AuditRecord>,
    limiters: [Limiter; AuditEvent::ALL.len()],
    lost: u64,
}

impl Audits {
    pub(super) fn new(config: AuditConfig) -> Self {
        let limiters = AuditEvent::ALL.map(|_| Limiter::new(config.burst));
        Self { config, queue: VecDeque::with_capacity(config.queue), limiters, lost: 0 }
    }

    pub(super) fn poll(&mut self) -> Option<AuditRecord> {
        self.queue.pop_front()
    }

    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    /// A packet that was to be sent, or came unprotected, and was dropped.
    #[cold]
    pub(super) fn packet(&mut self, now: Instant, reason: DropReason, packet: &IpHeader) {
        if let Some(event) = AuditEvent::of(reason) {
            self.push(AuditRecord {
                source: Some(packet.source),
                destination: Some(packet.destination),
                packet: Some(selectors_of(packet)),
                ..AuditRecord::new(now, event, Some(reason))
            });
        }
    }

    /// A packet that an outbound SA dropped.
    #[cold]
    pub(super) fn outbound(
        &mut self,
        now: Instant,
        reason: DropReason,
        child: ChildSaId,
        spi: u32,
        path: &Path,
        packet: &IpHeader,
    ) {
        if let Some(event) = AuditEvent::of(reason) {
            self.push(AuditRecord {
                child: Some(child),
                spi: Some(spi),
                source: Some(path.local_ip()),
                destination: Some(path.remote_ip()),
                packet: Some(selectors_of(packet)),
                ..AuditRecord::new(now, event, Some(reason))
            });
        }
    }

    /// An ESP packet that was dropped; `inside` is what was in it, where that is known.
    #[cold]
    pub(super) fn inbound(
        &mut self,
        now: Instant,
        error: &OpenError,
        came: &Came<'_>,
        child: Option<ChildSaId>,
        inside: Option<&IpHeader>,
    ) {
        let reason = error.reason();
        if let Some(event) = AuditEvent::of(reason) {
            self.push(AuditRecord {
                child,
                packet: inside.map(selectors_of),
                ..came.record(now, event, Some(reason))
            });
        }
    }

    /// A delivered packet whose pair of ECN fields is unusual.
    #[cold]
    pub(super) fn unusual_ecn(&mut self, now: Instant, came: &Came<'_>, child: ChildSaId, inside: &IpHeader) {
        self.push(AuditRecord {
            child: Some(child),
            packet: Some(selectors_of(inside)),
            ecn: came.arrival.ecn.map(|outer| (inside.ecn(), outer)),
            ..came.record(now, AuditEvent::UnusualEcn, None)
        });
    }

    /// A fragment that was offered to ESP: a whole IP packet. Only the first one shows an SPI.
    #[cold]
    pub(super) fn fragment(&mut self, now: Instant, packet: &[u8]) {
        let Ok(header) = IpHeader::parse(packet) else { return };
        let reason = DropReason::OuterFragment;
        let esp = first_of_a_datagram(packet).then(|| packet.get(header.upper_offset..)).flatten();
        let esp =
            esp.filter(|_| header.protocol == Some(crate::packet::PROTOCOL_ESP)).and_then(EspHeader::parse);
        self.push(AuditRecord {
            spi: esp.map(|esp| esp.spi),
            sequence_number: esp.map(|esp| esp.sequence_number),
            source: Some(header.source),
            destination: Some(header.destination),
            flow_label: flow_label(packet),
            ..AuditRecord::new(now, AuditEvent::Fragment, Some(reason))
        });
    }

    fn push(&mut self, record: AuditRecord) {
        let AuditConfig { events, queue, interval, burst } = self.config;
        if queue == 0 || !events.contains(record.event) {
            return;
        }
        let limiter = self.limiters.get_mut(record.event as usize);
        let admitted = limiter.is_some_and(|limiter| limiter.admits(record.at, interval, burst));
        if admitted && self.queue.len() < queue {
            self.queue.push_back(record);
        } else {
            self.lost = self.lost.saturating_add(1);
        }
    }
}

/// How an ESP packet came.
pub(super) struct Came<'a> {
    pub(super) arrival: &'a Arrival,
    pub(super) esp: EspHeader,
}

impl Came<'_> {
    fn record(&self, now: Instant, event: AuditEvent, reason: Option<DropReason>) -> AuditRecord {
        let ecn = |outer: Ecn| (Ecn::NotEct, outer);
        AuditRecord {
            spi: Some(self.esp.spi),
            sequence_number: Some(self.esp.sequence_number),
            source: Some(self.arrival.path.remote.ip()),
            destination: Some(self.arrival.path.local.ip()),
            flow_label: self.arrival.flow_label,
            // The one pair of fields that is dropped.
            ecn: self.arrival.ecn.filter(|_| event == AuditEvent::CongestionLost).map(ecn),
            ..AuditRecord::new(now, event, reason)
        }
    }
}

/// The flow label of an IPv6 packet.
pub(super) fn flow_label(packet: &[u8]) -> Option<u32> {
    let &[first, second, third, fourth] = packet.first_chunk()?;
    (first >> 4 == 6).then(|| u32::from_be_bytes([0, second & 0x0F, third, fourth]))
}

/// Whether a fragment, where it is one, has the offset 0; in IPv6 as far as it follows the fixed header.
fn first_of_a_datagram(packet: &[u8]) -> bool {
    let offset = |at: usize, mask: u16| {
        let field = packet.get(at..at + 2).and_then(<[u8]>::first_chunk::<2>);
        field.is_some_and(|field| u16::from_be_bytes(*field) & mask == 0)
    };
    match packet.first().map_or(0, |first| first >> 4) {
        4 => offset(6, 0x1FFF),
        _ => packet.get(6) == Some(&44) && offset(42, 0xFFF8),
    }
}
