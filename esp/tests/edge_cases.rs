//! Edge cases that no other file here has under its own name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::PacketNumber;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::ecn::Ecn;
use ipsec_esp::outer::{DfPolicy, DscpPolicy, OuterError};
use ipsec_esp::packet::LayoutError;
use ipsec_esp::spd::Spd;
use ipsec_esp::{
    Arrival, DropReason, Engine, EngineConfig, Framing, InboundConfig, OPEN_HEADROOM, OpenError, Opened,
    OutboundConfig, PacketBuf, SealError, WindowSize,
};
use ipsec_types::sa::ChildSa;
use ipsec_types::{Encapsulation, Instant, Mode, SaCommand, SequenceNumbers, TrafficSelector};

const NOW: Instant = Instant::ZERO;

fn whole() -> OutboundConfig {
    OutboundConfig { framing: Framing::IpPacket, ..OutboundConfig::default() }
}

/// Case 1: exactly the smallest packet, a dummy without payload; and everything shorter.
#[test]
fn smallest_packet_is_an_empty_dummy() {
    for suite in SUITES {
        let (mut sender, mut receiver) = default_pair(&ChildSa { suite, ..child() });
        let (mut storage, at) = roomy(&[]);
        let mut packet = PacketBuf::new(&mut storage, at).unwrap();
        sender.seal_dummy(NOW, &mut packet).unwrap();
        let smallest = if suite.integ == GCM_128.integ { 8 + 8 + 4 + 16 } else { 8 + 16 + 16 + 16 };
        assert_eq!(packet.len(), smallest);
        assert_eq!(receiver.open(NOW, &mut packet, None), Ok(Opened::Dummy));
        assert_eq!(receiver.statistics().dummies, 1);
        for len in 0..8 {
            let error = open(&mut receiver, &[0x10; 8][..len]).unwrap_err();
            assert!(matches!(error, OpenError::Layout(LayoutError::TooShort { .. })));
        }
    }
}

/// Case 5: a dummy's inside is never looked at, however much it looks like a packet.
#[test]
fn dummies_are_dropped_silently() {
    let (mut sender, mut receiver) = default_pair(&child());
    for inner in [&v4(100)[..], b"no packet at all", &[0xFF; 300]] {
        let (mut storage, at) = roomy(inner);
        let mut packet = PacketBuf::new(&mut storage, at).unwrap();
        sender.seal_dummy(NOW, &mut packet).unwrap();
        assert_eq!(receiver.open(NOW, &mut packet, Some(Ecn::Ce)), Ok(Opened::Dummy));
    }
    let statistics = receiver.statistics();
    assert_eq!((statistics.dummies, statistics.packets, statistics.dropped_in_all()), (3, 0, 0));
    assert_eq!(sender.statistics().dummies, 3);
}

/// Case 7: the outer length field would overflow.
#[test]
fn outer_length_overflow_is_refused_before_sealing() {
    for (path, most) in [(path_v4(), 65_535), (path_v6(), 65_575)] {
        for encapsulation in [Encapsulation::None, Encapsulation::Udp] {
            let child = ChildSa { path, encapsulation, ..child() };
            let (mut sender, _) = sa_pair(&child, whole(), InboundConfig::default());
            let largest = sender.max_inner(usize::MAX).unwrap();
            let sealed = seal(&mut sender, &v6(largest));
            assert!(sealed.len() <= most && sealed.len() > most - 4);
            for inner in [v6(largest + 1), v4(65_535), v6(65_575)] {
                if inner.len() <= largest {
                    continue;
                }
                let (mut storage, at) = roomy(&inner);
                let mut packet = PacketBuf::new(&mut storage, at.clone()).unwrap();
                assert!(matches!(sender.seal(NOW, &mut packet), Err(SealError::TooLarge(_))));
                assert_eq!((packet.range(), sender.last_number()), (at, 1));
            }
        }
    }
}

/// Case 6 outbound: what is no sound IP packet is not sealed.
#[test]
fn broken_packets_are_not_sealed() {
    let (mut sender, _) = default_pair(&child());
    let mut short = v4(60);
    short[3] = 59;
    let mut long = v4(60);
    long[3] = 61;
    for (broken, expected) in
        [(&short, "InnerLength"), (&long, "Inner("), (&vec![0x50; 60], "Inner("), (&vec![], "Inner(")]
    {
        let (mut storage, at) = roomy(broken);
        let mut packet = PacketBuf::new(&mut storage, at).unwrap();
        let error = sender.seal(NOW, &mut packet).unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{error}");
        assert_eq!(packet.as_slice(), &broken[..]);
    }
    assert_eq!(sender.last_number(), 0);
    assert_eq!(sender.statistics().dropped(DropReason::OutboundPacket), 4);
}

