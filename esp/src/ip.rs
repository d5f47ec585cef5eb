//! What ESP reads of an IP header, and the one thing that it writes there: the ECN field.
//!
//! Selectors of a packet are found as RFC 4301 §4.4.1.1 says: the next layer protocol behind the IPv6
//! extension headers, ports or ICMP type and code where they can be seen. Those of a fragment that is not the
//! first, or behind a header chain that is broken or longer than [`MAX_EXTENSION_HEADERS`], are unavailable.

use crate::checksum;
use crate::ecn::Ecn;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use thiserror::Error;

/// IPv6 extension headers that are walked in search of the next layer protocol.
pub const MAX_EXTENSION_HEADERS: usize = 8;

/// Octets of an IPv4 header without options.
pub(crate) const IPV4_HEADER: usize = 20;
/// Octets of the IPv6 header.
pub(crate) const IPV6_HEADER: usize = 40;

pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const DCCP: u8 = 33;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const DESTINATION_OPTIONS: u8 = 60;
const SCTP: u8 = 132;
const MOBILITY: u8 = 135;
pub(crate) const UDP_LITE: u8 = 136;

/// Why octets are not an IP packet that could be protected or delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum IpError {
    /// The first four bits are neither 4 nor 6.
    #[error("IP version {0}")]
    Version(u8),
    /// There are fewer octets than the header has.
    #[error("{got} octets where the IP header has {needed}")]
    HeaderTruncated {
        /// Octets of the header.
        needed: usize,
        /// Octets there are.
        got: usize,
    },
    /// The IPv4 header length field says less than 20 octets.
    #[error("an IPv4 header of {0} octets")]
    HeaderLength(usize),
    /// The IPv4 total length is less than the header's own.
    #[error("IPv4 total length {total} with a header of {header} octets")]
    TotalLength {
        /// The total length field.
        total: usize,
        /// Octets of the header.
        header: usize,
    },
    /// The packet says that it is longer than the octets there are.
    #[error("the IP packet states {stated} octets and {got} are there")]
    Truncated {
        /// What the header states.
        stated: usize,
        /// Octets there are.
        got: usize,
    },
    /// It has more octets than a length field can say.
    #[error("an IP packet of {0} octets")]
    TooLong(usize),
    /// An IPv6 payload length of 0 with hop-by-hop options: a jumbogram (RFC 2675).
    #[error("an IPv6 jumbogram")]
    Jumbogram,
}

/// An IP version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl IpVersion {
    /// The Next Header value of a packet of this version inside ESP in tunnel mode.
    #[must_use]
    pub const fn next_header(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 41,
        }
    }
}

/// The ports of a packet, or what stands in their place (RFC 4301 §4.4.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ports {
    /// The protocol has none, or they can't be seen.
    Unavailable,
    /// Source and destination port.
    Pair(u16, u16),
    /// One value for the packet: ICMP type * 256 + code, or the Mobility Header type in the high octet.
    Single(u16),
}

/// The facts of one packet's IP header, and its selectors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IpHeader {
    /// The version.
    pub version: IpVersion,
    /// Octets of the whole packet, as the header states them.
    pub length: usize,
    /// IPv4's TOS octet or IPv6's traffic class: DSCP in the high six bits, ECN in the low two.
    pub ds_field: u8,
    /// Whether routers must not fragment it; always so for IPv6.
    pub dont_fragment: bool,
    /// The source address.
    pub source: IpAddr,
    /// The destination address.
    pub destination: IpAddr,
    /// The next layer protocol; `None` where it can't be seen.
    pub protocol: Option<u8>,
    /// The ports.
    pub ports: Ports,
    /// Whether it is a part of a fragmented packet, the first one included.
    pub is_fragment: bool,
    /// Where the next layer's header lies; for fragments but the first their data.
    pub upper_offset: usize,
}

impl IpHeader {
    /// Reads the header at the start of `packet`, which may be followed by octets that are not the packet's.
    ///
    /// # Errors
    /// Each [`IpError`].
    #[inline(always)]
    pub fn parse(packet: &[u8]) -> Result<Self, IpError> {
        Self::parse_part(packet, true)
    }

    /// Reads the header of the packet that an ICMP error quotes the beginning of: [`IpHeader::length`] is then that of
    /// the quote.
    pub(crate) fn parse_quoted(quote: &[u8]) -> Result<Self, IpError> {
        Self::parse_part(quote, false)
    }

    #[inline(always)]
    fn parse_part(packet: &[u8], whole: bool) -> Result<Self, IpError> {
        match packet.first().map_or(0, |first| first >> 4) {
            4 => Self::parse_v4(packet, whole),
            6 => Self::parse_v6(packet, whole),
            _ if packet.is_empty() => Err(IpError::HeaderTruncated { needed: IPV4_HEADER, got: 0 }),
            version => Err(IpError::Version(version)),
        }
    }

