//! The outer header: IP, and UDP where encapsulated (RFC 4301 §5.1.2, RFC 3948 §2.1).
//!
//! What is the same for all packets of an SA is laid out once; each packet adds its lengths, DS field, DF bit,
//! identification and checksums. Options and extension headers are never built; the flow label is 0 but in BEET
//! mode.

use crate::checksum::Sum;
use crate::ecn::{Ecn, EcnEncapsulation};
use crate::ip::{IPV4_HEADER, IPV6_HEADER, IpError, IpHeader};
use crate::packet::PROTOCOL_ESP;
use core::net::IpAddr;
use core::ops::Range;
use thiserror::Error;

const UDP_HEADER: usize = 8;
pub(crate) const PROTOCOL_UDP: u8 = 17;
/// Octets of the largest outer header: IPv6 and UDP.
pub(crate) const MAX_OUTER_HEADER: usize = IPV6_HEADER + UDP_HEADER;

/// Octets of an IP header without options and extension headers.
pub(crate) const fn ip_header_len(is_ipv4: bool) -> usize {
    if is_ipv4 { IPV4_HEADER } else { IPV6_HEADER }
}

/// Octets of an outer header.
pub(crate) const fn outer_header_len(is_ipv4: bool, udp: bool) -> usize {
    ip_header_len(is_ipv4) + if udp { UDP_HEADER } else { 0 }
}

/// Octets of the largest outer packet that its own length field can express.
pub(crate) const fn max_outer_packet(is_ipv4: bool) -> usize {
    (if is_ipv4 { 0 } else { IPV6_HEADER }) + u16::MAX as usize
}

/// Where the DSCP of the outer header comes from (RFC 2983, RFC 4301 §5.1.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum DscpPolicy {
    /// The inner packet's.
    #[default]
    Copy,
    /// Always this one, 0 to 63; higher bits are cut off.
    Set(u8),
}

/// Where the DF bit of an outer IPv4 header comes from (RFC 4301 §8.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum DfPolicy {
    /// The inner packet's; set for IPv6, which routers never fragment.
    #[default]
    Copy,
    /// Always set.
    Set,
    /// Always clear.
    Clear,
}

/// What an inner packet hands on to the header around it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OuterFields {
    /// TOS of IPv4 or traffic class of IPv6: DSCP and ECN.
    pub ds_field: u8,
    /// The DF bit of IPv4. An IPv6 header has none.
    pub dont_fragment: bool,
}

impl OuterFields {
    /// The fields around an inner packet with this DS field and DF bit.
    #[must_use]
    pub const fn of(
        ds_field: u8,
        dont_fragment: bool,
        dscp: DscpPolicy,
        ecn: EcnEncapsulation,
        df: DfPolicy,
    ) -> Self {
        let dscp_bits = match dscp {
            DscpPolicy::Copy => ds_field & 0xFC,
            DscpPolicy::Set(dscp) => dscp << 2,
        };
        Self {
            ds_field: dscp_bits | ecn.outer(Ecn::of_ds_field(ds_field)).bits(),
            dont_fragment: match df {
                DfPolicy::Copy => dont_fragment,
                DfPolicy::Set => true,
                DfPolicy::Clear => false,
            },
        }
    }
}

/// Everything that one packet says of the header around it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Around {
    pub(crate) fields: OuterFields,
    /// Another TTL or hop limit than the SA's.
    pub(crate) hop_limit: Option<u8>,
    /// The identification of IPv4, where the packet brings one.
    pub(crate) identification: Option<u16>,
    /// The flow label of IPv6.
    pub(crate) flow_label: u32,
}

impl Around {
    #[inline]
    pub(crate) const fn new(fields: OuterFields) -> Self {
        Self { fields, hop_limit: None, identification: None, flow_label: 0 }
    }
}

/// The two outer addresses are not of one family.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the outer addresses {source_address} and {destination} are of two families")]
pub struct FamiliesMixed {
    /// The source given.
    pub source_address: IpAddr,
    /// The destination given.
    pub destination: IpAddr,
}

