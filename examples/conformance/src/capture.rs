//! Captures: the IKE messages and ESP packets in a classic pcap file of Ethernet frames.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use ipsec_types::udp::{Datagram4500, classify};
use pcap_parser::{LegacyPcapSlice, Linktype, PcapBlockOwned};
use std::net::{IpAddr, SocketAddr};
use thiserror::Error;

/// IKE's port (RFC 7296 §2).
const IKE_PORT: u16 = 500;
/// The port of IKE with the non-ESP marker and of ESP in UDP (RFC 3948 §2).
const NAT_T_PORT: u16 = 4500;
/// The IP protocol of ESP.
const PROTOCOL_ESP: u8 = 50;

/// Why a capture cannot be read. Frames count from 1.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The file is no little-endian pcap file of Ethernet frames.
    #[error("no little-endian pcap file of Ethernet frames: {0}")]
    Format(String),
    /// A record is broken or cut off.
    #[error("frame {frame} is broken or cut off: {reason}")]
    Frame {
        /// The frame.
        frame: usize,
        /// What is wrong.
        reason: String,
    },
    /// A datagram was fragmented, which no recording here needs.
    #[error("frame {frame} is an IP fragment")]
    IpFragment {
        /// The frame.
        frame: usize,
    },
}

/// What a packet carries. All octets are copies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Carries {
    /// An IKE message, without the non-ESP marker.
    Ike(Vec<u8>),
    /// An ESP packet, from its SPI on.
    Esp(Vec<u8>),
    /// A NAT keepalive.
    Keepalive,
}

/// One packet of IKE or ESP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// The frame's number in the file, from 1.
    pub frame: usize,
    /// From where. The port is 0 where there is no UDP.
    pub source: SocketAddr,
    /// To where. The port is 0 where there is no UDP.
    pub destination: SocketAddr,
    /// The whole IP packet.
    pub ip: Vec<u8>,
    /// What is in it.
    pub carries: Carries,
}

/// Reads all packets of IKE and ESP, in order; whatever else was on the wire is left out.
///
/// # Errors
/// Any [`CaptureError`].
pub fn read_capture(file: &[u8]) -> Result<Vec<Packet>, CaptureError> {
    let capture = LegacyPcapSlice::from_slice(file).map_err(|error| CaptureError::Format(kind_of(&error)))?;
    if capture.header.is_bigendian() || capture.header.network != Linktype::ETHERNET {
        return Err(CaptureError::Format(format!("{:?}", capture.header)));
    }
    let mut packets = Vec::new();
    for (frame, block) in (1..).zip(capture) {
        let broken = |reason: String| CaptureError::Frame { frame, reason };
        let block = block.map_err(|error| broken(kind_of(&error)))?;
        let PcapBlockOwned::Legacy(block) = block else { return Err(broken("no packet".into())) };
        if block.caplen != block.origlen {
            return Err(broken(format!("{} of {} octets were captured", block.caplen, block.origlen)));
        }
        let sliced = SlicedPacket::from_ethernet(block.data).map_err(|error| broken(error.to_string()))?;
        packets.extend(read_packet(frame, &sliced)?);
    }
    Ok(packets)
}

/// The name of an error, without the rest of the file that it holds.
fn kind_of(error: &impl std::fmt::Debug) -> String {
    let text = format!("{error:?}");
    text.split(['[', '{']).next().unwrap_or_default().to_owned()
}

/// The packet of a frame, if it is one of IKE or ESP.
fn read_packet(frame: usize, sliced: &SlicedPacket<'_>) -> Result<Option<Packet>, CaptureError> {
    let (Some(net), Some(payload)) = (&sliced.net, sliced.ip_payload()) else { return Ok(None) };
    let Some((source, destination)) = addresses(net) else { return Ok(None) };
    if payload.fragmented {
        return Err(CaptureError::IpFragment { frame });
    }
    let (ports, carries) = match &sliced.transport {
        Some(TransportSlice::Udp(udp)) => {
            let ports = (udp.source_port(), udp.destination_port());
            let octets = udp.payload();
            let is = |port| ports.0 == port || ports.1 == port;
            match classify(octets) {
                Datagram4500::Ike(message) if is(NAT_T_PORT) => (ports, Carries::Ike(message.to_vec())),
                Datagram4500::Esp(packet) if is(NAT_T_PORT) => (ports, Carries::Esp(packet.to_vec())),
                Datagram4500::Keepalive if is(NAT_T_PORT) => (ports, Carries::Keepalive),
                _ if is(IKE_PORT) => (ports, Carries::Ike(octets.to_vec())),
                _ => return Ok(None),
            }
        }
        None if payload.ip_number.0 == PROTOCOL_ESP => ((0, 0), Carries::Esp(payload.payload.to_vec())),
        _ => return Ok(None),
    };
    Ok(Some(Packet {
        frame,
        source: SocketAddr::new(source, ports.0),
        destination: SocketAddr::new(destination, ports.1),
        ip: whole_packet(net),
        carries,
    }))
}

