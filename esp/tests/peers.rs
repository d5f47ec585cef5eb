//! Two engines joined in memory: what goes in at one end comes out at the other, the same and in order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::{
    Arrival, Engine, EngineConfig, Framing, Opened, OutboundConfig, PacketBuf, ReportConfig, TfcPadding,
};
use ipsec_types::sa::ChildSa;
use ipsec_types::{Encapsulation, Instant, SaCommand, SequenceNumbers};
use proptest::test_runner::{RngAlgorithm, TestRng};

/// Two engines with one pair between them.
fn engines(child: &ChildSa, outbound: OutboundConfig) -> [Engine; 2] {
    let config = EngineConfig { outbound, ..EngineConfig::default() };
    let sides = [child.clone(), mirrored(child)];
    let mut engines = sides.map(|side| {
        let (inbound_spi, outbound_spi) = if side == *child { (0x1001, 0x2002) } else { (0x2002, 0x1001) };
        let mut engine = Engine::new(&RUSTCRYPTO, config);
        let inbound = install(&side, inbound_spi, inbound_spi as u8);
        let outbound = install(&side, outbound_spi, outbound_spi as u8);
        engine.apply(Instant::ZERO, SaCommand::InstallInbound(Box::new(inbound))).unwrap();
        engine.apply(Instant::ZERO, SaCommand::InstallOutbound(Box::new(outbound))).unwrap();
        engine
    });
    for engine in &mut engines {
        assert_eq!(engine.poll_report(), None);
    }
    engines
}

/// 10,000 packets of mixed sizes and both families, now from one side and now from the other.
fn carry(child: &ChildSa, outbound: OutboundConfig) {
    let [mut a, mut b] = engines(child, outbound);
    let seed = b"ten thousand packets, both sides";
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, seed);
    let mut random = move |below: usize| {
        use proptest::prelude::Rng;
        rng.next_u32() as usize % below
    };
    let mut counts = [0u64; 2];
    let mut octets = [0u64; 2];
    for i in 0..10_000u64 {
        let len = match random(4) {
            0 => 48 + random(32),
            1 => 1_400 + random(100),
            _ => 48 + random(1_452),
        };
        let mut inner = if random(2) == 0 { v4(len) } else { v6(len) };
        inner[len - 4..].copy_from_slice(&(i as u32).to_be_bytes());
        let side = random(2);
        let (sender, receiver) = if side == 0 { (&mut a, &mut b) } else { (&mut b, &mut a) };
        counts[side] += 1;
        octets[side] += len as u64;

        let (mut storage, at) = roomy(&inner);
        let mut packet = PacketBuf::new(&mut storage, at.clone()).unwrap();
        let now = Instant::from_millis(i);
        let outgoing = sender.seal(now, &mut packet).unwrap();
        assert_eq!(outgoing.sealed.number, counts[side]);
        assert!(!packet.as_slice().windows(16).any(|w| w == &inner[len - 16..]), "the inside is hidden");
        let datagram = packet.as_slice().to_vec();

        let mut received = datagram.clone();
        let mut packet = PacketBuf::whole(&mut received);
        let (local, remote) = (outgoing.path.remote, outgoing.path.local);
        let incoming = match (outbound.framing, outgoing.encapsulation) {
            (Framing::IpPacket, _) => receiver.open_ip(now, &mut packet),
            (_, Encapsulation::Udp) => {
                let path = ipsec_types::Path::nat_t(local, remote);
                receiver.open(now, Arrival::udp(path), &mut packet)
            }
            _ => receiver.open(now, Arrival::raw(local.ip(), remote.ip()), &mut packet),
        }
        .unwrap();
        assert_eq!(packet.as_slice(), inner);
        assert_eq!(incoming.child, child.id);
        let Opened::Packet(header) = incoming.opened else { panic!("a dummy") };
        assert_eq!(header.length, len);
    }
    for (engine, mine) in [(&a, 0), (&b, 1)] {
        let statistics = engine.statistics();
        assert_eq!((statistics.outbound.packets, statistics.outbound.octets), (counts[mine], octets[mine]));
        assert_eq!(
            (statistics.inbound.packets, statistics.inbound.octets),
            (counts[1 - mine], octets[1 - mine])
        );
        assert_eq!(statistics.inbound.dropped_in_all() + statistics.outbound.dropped_in_all(), 0);
    }
    // Ten seconds of traffic: with the default interval of five at most three signs of life, and no news of
    // the peer's address.
    let interval = ReportConfig::default().last_inbound_interval;
    assert_eq!(interval.as_secs(), 5);
    for engine in [&mut a, &mut b] {
        let reports: Vec<_> = std::iter::from_fn(|| engine.poll_report()).collect();
        assert!(reports.len() <= 2, "{reports:?}");
        assert!(reports.iter().all(|r| matches!(r, ipsec_types::SaReport::LastInbound { .. })));
    }
}

#[test]
fn udp_socket() {
    for suite in [GCM_128, CBC_256] {
        carry(&ChildSa { suite, ..child() }, OutboundConfig::default());
    }
}

#[test]
fn raw_socket() {
    let child = ChildSa { suite: GCM_256, encapsulation: Encapsulation::None, path: path_v6(), ..child() };
    carry(&child, OutboundConfig::default());
}

#[test]
fn whole_packets_of_both_families_with_64_bit_numbers() {
    for (suite, path, encapsulation) in [
        (GCM_128, path_v4(), Encapsulation::None),
        (CBC_128, path_v6(), Encapsulation::None),
        (GCM_256, path_v4(), Encapsulation::Udp),
        (GCM_128, path_v6(), Encapsulation::Udp),
    ] {
        let sequence_numbers = SequenceNumbers::Sequential64;
        let child = ChildSa { suite, path, encapsulation, sequence_numbers, ..child() };
        let config = OutboundConfig { framing: Framing::IpPacket, ..OutboundConfig::default() };
        carry(&child, config);
    }
}

#[test]
fn tfc_padding_is_cut_off_again() {
    let config = OutboundConfig { tfc: TfcPadding::ToLength(1_520), ..OutboundConfig::default() };
    carry(&child(), config);
}