/// The outer header of one SA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OuterHeader {
    /// The header with zero in all that changes.
    template: [u8; MAX_OUTER_HEADER],
    ip_len: usize,
    udp: bool,
    hop_limit: u8,
    /// IPv4: the sum over the template. IPv6 with UDP: over the constant part of pseudo header and UDP header.
    sum: Sum,
}

impl OuterHeader {
    /// A header between these addresses, with a UDP header where there are ports (source, destination).
    ///
    /// # Errors
    /// [`FamiliesMixed`].
    pub fn new(
        source: IpAddr,
        destination: IpAddr,
        ports: Option<(u16, u16)>,
        hop_limit: u8,
    ) -> Result<Self, FamiliesMixed> {
        let mut template = [0; MAX_OUTER_HEADER];
        let protocol = if ports.is_some() { PROTOCOL_UDP } else { PROTOCOL_ESP };
        let mut udp_header = [0; UDP_HEADER];
        if let Some((from, to)) = ports {
            let ([a, b], [c, d]) = (from.to_be_bytes(), to.to_be_bytes());
            udp_header = [a, b, c, d, 0, 0, 0, 0];
        }
        let ip_len;
        let sum;
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                ip_len = IPV4_HEADER;
                let first = [0x45, 0, 0, 0, 0, 0, 0, 0, 0, protocol, 0, 0];
                lay(&mut template, [&first, &source.octets(), &destination.octets(), &udp_header]);
                sum = Sum::default().octets(template.get(..ip_len).unwrap_or_default());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                ip_len = IPV6_HEADER;
                let first = [0x60, 0, 0, 0, 0, 0, protocol, 0];
                lay(&mut template, [&first, &source.octets(), &destination.octets(), &udp_header]);
                sum = Sum::default()
                    .word(u16::from(PROTOCOL_UDP))
                    .octets(template.get(8..).unwrap_or_default());
            }
            _ => return Err(FamiliesMixed { source_address: source, destination }),
        }
        Ok(Self { template, ip_len, udp: ports.is_some(), hop_limit, sum })
    }

    /// Octets of the header.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ip_len + if self.udp { UDP_HEADER } else { 0 }
    }

    /// Never.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Writes the header at the start of `datagram`, whose rest is the ESP packet. The caller has seen to it
    /// that the lengths fit their fields. `identification` is the IPv4 field (RFC 6864) of a packet that brings none.
    #[inline]
    pub(crate) fn write(&self, datagram: &mut [u8], around: &Around, identification: u16) {
        if self.ip_len == IPV4_HEADER {
            self.write_v4(datagram, around, identification);
        } else {
            self.write_v6(datagram, around);
        }
    }

    #[inline]
    fn write_v4(&self, datagram: &mut [u8], around: &Around, identification: u16) {
        let total = datagram.len() as u16;
        let hop = around.hop_limit.unwrap_or(self.hop_limit);
        let identification = around.identification.unwrap_or(identification);
        let OuterFields { ds_field, dont_fragment } = around.fields;
        let Some((ip, udp_and_esp)) = datagram.split_first_chunk_mut::<IPV4_HEADER>() else { return };
        let Some((template, _)) = self.template.split_first_chunk::<IPV4_HEADER>() else { return };
        *ip = *template;
        let [_, tos, len1, len0, id1, id0, flags, _, ttl, _, sum1, sum0, ..] = ip;
        *tos = ds_field;
        [*len1, *len0] = total.to_be_bytes();
        [*id1, *id0] = identification.to_be_bytes();
        *flags = if dont_fragment { 0x40 } else { 0 };
        *ttl = hop;
        let sum = self.sum.word(u16::from(ds_field)).word(total).word(identification);
        let sum = sum.word(u16::from(*flags) << 8).word(u16::from(hop) << 8);
        [*sum1, *sum0] = sum.finish().to_be_bytes();
        self.write_udp(udp_and_esp);
    }

    fn write_v6(&self, datagram: &mut [u8], around: &Around) {
        let ds_field = around.fields.ds_field;
        let Some((ip, udp_and_esp)) = datagram.split_first_chunk_mut::<IPV6_HEADER>() else { return };
        let Some((template, _)) = self.template.split_first_chunk::<IPV6_HEADER>() else { return };
        *ip = *template;
        let [first, second, third, fourth, len1, len0, _, limit, ..] = ip;
        *first |= ds_field >> 4;
        let [_, label, low1, low0] = around.flow_label.to_be_bytes();
        (*second, *third, *fourth) = (ds_field << 4 | label & 0x0F, low1, low0);
        *limit = around.hop_limit.unwrap_or(self.hop_limit);
        [*len1, *len0] = (udp_and_esp.len() as u16).to_be_bytes();
        self.write_udp(udp_and_esp);
    }

    /// Whether there is a UDP header.
    pub(crate) const fn has_udp(&self) -> bool {
        self.udp
    }

    /// Writes the UDP header alone, where there is one, at the start of `udp_and_esp`. The checksum is 0 over IPv4
    /// (RFC 3948 §2.1) and computed over IPv6, where 0 is not allowed (RFC 8200 §8.1).
    #[inline]
    pub(crate) fn write_udp(&self, udp_and_esp: &mut [u8]) {
        if !self.udp {
            return;
        }
        let length = udp_and_esp.len() as u16;
        let Some((udp, esp)) = udp_and_esp.split_first_chunk_mut::<UDP_HEADER>() else { return };
        if let Some(ports) = self.template.get(self.ip_len..).and_then(<[u8]>::first_chunk) {
            *udp = *ports;
        }
        let [.., len1, len0, sum1, sum0] = udp;
        [*len1, *len0] = length.to_be_bytes();
        if self.ip_len == IPV6_HEADER {
            // The length stands in the pseudo header and in the UDP header.
            let sum = self.sum.word(length).word(length).octets(esp).finish();
            [*sum1, *sum0] = if sum == 0 { [0xFF, 0xFF] } else { sum.to_be_bytes() };
        }
    }
}