fn addresses(net: &NetSlice<'_>) -> Option<(IpAddr, IpAddr)> {
    match net {
        NetSlice::Ipv4(v4) => Some((v4.header().source_addr().into(), v4.header().destination_addr().into())),
        NetSlice::Ipv6(v6) => Some((v6.header().source_addr().into(), v6.header().destination_addr().into())),
        NetSlice::Arp(_) => None,
    }
}

/// Header and payload; a recording has no extension headers.
fn whole_packet(net: &NetSlice<'_>) -> Vec<u8> {
    let header = match net {
        NetSlice::Ipv4(v4) => v4.header().slice(),
        NetSlice::Ipv6(v6) => v6.header().slice(),
        NetSlice::Arp(_) => &[],
    };
    let payload = net.ip_payload_ref().map_or(&[][..], |payload| payload.payload);
    [header, payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pcap file of these frames.
    fn file(frames: &[&[u8]]) -> Vec<u8> {
        let mut file =
            vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
        for frame in frames {
            let length = u32::try_from(frame.len()).unwrap().to_le_bytes();
            file.extend_from_slice(&[[0; 4], [0; 4], length, length].concat());
            file.extend_from_slice(frame);
        }
        file
    }

    fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
        let builder = etherparse::PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
            .udp(ports.0, ports.1);
        let mut frame = Vec::new();
        builder.write(&mut frame, payload).unwrap();
        frame
    }

    #[test]
    fn packets_are_told_apart() {
        let frames = [
            udp((500, 500), &[0, 0, 0, 0, 9]),
            udp((1, 2), &[1]),
            udp((40_000, 4500), &[0, 0, 0, 0, 7]),
            udp((4500, 4500), &[0, 0, 1, 0, 0, 0, 0, 1]),
            udp((4500, 4500), &[0xFF]),
        ];
        let packets = read_capture(&file(&frames.each_ref().map(Vec::as_slice))).unwrap();
        let seen: Vec<_> = packets.iter().map(|packet| (packet.frame, packet.carries.clone())).collect();
        let expected = [
            (1, Carries::Ike(vec![0, 0, 0, 0, 9])),
            (3, Carries::Ike(vec![7])),
            (4, Carries::Esp(vec![0, 0, 1, 0, 0, 0, 0, 1])),
            (5, Carries::Keepalive),
        ];
        assert_eq!(seen, expected);
        assert_eq!(packets[1].source, "192.0.2.1:40000".parse().unwrap());
        assert_eq!(packets[1].destination, "192.0.2.2:4500".parse().unwrap());
        assert_eq!(packets[1].ip, frames[2][14..]);
    }

    #[test]
    fn broken_files_are_refused() {
        let frame = udp((500, 500), &[1; 28]);
        let whole = file(&[&frame, &frame]);
        assert!(matches!(read_capture(&whole[..20]), Err(CaptureError::Format(_))));
        let cut = &whole[..whole.len() - 1];
        assert!(matches!(read_capture(cut), Err(CaptureError::Frame { frame: 2, .. })));
        for (at, octet) in [(0, 0), (20, 2)] {
            let mut other = whole.clone();
            other[at] = octet;
            assert!(matches!(read_capture(&other), Err(CaptureError::Format(_))), "octet {at}");
        }
        let mut fragment = frame.clone();
        fragment[20] |= 0x20;
        let packets = read_capture(&file(&[&frame, &fragment]));
        assert_eq!(packets, Err(CaptureError::IpFragment { frame: 2 }));
    }
}
