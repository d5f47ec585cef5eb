//! Nothing on the data path allocates: neither what passes nor what is dropped, at whatever stage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::PacketNumber;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::{Arrival, DropReason, Engine, EngineConfig, Framing, OutboundConfig, PacketBuf};
use ipsec_types::sa::{ChildSa, Lifetimes, Limit};
use ipsec_types::{Encapsulation, Instant, Mode, SaCommand};

fn engine(child: &ChildSa, framing: Framing) -> Engine {
    let outbound = OutboundConfig { framing, ..OutboundConfig::default() };
    let mut engine = Engine::new(&RUSTCRYPTO, EngineConfig { outbound, ..EngineConfig::default() });
    let (inbound, outbound) = (install(&mirrored(child), 0x1001, 1), install(child, 0x1001, 1));
    engine.apply(Instant::ZERO, SaCommand::InstallInbound(Box::new(inbound))).unwrap();
    engine.apply(Instant::ZERO, SaCommand::InstallOutbound(Box::new(outbound))).unwrap();
    engine
}

/// Seals and opens a packet a hundred times, with room around it, and counts what is allocated.
fn round_trips(child: &ChildSa, framing: Framing, inner: &[u8]) -> u64 {
    let mut engine = engine(child, framing);
    let (mut storage, at) = roomy(inner);
    let arrival = Arrival::udp(mirrored(child).path);
    let info = allocation_counter::measure(|| {
        for _ in 0..100 {
            let mut packet = PacketBuf::new(&mut storage, at.clone()).unwrap();
            engine.seal(Instant::ZERO, &mut packet).unwrap();
            match framing {
                Framing::EspPacket => engine.open(Instant::ZERO, arrival, &mut packet).unwrap(),
                Framing::IpPacket => engine.open_ip(Instant::ZERO, &mut packet).unwrap(),
            };
            assert_eq!((packet.range(), packet.as_slice()), (at.clone(), inner));
        }
    });
    info.count_total
}

const WAYS: [(Framing, Encapsulation); 3] = [
    (Framing::EspPacket, Encapsulation::Udp),
    (Framing::IpPacket, Encapsulation::Udp),
    (Framing::IpPacket, Encapsulation::None),
];

#[test]
fn sealing_and_opening_allocate_nothing() {
    for suite in SUITES {
        for (framing, encapsulation) in WAYS {
            for path in [path_v4(), path_v6()] {
                let child = ChildSa { suite, encapsulation, path, ..child() };
                let allocations = round_trips(&child, framing, &v6(1_200));
                assert_eq!(allocations, 0, "{suite} {framing:?} {encapsulation:?}");
            }
        }
    }
}

#[test]
fn transport_mode_allocates_nothing() {
    let options = v4_between(&[0x94, 4, 0, 0], 17, &[1; 500]);
    let mut inner = v6_between(17, &[1; 500]);
    inner[..8].copy_from_slice(&[0x60, 0, 0, 0, 1, 0xF4, 17, 64]); // as the receiver makes it anew
    for suite in SUITES {
        for (framing, encapsulation) in WAYS {
            let child = ChildSa { suite, encapsulation, mode: Mode::Transport, ..child() };
            let v6_child = ChildSa { path: path_v6(), ..child.clone() };
            assert_eq!(round_trips(&v6_child, framing, &inner), 0, "{suite} {framing:?} {encapsulation:?}");
            if framing == Framing::IpPacket {
                assert_eq!(round_trips(&child, framing, &options), 0, "{suite} {encapsulation:?}");
            }
        }
    }
}

/// Truncated, flipped, replayed, unknown, ill padded, not IP, not of the SA; with the reports that they cause.
#[test]
fn dropping_allocates_nothing() {
    for suite in SUITES {
        let child = ChildSa { suite, ..child() };
        let mut engine = engine(&child, Framing::EspPacket);
        let arrival = Arrival::udp(path_v6());
        let (mut sender, _) = default_pair(&child);
        let good = seal(&mut sender, &v4(84));
        let mut bad: Vec<Vec<u8>> = (0..good.len()).map(|len| good[..len].to_vec()).collect();
        for bit in 0..good.len() * 8 {
            let mut flipped = good.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            bad.push(flipped);
        }
        for (at, text) in [
            with_trailer(suite, &v4(40), 17),
            with_trailer(suite, &v4(40), 41),
            with_trailer(suite, &[0x45; 18], 4),
            vec![0xFF; 48],
        ]
        .iter()
        .enumerate()
        {
            bad.push(packet_around(suite, 0x1001, PacketNumber::explicit(1_000 + at as u64), text));
        }
        let mut too_small = v4(84);
        let info = allocation_counter::measure(|| {
            for packet in &mut bad {
                assert!(engine.open(Instant::ZERO, arrival, &mut PacketBuf::whole(packet)).is_err());
            }
            assert!(engine.seal(Instant::ZERO, &mut PacketBuf::whole(&mut too_small)).is_err());
            while engine.poll_report().is_some() {}
        });
        assert_eq!(info.count_total, 0, "{suite}");
    }
}

/// However many packets come again, or by SPIs never seen: what is told of these has its bound.
#[test]
fn replays_and_unknown_spis_allocate_nothing() {
    let child = child();
    let mut engine = engine(&child, Framing::EspPacket);
    let arrival = Arrival::udp(mirrored(&child).path);
    let (mut sender, _) = default_pair(&child);
    let good = seal(&mut sender, &v4(84));
    let mut copies = vec![good; 1_001];
    let (first, repeated) = copies.split_first_mut().unwrap();
    engine.open(Instant::ZERO, arrival, &mut PacketBuf::whole(first)).unwrap();
    let mut strange = repeated.to_vec();
    for (packet, value) in strange.iter_mut().zip(0x2000u32..) {
        packet[..4].copy_from_slice(&value.to_be_bytes());
    }
    let info = allocation_counter::measure(|| {
        for packet in repeated.iter_mut().chain(&mut strange) {
            assert!(engine.open(Instant::ZERO, arrival, &mut PacketBuf::whole(packet)).is_err());
        }
    });
    assert_eq!(info.count_total, 0);
    let inbound = engine.statistics().inbound;
    assert_eq!(
        (inbound.dropped(DropReason::Replayed), inbound.dropped(DropReason::UnknownSpi)),
        (1_000, 1_000)
    );
    assert_eq!(inbound.packets, 1);
}

/// The moments when limits are reached, told and enforced.
#[test]
fn expiry_allocates_nothing() {
    let limit = Limit { soft: Some(3), hard: Some(5) };
    let child = ChildSa {
        lifetimes: Lifetimes { seconds: limit, packets: limit, ..Lifetimes::default() },
        ..child()
    };
    let mut engine = engine(&child, Framing::EspPacket);
    let arrival = Arrival::udp(mirrored(&child).path);
    let (mut storage, at) = roomy(&v4(100));
    let info = allocation_counter::measure(|| {
        for second in 0..8 {
            let now = Instant::from_millis(second * 700);
            let mut packet = PacketBuf::new(&mut storage, at.clone()).unwrap();
            let sealed = engine.seal(now, &mut packet).is_ok();
            assert_eq!(sealed, second < 5);
            if sealed {
                engine.open(now, arrival, &mut packet).unwrap();
            }
        }
        engine.handle_timeout(Instant::from_millis(100_000));
    });
    assert_eq!(info.count_total, 0);
    let reports = std::iter::from_fn(|| engine.poll_report()).count();
    assert_eq!(reports, 5, "soft and hard in both directions, and one packet came in");
}
