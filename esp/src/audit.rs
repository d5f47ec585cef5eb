//! Audit events (RFC 4303 §4, RFC 4301 §5 to §7, RFC 5374 §5.2, RFC 6040 §4.2): what an administrator may want to see
//! of single packets that were dropped, beside the counters of [`Statistics`](crate::Statistics).
//!
//! Anybody can bring such events about. So each kind has a rate of its own, what is over it is counted, and the queue is
//! as long as it was configured.

use crate::ecn::Ecn;
use crate::statistics::DropReason;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use ipsec_types::Instant;
use ipsec_types::sa::{ChildSaId, PacketSelectors};

/// What is to be told of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
#[repr(u8)]
pub enum AuditEvent {
    /// An ESP packet with an SPI that is not ours (RFC 4303 §3.4.2).
    UnknownSpi,
    /// A fragment was offered to ESP (RFC 4303 §3.4.1).
    Fragment,
    /// The sequence numbers of an outbound SA are used up (RFC 4303 §3.3.3).
    NumbersExhausted,
    /// The anti-replay check refused a packet (RFC 4303 §3.4.3).
    Replay,
    /// An integrity check failed (RFC 4303 §3.4.4).
    Integrity,
    /// A packet to send was discarded by policy (RFC 4301 §5.1).
    OutboundPolicy,
    /// No SA carries a packet to send, and none is asked for (RFC 4301 §5.1, §6.2).
    NoSa,
    /// A packet came unprotected and policy does not let it pass so (RFC 4301 §5.2).
    InboundPolicy,
    /// The SA by which a packet came does not carry such packets (RFC 4301 §5.2, §6.2, §7.2).
    Selectors,
    /// The outer addresses of a packet to a group are not the inner ones (RFC 5374 §5.2).
    Preservation,
    /// Congestion was met and the inner packet can't tell: it was dropped (RFC 6040 §4.2).
    CongestionLost,
    /// A delivered packet whose pair of ECN fields is unused and possibly dangerous (RFC 6040 §4.2).
    UnusualEcn,
}

impl AuditEvent {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::UnknownSpi,
        Self::Fragment,
        Self::NumbersExhausted,
        Self::Replay,
        Self::Integrity,
        Self::OutboundPolicy,
        Self::NoSa,
        Self::InboundPolicy,
        Self::Selectors,
        Self::Preservation,
        Self::CongestionLost,
        Self::UnusualEcn,
    ];

    /// The event of a packet that was dropped for this reason; `None` where no document asks for one.
    #[must_use]
    pub const fn of(reason: DropReason) -> Option<Self> {
        Some(match reason {
            DropReason::UnknownSpi | DropReason::ReservedSpi => Self::UnknownSpi,
            DropReason::OuterFragment => Self::Fragment,
            DropReason::NumbersExhausted => Self::NumbersExhausted,
            DropReason::NumberZero
            | DropReason::BelowWindow
            | DropReason::Replayed
            | DropReason::NoSuchNumber => Self::Replay,
            DropReason::Integrity | DropReason::IntegrityOrLate => Self::Integrity,
            DropReason::OutboundPolicy => Self::OutboundPolicy,
            DropReason::NoOutboundSa => Self::NoSa,
            DropReason::InboundPolicy => Self::InboundPolicy,
            DropReason::Selectors => Self::Selectors,
            DropReason::Preservation => Self::Preservation,
            DropReason::Ecn => Self::CongestionLost,
            _ => return None,
        })
    }
}

/// One event, with as much as is known of its packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditRecord {
    /// When.
    pub at: Instant,
    /// What.
    pub event: AuditEvent,
    /// Why the packet was dropped; `None` where it was delivered.
    pub reason: Option<DropReason>,
    /// The pair whose SA it is about; its selectors are those of [`InboundSa::child`](crate::InboundSa::child).
    pub child: Option<ChildSaId>,
    /// The SPI on the wire.
    pub spi: Option<u32>,
    /// The sequence number on the wire, which is the low half where it has 64 bits.
    pub sequence_number: Option<u32>,
    /// The source of the outer packet, or of the only one.
    pub source: Option<IpAddr>,
    /// Its destination.
    pub destination: Option<IpAddr>,
    /// The flow label of a received outer IPv6 header.
    pub flow_label: Option<u32>,
    /// The packet that was to be protected, came unprotected, or was inside.
    pub packet: Option<PacketSelectors>,
    /// The inner and the outer ECN field, where the event is about them.
    pub ecn: Option<(Ecn, Ecn)>,
}

impl AuditRecord {
    /// A record of which nothing more is known yet.
    pub(crate) const fn new(at: Instant, event: AuditEvent, reason: Option<DropReason>) -> Self {
        Self {
            at,
            event,
            reason,
            child: None,
            spi: None,
            sequence_number: None,
            source: None,
            destination: None,
            flow_label: None,
            packet: None,
            ecn: None,
        }
    }
}

/// Kinds of events.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuditEvents(u16);

impl AuditEvents {
    /// None.
    pub const NONE: Self = Self(0);
    /// All.
    pub const ALL: Self = Self(u16::MAX);

    /// These, and this one.
    #[must_use]
    pub const fn with(self, event: AuditEvent) -> Self {
        Self(self.0 | 1 << event as u8)
    }

    /// These, but this one.
    #[must_use]
    pub const fn without(self, event: AuditEvent) -> Self {
        Self(self.0 & !(1 << event as u8))
    }

    /// Whether it is one of them.
    #[must_use]
    pub const fn contains(self, event: AuditEvent) -> bool {
        self.0 & 1 << event as u8 != 0
    }
}

impl fmt::Debug for AuditEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(AuditEvent::ALL.iter().filter(|event| self.contains(**event))).finish()
    }
}

/// What is kept of events, and how often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditConfig {
    /// The kinds that are told; default all.
    pub events: AuditEvents,
    /// Records that may wait, taken when the engine is made; default 256, about 250 octets each. 0 switches auditing
    /// off. When it is full, new ones are lost and counted.
    pub queue: usize,
    /// The shortest average time between two records of one kind; default 100 ms.
    pub interval: Duration,
    /// How many of one kind may come at once after a quiet time; default 16.
    pub burst: u32,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { events: AuditEvents::ALL, queue: 256, interval: Duration::from_millis(100), burst: 16 }
    }
}
