//! Counters: what was carried, and what was dropped for which reason (RFC 4303 §4, RFC 4301 §5).

use core::fmt;
use ipsec_crypto::state::{StateError, StateReader, StateWriter};

macro_rules! drop_reasons {
    ($( $(#[$meta:meta])* $name:ident, $text:literal; )*) => {
        /// Why packets were dropped: one counter each in [`Statistics`].
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum DropReason {
            $( $(#[$meta])* $name, )*
        }

        impl DropReason {
            /// Every reason, in the order of their counters.
            pub const ALL: &'static [Self] = &[ $( Self::$name ),* ];

            /// A short name for logs and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$name => $text, )*
                }
            }
        }
    };
}

drop_reasons! {
    /// Outbound: the packet is no sound IP packet.
    OutboundPacket, "outbound-packet";
    /// Outbound: no SA carries such packets.
    NoOutboundSa, "no-outbound-sa";
    /// Outbound: discarded by policy. An audit event of RFC 4301 §4.4.1, as is the one before.
    OutboundPolicy, "outbound-policy";
    /// Outbound: to pass unprotected by policy, and given for sealing.
    NotToBeSealed, "not-to-be-sealed";
    /// Outbound: not carried in the SA's mode.
    NotCarried, "not-carried";
    /// Outbound: the SA has ended.
    OutboundExpired, "outbound-expired";
    /// Outbound: all sequence numbers are used up. An audit event of RFC 4303 §3.3.3.
    NumbersExhausted, "numbers-exhausted";
    /// Outbound: longer than an IP packet can be.
    TooLarge, "too-large";
    /// Outbound: longer than the path takes.
    TooBig, "too-big";
    /// Outbound: too little room in the buffer.
    NoRoom, "no-room";
    /// Outbound: the cipher refused the packet.
    OutboundCipher, "outbound-cipher";
    /// Inbound: the outer packet is a fragment. An audit event of RFC 4303 §3.4.1.
    OuterFragment, "outer-fragment";
    /// Inbound: the outer packet is broken or of another protocol.
    OuterPacket, "outer-packet";
    /// Inbound: a datagram without an ESP packet.
    NotEsp, "not-esp";
    /// Inbound: shorter than the SA's smallest packet.
    TooShort, "too-short";
    /// Inbound: cipher text of no whole number of blocks.
    PartialBlock, "partial-block";
    /// Inbound: an SPI that no SA can have.
    ReservedSpi, "reserved-spi";
    /// Inbound: an SPI that is not ours. An audit event of RFC 4303 §3.4.2.
    UnknownSpi, "unknown-spi";
    /// Inbound: the SA has ended.
    InboundExpired, "inbound-expired";
    /// Inbound: sequence number 0. An audit event of RFC 4303 §3.4.3, as are the next three.
    NumberZero, "number-zero";
    /// Inbound: a sequence number below the window.
    BelowWindow, "below-window";
    /// Inbound: a sequence number received before.
    Replayed, "replayed";
    /// Inbound: the low half of a number that does not exist.
    NoSuchNumber, "no-such-number";
    /// Inbound: the integrity check failed. An audit event of RFC 4303 §3.4.4.
    Integrity, "integrity";
    /// Inbound: the integrity check failed and the packet is probably older than the window.
    IntegrityOrLate, "integrity-or-late";
    /// Inbound: a pad length larger than the text.
    PadLength, "pad-length";
    /// Inbound: padding that is not 1, 2, 3, ….
    PaddingContent, "padding-content";
    /// Inbound: a text that does not end on a 4-octet boundary, where that is asked.
    Alignment, "alignment";
    /// Inbound: a next header that the mode does not carry.
    NextHeader, "next-header";
    /// Inbound: a wrong pseudo header of BEET mode.
    PseudoHeader, "pseudo-header";
    /// Inbound: the packet's own address is not known.
    UnknownAddress, "unknown-address";
    /// Inbound: too little room in the buffer.
    InboundNoRoom, "inbound-no-room";
    /// Inbound: next header and IP version differ.
    VersionMismatch, "version-mismatch";
    /// Inbound: a broken inner packet.
    InnerPacket, "inner-packet";
    /// Inbound: congestion that the inner packet can't tell (RFC 6040 §4.2).
    Ecn, "ecn";
    /// Inbound: outer addresses that are not the inner ones, in an SA that preserves them. An audit event of RFC 5374
    /// §5.2.
    Preservation, "preservation";
    /// Inbound: unprotected, and policy does not let it pass so. An audit event of RFC 4301 §5.2.
    InboundPolicy, "inbound-policy";
    /// Inbound: not one of the SA's packets. An audit event of RFC 4301 §5.2.
    Selectors, "selectors";
    /// Outbound: a standby may go on with the next number.
    CheckpointDue, "checkpoint-due";
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What an SA, or a whole engine, has carried and dropped. Counters stop at their greatest value.
#[derive(Clone, PartialEq, Eq)]
#[repr(C)] // What packets that are not dropped count lies together.
pub struct Statistics {
    /// Packets carried, dummies not included.
    pub packets: u64,
    /// Octets of their inner packets.
    pub octets: u64,
    /// Packets that policy let pass unprotected.
    pub bypassed: u64,
    /// Dummy packets sent or received (RFC 4303 §2.6).
    pub dummies: u64,
    /// Times that the numbers were found again after 2^32 and more lost packets (RFC 4303 Appendix A3).
    pub resyncs: u64,
    /// Delivered packets whose pair of ECN fields is unused and possibly dangerous (RFC 6040 §4.2).
    pub unusual_ecn: u64,
    /// Delivered packets whose text did not end on a 4-octet boundary.
    pub misaligned: u64,
    drops: [u64; DropReason::ALL.len()],
}

impl Statistics {
    /// Nothing counted yet.
    pub(crate) const ZERO: Self = Self {
        packets: 0,
        octets: 0,
        bypassed: 0,
        dummies: 0,
        resyncs: 0,
        unusual_ecn: 0,
        misaligned: 0,
        drops: [0; DropReason::ALL.len()],
    };

    /// Packets dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).copied().unwrap_or(0)
    }

    /// Packets dropped for any reason.
    #[must_use]
    pub fn dropped_in_all(&self) -> u64 {
        self.drops.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The reasons that occurred, with their counts.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().copied().zip(self.drops).filter(|(_, count)| *count > 0)
    }

    /// Adds what another has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.packets = self.packets.saturating_add(other.packets);
        self.octets = self.octets.saturating_add(other.octets);
        self.bypassed = self.bypassed.saturating_add(other.bypassed);
        self.dummies = self.dummies.saturating_add(other.dummies);
        self.resyncs = self.resyncs.saturating_add(other.resyncs);
        self.unusual_ecn = self.unusual_ecn.saturating_add(other.unusual_ecn);
        self.misaligned = self.misaligned.saturating_add(other.misaligned);
        for (count, more) in self.drops.iter_mut().zip(other.drops) {
            *count = count.saturating_add(more);
        }
    }

    /// All counters, as fields of a state.
    pub(crate) fn save(&self, w: &mut StateWriter) {
        let Self { packets, octets, bypassed, dummies, resyncs, unusual_ecn, misaligned, .. } = *self;
        for count in [packets, octets, bypassed, dummies, resyncs, unusual_ecn, misaligned] {
            w.put_u64(count);
        }
        w.put_u32(self.drops().count() as u32);
        for (reason, count) in self.drops() {
            w.put_octets(reason.name().as_bytes());
            w.put_u64(count);
        }
    }

    /// The counters of [`Statistics::save`]; those of reasons that another version knew are left out.
    pub(crate) fn resume(r: &mut StateReader<'_>) -> Result<Self, StateError> {
        let mut counts = Self::ZERO;
        let Self { packets, octets, bypassed, dummies, resyncs, unusual_ecn, misaligned, drops } =
            &mut counts;
        for count in [packets, octets, bypassed, dummies, resyncs, unusual_ecn, misaligned] {
            *count = r.u64()?;
        }
        for (name, count) in r.list(|r| Ok((r.octets()?, r.u64()?)))? {
            let known = DropReason::ALL.iter().position(|reason| reason.name().as_bytes() == name);
            if let Some(place) = known.and_then(|place| drops.get_mut(place)) {
                *place = count;
            }
        }
        Ok(counts)
    }

    pub(crate) fn count_drop(&mut self, reason: DropReason) {
        if let Some(count) = self.drops.get_mut(reason as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// Takes back [`Statistics::count_packet`].
    #[cfg(feature = "std")]
    pub(crate) const fn uncount_packet(&mut self, octets: usize) {
        self.packets = self.packets.saturating_sub(1);
        self.octets = self.octets.saturating_sub(octets as u64);
    }

    #[inline]
    pub(crate) const fn count_packet(&mut self, octets: usize) {
        self.packets = self.packets.saturating_add(1);
        self.octets = self.octets.saturating_add(octets as u64);
    }
}

impl Default for Statistics {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Debug for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Drops<'a>(&'a Statistics);
        impl fmt::Debug for Drops<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_map().entries(self.0.drops()).finish()
            }
        }
        f.debug_struct("Statistics")
            .field("packets", &self.packets)
            .field("octets", &self.octets)
            .field("bypassed", &self.bypassed)
            .field("dummies", &self.dummies)
            .field("resyncs", &self.resyncs)
            .field("unusual_ecn", &self.unusual_ecn)
            .field("misaligned", &self.misaligned)
            .field("drops", &Drops(self))
            .finish()
    }
}
