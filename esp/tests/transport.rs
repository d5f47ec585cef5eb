//! Transport mode (RFC 4303 §3.1.1, §3.3, §3.4): the header stays outside, whole packets alone, and the checksums
//! that NATs made wrong are mended (RFC 3948 §3.1.2).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::PacketNumber;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::ip::{IpError, IpHeader};
use ipsec_esp::{
    Arrival, DropReason, Engine, EngineConfig, Framing, InboundConfig, InboundSa, NotCarried, OPEN_HEADROOM,
    OpenError, Opened, OutboundConfig, OutboundSa, PacketBuf, SealError,
};
use ipsec_types::sa::{ChildSa, OriginalAddresses};
use ipsec_types::{Encapsulation, Instant, Mode, Path, SaCommand, TrafficSelector};
use std::net::IpAddr;

const NOW: Instant = Instant::ZERO;

fn whole() -> OutboundConfig {
    OutboundConfig { framing: Framing::IpPacket, ..OutboundConfig::default() }
}

fn transport(path: Path, encapsulation: Encapsulation) -> ChildSa {
    ChildSa { mode: Mode::Transport, path, encapsulation, ..child() }
}

fn receiver(child: &ChildSa) -> InboundSa {
    InboundSa::new(&RUSTCRYPTO, install(&mirrored(child), 0x1001, 1), InboundConfig::default(), NOW).unwrap()
}

fn open_whole(sa: &mut InboundSa, packet: &[u8]) -> Result<Vec<u8>, OpenError> {
    let mut storage = packet.to_vec();
    let mut buf = PacketBuf::whole(&mut storage);
    sa.open_ip(NOW, &mut buf).map(|opened| {
        assert!(matches!(opened, Opened::Packet(header) if header.length == buf.len()));
        buf.as_slice().to_vec()
    })
}

fn sender(child: &ChildSa) -> OutboundSa {
    sa_pair(child, whole(), InboundConfig::default()).0
}

fn refusal(child: &ChildSa, config: OutboundConfig, packet: &[u8]) -> SealError {
    let mut sa = sa_pair(child, config, InboundConfig::default()).0;
    let (mut storage, at) = roomy(packet);
    let mut buf = PacketBuf::new(&mut storage, at.clone()).unwrap();
    let error = sa.seal(NOW, &mut buf).unwrap_err();
    assert_eq!((buf.range(), buf.as_slice()), (at, packet), "as it was");
    assert_eq!((sa.last_number(), sa.statistics().dropped(error.reason())), (0, 1));
    error
}

/// The Internet checksum over parts, each of an even number of octets but the last.
fn sum_over(parts: &[&[u8]]) -> u16 {
    let octets = parts.concat();
    let mut sum: u32 =
        octets.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0))).sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The checksum of a next layer, computed from the start over the pseudo header of its addresses.
fn upper_sum(source: IpAddr, destination: IpAddr, protocol: u8, upper: &[u8]) -> u16 {
    let length = (upper.len() as u32).to_be_bytes();
    sum_over(&[&octets(source), &octets(destination), &length, &[0, 0, 0, protocol], upper])
}

/// RFC 4303 §3.1.1: ESP stands behind the IPv4 header and its options; protocol, length and checksum change, and
/// nothing else.
#[test]
fn ipv4_header_and_options_stay_outside() {
    let udp = [0x13, 0x88, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4];
    for (encapsulation, between) in [(Encapsulation::None, 0), (Encapsulation::Udp, 8)] {
        let child = transport(path_v4(), encapsulation);
        for options in [&[][..], &[0x94, 4, 0, 0], &[7, 39, 4, 0, 0, 0, 0, 0].repeat(5)] {
            let inner = v4_between(options, 17, &udp);
            let header = 20 + options.len();
            let sealed = seal(&mut sender(&child), &inner);
            let protocol = if between == 0 { 50 } else { 17 };
            assert_eq!(sealed.len(), header + between + 8 + 8 + 12 + 4 + 16);
            assert_eq!(sealed[2..4], (sealed.len() as u16).to_be_bytes());
            assert_eq!(
                (sealed[0], sealed[1], &sealed[4..9], sealed[9]),
                (inner[0], 0xB9, &inner[4..9], protocol)
            );
            assert_eq!(sealed[12..header], inner[12..header]);
            assert!(checksum_is_right(&sealed));
            if between > 0 {
                let length = (sealed.len() - header) as u16;
                let expected = [&[0x11, 0x94, 0x11, 0x94], &length.to_be_bytes()[..], &[0, 0]].concat();
                assert_eq!(sealed[header..header + 8], expected, "RFC 3948 §2.1: no checksum");
            }
            assert_eq!(sealed[header + between..][..8], [0, 0, 0x10, 1, 0, 0, 0, 1]);
            assert_eq!(open_whole(&mut receiver(&child), &sealed).unwrap(), inner);
        }
    }
}

