//! What an embedder decides for each direction of an SA.

use crate::ecn::EcnEncapsulation;
use crate::lifetime::Percent;
use crate::outer::{DfPolicy, DscpPolicy};
use crate::path_mtu::PathMtuConfig;
use crate::replay::AntiReplay;
use crate::resync::Resync;

/// What sealing puts in front of the ESP packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Framing {
    /// Nothing: for a UDP socket on port 4500, or for a raw socket of protocol 50. The operating system makes
    /// the outer header; [`crate::Sealed`] says what its DS field and DF bit should be.
    #[default]
    EspPacket,
    /// The whole outer packet, IP and UDP header included, for injection below the IP layer.
    IpPacket,
}

/// Traffic flow confidentiality padding (RFC 4303 §2.7), which hides the length of packets.
///
/// It is sent only where the peer allowed it ([`ipsec_types::sa::ChildSa::tfc_allowed`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum TfcPadding {
    /// None.
    #[default]
    Off,
    /// Inner packets below this many octets are padded to it; longer ones are left alone.
    ToLength(u16),
    /// Inner packets are padded to a multiple of this many octets; 0 and 1 do nothing.
    ToMultiple(u16),
}

impl TfcPadding {
    /// Octets of padding for an inner packet of `len` octets.
    #[must_use]
    pub const fn octets(self, len: usize) -> usize {
        match self {
            Self::Off | Self::ToMultiple(0 | 1) => 0,
            Self::ToLength(to) => (to as usize).saturating_sub(len),
            Self::ToMultiple(of) => (of as usize - len % of as usize) % of as usize,
        }
    }

    /// The most octets that it ever adds.
    #[must_use]
    pub const fn max_octets(self) -> usize {
        match self {
            Self::Off | Self::ToMultiple(0 | 1) => 0,
            Self::ToLength(to) => to as usize,
            Self::ToMultiple(of) => of as usize - 1,
        }
    }
}

/// How an outbound SA makes its packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutboundConfig {
    /// What stands in front of the ESP packet.
    pub framing: Framing,
    /// The outer DSCP.
    pub dscp: DscpPolicy,
    /// The outer ECN field.
    pub ecn: EcnEncapsulation,
    /// The outer DF bit.
    pub dont_fragment: DfPolicy,
    /// TTL or hop limit of outer headers; default 64.
    pub hop_limit: u8,
    /// TFC padding.
    pub tfc: TfcPadding,
    /// How large outer packets may be, and how far routers are believed about it.
    pub path_mtu: PathMtuConfig,
    /// At which part of the sequence numbers, and of the cipher's limits for one key, the soft expiry comes;
    /// default three quarters.
    pub early: Percent,
}

impl Default for OutboundConfig {
    fn default() -> Self {
        Self {
            framing: Framing::default(),
            dscp: DscpPolicy::default(),
            ecn: EcnEncapsulation::default(),
            dont_fragment: DfPolicy::default(),
            hop_limit: 64,
            tfc: TfcPadding::default(),
            path_mtu: PathMtuConfig::default(),
            early: Percent::default(),
        }
    }
}

/// How an inbound SA judges packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InboundConfig {
    /// The anti-replay window; default 1,024 packets.
    pub anti_replay: AntiReplay,
    /// Whether padding other than 1, 2, 3, … is dropped (RFC 4303 §2.4: a receiver SHOULD inspect); default yes.
    pub strict_padding: bool,
    /// Whether an authentic text that does not end on a 4-octet boundary is dropped rather than counted;
    /// default no. Texts that are no whole number of a cipher's blocks are always dropped.
    pub strict_alignment: bool,
    /// At which part of the cipher's limits for one key the soft expiry comes; default three quarters.
    pub early: Percent,
    /// Whether 64-bit numbers are looked for when 2^32 and more packets in a row were lost (RFC 4303 Appendix A3: a
    /// receiver SHOULD); default yes, as [`Resync::default`] says.
    pub resync: Option<Resync>,
}

impl Default for InboundConfig {
    fn default() -> Self {
        Self {
            anti_replay: AntiReplay::default(),
            strict_padding: true,
            strict_alignment: false,
            early: Percent::default(),
            resync: Some(Resync::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tfc_padding_amounts() {
        for len in 0..3000 {
            assert_eq!(TfcPadding::Off.octets(len), 0);
            assert_eq!(len + TfcPadding::ToLength(1400).octets(len), len.max(1400));
            assert!((len + TfcPadding::ToMultiple(128).octets(len)).is_multiple_of(128));
            assert!(TfcPadding::ToMultiple(128).octets(len) <= TfcPadding::ToMultiple(128).max_octets());
        }
        assert_eq!(TfcPadding::ToMultiple(0).octets(7), 0);
    }
}