    /// The ECN field.
    #[must_use]
    pub const fn ecn(&self) -> Ecn {
        Ecn::of_ds_field(self.ds_field)
    }

    #[inline(always)]
    fn parse_v4(packet: &[u8], whole: bool) -> Result<Self, IpError> {
        let truncated = IpError::HeaderTruncated { needed: IPV4_HEADER, got: packet.len() };
        let fixed: &[u8; IPV4_HEADER] = packet.first_chunk().ok_or(truncated)?;
        let &[
            first,
            ds_field,
            len1,
            len0,
            _,
            _,
            fragment1,
            fragment0,
            _,
            protocol,
            _,
            _,
            s3,
            s2,
            s1,
            s0,
            d3,
            d2,
            d1,
            d0,
        ] = fixed;
        let header = usize::from(first & 0x0F) * 4;
        let stated = usize::from(u16::from_be_bytes([len1, len0]));
        let length = if whole { stated } else { stated.min(packet.len()) };
        if header < IPV4_HEADER {
            return Err(IpError::HeaderLength(header));
        }
        if length < header {
            return Err(IpError::TotalLength { total: length, header });
        }
        let upper =
            packet.get(header..length).ok_or(IpError::Truncated { stated: length, got: packet.len() })?;
        let fragment = u16::from_be_bytes([fragment1, fragment0]);
        let ports = if fragment & 0x1FFF == 0 { ports(protocol, upper) } else { Ports::Unavailable };
        Ok(Self {
            version: IpVersion::V4,
            length,
            ds_field,
            dont_fragment: fragment & 0x4000 != 0,
            source: Ipv4Addr::new(s3, s2, s1, s0).into(),
            destination: Ipv4Addr::new(d3, d2, d1, d0).into(),
            protocol: Some(protocol),
            ports,
            is_fragment: fragment & 0x3FFF != 0,
            upper_offset: header,
        })
    }

    fn parse_v6(packet: &[u8], whole: bool) -> Result<Self, IpError> {
        let truncated = IpError::HeaderTruncated { needed: IPV6_HEADER, got: packet.len() };
        let (fixed, _) = packet.split_first_chunk::<IPV6_HEADER>().ok_or(truncated)?;
        let (&[v0, v1, _, _, len1, len0, next, _], addresses) =
            fixed.split_first_chunk::<8>().ok_or(truncated)?;
        let (source, destination) = addresses.split_first_chunk::<16>().ok_or(truncated)?;
        let destination: &[u8; 16] = destination.first_chunk().ok_or(truncated)?;
        let payload = usize::from(u16::from_be_bytes([len1, len0]));
        if payload == 0 && next == HOP_BY_HOP {
            return Err(IpError::Jumbogram);
        }
        let stated = IPV6_HEADER + payload;
        let length = if whole { stated } else { stated.min(packet.len()) };
        let upper = packet
            .get(IPV6_HEADER..length)
            .ok_or(IpError::Truncated { stated: length, got: packet.len() })?;
        let next_layer = next_layer(next, upper);
        Ok(Self {
            version: IpVersion::V6,
            length,
            ds_field: (v0 << 4) | (v1 >> 4),
            dont_fragment: true,
            source: Ipv6Addr::from(*source).into(),
            destination: Ipv6Addr::from(*destination).into(),
            protocol: next_layer.protocol,
            ports: next_layer.ports,
            is_fragment: next_layer.is_fragment,
            upper_offset: length - next_layer.octets,
        })
    }
}

/// What lies behind the extension headers of an IPv6 packet.
struct NextLayer {
    protocol: Option<u8>,
    ports: Ports,
    is_fragment: bool,
    /// Octets from there to the packet's end.
    octets: usize,
}

/// The next layer protocol of an IPv6 packet and its ports, behind the extension headers that RFC 4301
/// §4.4.1.1 skips: hop-by-hop options, routing, fragment, destination options.
fn next_layer(mut next: u8, mut rest: &[u8]) -> NextLayer {
    let mut is_fragment = false;
    let found = |protocol, ports, is_fragment, rest: &[u8]| NextLayer {
        protocol,
        ports,
        is_fragment,
        octets: rest.len(),
    };
    for _ in 0..=MAX_EXTENSION_HEADERS {
        match (next, rest) {
            (FRAGMENT, &[after, _, offset1, offset0, _, _, _, _, ref behind @ ..]) => {
                let offset_and_more = u16::from_be_bytes([offset1, offset0]);
                is_fragment |= offset_and_more & 0xFFF9 != 0;
                if offset_and_more & 0xFFF8 != 0 {
                    // What a later fragment begins with is not a header; only its number is known.
                    let known = !matches!(after, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS);
                    return found(known.then_some(after), Ports::Unavailable, true, behind);
                }
                (next, rest) = (after, behind);
            }
            (HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS, &[after, units, ..]) => {
                let Some(behind) = rest.get((usize::from(units) + 1) * 8..) else { break };
                (next, rest) = (after, behind);
            }
            (HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS, _) => break,
            (protocol, upper) => return found(Some(protocol), ports(protocol, upper), is_fragment, upper),
        }
    }
    found(None, Ports::Unavailable, is_fragment, rest)
}