/// Writes other addresses into a header without UDP behind it, and IPv4's checksum anew.
pub(crate) fn write_addresses(header: &mut [u8], source: IpAddr, destination: IpAddr) {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let Some(header) = header.first_chunk_mut::<IPV4_HEADER>() else { return };
            let [.., sum1, sum0, s3, s2, s1, s0, d3, d2, d1, d0] = header;
            [*s3, *s2, *s1, *s0] = source.octets();
            [*d3, *d2, *d1, *d0] = destination.octets();
            [*sum1, *sum0] = [0; 2];
            let sum = Sum::default().octets(header).finish();
            if let Some(place) = header.get_mut(10..12) {
                place.copy_from_slice(&sum.to_be_bytes());
            }
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let Some(addresses) = header.get_mut(8..IPV6_HEADER) else { return };
            for (place, octet) in
                addresses.iter_mut().zip(source.octets().into_iter().chain(destination.octets()))
            {
                *place = octet;
            }
        }
        _ => {}
    }
}

fn lay(room: &mut [u8], parts: [&[u8]; 4]) {
    let octets = parts.into_iter().flatten();
    for (place, octet) in room.iter_mut().zip(octets) {
        *place = *octet;
    }
}

/// Why a received IP packet carries no ESP packet for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum OuterError {
    /// Its header is broken.
    #[error(transparent)]
    Ip(#[from] IpError),
    /// It is a fragment: reassembly comes before ESP (RFC 4303 §3.4.1).
    #[error("a fragment, not yet put together")]
    Fragment,
    /// Its protocol is neither ESP nor UDP.
    #[error("the protocol is neither ESP nor UDP")]
    Protocol(Option<u8>),
    /// The UDP length is less than 8 or more than there is.
    #[error("UDP length {stated} where {got} octets are there")]
    UdpLength {
        /// The length field.
        stated: usize,
        /// Octets there are.
        got: usize,
    },
}

/// A received IP packet, as far as ESP looks at it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OuterPacket {
    /// The source address.
    pub source: IpAddr,
    /// The destination address.
    pub destination: IpAddr,
    /// Source and destination port, where it is a UDP datagram.
    pub ports: Option<(u16, u16)>,
    /// The ECN field.
    pub ecn: Ecn,
    /// Octets of the IP header with its options or extension headers.
    pub header_len: usize,
    /// Where the ESP packet, or the UDP payload, lies.
    pub payload: Range<usize>,
}

