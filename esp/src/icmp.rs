//! ICMP errors (RFC 792, RFC 4443): those that answer a packet which can't be sent (RFC 4301 §6, §8.2), made as whole
//! IP packets, and what routers on the path say of ours, read.
//!
//! Whether and how often an answer is sent is the embedder's: it must be possible to switch off, and its rate limited.

use crate::checksum::Sum;
use crate::header::Made;
use crate::ip::{ICMP, ICMPV6, IPV4_HEADER, IPV6_HEADER, IpHeader, IpVersion, Ports};
use crate::packet::{EspHeader, PROTOCOL_ESP};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Octets of the ICMP header with its second word.
const ICMP_HEADER: usize = 8;
/// Octets of a whole answer at most (RFC 1812 §4.3.2.3, RFC 4443 §2.4 (c)).
const MAX_ANSWER_V4: usize = 576;
const MAX_ANSWER_V6: usize = 1_280;
/// The smallest MTU that may be told (RFC 791, RFC 8200 §5).
pub(crate) const MIN_MTU_V4: usize = 68;
pub(crate) const MIN_MTU_V6: usize = 1_280;

/// Octets of room that are enough for every answer.
pub const MAX_ANSWER: usize = MAX_ANSWER_V6;

/// What an answer says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Answer {
    /// The packet is larger than this many octets and must not be fragmented: IPv4 type 3 code 4, IPv6 type 2.
    TooBig(usize),
    /// Policy discards the packet: IPv4 type 3 code 13, IPv6 type 1 code 1.
    Prohibited,
    /// The peer can't be reached: IPv4 type 3 code 1, IPv6 type 1 code 3.
    Unreachable,
}

impl Answer {
    /// Writes the answer to `packet`, sent from `source`, at the start of `room`, and gives its octets.
    ///
    /// `None` where there must be no answer (RFC 1122 §3.2.2, RFC 4443 §2.4 (e)): to an ICMP error, to a fragment that
    /// is not the first, to what came from or goes to more than one host; "too big" to an IPv4 packet that may be
    /// fragmented. And where `source` is of another family, `packet` is broken, or `room` is too small.
    #[must_use]
    pub fn write(self, packet: &[u8], source: IpAddr, room: &mut [u8]) -> Option<usize> {
        let header = IpHeader::parse(packet).ok()?;
        if !self.may_answer(&header) {
            return None;
        }
        let (fixed, most, protocol) = match header.version {
            IpVersion::V4 => (IPV4_HEADER, MAX_ANSWER_V4, ICMP),
            IpVersion::V6 => (IPV6_HEADER, MAX_ANSWER_V6, ICMPV6),
        };
        let quote = packet.get(..header.length.min(most - fixed - ICMP_HEADER))?;
        let total = fixed + ICMP_HEADER + quote.len();
        let answer = room.get_mut(..total)?;
        let outside = Made::new(source, header.source, 0).write(answer, 0)?;
        let message = answer.get_mut(fixed..)?;
        let (icmp, quoted) = message.split_first_chunk_mut::<ICMP_HEADER>()?;
        *icmp = self.header(header.version);
        quoted.copy_from_slice(quote);
        let mut sum = Sum::default().octets(message);
        if header.version == IpVersion::V6 {
            sum =
                sum.word(message.len() as u16).word(u16::from(ICMPV6)).address(source).address(header.source);
        }
        if let Some([high, low]) = message.get_mut(2..4) {
            [*high, *low] = sum.finish().to_be_bytes();
        }
        outside.name_next(answer, protocol);
        Some(total)
    }

    const fn header(self, version: IpVersion) -> [u8; ICMP_HEADER] {
        match (self, version) {
            (Self::TooBig(mtu), IpVersion::V4) => {
                let mtu = if mtu < MIN_MTU_V4 { MIN_MTU_V4 } else { mtu };
                let [high, low] = (if mtu > u16::MAX as usize { u16::MAX } else { mtu as u16 }).to_be_bytes();
                [3, 4, 0, 0, 0, 0, high, low]
            }
            (Self::TooBig(mtu), IpVersion::V6) => {
                let mtu = if mtu < MIN_MTU_V6 { MIN_MTU_V6 } else { mtu };
                let [a, b, c, d] = (mtu as u32).to_be_bytes();
                [2, 0, 0, 0, a, b, c, d]
            }
            (Self::Prohibited, IpVersion::V4) => [3, 13, 0, 0, 0, 0, 0, 0],
            (Self::Prohibited, IpVersion::V6) => [1, 1, 0, 0, 0, 0, 0, 0],
            (Self::Unreachable, IpVersion::V4) => [3, 1, 0, 0, 0, 0, 0, 0],
            (Self::Unreachable, IpVersion::V6) => [1, 3, 0, 0, 0, 0, 0, 0],
        }
    }