/// RFC 4303 §3.1.1: ESP stands behind hop-by-hop options, routing and fragment headers. Destination options in
/// front of a routing header stay there, others go inside.
#[test]
fn ipv6_extension_headers() {
    let options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let routing = |next: u8| [next, 0, 4, 0, 0, 0, 0, 0];
    let fragment = |next: u8| [next, 0, 0, 0, 0, 0, 0, 9];
    let (hop, route, atomic, dest, udp) = (0, 43, 44, 60, 17);
    // The chain; how many of its headers stay outside.
    for (chain, outside) in [
        (&[][..], 0),
        (&[hop][..], 1),
        (&[dest], 0),
        (&[hop, dest], 1),
        (&[route], 1),
        (&[dest, route], 2),
        (&[hop, dest, route], 3),
        (&[hop, dest, route, atomic, dest], 4),
        (&[route, dest], 1),
        (&[atomic], 1),
        (&[dest, dest, dest], 0),
    ] {
        let mut rest = Vec::new();
        for (at, kind) in chain.iter().enumerate() {
            let next = *chain.get(at + 1).unwrap_or(&udp);
            rest.extend_from_slice(&match *kind {
                43 => routing(next),
                44 => fragment(next),
                _ => options(next),
            });
        }
        rest.extend_from_slice(&[0x13, 0x88, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4]);
        let inner = v6_between(*chain.first().unwrap_or(&udp), &rest);
        for (encapsulation, between) in [(Encapsulation::None, 0), (Encapsulation::Udp, 8)] {
            let child = transport(path_v6(), encapsulation);
            let sealed = seal(&mut sender(&child), &inner);
            let esp_at = 40 + outside * 8 + between;
            assert_eq!(sealed[esp_at..esp_at + 8], [0, 0, 0x10, 1, 0, 0, 0, 1], "{chain:?}");
            let field = if outside == 0 { 6 } else { 40 + (outside - 1) * 8 };
            assert_eq!(sealed[field], if between == 0 { 50 } else { 17 }, "{chain:?}");
            let mut header = sealed[..40 + outside * 8].to_vec();
            assert_eq!(usize::from(u16::from_be_bytes([header[4], header[5]])), sealed.len() - 40);
            header[4..6].copy_from_slice(&inner[4..6]);
            header[field] = inner[field];
            assert_eq!(header, inner[..40 + outside * 8], "{chain:?}");
            if between > 0 {
                let path = path_v6();
                let udp = &sealed[esp_at - 8..];
                assert_eq!(upper_sum(path.local.ip(), path.remote.ip(), 17, udp), 0, "RFC 8200 §8.1");
            }
            assert_eq!(open_whole(&mut receiver(&child), &sealed).unwrap(), inner, "{chain:?}");
        }
    }
}

/// RFC 4303 §3.1.1, §3.3.4: transport mode never protects a fragment.
#[test]
fn fragments_are_not_protected() {
    for field in [0x2000u16, 0x0001, 0x2010, 0x6000] {
        let mut packet = v4_between(&[], 17, &[0; 16]);
        packet[6..8].copy_from_slice(&field.to_be_bytes());
        fix_checksum(&mut packet);
        let error = refusal(&transport(path_v4(), Encapsulation::None), whole(), &packet);
        assert_eq!(error, SealError::NotCarried(NotCarried::Fragment));
        assert_eq!(error.reason(), DropReason::NotCarried);
    }
    for offset_and_more in [1u8, 8, 9] {
        let rest = [&[17, 0, 0, offset_and_more, 0, 0, 0, 9][..], &[0; 16]].concat();
        let error = refusal(&transport(path_v6(), Encapsulation::None), whole(), &v6_between(44, &rest));
        assert_eq!(error, SealError::NotCarried(NotCarried::Fragment));
    }
}

