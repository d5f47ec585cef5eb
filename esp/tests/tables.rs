//! The tables of the RFCs, row by row as they are printed there, through whole packets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_esp::ecn::Ecn::{self, Ce, Ect0, Ect1, NotEct};
use ipsec_esp::ecn::EcnEncapsulation::{self, Compatibility, Normal};
use ipsec_esp::ip::IpHeader;
use ipsec_esp::selectors::admits;
use ipsec_esp::{DropReason, Framing, InboundConfig, OpenError, OutboundConfig, PacketBuf};
use ipsec_types::sa::{ChildSa, Direction};
use ipsec_types::{AddressRange, Encapsulation, Instant, Path, PortRange, TrafficSelector};

/// The ECN field of an IPv4 or IPv6 header.
fn ecn_of(packet: &[u8]) -> Ecn {
    Ecn::of_ds_field(if packet[0] >> 4 == 4 { packet[1] } else { packet[1] >> 4 })
}

fn with_ecn(mut packet: Vec<u8>, ecn: Ecn) -> Vec<u8> {
    if packet[0] >> 4 == 4 {
        packet[1] = packet[1] & 0xFC | ecn.bits();
        fix_checksum(&mut packet);
    } else {
        packet[1] = packet[1] & 0xCF | ecn.bits() << 4;
    }
    packet
}

/// RFC 6040 Figure 3: the inner header, the outer one in normal mode, and in compatibility mode.
#[test]
fn rfc_6040_figure_3_encapsulation() {
    const ROWS: [(Ecn, Ecn, Ecn); 4] =
        [(NotEct, NotEct, NotEct), (Ect0, Ect0, NotEct), (Ect1, Ect1, NotEct), (Ce, Ce, NotEct)];
    let encapsulate = |path: Path, ecn: EcnEncapsulation, inner: &[u8]| {
        let child = ChildSa { path, encapsulation: Encapsulation::None, ..child() };
        let config = OutboundConfig { framing: Framing::IpPacket, ecn, ..OutboundConfig::default() };
        let (mut sender, _) = sa_pair(&child, config, InboundConfig::default());
        ecn_of(&seal(&mut sender, inner))
    };
    for (inner, normal, compatibility) in ROWS {
        for path in [path_v4(), path_v6()] {
            for packet in [with_ecn(v4(60), inner), with_ecn(v6(60), inner)] {
                assert_eq!(encapsulate(path, Normal, &packet), normal, "{inner:?}");
                assert_eq!(encapsulate(path, Compatibility, &packet), compatibility, "{inner:?}");
            }
        }
    }
}

/// RFC 6040 Figure 4: the arriving inner header, and what becomes of it under each arriving outer one. `None` is
/// "drop"; what the figure marks (!) or (!!!) is counted.
#[test]
fn rfc_6040_figure_4_decapsulation() {
    const OUTER: [Ecn; 4] = [NotEct, Ect0, Ect1, Ce];
    type Cell = (Option<Ecn>, u64);
    const ROWS: [(Ecn, [Cell; 4]); 4] = [
        (NotEct, [(Some(NotEct), 0), (Some(NotEct), 1), (Some(NotEct), 1), (None, 0)]),
        (Ect0, [(Some(Ect0), 0), (Some(Ect0), 0), (Some(Ect1), 0), (Some(Ce), 0)]),
        (Ect1, [(Some(Ect1), 0), (Some(Ect1), 1), (Some(Ect1), 0), (Some(Ce), 0)]),
        (Ce, [(Some(Ce), 0), (Some(Ce), 0), (Some(Ce), 1), (Some(Ce), 0)]),
    ];
    for (inner, cells) in ROWS {
        for (outer, (result, marked)) in OUTER.into_iter().zip(cells) {
            for packet in [v4(60), v6(60)] {
                let (mut sender, mut receiver) = default_pair(&child());
                let mut storage = seal(&mut sender, &with_ecn(packet.clone(), inner));
                let mut buf = PacketBuf::whole(&mut storage);
                let opened = receiver.open(Instant::ZERO, &mut buf, Some(outer));
                let cell = format!("{inner:?} in {outer:?}");
                match result {
                    Some(result) => {
                        assert!(opened.is_ok(), "{cell}");
                        assert_eq!(buf.as_slice(), with_ecn(packet, result), "{cell}");
                    }
                    None => {
                        assert!(matches!(opened, Err(OpenError::Ecn(_))), "{cell}");
                        assert_eq!(receiver.statistics().dropped_in_all(), 1, "{cell}");
                    }
                }
                assert_eq!(receiver.statistics().unusual_ecn, marked, "{cell}");
                assert_eq!(receiver.statistics().dropped(DropReason::Selectors), 0);
            }
        }
    }
}