    fn may_answer(self, header: &IpHeader) -> bool {
        let too_big = matches!(self, Self::TooBig(_));
        let to_many = match header.destination {
            IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
            // A path to a group has an MTU too (RFC 4443 §2.4 (e.3)).
            IpAddr::V6(address) => address.is_multicast() && !too_big,
        };
        let from_nobody = match header.source {
            IpAddr::V4(address) => {
                address.is_unspecified() || address.is_multicast() || address.is_broadcast()
            }
            IpAddr::V6(address) => address.is_unspecified() || address.is_multicast(),
        };
        // A first fragment shows its ports, where its protocol has any.
        let later_fragment = header.is_fragment && header.ports == Ports::Unavailable;
        let may_be_fragmented = too_big && !header.dont_fragment;
        !(to_many || from_nobody || later_fragment || may_be_fragmented || is_icmp_error(header))
    }
}

fn is_icmp_error(header: &IpHeader) -> bool {
    let Ports::Single(kind_and_code) = header.ports else { return false };
    let kind = kind_and_code >> 8;
    match header.protocol {
        Some(ICMP) => matches!(kind, 3 | 4 | 5 | 11 | 12),
        Some(ICMPV6) => kind < 128,
        _ => false,
    }
}

/// The headers of a packet that would answer the one that an ICMP error is about: the quoted one's with addresses and
/// ports swapped (RFC 4301 §6.2). By an SA that carries such packets the error may go, or come, that has no other.
///
/// `packet` is the whole IP packet of the error, and `header` what it says. `None` for all but ICMP errors that quote
/// the beginning of a packet, which is itself no error and came from where the error goes to.
#[must_use]
pub fn answer_to_quoted(packet: &[u8], header: &IpHeader) -> Option<IpHeader> {
    if header.is_fragment || !is_icmp_error(header) {
        return None;
    }
    let quote = packet.get(header.upper_offset + ICMP_HEADER..header.length)?;
    let quoted = IpHeader::parse_quoted(quote).ok()?;
    if quoted.source != header.destination || is_icmp_error(&quoted) {
        return None;
    }
    let ports = match quoted.ports {
        Ports::Pair(from, to) => Ports::Pair(to, from),
        other => other,
    };
    Some(IpHeader { source: quoted.destination, destination: quoted.source, ports, ..quoted })
}

/// Sizes that links have (RFC 1191 §7.1), for routers that tell none.
const PLATEAUS: [usize; 11] = [65_535, 32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296, 68];

/// That a packet of ours was too big for a link, as some router says: nothing proves it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooBigNotice {
    /// Octets of the largest packet that the link takes.
    pub mtu: usize,
    /// Where the packet went.
    pub destination: IpAddr,
    /// The ESP header of the packet.
    pub esp: EspHeader,
}

impl TooBigNotice {
    /// Reads an ICMP error of IPv4 type 3 code 4 or IPv6 type 2 code 0, that quotes an ESP packet without UDP; `None`
    /// for everything else. In UDP the quote need not reach to the ESP header, so that anybody could make one.
    ///
    /// An IPv4 router that tells no MTU is taken to mean the next smaller size that links have (RFC 1191 §5).
    #[must_use]
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let header = IpHeader::parse(packet).ok()?;
        if header.is_fragment {
            return None;
        }
        let message = packet.get(header.upper_offset..header.length)?;
        let (&[kind, code, _, _, m3, m2, m1, m0], quote) = message.split_first_chunk::<ICMP_HEADER>()?;
        match (header.protocol, kind, code) {
            (Some(ICMP), 3, 4) => Self::of_v4(quote, usize::from(u16::from_be_bytes([m1, m0]))),
            (Some(ICMPV6), 2, 0) if checksum_is_right(&header, message) => {
                Self::of_v6(quote, u32::from_be_bytes([m3, m2, m1, m0]) as usize)
            }
            _ => None,
        }
    }

    /// The quote is the packet's beginning, with at least eight octets behind its header.
    fn of_v4(quote: &[u8], mtu: usize) -> Option<Self> {
        let fixed = quote.first_chunk::<IPV4_HEADER>()?;
        let &[first, _, len1, len0, _, _, _, _, _, protocol, _, _, _, _, _, _, d3, d2, d1, d0] = fixed;
        let header = usize::from(first & 0x0F) * 4;
        if first >> 4 != 4 || header < IPV4_HEADER || protocol != PROTOCOL_ESP {
            return None;
        }
        let length = usize::from(u16::from_be_bytes([len1, len0]));
        let mtu = match mtu {
            0 => PLATEAUS.into_iter().find(|plateau| *plateau < length)?,
            told => told,
        };
        let destination = Ipv4Addr::new(d3, d2, d1, d0).into();
        Some(Self { mtu, destination, esp: EspHeader::parse(quote.get(header..)?)? })
    }

    fn of_v6(quote: &[u8], mtu: usize) -> Option<Self> {
        let (fixed, esp) = quote.split_first_chunk::<IPV6_HEADER>()?;
        let next = *fixed.get(6)?;
        let destination: &[u8; 16] = fixed.last_chunk()?;
        if *fixed.first()? >> 4 != 6 || next != PROTOCOL_ESP {
            return None;
        }
        Some(Self { mtu, destination: Ipv6Addr::from(*destination).into(), esp: EspHeader::parse(esp)? })
    }
}

/// RFC 4443 §2.3.
fn checksum_is_right(header: &IpHeader, message: &[u8]) -> bool {
    let sum = Sum::default().octets(message).word(message.len() as u16).word(u16::from(ICMPV6));
    sum.address(header.source).address(header.destination).finish() == 0
}