/// Case 16: the inner packet is ESP itself, even to us: it is delivered as any other, no recursion here.
#[test]
fn nested_esp_is_delivered_once() {
    let child = ChildSa { encapsulation: Encapsulation::None, ..child() };
    let (mut sender, mut receiver) = sa_pair(&child, whole(), InboundConfig::default());
    let inside = seal(&mut sender, &v4(60));
    let nested = seal(&mut sender, &inside);
    assert_eq!(open(&mut receiver, &nested[20..]).unwrap(), inside);
    assert_eq!(open(&mut receiver, &inside[20..]).unwrap(), v4(60));
}

/// Case 18: all DSCP and ECN values go out as asked; TTL 0 and 1 inside are not touched.
#[test]
fn ds_field_and_ttl() {
    for dscp in [DscpPolicy::Copy, DscpPolicy::Set(46)] {
        let config = OutboundConfig { dscp, ..whole() };
        let (mut sender, mut receiver) = sa_pair(&child(), config, InboundConfig::default());
        for ds in 0..=255u8 {
            for ttl in [0, 1, 255] {
                let mut inner = v4(60);
                (inner[1], inner[8]) = (ds, ttl);
                fix_checksum(&mut inner);
                let sealed = seal(&mut sender, &inner);
                let outer_dscp = if dscp == DscpPolicy::Copy { ds & 0xFC } else { 46 << 2 };
                assert_eq!((sealed[1], sealed[8]), (outer_dscp | ds & 3, 64));
                assert!(checksum_is_right(&sealed));
                assert_eq!(open(&mut receiver, &sealed[28..]).unwrap(), inner);
            }
        }
    }
}

/// Case 19: DF of an IPv6 packet in IPv4 is set when copied; what the operating system should set is told.
#[test]
fn df_policies() {
    for (df, v4_clear, v4_set, v6_inside) in [
        (DfPolicy::Copy, false, true, true),
        (DfPolicy::Set, true, true, true),
        (DfPolicy::Clear, false, false, false),
    ] {
        for framing in [Framing::IpPacket, Framing::EspPacket] {
            let config = OutboundConfig { framing, dont_fragment: df, ..OutboundConfig::default() };
            let (mut sender, _) = sa_pair(&child(), config, InboundConfig::default());
            let mut set = v4(60);
            set[6] = 0x40;
            for (inner, expected) in [(v4(60), v4_clear), (set, v4_set), (v6(60), v6_inside)] {
                let (mut storage, at) = roomy(&inner);
                let mut packet = PacketBuf::new(&mut storage, at).unwrap();
                let sealed = sender.seal(NOW, &mut packet).unwrap();
                assert_eq!(sealed.outer.dont_fragment, expected);
                if framing == Framing::IpPacket {
                    assert_eq!(packet.as_slice()[6], if expected { 0x40 } else { 0 });
                }
            }
        }
    }
}

