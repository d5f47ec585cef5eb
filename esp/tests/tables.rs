//! The tables of the RFCs, row by row as they are printed there, through whole packets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_esp::ecn::Ecn::{self, Ce, Ect0, Ect1, NotEct};
use ipsec_esp::ecn::EcnEncapsulation::{self, Compatibility, Normal};
use ipsec_esp::ip::IpHeader;
use ipsec_esp::replay::{ReplayError, ReplayWindow};
use ipsec_esp::selectors::admits;
use ipsec_esp::{
    AntiReplay, DropReason, Framing, InboundConfig, OpenError, OutboundConfig, PacketBuf, WindowSize,
};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::{ChildSa, Direction};
use ipsec_types::{
    AddressRange, Encapsulation, EncrId, Instant, IntegId, Path, PortRange, SequenceNumbers, TrafficSelector,
};
use std::net::Ipv6Addr;

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

/// An inner packet with what a header can have: IPv4 options, or IPv6 destination options.
fn with_extras(v4_packet: bool, ds: u8, dont_fragment: bool, hop: u8) -> Vec<u8> {
    let mut packet = if v4_packet { v4(60) } else { v6(60) };
    if v4_packet {
        packet.splice(20..20, [0x94, 4, 0, 0]);
        (packet[0], packet[1], packet[3], packet[8]) = (0x46, ds, 64, hop);
        packet[6] = if dont_fragment { 0x40 } else { 0 };
        fix_checksum(&mut packet);
    } else {
        packet.splice(40..40, [17, 0, 1, 4, 0, 0, 0, 0]);
        (packet[0], packet[1], packet[2], packet[3]) = (0x60 | ds >> 4, ds << 4 | 0x0A, 0xBC, 0xDE);
        (packet[5], packet[6], packet[7]) = (28, 60, hop);
    }
    packet
}

