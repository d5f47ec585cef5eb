//! ICMP echo packets built by hand (RFC 792, RFC 4443 §4, checksums by RFC 1071), to have something to carry.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Request or reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Echo request.
    Request,
    /// Echo reply.
    Reply,
}

/// An echo packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Echo {
    /// Request or reply.
    pub kind: Kind,
    /// From where.
    pub source: IpAddr,
    /// To where.
    pub destination: IpAddr,
    /// Which series of requests.
    pub identifier: u16,
    /// Its number in the series.
    pub sequence: u16,
    /// What is to come back.
    pub data: Vec<u8>,
}

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const HOP_LIMIT: u8 = 64;

impl Echo {
    /// The reply to this request.
    #[must_use]
    pub fn reply(&self) -> Self {
        Self { kind: Kind::Reply, source: self.destination, destination: self.source, ..self.clone() }
    }

    /// The whole IP packet; `None` where the addresses are of two families or it would be too long.
    #[must_use]
    pub fn to_packet(&self) -> Option<Vec<u8>> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => self.to_v4(source, destination),
            (IpAddr::V6(source), IpAddr::V6(destination)) => self.to_v6(source, destination),
            _ => None,
        }
    }

    fn to_v4(&self, source: Ipv4Addr, destination: Ipv4Addr) -> Option<Vec<u8>> {
        let ty = if self.kind == Kind::Request { 8 } else { 0 };
        let message = self.message(ty, &[]);
        let mut packet = ipv4_header(source, destination, ICMP, message.len())?.to_vec();
        packet.extend(message);
        Some(packet)
    }

    fn to_v6(&self, source: Ipv6Addr, destination: Ipv6Addr) -> Option<Vec<u8>> {
        let ty = if self.kind == Kind::Request { 128 } else { 129 };
        let length = u16::try_from(self.data.len().checked_add(8)?).ok()?;
        // The pseudo-header of RFC 8200 §8.1 is under the checksum.
        let mut pseudo = [source.octets(), destination.octets()].concat();
        pseudo.extend(u32::from(length).to_be_bytes());
        pseudo.extend([0, 0, 0, ICMPV6]);
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([ICMPV6, HOP_LIMIT]);
        packet.extend(source.octets());
        packet.extend(destination.octets());
        packet.extend(self.message(ty, &pseudo));
        Some(packet)
    }

    fn message(&self, ty: u8, pseudo: &[u8]) -> Vec<u8> {
        let head = |sum: [u8; 2]| {
            let [id, sequence] = [self.identifier, self.sequence].map(u16::to_be_bytes);
            [&[ty, 0], &sum[..], &id[..], &sequence[..]].concat()
        };
        let sum = checksum(&[pseudo, &head([0, 0]), &self.data]);
        [head(sum.to_be_bytes()), self.data.clone()].concat()
    }
}

/// An IPv4 header without options, with its checksum; `None` where the packet would be too long.
#[must_use]
pub fn ipv4_header(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    payload_len: usize,
) -> Option<[u8; 20]> {
    let [high, low] = u16::try_from(payload_len.checked_add(20)?).ok()?.to_be_bytes();
    let ([a, b, c, d], [e, f, g, h]) = (source.octets(), destination.octets());
    let with = |[x, y]: [u8; 2]| {
        [0x45, 0, high, low, 0, 0, 0x40, 0, HOP_LIMIT, protocol, x, y, a, b, c, d, e, f, g, h]
    };
    Some(with(checksum(&[&with([0, 0])]).to_be_bytes()))
}

/// The Internet checksum over the parts, of which all but the last have an even number of octets.
#[must_use]
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let pairs = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u64 = pairs
        .map(|pair| match *pair {
            [high, low] => u64::from(u16::from_be_bytes([high, low])),
            [high] => u64::from(high) << 8,
            _ => 0,
        })
        .sum();
    let folded = (0..4).fold(sum, |sum, _| (sum & 0xFFFF) + (sum >> 16));
    !u16::try_from(folded).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071 §3: the sum of 0001 f203 f4f5 f6f7 is ddf2 before it is complemented.
    #[test]
    fn checksum_of_rfc_1071() {
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
    }

    #[test]
    fn packets_are_what_the_esp_engine_takes() {
        for (source, destination) in [("10.1.0.1", "10.2.0.1"), ("fd01::1", "fd02::1")] {
            let echo = Echo {
                kind: Kind::Request,
                source: source.parse().unwrap(),
                destination: destination.parse().unwrap(),
                identifier: 7,
                sequence: 1,
                data: vec![9; 33],
            };
            let packet = echo.to_packet().unwrap();
            let header = ipsec_esp::ip::IpHeader::parse(&packet).unwrap();
            assert_eq!((header.source, header.destination), (echo.source, echo.destination));
            // A right checksum makes the sum over all of it zero.
            if let [0x45, ..] = packet[..] {
                assert_eq!((checksum(&[&packet[..20]]), checksum(&[&packet[20..]])), (0, 0));
            }
        }
    }
}