impl OuterPacket {
    /// Reads the IP header of a whole received packet, and the UDP header behind it.
    ///
    /// A UDP checksum is not looked at: ESP's own check is the stronger one.
    ///
    /// # Errors
    /// Each [`OuterError`].
    pub fn parse(packet: &[u8]) -> Result<Self, OuterError> {
        let header = IpHeader::parse(packet)?;
        if header.is_fragment {
            return Err(OuterError::Fragment);
        }
        let mut payload = header.upper_offset..header.length;
        let mut ports = None;
        match header.protocol {
            Some(PROTOCOL_ESP) => {}
            Some(PROTOCOL_UDP) => {
                let got = payload.len();
                let short = OuterError::UdpLength { stated: 0, got };
                let udp: &[u8; UDP_HEADER] =
                    packet.get(payload.clone()).and_then(<[u8]>::first_chunk).ok_or(short)?;
                let &[s1, s0, d1, d0, len1, len0, _, _] = udp;
                let stated = usize::from(u16::from_be_bytes([len1, len0]));
                if stated < UDP_HEADER || stated > got {
                    return Err(OuterError::UdpLength { stated, got });
                }
                ports = Some((u16::from_be_bytes([s1, s0]), u16::from_be_bytes([d1, d0])));
                payload = payload.start + UDP_HEADER..payload.start + stated;
            }
            other => return Err(OuterError::Protocol(other)),
        }
        Ok(Self {
            source: header.source,
            destination: header.destination,
            ports,
            ecn: header.ecn(),
            header_len: header.upper_offset,
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn mixed_families_are_refused() {
        let (v4, v6) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        assert!(OuterHeader::new(v4, v6, None, 64).is_err());
    }

    #[test]
    fn what_is_written_is_read() {
        for (source, destination) in [("192.0.2.1", "198.51.100.7"), ("2001:db8::1", "2001:db8::2")] {
            for ports in [None, Some((4500, 61_000))] {
                let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
                let header = OuterHeader::new(source, destination, ports, 64).unwrap();
                let mut datagram = vec![0xA5; header.len() + 33];
                let fields = OuterFields { ds_field: 0xBA, dont_fragment: true };
                header.write(&mut datagram, &Around::new(fields), 7);
                datagram.push(0); // link-layer padding
                let outer = OuterPacket::parse(&datagram).unwrap();
                let payload = header.len()..header.len() + 33;
                let (ecn, header_len) = (Ecn::Ect0, header.ip_len);
                assert_eq!(outer, OuterPacket { source, destination, ports, ecn, header_len, payload });
                assert_eq!(IpHeader::parse(&datagram).unwrap().ds_field, 0xBA);
            }
        }
    }

    /// UDP lengths that lie, fragments, another protocol.
    #[test]
    fn broken_outer_packets() {
        let header = OuterHeader::new(
            "192.0.2.1".parse().unwrap(),
            "192.0.2.2".parse().unwrap(),
            Some((4500, 4500)),
            64,
        )
        .unwrap();
        let mut good = vec![0; header.len() + 8];
        let fields = OuterFields { ds_field: 0, dont_fragment: false };
        header.write(&mut good, &Around::new(fields), 1);
        let with = |at: usize, value: u8| {
            let mut packet = good.clone();
            packet[at] = value;
            OuterPacket::parse(&packet)
        };
        assert!(with(0, 0x45).is_ok());
        assert_eq!(with(25, 7), Err(OuterError::UdpLength { stated: 7, got: 16 }));
        assert_eq!(with(25, 17), Err(OuterError::UdpLength { stated: 17, got: 16 }));
        assert_eq!(with(6, 0x20), Err(OuterError::Fragment));
        assert_eq!(with(7, 0x01), Err(OuterError::Fragment));
        assert_eq!(with(9, 6), Err(OuterError::Protocol(Some(6))));
        assert_eq!(with(3, 27), Err(OuterError::UdpLength { stated: 0, got: 7 }));
    }
}
