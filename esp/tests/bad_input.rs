//! What a stranger, a broken peer or a bad line sends: dropped, counted by its reason, nothing delivered, and
//! the state as it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::PacketNumber;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::packet::{LayoutError, TrailerError};
use ipsec_esp::replay::ReplayError;
use ipsec_esp::{
    Arrival, DropReason, Engine, EngineConfig, InboundConfig, Incoming, OpenError, Opened, PacketBuf,
};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::ChildSa;
use ipsec_types::{EspSpi, Instant, SaCommand, SaReport, SequenceNumbers};

const NOW: Instant = Instant::ZERO;

fn receiver_with(child: &ChildSa, inbound: InboundConfig) -> Engine {
    let config = EngineConfig { inbound, ..EngineConfig::default() };
    let mut engine = Engine::new(&RUSTCRYPTO, config);
    let install = install(&mirrored(child), 0x1001, 1);
    engine.apply(NOW, SaCommand::InstallInbound(Box::new(install))).unwrap();
    engine
}

fn receive(engine: &mut Engine, packet: &[u8]) -> Result<(Incoming, Vec<u8>), OpenError> {
    let mut storage = packet.to_vec();
    let mut buf = PacketBuf::whole(&mut storage);
    let path = mirrored(&child()).path;
    engine.open(NOW, Arrival::udp(path), &mut buf).map(|incoming| (incoming, buf.as_slice().to_vec()))
}

/// The packet is dropped for a reason that is counted once, and nothing else changes.
#[track_caller]
fn dropped(engine: &mut Engine, packet: &[u8]) -> OpenError {
    let before = (format!("{engine:?}"), engine.statistics());
    let error = receive(engine, packet).expect_err("dropped");
    assert_eq!(format!("{engine:?}"), before.0, "{error}");
    let after = engine.statistics();
    for reason in DropReason::ALL {
        let more = u64::from(*reason == error.reason());
        assert_eq!(after.inbound.dropped(*reason), before.1.inbound.dropped(*reason) + more, "{reason}");
    }
    assert_eq!(
        (after.inbound.packets, after.inbound.octets),
        (before.1.inbound.packets, before.1.inbound.octets)
    );
    assert_eq!(after.outbound, before.1.outbound);
    error
}

fn suites() -> impl Iterator<Item = (CipherSuite, SequenceNumbers)> {
    SUITES.into_iter().flat_map(|suite| {
        [SequenceNumbers::Sequential32, SequenceNumbers::Sequential64].map(|kind| (suite, kind))
    })
}

#[test]
fn every_truncation_of_a_valid_packet() {
    for (suite, sequence_numbers) in suites() {
        let child = ChildSa { suite, sequence_numbers, ..child() };
        let (mut sender, _) = default_pair(&child);
        let mut engine = receiver_with(&child, InboundConfig::default());
        let packet = seal(&mut sender, &v4(84));
        for len in 0..packet.len() {
            let error = dropped(&mut engine, &packet[..len]);
            let shortest = if suite.integ == GCM_128.integ { 8 + 8 + 2 + 16 } else { 8 + 16 + 16 + 16 };
            match error {
                OpenError::Layout(LayoutError::TooShort { got, .. }) => assert!(got == len && len < shortest),
                OpenError::Layout(LayoutError::PartialBlock { .. }) => {
                    assert!(suite != GCM_128 && suite != GCM_256)
                }
                other => assert!(other == OpenError::Integrity && len >= shortest, "{len}: {other}"),
            }
        }
        for extra in 1..=32 {
            let mut longer = packet.clone();
            longer.extend(std::iter::repeat_n(0, extra));
            dropped(&mut engine, &longer);
        }
        assert!(receive(&mut engine, &packet).is_ok());
    }
}

#[test]
fn every_bit_flipped_in_turn() {
    for (suite, sequence_numbers) in suites() {
        let child = ChildSa { suite, sequence_numbers, ..child() };
        let (mut sender, _) = default_pair(&child);
        let mut engine = receiver_with(&child, InboundConfig::default());
        let packet = seal(&mut sender, &v6(60));
        for bit in 0..packet.len() * 8 {
            let mut flipped = packet.clone();
            flipped[bit / 8] ^= 0x80 >> (bit % 8);
            match dropped(&mut engine, &flipped) {
                OpenError::UnknownSpi(_) | OpenError::ReservedSpi(1) => assert!(bit < 32),
                // The number is 1: without its lowest bit it is 0, which nobody sends.
                OpenError::Replay(ReplayError::Zero) => assert_eq!(bit, 63),
                other => assert!(other == OpenError::Integrity && bit >= 32, "bit {bit}: {other}"),
            }
        }
        let reports = std::iter::from_fn(|| engine.poll_report());
        assert!(reports.into_iter().all(|report| matches!(report, SaReport::UnknownSpi { .. })));
        assert!(receive(&mut engine, &packet).is_ok());
    }
}