/// A UDP packet from port 5000 to port 53, or a part of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Whole,
    First,
    Later,
}

fn header(v4_packet: bool, part: Part) -> IpHeader {
    let (offset, more) = match part {
        Part::Whole => (0u16, 0u16),
        Part::First => (0, 1),
        Part::Later => (9, 0),
    };
    let packet = if v4_packet {
        let mut packet = v4(60);
        packet[6..8].copy_from_slice(&(more << 13 | offset).to_be_bytes());
        fix_checksum(&mut packet);
        packet
    } else {
        let mut packet = v6(60);
        if part != Part::Whole {
            packet[6] = 44;
            packet[4..6].copy_from_slice(&28u16.to_be_bytes());
            let [offset_high, offset_low] = (offset << 3 | more).to_be_bytes();
            packet.splice(40..40, [17, 0, offset_high, offset_low, 0, 0, 0, 1]);
        }
        packet
    };
    IpHeader::parse(&packet).unwrap()
}

/// RFC 4301 §7, with §4.4.1.1 for ANY and OPAQUE: which parts of a datagram an SA with these ports at its two
/// ends carries. In both families, in both directions.
#[test]
fn rfc_4301_section_7_fragments() {
    const ANY: PortRange = PortRange::ANY;
    const OPAQUE: PortRange = PortRange::OPAQUE;
    let (from, to, other) = (PortRange::single(5000), PortRange::single(53), PortRange::single(54));
    // The protocol; ports of the source and of the destination; whole packets and first fragments; later ones.
    let rows = [
        // §7.1: an SA without port selectors carries all of them.
        (0, ANY, ANY, true, true),
        (17, ANY, ANY, true, true),
        // §7.2: an SA for fragments that are not the first.
        (17, OPAQUE, OPAQUE, false, true),
        // ANY takes in OPAQUE, on either side.
        (17, ANY, OPAQUE, false, true),
        (17, OPAQUE, ANY, false, true),
        // An SA with ports carries what shows them, and nothing that does not.
        (17, from, to, true, false),
        (17, ANY, to, true, false),
        (17, from, ANY, true, false),
        (17, from, other, false, false),
        (17, ANY, other, false, false),
        // One side shows too much or too little.
        (17, OPAQUE, to, false, false),
        (17, from, OPAQUE, false, false),
        // Another protocol: neither.
        (6, ANY, ANY, false, false),
        (6, OPAQUE, OPAQUE, false, false),
    ];
    for (protocol, source, destination, shows, hides) in rows {
        for v4_packet in [true, false] {
            let selector = |ports| {
                let network = if v4_packet { ("10.0.0.0", 8) } else { ("fd00::", 8) };
                let addresses = AddressRange::prefix(network.0.parse().unwrap(), network.1).unwrap();
                vec![TrafficSelector { addresses, protocol, ports }]
            };
            let sender = ChildSa { local: selector(source), remote: selector(destination), ..child() };
            for (part, expected) in [(Part::Whole, shows), (Part::First, shows), (Part::Later, hides)] {
                let packet = header(v4_packet, part);
                let row = format!("{protocol}: {source} to {destination}, {part:?}, IPv4: {v4_packet}");
                assert_eq!(admits(&sender, &packet, Direction::Outbound), expected, "{row}");
                assert_eq!(admits(&mirrored(&sender), &packet, Direction::Inbound), expected, "{row}");
            }
        }
    }
}