/// What does not belong to the SA, or can't be made, is refused before a number is taken.
#[test]
fn packets_that_are_not_carried() {
    let child = transport(path_v4(), Encapsulation::Udp);
    let udp = [0, 7, 0, 7, 0, 8, 0, 0];
    let good = v4_between(&[], 17, &udp);
    for at in [15, 19] {
        let mut elsewhere = good.clone();
        elsewhere[at] ^= 1;
        fix_checksum(&mut elsewhere);
        assert_eq!(refusal(&child, whole(), &elsewhere), SealError::NotCarried(NotCarried::Addresses));
    }
    let other_family = v6_between(17, &udp);
    assert_eq!(refusal(&child, whole(), &other_family), SealError::NotCarried(NotCarried::Addresses));
    // The operating system makes the header of what goes out by a socket: nobody could put options there.
    let with_options = v4_between(&[0x94, 4, 0, 0], 17, &udp);
    let esp_only = OutboundConfig::default();
    assert_eq!(refusal(&child, esp_only, &with_options), SealError::NotCarried(NotCarried::HeadersOutside));
    // 59 within ESP is the dummy packet.
    let nothing_next = v6_between(59, &[]);
    let child = transport(path_v6(), Encapsulation::None);
    assert_eq!(refusal(&child, whole(), &nothing_next), SealError::NotCarried(NotCarried::NextHeader(59)));
    let hidden = v6_between(43, &[17, 200, 0, 0, 0, 0, 0, 0]);
    assert_eq!(refusal(&child, whole(), &hidden), SealError::NotCarried(NotCarried::ExtensionHeaders));
    let endless = v6_between(60, &[60, 0, 1, 4, 0, 0, 0, 0].repeat(64));
    assert_eq!(refusal(&child, whole(), &endless), SealError::NotCarried(NotCarried::ExtensionHeaders));
    let hop = v6_between(0, &[&[17, 0, 1, 4, 0, 0, 0, 0][..], &udp].concat());
    assert_eq!(refusal(&child, esp_only, &hop), SealError::NotCarried(NotCarried::HeadersOutside));
}

/// The stated room is enough, an octet less is an error and changes nothing; the payload never moves.
#[test]
fn room_is_as_stated_and_the_payload_stays() {
    for (path, inner) in [
        (path_v4(), v4_between(&[0x94, 4, 0, 0], 17, &[0; 21])),
        (path_v6(), v6_between(0, &[&[17, 0, 1, 4, 0, 0, 0, 0][..], &[0; 21]].concat())),
    ] {
        let child = transport(path, Encapsulation::Udp);
        let mut sa = sender(&child);
        let (front, back) = (sa.headroom(), sa.tailroom());
        let mut storage = vec![0; front + inner.len() + back];
        storage[front..front + inner.len()].copy_from_slice(&inner);
        let payload = front + inner.len() - 21..front + inner.len();
        let mut buf = PacketBuf::new(&mut storage, front..front + inner.len()).unwrap();
        sa.seal(NOW, &mut buf).unwrap();
        receiver(&child).open_ip(NOW, &mut buf).unwrap();
        assert_eq!(buf.range().end, payload.end);
        assert_eq!(buf.as_slice(), inner);

        // UDP header, ESP header and IV go between header and payload.
        let mut storage = vec![0; 8 + 8 + 8 + inner.len() + back];
        storage[23..23 + inner.len()].copy_from_slice(&inner);
        let mut buf = PacketBuf::new(&mut storage, 23..23 + inner.len()).unwrap();
        assert!(matches!(sa.seal(NOW, &mut buf), Err(SealError::NoRoom(_))));
        assert_eq!((buf.range(), buf.as_slice()), (23..23 + inner.len(), &inner[..]));
        storage[24..24 + inner.len()].copy_from_slice(&inner);
        let mut buf = PacketBuf::new(&mut storage, 24..24 + inner.len()).unwrap();
        sa.seal(NOW, &mut buf).unwrap();
        assert_eq!(buf.range().start, 0);
    }
}