/// Lengths that cannot be. The packets are authentic: only a broken peer makes them.
#[test]
fn padding_that_lies() {
    for suite in SUITES {
        let child = ChildSa { suite, ..child() };
        let align = if suite.integ == GCM_128.integ { 4 } else { 16 };
        let mut number = 0;
        let mut try_text = |strict_padding: bool, text: &[u8]| {
            number += 1;
            let config = InboundConfig { strict_padding, ..InboundConfig::default() };
            let mut engine = receiver_with(&child, config);
            let packet = packet_around(suite, 0x1001, PacketNumber::explicit(number), text);
            let result = receive(&mut engine, &packet);
            // An authentic packet moves the window whatever its inside is.
            assert_eq!(engine.inbound(spi(0x1001)).unwrap().newest_number(), number);
            let statistics = engine.statistics().inbound;
            match &result {
                Ok(_) => {
                    let passed = statistics.packets + statistics.dummies;
                    assert_eq!((passed, statistics.dropped_in_all()), (1, 0));
                }
                Err(error) => assert_eq!((statistics.packets, statistics.dropped(error.reason())), (0, 1)),
            }
            assert!(dropped(&mut engine, &packet) == OpenError::Replay(ReplayError::Replayed));
            result.map(|(_, inner)| inner)
        };
        let good = with_trailer(suite, &v4(29), 4);
        let pad_at = good.len() - 2;
        assert_eq!(try_text(true, &good).unwrap(), v4(29));
        for lie in 0..=255u8 {
            let mut text = good.clone();
            text[pad_at] = lie;
            let longest = text.len() - 2;
            let result = try_text(true, &text);
            if usize::from(lie) > longest {
                let expected = TrailerError::PadLength { padding: usize::from(lie), text: text.len() };
                assert_eq!(result, Err(expected.into()));
            } else if lie == good[pad_at] || lie == 0 {
                // Too little padding leaves octets behind the inner packet: they pass as TFC padding.
                assert_eq!(result.unwrap(), v4(29));
            } else {
                assert!(result.is_err(), "pad length {lie}");
            }
        }
        let mut wrong = good.clone();
        wrong[pad_at - 1] ^= 1;
        assert_eq!(try_text(true, &wrong), Err(TrailerError::PaddingContent.into()));
        assert_eq!(try_text(false, &wrong).unwrap(), v4(29));
        // All padding and no payload: not a dummy, and no IP packet either.
        let all: Vec<u8> = (1..=align as u8 - 2).chain([align as u8 - 2, 4]).collect();
        assert!(matches!(try_text(true, &all), Err(OpenError::Inner(_))));
        let dummy: Vec<u8> = (1..=align as u8 - 2).chain([align as u8 - 2, 59]).collect();
        assert!(try_text(true, &dummy).is_ok());
    }
}

/// On authentic packets: next headers, versions, lengths.
#[test]
fn inside_that_does_not_fit() {
    let child = child();
    let mut number = 0;
    let mut judge = |payload: &[u8], next_header: u8| {
        number += 1;
        let mut engine = receiver_with(&child, InboundConfig::default());
        let text = with_trailer(GCM_128, payload, next_header);
        let packet = packet_around(GCM_128, 0x1001, PacketNumber::explicit(number), &text);
        receive(&mut engine, &packet)
            .map(|(incoming, inner)| (incoming.opened, inner))
            .map_err(|e| e.reason())
    };
    for next_header in (0..=255).filter(|nh| ![4, 41, 59].contains(nh)) {
        assert_eq!(judge(&v4(40), next_header), Err(DropReason::NextHeader), "{next_header}");
    }
    assert_eq!(judge(&v4(40), 41), Err(DropReason::VersionMismatch));
    assert_eq!(judge(&v6(60), 4), Err(DropReason::VersionMismatch));
    assert_eq!(judge(b"garbage of a dummy", 59).unwrap().0, Opened::Dummy);
    assert_eq!(judge(&[], 59).unwrap().0, Opened::Dummy);
    assert_eq!(judge(&[], 4), Err(DropReason::InnerPacket));
    let with = |packet: Vec<u8>, at: usize, value: u8| {
        let mut packet = packet;
        packet[at] = value;
        packet
    };
    assert_eq!(judge(&with(v4(40), 0, 0x44), 4), Err(DropReason::InnerPacket), "IHL below 5");
    assert_eq!(judge(&with(v4(40), 0, 0x4F), 4), Err(DropReason::InnerPacket), "header longer than packet");
    assert_eq!(judge(&with(v4(40), 3, 0), 4), Err(DropReason::InnerPacket), "total length 0");
    assert_eq!(judge(&with(v4(40), 3, 19), 4), Err(DropReason::InnerPacket), "shorter than its header");
    assert_eq!(judge(&with(v4(40), 3, 41), 4), Err(DropReason::InnerPacket), "longer than the payload");
    assert_eq!(judge(&with(v6(60), 5, 21), 41), Err(DropReason::InnerPacket), "longer than the payload");
    assert_eq!(judge(&v4(40)[..12], 4), Err(DropReason::InnerPacket), "not even a header");
    let mut jumbo = with(v6(60), 6, 0);
    jumbo[5] = 0;
    assert_eq!(judge(&jumbo, 41), Err(DropReason::InnerPacket), "jumbogram");
}