/// Case 20 and step 1: whole datagrams that carry no ESP packet, and fragments of one.
#[test]
fn outer_packets_without_esp() {
    let mut engine = Engine::new(&RUSTCRYPTO, EngineConfig::default());
    let inbound = install(&mirrored(&child()), 0x1001, 1);
    engine.apply(NOW, SaCommand::InstallInbound(Box::new(inbound))).unwrap();
    let udp = |payload: &[u8]| {
        let mut packet = v4(28 + payload.len().max(1));
        packet.truncate(28);
        packet.extend_from_slice(payload);
        let (total, length) = ((28 + payload.len()) as u16, (8 + payload.len()) as u16);
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        packet[24..26].copy_from_slice(&length.to_be_bytes());
        packet
    };
    let mut arrive = |mut packet: Vec<u8>| {
        let before = format!("{engine:?}");
        let error = engine.open_ip(NOW, &mut PacketBuf::whole(&mut packet)).unwrap_err();
        assert_eq!(format!("{engine:?}"), before);
        error
    };
    let marker_only = [0u8; 4];
    let payloads: [&[u8]; 6] = [&[0xFF], &[0xFF, 0xFF], &[], &marker_only, &[0; 28], &[1, 2, 3, 4, 5, 6, 7]];
    for payload in payloads {
        assert_eq!(arrive(udp(payload)), OpenError::NotEsp, "{payload:?}");
    }
    let (mut sender, _) = sa_pair(&child(), whole(), InboundConfig::default());
    let good = seal(&mut sender, &v4(100));
    for fragment in [[0x20, 0], [0x40 | 0x20, 0], [0, 1], [0x1F, 0xFF]] {
        let mut packet = good.clone();
        packet[6..8].copy_from_slice(&fragment);
        assert_eq!(arrive(packet), OpenError::Outer(OuterError::Fragment));
    }
    let mut tcp = good.clone();
    tcp[9] = 6;
    assert_eq!(arrive(tcp), OpenError::Outer(OuterError::Protocol(Some(6))));
    for len in 0..28 {
        assert!(matches!(arrive(good[..len].to_vec()), OpenError::Outer(_)), "{len}");
    }
    let statistics = engine.statistics().inbound;
    assert_eq!(statistics.dropped(DropReason::OuterFragment), 4);
    assert_eq!(statistics.dropped(DropReason::NotEsp), 6);
    let mut packet = good;
    assert!(engine.open_ip(NOW, &mut PacketBuf::whole(&mut packet)).is_ok());
}

/// Case 18 on whole packets: congestion met outside reaches the inside, with its checksum right.
#[test]
fn congestion_is_carried_inside() {
    let mut engine = Engine::new(&RUSTCRYPTO, EngineConfig { outbound: whole(), ..EngineConfig::default() });
    for command in [
        SaCommand::InstallInbound(Box::new(install(&mirrored(&child()), 0x1001, 1))),
        SaCommand::InstallOutbound(Box::new(install(&child(), 0x1001, 1))),
    ] {
        engine.apply(NOW, command).unwrap();
    }
    for ecn in 0..4u8 {
        let mut inner = v4(60);
        inner[1] = 0xB8 | ecn;
        fix_checksum(&mut inner);
        let (mut storage, at) = roomy(&inner);
        let mut packet = PacketBuf::new(&mut storage, at).unwrap();
        engine.seal(NOW, &mut packet).unwrap();
        packet.as_mut_slice()[1] |= 3; // a router marks it
        fix_checksum(&mut packet.as_mut_slice()[..20]);
        let opened = engine.open_ip(NOW, &mut packet);
        if ecn == 0 {
            assert!(matches!(opened, Err(OpenError::Ecn(_))));
        } else {
            assert!(opened.is_ok());
            let inside = packet.as_slice();
            assert!(inside[1] == 0xBB && checksum_is_right(inside));
            assert_eq!(inside[12..], inner[12..]);
        }
    }
}

/// Case 5, in each mode: next header 41 with an IPv4 packet, and 4 with an IPv6 one. In tunnel mode both are dropped; in
/// transport mode what follows is the payload's own affair.
#[test]
fn next_header_and_version_that_differ() {
    for (inner, next) in [(v4(60), 41u8), (v6(60), 4)] {
        let text = with_trailer(GCM_128, &inner, next);
        let packet = packet_around(GCM_128, 0x1001, PacketNumber::explicit(1), &text);
        let mut tunnel = default_pair(&child()).1;
        assert!(matches!(open(&mut tunnel, &packet), Err(OpenError::VersionMismatch { .. })));
        let mut transport = default_pair(&ChildSa { mode: Mode::Transport, ..child() }).1;
        let mut storage = [vec![0; OPEN_HEADROOM], packet].concat();
        let end = storage.len();
        let mut buf = PacketBuf::new(&mut storage, OPEN_HEADROOM..end).unwrap();
        let opened = transport.open(NOW, &mut buf, None).unwrap();
        assert!(matches!(opened, Opened::Packet(header) if header.protocol == Some(next)));
        assert_eq!(buf.as_slice()[20..], inner);
    }
}