/// By a UDP socket the header is gone on both ways: the receiver makes one between the addresses it came by.
#[test]
fn packets_without_their_headers() {
    for (path, inner, header) in
        [(path_v4(), v4_between(&[], 17, &[9; 20]), 20), (path_v6(), v6_between(17, &[9; 20]), 40)]
    {
        let child = transport(path, Encapsulation::Udp);
        let sealed = seal(&mut default_pair(&child).0, &inner);
        assert_eq!(sealed[..4], [0, 0, 0x10, 1]);
        assert_eq!(sealed.len(), 8 + 8 + 20 + 2 + 2 + 16);
        let mut engine = Engine::new(&RUSTCRYPTO, EngineConfig::default());
        let install = install(&mirrored(&child), 0x1001, 1);
        engine.apply(NOW, SaCommand::InstallInbound(Box::new(install))).unwrap();
        let mut storage = [vec![0; OPEN_HEADROOM], sealed.clone()].concat();
        let end = storage.len();
        let mut buf = PacketBuf::new(&mut storage, OPEN_HEADROOM..end).unwrap();
        let arrival = Arrival::udp(mirrored(&child).path).with_ecn(ipsec_esp::ecn::Ecn::Ce);
        engine.open(NOW, arrival, &mut buf).unwrap();
        let opened = buf.as_slice();
        let seen = IpHeader::parse(opened).unwrap();
        assert_eq!((seen.source, seen.destination), (path.local.ip(), path.remote.ip()));
        assert_eq!((seen.length, seen.protocol, seen.ds_field), (header + 20, Some(17), 3));
        assert_eq!(opened[header..], inner[header..]);
        assert!(header == 40 || checksum_is_right(opened));
        // The SA alone makes the same one.
        let mut storage = [vec![0; OPEN_HEADROOM], sealed.clone()].concat();
        let mut buf = PacketBuf::new(&mut storage, OPEN_HEADROOM..end).unwrap();
        receiver(&child).open(NOW, &mut buf, Some(ipsec_esp::ecn::Ecn::Ce)).unwrap();
        assert_eq!(buf.as_slice(), opened);
        // Without the room, and without an address.
        let mut sa = receiver(&child);
        assert!(matches!(open(&mut sa, &sealed), Err(OpenError::NoRoom(_))));
        assert_eq!(sa.statistics().dropped(DropReason::InboundNoRoom), 1);
        let mut nowhere = child.clone();
        nowhere.path.remote.set_ip(if header == 20 { [0; 4].into() } else { [0; 16].into() });
        let mut sa = receiver(&nowhere);
        assert_eq!(open(&mut sa, &sealed), Err(OpenError::UnknownAddress));
        assert_eq!(sa.statistics().dropped(DropReason::UnknownAddress), 1);
    }
}

/// An ESP packet with this text behind an IP header from the peer to us.
fn received(path: Path, text: &[u8]) -> Vec<u8> {
    let esp = packet_around(GCM_128, 0x1001, PacketNumber::explicit(1), text);
    if path.local.is_ipv4() { v4_between(&[], 50, &esp) } else { v6_between(50, &esp) }
}

/// Next headers that transport mode meets: hop-by-hop options, routing and fragment headers belong in front of
/// ESP; destination options, IP in IP and everything else are the SA's selectors' to admit.
#[test]
fn next_headers() {
    let udp = [0, 7, 0, 7, 0, 8, 0, 0];
    for (path, next, fits) in [
        (path_v4(), 17, true),
        (path_v4(), 4, true),
        (path_v4(), 41, true),
        (path_v4(), 144, true),
        (path_v6(), 17, true),
        (path_v6(), 4, true),
        (path_v6(), 41, true),
        (path_v6(), 60, true),
        (path_v6(), 0, false),
        (path_v6(), 43, false),
        (path_v6(), 44, false),
    ] {
        let payload = if next == 60 { [&[17, 0, 1, 4, 0, 0, 0, 0][..], &udp].concat() } else { udp.to_vec() };
        let packet = received(path, &with_trailer(GCM_128, &payload, next));
        let mut sa = receiver(&transport(path, Encapsulation::None));
        let opened = open_whole(&mut sa, &packet);
        if fits {
            let header = if path.local.is_ipv4() { 20 } else { 40 };
            let opened = opened.unwrap();
            assert_eq!((opened[if header == 20 { 9 } else { 6 }], &opened[header..]), (next, &payload[..]));
        } else {
            assert_eq!(opened, Err(OpenError::NextHeader(next)));
        }
    }
    // The dummy, whatever it holds.
    let packet = received(path_v4(), &with_trailer(GCM_128, b"whatever", 59));
    let mut sa = receiver(&transport(path_v4(), Encapsulation::None));
    let mut storage = packet;
    assert_eq!(sa.open_ip(NOW, &mut PacketBuf::whole(&mut storage)), Ok(Opened::Dummy));
    assert_eq!((sa.statistics().dummies, sa.statistics().dropped_in_all()), (1, 0));
}