/// A text that ends off the 4-octet boundary, with a cipher that has no
/// blocks, is authentic all the same.
#[test]
fn misaligned_text_is_accepted_and_counted_unless_strict() {
    let child = child();
    for off in 1..4 {
        let mut text = v4(42 + off);
        text.extend_from_slice(&[0, 4]);
        let packet = packet_around(GCM_128, 0x1001, PacketNumber::explicit(1), &text);
        let mut engine = receiver_with(&child, InboundConfig::default());
        assert_eq!(receive(&mut engine, &packet).unwrap().1, v4(42 + off));
        assert_eq!(engine.statistics().inbound.misaligned, 1);
        let strict = InboundConfig { strict_alignment: true, ..InboundConfig::default() };
        let mut engine = receiver_with(&child, strict);
        assert_eq!(receive(&mut engine, &packet).map(|_| ()), Err(OpenError::Alignment));
    }
}

/// Edge case 2: SPI 0, the reserved ones, that of an outbound SA; and one never seen.
#[test]
fn spis_that_are_not_ours() {
    let child = child();
    let mut engine = receiver_with(&child, InboundConfig::default());
    let outbound = install(&mirrored(&child), 0x2002, 2);
    engine.apply(NOW, SaCommand::InstallOutbound(Box::new(outbound))).unwrap();
    let (mut sender, _) = default_pair(&child);
    let packet = seal(&mut sender, &v4(84));
    let with_spi = |value: u32| {
        let mut packet = packet.clone();
        packet[..4].copy_from_slice(&value.to_be_bytes());
        packet
    };
    for value in [0, 1, 7, 8, 255] {
        assert_eq!(dropped(&mut engine, &with_spi(value)), OpenError::ReservedSpi(value));
        assert_eq!(engine.poll_report(), None);
    }
    for value in [256, 0x1000, 0x2002, u32::MAX] {
        let unknown = EspSpi::new(value).unwrap();
        assert_eq!(dropped(&mut engine, &with_spi(value)), OpenError::UnknownSpi(unknown));
        let path = mirrored(&child).path;
        assert_eq!(engine.poll_report(), Some(SaReport::UnknownSpi { spi: unknown, path }));
    }
}

#[test]
fn replayed_packets() {
    for (suite, sequence_numbers) in suites() {
        let child = ChildSa { suite, sequence_numbers, ..child() };
        let (mut sender, _) = default_pair(&child);
        let mut engine = receiver_with(&child, InboundConfig::default());
        let packets: Vec<_> = (0..20).map(|_| seal(&mut sender, &v4(84))).collect();
        for packet in &packets {
            assert_eq!(receive(&mut engine, packet).unwrap().1, v4(84));
        }
        for packet in &packets {
            assert_eq!(dropped(&mut engine, packet), OpenError::Replay(ReplayError::Replayed));
        }
    }
}

/// What a failed open leaves behind is not plain text.
#[test]
fn failed_opens_show_no_plain_text() {
    for suite in SUITES {
        let child = ChildSa { suite, ..child() };
        let (mut sender, mut receiver) = default_pair(&child);
        let inner = v4(200);
        let mut packet = seal(&mut sender, &inner);
        let last = packet.len() - 1;
        packet[last] ^= 1;
        let mut buf = PacketBuf::whole(&mut packet);
        assert_eq!(receiver.open(NOW, &mut buf, None), Err(OpenError::Integrity));
        assert!(!packet.windows(16).any(|window| inner.windows(16).any(|plain| plain == window)));
    }
}

/// A receiver is given a packet of another SA by mistake.
#[test]
fn packet_of_another_sa() {
    let (mut sender, _) = default_pair(&child());
    let packet = seal(&mut sender, &v4(84));
    let other = install(&mirrored(&child()), 0x3003, 1);
    let mut receiver = ipsec_esp::InboundSa::new(&RUSTCRYPTO, other, InboundConfig::default(), NOW).unwrap();
    assert_eq!(open(&mut receiver, &packet), Err(OpenError::UnknownSpi(spi(0x1001))));
}