/// Case 17: the policy changes while packets are under way: what was sealed before stays sealed, what comes after is
/// decided anew, and packets of an SA that policy no longer leads to are still opened by it.
#[test]
fn policy_changed_while_packets_are_under_way() {
    let mut sender = Engine::new(&RUSTCRYPTO, EngineConfig::default());
    let mut receiver = Engine::new(&RUSTCRYPTO, EngineConfig::default());
    sender.apply(NOW, SaCommand::InstallOutbound(Box::new(install(&child(), 0x1001, 1)))).unwrap();
    let inbound = install(&mirrored(&child()), 0x1001, 1);
    receiver.apply(NOW, SaCommand::InstallInbound(Box::new(inbound))).unwrap();
    let (mut storage, at) = roomy(&v4(60));
    let mut buf = PacketBuf::new(&mut storage, at).unwrap();
    sender.seal(NOW, &mut buf).unwrap();
    sender.set_policy(Some(Spd::default()));
    receiver.set_policy(Some(Spd::default()));
    assert!(receiver.open(NOW, Arrival::udp(mirrored(&child()).path), &mut buf).is_ok());
    assert_eq!(buf.as_slice(), v4(60));
    assert_eq!(sender.seal(NOW, &mut buf), Err(SealError::Discarded));
}

/// Case 2: the SPI of our own outbound SA is none that we receive by.
#[test]
fn the_spi_of_an_outbound_sa() {
    let mut engine = Engine::new(&RUSTCRYPTO, EngineConfig::default());
    engine.apply(NOW, SaCommand::InstallOutbound(Box::new(install(&child(), 0x1001, 1)))).unwrap();
    let (mut sender, _) = default_pair(&child());
    let mut packet = seal(&mut sender, &v4(60));
    let arrival = Arrival::udp(mirrored(&child()).path);
    let opened = engine.open(NOW, arrival, &mut PacketBuf::whole(&mut packet));
    assert_eq!(opened, Err(OpenError::UnknownSpi(spi(0x1001))));
}

/// Case 5: an IPv4 packet by an SA whose selectors are IPv6's, and the other way round.
#[test]
fn the_other_family_inside() {
    for (carries, other, own) in
        [(TrafficSelector::ALL_V6, v4(60), v6(60)), (TrafficSelector::ALL_V4, v6(60), v4(60))]
    {
        let narrow = ChildSa { local: vec![carries], remote: vec![carries], ..child() };
        let (mut sender, _) = default_pair(&child());
        let (_, mut receiver) = default_pair(&narrow);
        assert_eq!(open(&mut receiver, &seal(&mut sender, &other)), Err(OpenError::Selectors));
        assert_eq!(open(&mut receiver, &seal(&mut sender, &own)).unwrap(), own);
    }
}

/// Case 8: the longest gap that 64-bit numbers bridge is 2^32 - W packets (RFC 4303 Appendix A2); one more is taken for
/// an old packet.
#[test]
fn the_longest_gap() {
    let window = u64::from(WindowSize::DEFAULT.packets());
    for (gap, passes) in [((1 << 32) - window, true), ((1 << 32) - window + 1, false)] {
        let child = ChildSa { sequence_numbers: SequenceNumbers::Sequential64, ..child() };
        let (mut sender, mut receiver) = default_pair(&child);
        assert!(sender.leap_to(9_999));
        receiver.resume_at(9_999);
        open(&mut receiver, &seal(&mut sender, &v4(60))).unwrap();
        assert!(sender.leap_to(10_000 + gap - 1));
        assert_eq!(open(&mut receiver, &seal(&mut sender, &v4(60))).is_ok(), passes, "{gap}");
        assert_eq!(receiver.newest_number(), if passes { 10_000 + gap } else { 10_000 });
    }
}

/// Case 8: after the last 32-bit number only older ones can come, as long as the window reaches.
#[test]
fn after_the_last_number() {
    let (mut sender, mut receiver) = default_pair(&child());
    let last = u64::from(u32::MAX);
    assert!(sender.leap_to(last - 1_025));
    let packets: Vec<_> = (0..1_025).map(|_| seal(&mut sender, &v4(60))).collect();
    let (newest, older) = packets.split_last().unwrap();
    open(&mut receiver, newest).unwrap();
    for (at, packet) in older.iter().enumerate() {
        assert_eq!(open(&mut receiver, packet).is_ok(), at > 0, "{at}");
    }
    let (mut storage, at) = roomy(&v4(60));
    let more = sender.seal(NOW, &mut PacketBuf::new(&mut storage, at).unwrap());
    assert_eq!(more, Err(SealError::NumbersExhausted));
    assert_eq!(receiver.newest_number(), last);
}