/// RFC 4303 §2.7: what goes inside in transport mode does not tell its length, so that TFC padding can't be
/// taken away: none is sent, and what a peer sends is handed on.
#[test]
fn tfc_padding_in_transport_mode() {
    let child = transport(path_v4(), Encapsulation::None);
    let tfc = OutboundConfig { tfc: ipsec_esp::TfcPadding::ToLength(1_000), ..whole() };
    let inner = v4_between(&[], 17, &[0, 7, 0, 7, 0, 8, 0, 0]);
    let sealed = seal(&mut sa_pair(&child, tfc, InboundConfig::default()).0, &inner);
    assert_eq!(sealed, seal(&mut sender(&child), &inner));
    let padded = [&inner[20..], &[0; 100]].concat();
    let opened = open_whole(&mut receiver(&child), &received(path_v4(), &with_trailer(GCM_128, &padded, 17)));
    assert_eq!(opened.unwrap()[20..], padded);
}

/// RFC 4301 §5.2: the packet with the header that it came behind is held against the selectors.
#[test]
fn selectors_are_held_against_the_outer_addresses() {
    let mut child = transport(path_v4(), Encapsulation::None);
    let tcp = TrafficSelector { protocol: 6, ..TrafficSelector::ALL_V4 };
    child.local = vec![tcp];
    let udp = with_trailer(GCM_128, &[0, 7, 0, 7, 0, 8, 0, 0], 17);
    assert_eq!(open_whole(&mut receiver(&child), &received(path_v4(), &udp)), Err(OpenError::Selectors));
    let tcp = with_trailer(GCM_128, &[0; 20], 6);
    assert!(open_whole(&mut receiver(&child), &received(path_v4(), &tcp)).is_ok());
    let mut elsewhere = received(path_v4(), &tcp);
    elsewhere[15] ^= 1;
    fix_checksum(&mut elsewhere);
    let remote = TrafficSelector::addresses(ipsec_types::AddressRange::single([192, 0, 2, 1].into()));
    let narrow = ChildSa { local: vec![remote], ..child };
    assert_eq!(open_whole(&mut receiver(&narrow), &elsewhere), Err(OpenError::Selectors));
}

/// Outer packets that lie about their length never panic, and none is delivered.
#[test]
fn every_truncation_and_every_flipped_bit() {
    for (path, inner) in [
        (path_v4(), v4_between(&[0x94, 4, 0, 0], 17, &[5; 13])),
        (path_v6(), v6_between(0, &[&[17, 0, 1, 4, 0, 0, 0, 0][..], &[5; 13]].concat())),
    ] {
        let child = transport(path, Encapsulation::Udp);
        let sealed = seal(&mut sender(&child), &inner);
        let header = inner.len() - 13;
        let mut sa = receiver(&child);
        for len in 0..sealed.len() {
            assert!(open_whole(&mut sa, &sealed[..len]).is_err());
        }
        for bit in header * 8..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let opened = open_whole(&mut sa, &flipped);
            // UDP ports and checksum are no part of what ESP protects.
            let harmless = (header * 8..header * 8 + 32).contains(&bit)
                || (header * 8 + 48..header * 8 + 64).contains(&bit);
            assert_eq!(opened.is_ok(), harmless, "bit {bit}");
            if opened.is_ok() {
                sa = receiver(&child);
            }
        }
    }
}