#[inline]
fn ports(protocol: u8, upper: &[u8]) -> Ports {
    match (protocol, upper) {
        (TCP | UDP | DCCP | SCTP | UDP_LITE, &[s1, s0, d1, d0, ..]) => {
            Ports::Pair(u16::from_be_bytes([s1, s0]), u16::from_be_bytes([d1, d0]))
        }
        (ICMP | ICMPV6, &[kind, code, ..]) => Ports::Single(u16::from_be_bytes([kind, code])),
        (MOBILITY, &[_, _, kind, ..]) => Ports::Single(u16::from_be_bytes([kind, 0])),
        _ => Ports::Unavailable,
    }
}

/// The ECN field of a packet, whose header may be broken.
#[inline]
pub(crate) const fn ecn_of(packet: &[u8]) -> Option<Ecn> {
    match *packet {
        [first, ds_field, ..] if first >> 4 == 4 => Some(Ecn::of_ds_field(ds_field)),
        [first, second, ..] if first >> 4 == 6 => Some(Ecn::of_ds_field(second >> 4)),
        _ => None,
    }
}

/// Writes the ECN field of a packet, and mends the IPv4 header checksum.
pub(crate) fn set_ecn(packet: &mut [u8], ecn: Ecn) {
    match packet {
        [first, ds, .., _, _] if *first >> 4 == 4 => {
            let old = u16::from_be_bytes([*first, *ds]);
            *ds = (*ds & !0b11) | ecn.bits();
            let new = u16::from_be_bytes([*first, *ds]);
            if let Some([high, low]) = packet.get_mut(10..12) {
                [*high, *low] = checksum::update(u16::from_be_bytes([*high, *low]), old, new).to_be_bytes();
            }
        }
        [first, second, ..] if *first >> 4 == 6 => *second = (*second & !0x30) | (ecn.bits() << 4),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn v4(protocol: u8, fragment: u16, upper: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0xB9, 0, 0, 0, 7, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        packet.extend_from_slice(upper);
        let length = packet.len() as u16;
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet
    }

    fn v6(next: u8, upper: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x6B, 0x90, 0, 0];
        packet.extend_from_slice(&(upper.len() as u16).to_be_bytes());
        packet.extend_from_slice(&[next, 64]);
        packet.extend_from_slice(&[0xFD; 32]);
        packet.extend_from_slice(upper);
        packet
    }

    #[test]
    fn facts_of_both_versions() {
        let packet = v4(UDP, 0x4000, &[0, 53, 0x13, 0x88, 0, 8, 0, 0]);
        let header = IpHeader::parse(&packet).unwrap();
        assert_eq!((header.length, header.ds_field, header.dont_fragment), (28, 0xB9, true));
        assert_eq!((header.protocol, header.ports), (Some(UDP), Ports::Pair(53, 5000)));
        assert_eq!(header.destination, Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(header.ecn(), Ecn::Ect1);
        let header = IpHeader::parse(&v6(ICMPV6, &[128, 3, 0, 0])).unwrap();
        assert_eq!((header.length, header.ds_field, header.dont_fragment), (44, 0xB9, true));
        assert_eq!((header.protocol, header.ports), (Some(ICMPV6), Ports::Single(0x8003)));
    }

    /// Lengths that lie.
    #[test]
    fn lengths_that_lie() {
        let good = v4(UDP, 0, &[0; 8]);
        let with = |at: usize, value: u8| {
            let mut packet = good.clone();
            packet[at] = value;
            IpHeader::parse(&packet)
        };
        assert_eq!(with(0, 0x44), Err(IpError::HeaderLength(16)));
        assert_eq!(with(0, 0x4F), Err(IpError::TotalLength { total: 28, header: 60 }));
        assert_eq!(with(3, 0), Err(IpError::TotalLength { total: 0, header: 20 }));
        assert_eq!(with(3, 29), Err(IpError::Truncated { stated: 29, got: 28 }));
        assert_eq!(with(0, 0x55), Err(IpError::Version(5)));
        assert!(matches!(IpHeader::parse(&good[..19]), Err(IpError::HeaderTruncated { .. })));
        assert!(matches!(IpHeader::parse(&[]), Err(IpError::HeaderTruncated { .. })));
        assert_eq!(IpHeader::parse(&v6(HOP_BY_HOP, &[])), Err(IpError::Jumbogram));
        assert_eq!(IpHeader::parse(&v6(59, &[])).unwrap().length, 40);
        let whole = v6(UDP, &[0; 8]);
        assert!(matches!(IpHeader::parse(&whole[..47]), Err(IpError::Truncated { .. })));
        assert!(matches!(IpHeader::parse(&whole[..39]), Err(IpError::HeaderTruncated { .. })));
    }

    #[test]
    fn fragments_hide_their_ports() {
        let first = IpHeader::parse(&v4(UDP, 0x2000, &[0, 1, 0, 2, 0, 8, 0, 0])).unwrap();
        assert_eq!((first.ports, first.is_fragment), (Ports::Pair(1, 2), true));
        let later = IpHeader::parse(&v4(UDP, 0x0001, &[0, 1, 0, 2, 0, 8, 0, 0])).unwrap();
        assert_eq!((later.protocol, later.ports), (Some(UDP), Ports::Unavailable));
        let v6_first = IpHeader::parse(&v6(FRAGMENT, &[UDP, 0, 0, 1, 0, 0, 0, 9, 0, 1, 0, 2])).unwrap();
        assert_eq!((v6_first.ports, v6_first.upper_offset), (Ports::Pair(1, 2), 48));
        assert!(v6_first.is_fragment);
        let atomic = IpHeader::parse(&v6(FRAGMENT, &[UDP, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 2])).unwrap();
        assert_eq!((atomic.ports, atomic.is_fragment), (Ports::Pair(1, 2), false));
        let v6_later = IpHeader::parse(&v6(FRAGMENT, &[UDP, 0, 0, 8, 0, 0, 0, 9, 0, 1, 0, 2])).unwrap();
        assert_eq!((v6_later.protocol, v6_later.ports), (Some(UDP), Ports::Unavailable));
        let options = [DESTINATION_OPTIONS, 0, 0, 8, 0, 0, 0, 9, 0, 1, 0, 2];
        assert_eq!(IpHeader::parse(&v6(FRAGMENT, &options)).unwrap().protocol, None);
    }

    /// Long chains, a header past the end, an unknown header.
    #[test]
    fn extension_chains_are_bounded() {
        let chain = |count: usize| {
            let mut upper: Vec<u8> = Vec::new();
            for i in 0..count {
                let next = if i + 1 == count { UDP } else { DESTINATION_OPTIONS };
                upper.extend_from_slice(&[next, 0, 1, 4, 0, 0, 0, 0]);
            }
            upper.extend_from_slice(&[0, 1, 0, 2]);
            IpHeader::parse(&v6(DESTINATION_OPTIONS, &upper)).unwrap()
        };
        assert_eq!((chain(8).protocol, chain(8).ports), (Some(UDP), Ports::Pair(1, 2)));
        assert_eq!((chain(9).protocol, chain(9).ports), (None, Ports::Unavailable));
        assert_eq!(chain(64).protocol, None);
        assert_eq!(IpHeader::parse(&v6(ROUTING, &[UDP, 9, 0, 0, 0, 0, 0, 0])).unwrap().protocol, None);
        assert_eq!(IpHeader::parse(&v6(FRAGMENT, &[UDP, 0, 0, 0])).unwrap().protocol, None);
        let esp = IpHeader::parse(&v6(50, &[0, 1, 0, 2])).unwrap();
        assert_eq!((esp.protocol, esp.ports), (Some(50), Ports::Unavailable));
        let cut = IpHeader::parse(&v6(TCP, &[0, 1, 0])).unwrap();
        assert_eq!((cut.protocol, cut.ports), (Some(TCP), Ports::Unavailable));
    }

    #[test]
    fn ecn_is_written_and_the_checksum_mended() {
        for ds in 0..=255u8 {
            for identification in [0u16, 1, 0x4A45, 0xFFFF] {
                let mut packet = v4(UDP, 0, &[0; 8]);
                packet[1] = ds;
                packet[4..6].copy_from_slice(&identification.to_be_bytes());
                let sum = checksum::Sum::default().octets(&packet[..20]).finish();
                packet[10..12].copy_from_slice(&sum.to_be_bytes());
                for ecn in [Ecn::NotEct, Ecn::Ect1, Ecn::Ect0, Ecn::Ce] {
                    set_ecn(&mut packet, ecn);
                    assert_eq!(packet[1], (ds & 0xFC) | ecn.bits());
                    assert_eq!(checksum::Sum::default().octets(&packet[..20]).finish(), 0);
                }
            }
        }
        let mut packet = v6(UDP, &[0; 8]);
        set_ecn(&mut packet, Ecn::Ce);
        assert_eq!(packet[..4], [0x6B, 0xB0, 0, 0]);
    }
}