/// RFC 4301 §5.1.2.1 and §5.1.2.2: each row of the two tables, what becomes of each field "at encapsulator" and "at
/// decapsulator", for both families inside of both.
#[test]
fn rfc_4301_section_5_1_2_tunnel_headers() {
    for path in [path_v4(), path_v6()] {
        for (v4_inside, udp) in [(true, false), (true, true), (false, false), (false, true)] {
            let (ds, hop) = (0xB8, 3);
            let inner = with_extras(v4_inside, ds, true, hop);
            let encapsulation = if udp { Encapsulation::Udp } else { Encapsulation::None };
            let child = ChildSa { path, encapsulation, ..child() };
            let config = OutboundConfig { framing: Framing::IpPacket, ..OutboundConfig::default() };
            let (mut sender, mut receiver) = sa_pair(&child, config, InboundConfig::default());
            let outer = seal(&mut sender, &inner);
            let len = outer.len() as u16;
            let protocol = if udp { 17 } else { 50 };
            let esp_at = if path.local.is_ipv4() {
                assert_eq!(outer[0], 0x45, "version 4; header length constructed: options never copied");
                assert_eq!(outer[1], ds, "DS field and ECN copied from the inner header");
                assert_eq!(outer[2..4], len.to_be_bytes(), "total length constructed");
                assert_eq!(outer[6..8], [0x40, 0], "DF by policy, MF and fragment offset constructed");
                assert_eq!((outer[8], outer[9]), (64, protocol), "TTL and protocol constructed");
                assert!(checksum_is_right(&outer), "header checksum constructed");
                assert_eq!(outer[12..20], [192, 0, 2, 1, 198, 51, 100, 2], "addresses constructed");
                20
            } else {
                assert_eq!(
                    outer[..4],
                    [0x6B, 0x80, 0, 0],
                    "version 6; DS field copied; flow label constructed"
                );
                assert_eq!(outer[4..6], (len - 40).to_be_bytes(), "payload length constructed");
                assert_eq!((outer[6], outer[7]), (protocol, 64), "next header and hop limit constructed");
                assert_eq!(outer[8..24], "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
                assert_eq!(outer[24..40], "2001:db8::2".parse::<Ipv6Addr>().unwrap().octets());
                40
            };
            let esp_at = esp_at + if udp { 8 } else { 0 };
            assert_eq!(outer[esp_at..esp_at + 4], 0x1001u32.to_be_bytes(), "extension headers never copied");
            // At the decapsulator: "no change" in each row but that of ECN, above; options and extension headers stay.
            assert_eq!(open(&mut receiver, &outer[esp_at..]).unwrap(), inner);
        }
    }
}

/// RFC 4303 §2.4: Pad Length and Next Header end on 4 octets, the text on the cipher's block; padding is 1, 2, 3, …;
/// no more of it than that takes.
#[test]
fn rfc_4303_section_2_4_padding() {
    let null = CipherSuite { encr: EncrId::NULL, key_bits: None, integ: IntegId::HMAC_SHA2_256_128 };
    // By payload octets modulo 4: octets of padding.
    const ROWS: [(usize, &[u8]); 4] = [(0, &[1, 2]), (1, &[1]), (2, &[]), (3, &[1, 2, 3])];
    for (rest, padding) in ROWS {
        for len in (60 + rest..140).step_by(4) {
            let inner = v4(len);
            let (mut sender, _) = default_pair(&ChildSa { suite: null, ..child() });
            let packet = seal(&mut sender, &inner);
            let (text, icv) = packet[8..].split_at(packet.len() - 8 - 16);
            let expected = [&inner[..], padding, &[padding.len() as u8, 4]].concat();
            assert_eq!((text, icv.len()), (&expected[..], 16), "{len}");
        }
    }
    // With blocks of 16: by the size of the text.
    for len in 60..140 {
        let (mut sender, mut receiver) = default_pair(&ChildSa { suite: CBC_128, ..child() });
        let packet = seal(&mut sender, &v4(len));
        assert_eq!(packet.len(), 8 + 16 + (len + 2).next_multiple_of(16) + 16, "{len}");
        assert_eq!(open(&mut receiver, &packet).unwrap(), v4(len));
    }
}

fn window_at(kind: SequenceNumbers, top: u64) -> ReplayWindow {
    let mut window = ReplayWindow::new(kind, AntiReplay::Window(WindowSize::new(64).unwrap()));
    window.resume_at(top);
    window
}

/// RFC 4303 Appendix A2.2, both cases with their edges, for a window of 64: the high half that each low half gets.
#[test]
fn rfc_4303_appendix_a2_2_high_halves() {
    const TH: u64 = 5;
    // Tl; Seql; the high half, as it differs from Th.
    let rows: [(u32, u32, i64); 16] = [
        // Case A: Tl >= W - 1. Bl = Tl - 63.
        (1_000, 937, 0),
        (1_000, 936, 1),
        (1_000, 0, 1),
        (1_000, 999, 0),
        (1_000, 1_001, 0),
        (1_000, u32::MAX, 0),
        (63, 0, 0),
        (63, u32::MAX, 0),
        (u32::MAX, u32::MAX - 63, 0),
        (u32::MAX, u32::MAX - 64, 1),
        // Case B: Tl < W - 1. Bl = Tl - 63 modulo 2^32.
        (62, u32::MAX, -1),
        (62, u32::MAX - 1, 0),
        (10, u32::MAX - 52, -1),
        (10, u32::MAX - 53, 0),
        (0, 1, 0),
        (0, u32::MAX - 62, -1),
    ];
    for (low_of_top, low, difference) in rows {
        let window = window_at(SequenceNumbers::Sequential64, TH << 32 | u64::from(low_of_top));
        let high = TH.checked_add_signed(difference).unwrap();
        let number = window.check(low).unwrap().number();
        assert_eq!(number, high << 32 | u64::from(low), "Tl = {low_of_top}, Seql = {low}");
    }
}

/// RFC 4303 §3.4.3 for 32-bit numbers, from the window's left edge to the right of it.
#[test]
fn rfc_4303_section_3_4_3_window() {
    let window = window_at(SequenceNumbers::Sequential32, 1_000);
    for (low, verdict) in [
        (0, Err(ReplayError::Zero)),
        (1, Err(ReplayError::BelowWindow)),
        (936, Err(ReplayError::BelowWindow)),
        (937, Ok(937)),
        (999, Ok(999)),
        (1_000, Err(ReplayError::Replayed)),
        (1_001, Ok(1_001)),
        (u32::MAX, Ok(u64::from(u32::MAX))),
    ] {
        assert_eq!(window.check(low).map(|candidate| candidate.number()), verdict, "{low}");
    }
}