/// RFC 3948 §3.1.2: the vectors of `tests/vectors/nat_checksum_generated.json`, octet for octet.
#[test]
fn checksums_behind_nat_by_vectors() {
    let text = include_str!("vectors/nat_checksum_generated.json");
    let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let field = |name: &str| hex(case[name].as_str().unwrap());
        let address = |name: &str| IpAddr::from(<[u8; 4]>::try_from(&field(name)[..]).unwrap());
        let protocol = case["protocol"].as_u64().unwrap() as u8;
        let path =
            Path::nat_t((address("received_dst"), 4500).into(), (address("received_src"), 4500).into());
        let original = OriginalAddresses { local: address("real_dst"), remote: address("real_src") };
        let child =
            ChildSa { original_addresses: Some(original), ..mirrored(&transport(path, Encapsulation::Udp)) };
        let text = with_trailer(GCM_128, &field("segment"), protocol);
        let esp = packet_around(GCM_128, 0x1001, PacketNumber::explicit(1), &text);
        let mut storage = [vec![0; OPEN_HEADROOM], esp].concat();
        let end = storage.len();
        let mut buf = PacketBuf::new(&mut storage, OPEN_HEADROOM..end).unwrap();
        receiver(&child).open(NOW, &mut buf, None).unwrap();
        assert_eq!(buf.as_slice()[20..], field("repaired"), "{}", case["id"]);
        assert_eq!(buf.as_slice()[12..16], field("received_src"));
    }
}

/// Opens a next layer that was sent between the original addresses and came between those of the path.
fn through_nat(path: Path, original: OriginalAddresses, protocol: u8, upper: &[u8]) -> Vec<u8> {
    let child =
        ChildSa { original_addresses: Some(original), ..mirrored(&transport(path, Encapsulation::Udp)) };
    let text = with_trailer(GCM_128, upper, protocol);
    let esp = packet_around(GCM_128, 0x1001, PacketNumber::explicit(1), &text);
    let mut storage = [vec![0; OPEN_HEADROOM], esp].concat();
    let end = storage.len();
    let mut buf = PacketBuf::new(&mut storage, OPEN_HEADROOM..end).unwrap();
    receiver(&child).open(NOW, &mut buf, None).unwrap();
    let header = if path.local.is_ipv4() { 20 } else { 40 };
    buf.as_slice()[header..].to_vec()
}

/// Every checksum over addresses is right afterwards, computed anew: TCP, UDP, UDP-Lite, DCCP, and ICMPv6.
#[test]
fn checksums_behind_nat_by_computing_them_anew() {
    for (path, original) in
        [(path_v4(), ["10.1.2.3", "192.168.7.9"]), (path_v6(), ["fd00:1::3", "fd00:2::9"])]
    {
        let [remote, local] = original.map(|address| address.parse().unwrap());
        let original = OriginalAddresses { local, remote };
        let is_ipv4 = path.local.is_ipv4();
        for (protocol, at) in [(6u8, 16), (17, 6), (136, 6), (33, 6), (58, 2)] {
            if protocol == 58 && is_ipv4 {
                continue; // there ICMPv6 is a protocol like any other
            }
            for size in [20, 21, 64, 501] {
                for seed in 0..64u32 {
                    let mut upper: Vec<u8> = (0..size)
                        .map(|i| (seed.wrapping_mul(0x9E37_79B1) >> (i % 24)) as u8 ^ i as u8)
                        .collect();
                    upper[at..at + 2].fill(0);
                    let sum = upper_sum(remote, local, protocol, &upper);
                    let sum = if protocol == 17 && sum == 0 { 0xFFFF } else { sum };
                    upper[at..at + 2].copy_from_slice(&sum.to_be_bytes());
                    let opened = through_nat(path, original, protocol, &upper);
                    let (source, destination) = (path.remote.ip(), path.local.ip());
                    assert_eq!(upper_sum(source, destination, protocol, &opened), 0, "{protocol} {seed}");
                    assert_ne!(opened[at..at + 2], if protocol == 17 { [0, 0] } else { [1, 1] });
                    upper[at..at + 2].copy_from_slice(&opened[at..at + 2]);
                    assert_eq!(opened, upper, "nothing else changed");
                }
            }
        }
    }
}

/// What has no checksum over addresses, no checksum, or no room for one: left alone.
#[test]
fn what_is_not_mended_behind_nat() {
    let original = OriginalAddresses { local: [10, 0, 0, 1].into(), remote: [10, 0, 0, 2].into() };
    for (protocol, upper) in [
        (1u8, vec![8, 0, 0xAA, 0xBB, 0, 7, 0, 1]),
        (58, vec![128, 0, 0xAA, 0xBB, 0, 7, 0, 1]),
        (47, vec![0xAA; 40]),
        (132, vec![0xAA; 40]),
        (17, vec![0, 7, 0, 7, 0, 8, 0, 0]),
        (17, vec![0, 7, 0, 7, 0, 8, 1]),
        (6, vec![0xAA; 17]),
        (6, vec![]),
    ] {
        assert_eq!(through_nat(path_v4(), original, protocol, &upper), upper, "{protocol}");
    }
    // Without addresses of IKE nothing is touched, and in tunnel mode never (RFC 3948 §3.1.1).
    let inner = v4(60);
    let tunnel = ChildSa { original_addresses: Some(original), ..child() };
    let sealed = seal(&mut default_pair(&tunnel).0, &inner);
    assert_eq!(open(&mut receiver(&tunnel), &sealed).unwrap(), inner);
}

/// A payload too long for the header that it would get.
#[test]
fn too_long_for_an_ip_packet() {
    let text = with_trailer(GCM_128, &vec![0; 65_520], 17);
    let esp = packet_around(GCM_128, 0x1001, PacketNumber::explicit(1), &text);
    let mut storage = [vec![0; OPEN_HEADROOM], esp].concat();
    let end = storage.len();
    let mut buf = PacketBuf::new(&mut storage, OPEN_HEADROOM..end).unwrap();
    let mut sa = receiver(&transport(path_v4(), Encapsulation::Udp));
    assert_eq!(sa.open(NOW, &mut buf, None), Err(OpenError::Inner(IpError::TooLong(65_540))));
    let most = v4_between(&[], 17, &vec![0; 65_535 - 20 - 36]);
    let error = refusal(&transport(path_v4(), Encapsulation::None), whole(), &most);
    assert!(matches!(error, SealError::TooLarge(_)));
}

/// The largest packet that fits, fits exactly; for both families, raw and in UDP, all suites.
#[test]
fn max_inner_of_transport_mode() {
    for suite in SUITES {
        for path in [path_v4(), path_v6()] {
            for encapsulation in [Encapsulation::None, Encapsulation::Udp] {
                let child = ChildSa { suite, ..transport(path, encapsulation) };
                let mut sa = sender(&child);
                let mut packet = |len: usize| {
                    let inner = match path.local.is_ipv4() {
                        true => v4_between(&[], 17, &vec![0; len - 20]),
                        false => v6_between(17, &vec![0; len - 40]),
                    };
                    seal(&mut sa, &inner).len()
                };
                for mtu in (576..2_000).chain([9_000]) {
                    let largest = sender(&child).max_inner(mtu).unwrap();
                    assert!(packet(largest) <= mtu && packet(largest + 1) > mtu, "{suite} {mtu}");
                }
            }
        }
    }
}

/// Through two engines, in place.
#[test]
fn two_engines() {
    let child = transport(path_v4(), Encapsulation::None);
    let config = EngineConfig { outbound: whole(), ..EngineConfig::default() };
    let mut a = Engine::new(&RUSTCRYPTO, config);
    a.apply(NOW, SaCommand::InstallOutbound(Box::new(install(&child, 0x1001, 1)))).unwrap();
    let mut b = Engine::new(&RUSTCRYPTO, config);
    b.apply(NOW, SaCommand::InstallInbound(Box::new(install(&mirrored(&child), 0x1001, 1)))).unwrap();
    let inner = v4_between(&[0x94, 4, 0, 0], 6, &[7; 33]);
    let (mut storage, at) = roomy(&inner);
    let mut buf = PacketBuf::new(&mut storage, at.clone()).unwrap();
    let outgoing = a.seal(NOW, &mut buf).unwrap();
    assert_eq!((outgoing.sealed.outer.ds_field, outgoing.sealed.outer.dont_fragment), (0xB9, true));
    let incoming = b.open_ip(NOW, &mut buf).unwrap();
    assert!(matches!(incoming.opened, Opened::Packet(header) if header.protocol == Some(6)));
    assert_eq!((buf.range(), buf.as_slice()), (at, &inner[..]));
}
