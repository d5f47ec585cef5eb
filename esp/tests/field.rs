//! What broke other implementations in the field, one test each. Those of the window alone are beside it; more
//! are with the vectors, the bad input and `max_inner`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::PacketNumber;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::replay::ReplayError;
use ipsec_esp::{
    AntiReplay, Arrival, CommandError, DropReason, Engine, EngineConfig, Framing, InboundConfig, OpenError,
    OutboundConfig, PacketBuf, SealError, TfcPadding, WindowSize,
};
use ipsec_types::sa::{ChildSa, ChildSaId, Direction, ExpiryReason};
use ipsec_types::{Encapsulation, Instant, SaCommand, SaReport, SequenceNumbers};
use std::collections::HashSet;

const NOW: Instant = Instant::ZERO;

/// AES-GCM in an IPv4 tunnel: inner 1,446 is outer 1,500 exactly, and padding goes to 4, not to 16.
#[test]
fn padding_is_to_4_for_gcm() {
    let child = ChildSa { encapsulation: Encapsulation::None, ..child() };
    let config = OutboundConfig { framing: Framing::IpPacket, ..OutboundConfig::default() };
    let (mut sender, _) = sa_pair(&child, config, InboundConfig::default());
    for len in 1_443..=1_446 {
        assert_eq!(seal(&mut sender, &v4(len)).len(), 1_500);
    }
    assert_eq!(seal(&mut sender, &v4(1_447)).len(), 1_504);
    assert_eq!(seal(&mut sender, &v4(1_442)).len(), 1_496);
    // The salt is not on the wire: header, IV, text and ICV are all there is.
    let esp = &seal(&mut sender, &v4(54))[20..];
    assert_eq!(esp.len(), 8 + 8 + 56 + 16);
}

/// IVs of AES-CBC: distinct, no counter, and not to be guessed from the packet before.
#[test]
fn cbc_ivs_are_unpredictable() {
    let (mut sender, _) = default_pair(&ChildSa { suite: CBC_128, ..child() });
    let packets: Vec<_> = (0..1_000).map(|_| seal(&mut sender, &v4(100))).collect();
    let iv = |packet: &[u8]| u128::from_be_bytes(packet[8..24].try_into().unwrap());
    let distinct: HashSet<_> = packets.iter().map(|p| iv(p)).collect();
    assert_eq!(distinct.len(), 1_000);
    for pair in packets.windows(2) {
        let (before, after) = (iv(&pair[0]), iv(&pair[1]));
        assert!(!pair[0].windows(16).any(|w| w == &pair[1][8..24]), "the IV stands in the packet before");
        // A counter differs in few bits or by a small number; a cipher's output in about 64 bits.
        assert!((before ^ after).count_ones() > 24);
        assert!(after.abs_diff(before) > 1 << 64);
    }
}

/// IVs of AES-GCM never repeat: each is the whole sequence number.
#[test]
fn gcm_ivs_are_the_sequence_numbers() {
    for sequence_numbers in [SequenceNumbers::Sequential32, SequenceNumbers::Sequential64] {
        let (mut sender, _) = default_pair(&ChildSa { sequence_numbers, ..child() });
        for number in 1..=1_000u64 {
            assert_eq!(seal(&mut sender, &v4(60))[8..16], number.to_be_bytes());
        }
    }
}

/// Inner packets of 60 octets with much padding behind them, and one whose length is a lie.
#[test]
fn tfc_padding_on_receive() {
    for suite in SUITES {
        for (inner, next_header) in [(v4(60), 4), (v6(60), 41)] {
            for (i, tfc) in [0usize, 1, 255, 1_300].into_iter().enumerate() {
                let child = ChildSa { suite, ..child() };
                let (_, mut receiver) = default_pair(&child);
                let mut payload = inner.clone();
                payload.resize(60 + tfc, 0x5A);
                let text = with_trailer(suite, &payload, next_header);
                let packet = packet_around(suite, 0x1001, PacketNumber::explicit(1 + i as u64), &text);
                assert_eq!(open(&mut receiver, &packet).unwrap(), inner);

                let mut lie = inner.clone();
                lie[if next_header == 4 { 3 } else { 5 }] += 1;
                let text = with_trailer(suite, &lie, next_header);
                let packet = packet_around(suite, 0x1001, PacketNumber::explicit(10 + i as u64), &text);
                assert!(matches!(open(&mut receiver, &packet), Err(OpenError::Inner(_))));
            }
        }
    }
}

/// The sender pads for every cipher, and only where the peer takes it.
#[test]
fn tfc_padding_on_send() {
    for suite in SUITES {
        let config = OutboundConfig { tfc: TfcPadding::ToLength(1_000), ..OutboundConfig::default() };
        let padded = ChildSa { suite, ..child() };
        let (mut sender, mut receiver) = sa_pair(&padded, config, InboundConfig::default());
        let lengths: Vec<_> = [60, 500, 1_000].map(|len| seal(&mut sender, &v4(len)).len()).into();
        assert!(lengths.iter().all(|len| *len == lengths[0]));
        assert!(seal(&mut sender, &v4(1_040)).len() > lengths[0]);
        let packet = seal(&mut sender, &v4(60));
        assert_eq!(open(&mut receiver, &packet).unwrap(), v4(60));

        let refused = ChildSa { tfc_allowed: false, ..padded };
        let (mut sender, _) = sa_pair(&refused, config, InboundConfig::default());
        assert!(seal(&mut sender, &v4(60)).len() < 150);
        assert!(sender.tailroom() < 100);
    }
}

/// Packets delayed by W - 1, W and W + 1 places: in, dropped, dropped; and counted as late, not as forged.
#[test]
fn reordering_beyond_the_window() {
    for width in [32, 64, 1_024] {
        for sequence_numbers in [SequenceNumbers::Sequential32, SequenceNumbers::Sequential64] {
            let esn = sequence_numbers == SequenceNumbers::Sequential64;
            let child = ChildSa { sequence_numbers, ..child() };
            let anti_replay = AntiReplay::Window(WindowSize::new(width).unwrap());
            let config = InboundConfig { anti_replay, ..InboundConfig::default() };
            let (mut sender, mut receiver) = sa_pair(&child, OutboundConfig::default(), config);
            // Far enough that a low half below the window exists in the next 2^32 too.
            let start = if esn { 5u64 << 32 } else { 0 };
            assert!(sender.leap_to(start + 1_000));
            receiver.resume_at(start + 1_000);
            let packets: Vec<_> = (0..=width + 1).map(|_| seal(&mut sender, &v4(60))).collect();
            assert!(open(&mut receiver, &packets[width as usize + 1]).is_ok());
            assert!(open(&mut receiver, &packets[2]).is_ok(), "W - 1 behind the newest");
            for late in [1, 0] {
                let error = open(&mut receiver, &packets[late]).unwrap_err();
                let expected = if esn { OpenError::IntegrityOrLate } else { ReplayError::BelowWindow.into() };
                assert_eq!(error, expected, "{late}");
            }
            let late = if esn { DropReason::IntegrityOrLate } else { DropReason::BelowWindow };
            assert_eq!(receiver.statistics().dropped(late), 2);
            assert_eq!(receiver.statistics().dropped(DropReason::Integrity), 0);
            // A forgery near the newest number is counted as one.
            let mut forged = seal(&mut sender, &v4(60));
            forged[20] ^= 1;
            assert_eq!(open(&mut receiver, &forged), Err(OpenError::Integrity));
        }
    }
}

/// Without a window 64-bit numbers go on over 2^32, swapped ones too, and forged ones move nothing.
#[test]
fn esn_without_replay_protection() {
    for suite in SUITES {
        let child = ChildSa { suite, sequence_numbers: SequenceNumbers::Sequential64, ..child() };
        let config = InboundConfig { anti_replay: AntiReplay::Off, ..InboundConfig::default() };
        let (mut sender, mut receiver) = sa_pair(&child, OutboundConfig::default(), config);
        assert!(sender.leap_to((1 << 32) - 3));
        receiver.resume_at((1 << 32) - 3);
        let mut packets: Vec<_> = (0..5).map(|_| seal(&mut sender, &v4(60))).collect();
        packets.swap(1, 2);
        for packet in &packets {
            assert_eq!(open(&mut receiver, packet).unwrap(), v4(60));
        }
        assert_eq!(receiver.newest_number(), (1 << 32) + 2);
        assert!(open(&mut receiver, &packets[0]).is_ok(), "repeats pass where protection is off");
        let mut forged = seal(&mut sender, &v4(60));
        forged[4..8].copy_from_slice(&5u32.to_be_bytes());
        assert_eq!(open(&mut receiver, &forged), Err(OpenError::Integrity));
        assert_eq!(receiver.newest_number(), (1 << 32) + 2);
    }
}

/// With a window too: 2^32 is crossed in order, with one swap and a forgery between.
#[test]
fn esn_over_two_to_the_32() {
    for suite in SUITES {
        let child = ChildSa { suite, sequence_numbers: SequenceNumbers::Sequential64, ..child() };
        let (mut sender, mut receiver) = default_pair(&child);
        assert!(sender.leap_to((1 << 32) - 3));
        receiver.resume_at((1 << 32) - 3);
        let packets: Vec<_> = (0..5).map(|_| seal(&mut sender, &v4(60))).collect();
        let mut forged = packets[4].clone();
        forged[4..8].copy_from_slice(&5u32.to_be_bytes());
        for at in [0, 2, 1] {
            assert!(open(&mut receiver, &packets[at]).is_ok());
            assert_eq!(open(&mut receiver, &forged), Err(OpenError::Integrity));
        }
        assert_eq!(receiver.newest_number(), 1 << 32);
        assert!(open(&mut receiver, &packets[4]).is_ok() && open(&mut receiver, &packets[3]).is_ok());
        assert_eq!(open(&mut receiver, &packets[1]), Err(ReplayError::Replayed.into()));
    }
}

/// From 2^32 - 3 with 32-bit numbers three packets leave, the fourth is an error; one soft event, one hard one.
#[test]
fn exhaustion_is_told() {
    let child = child();
    let (mut sender, mut receiver) = default_pair(&child);
    assert!(sender.leap_to(u64::from(u32::MAX) - 3));
    let (mut storage, at) = roomy(&v4(60));
    let mut events = Vec::new();
    for turn in 0..6 {
        let mut packet = PacketBuf::new(&mut storage, at.clone()).unwrap();
        let sealed = sender.seal(NOW, &mut packet);
        events.extend(std::iter::from_fn(|| sender.poll_event()));
        match sealed {
            Ok(sealed) => {
                assert_eq!(sealed.number, u64::from(u32::MAX) - 2 + turn);
                assert_ne!(packet.as_slice()[4..8], [0; 4], "number 0 is never sent");
                assert!(receiver.open(NOW, &mut packet, None).is_ok());
            }
            Err(error) => {
                assert!(turn >= 3);
                assert_eq!(error, SealError::NumbersExhausted);
                assert_eq!((packet.range(), packet.as_slice()), (at.clone(), &v4(60)[..]));
            }
        }
    }
    use ipsec_esp::lifetime::LifetimeEvent::{Hard, Soft};
    let reason = ExpiryReason::SequenceNumbers;
    assert_eq!(events, [Soft(reason), Hard(reason)]);
    assert_eq!(sender.statistics().dropped(DropReason::NumbersExhausted), 3);
    assert!(!sender.leap_to(5), "no way back");
}

/// The soft event comes at three quarters of the numbers, as a report that asks for a new pair.
#[test]
fn rekey_is_asked_for_early() {
    let (mut sender, _) = default_pair(&child());
    assert!(sender.leap_to(0xBFFF_FFFD));
    let mut told = Vec::new();
    for _ in 0..4 {
        let sealed = seal(&mut sender, &v4(60));
        told.push((sealed[4..8].to_vec(), sender.poll_event().is_some()));
    }
    let at = |number: u32, event| (number.to_be_bytes().to_vec(), event);
    assert_eq!(
        told,
        [at(0xBFFF_FFFE, false), at(0xBFFF_FFFF, true), at(0xC000_0000, false), at(0xC000_0001, false)]
    );
}

/// No deadline stays in the past, and none is left that has nothing to say.
#[test]
fn timers_move_on() {
    use ipsec_types::sa::{Lifetimes, Limit};
    let seconds = Limit { soft: Some(10), hard: Some(20) };
    let packets = Limit { soft: Some(2), hard: None };
    let child = ChildSa { lifetimes: Lifetimes { seconds, packets, ..Lifetimes::default() }, ..child() };
    let mut engine = Engine::new(&RUSTCRYPTO, EngineConfig::default());
    assert_eq!(engine.poll_timeout(), None);
    let at = Instant::from_millis;
    let inbound = Box::new(install(&mirrored(&child), 0x1001, 1));
    let outbound = Box::new(install(&mirrored(&child), 0x2002, 2));
    engine.apply(at(1_000), SaCommand::InstallInbound(inbound)).unwrap();
    engine.apply(at(2_000), SaCommand::InstallOutbound(outbound)).unwrap();
    assert_eq!(engine.poll_timeout(), Some(at(11_000)));
    engine.handle_timeout(at(5_000)); // early: nothing happens
    assert_eq!((engine.poll_timeout(), engine.poll_report()), (Some(at(11_000)), None));

    // The packets' soft limit comes first on the inbound SA: its soft deadline has nothing more to say.
    let (mut sender, _) = default_pair(&child);
    for _ in 0..2 {
        let mut packet = seal(&mut sender, &v4(60));
        let arrival = Arrival::udp(mirrored(&child).path);
        engine.open(at(6_000), arrival, &mut PacketBuf::whole(&mut packet)).unwrap();
    }
    assert_eq!(engine.poll_timeout(), Some(at(12_000)));
    let mut reports = Vec::new();
    while let Some(deadline) = engine.poll_timeout() {
        engine.handle_timeout(deadline);
        assert!(engine.poll_timeout().is_none_or(|next| next > deadline));
        let before = reports.len();
        reports.extend(std::iter::from_fn(|| engine.poll_report()));
        assert!(reports.len() > before, "a wake-up without effect");
    }
    let id = ChildSaId(1);
    let (inbound, outbound) = (Direction::Inbound, Direction::Outbound);
    let (time, packets) = (ExpiryReason::Time, ExpiryReason::Packets);
    assert_eq!(
        reports,
        [
            SaReport::LastInbound { id, at: at(6_000) },
            SaReport::SoftExpired { id, direction: inbound, reason: packets },
            SaReport::SoftExpired { id, direction: outbound, reason: time },
            SaReport::HardExpired { id, direction: inbound, reason: time },
            SaReport::HardExpired { id, direction: outbound, reason: time },
        ]
    );
    // Late by a day: everything is told at once.
    engine.handle_timeout(at(86_400_000));
    assert_eq!((engine.poll_timeout(), engine.poll_report()), (None, None));
}

fn install_out(engine: &mut Engine, id: u64, spi_value: u32, seed: u8) -> Result<(), CommandError> {
    let sa = ChildSa { id: ChildSaId(id), ..child() };
    engine.apply(NOW, SaCommand::InstallOutbound(Box::new(install(&sa, spi_value, seed))))
}

/// The same key a second time would begin with number 1 again, and a nonce would be used twice: refused while the SA
/// is there, and after it.
#[test]
fn the_same_key_is_not_installed_twice() {
    let mut engine = Engine::new(&RUSTCRYPTO, EngineConfig { used_keys: 3, ..EngineConfig::default() });
    install_out(&mut engine, 1, 0x1001, 1).unwrap();
    let before = format!("{engine:?}");
    assert_eq!(install_out(&mut engine, 2, 0x1001, 1), Err(CommandError::KeyUsed(spi(0x1001))));
    assert_eq!(format!("{engine:?}"), before);
    // Two peers may choose one SPI.
    install_out(&mut engine, 2, 0x1001, 2).unwrap();
    let remove = |id| SaCommand::Remove { id: ChildSaId(id), inbound: true, outbound: true };
    engine.apply(NOW, remove(1)).unwrap();
    assert_eq!(install_out(&mut engine, 3, 0x1001, 1), Err(CommandError::KeyUsed(spi(0x1001))));
    // What is remembered is bounded: the oldest is forgotten.
    for id in 10..14 {
        install_out(&mut engine, id, 0x2000, id as u8).unwrap();
        engine.apply(NOW, remove(id)).unwrap();
        let first = install_out(&mut engine, 99, 0x1001, 1);
        assert_eq!(first.is_ok(), id >= 12, "{id}");
        if first.is_ok() {
            return;
        }
    }
    panic!("nothing was forgotten");
}

/// Two handles on one buffer: it can be opened in place through neither; a copy is, and what the other handle shows
/// stays as it was.
#[test]
fn a_shared_buffer_is_not_opened_in_place() {
    let (mut sender, mut receiver) = default_pair(&child());
    let packet = seal(&mut sender, &v4(60));
    let mut pool = bytes::BytesMut::from(&packet[..]);
    let one = pool.split().freeze();
    let other = one.clone();
    let one = one.try_into_mut().expect_err("two handles");
    let mut copy = bytes::BytesMut::from(&one[..]);
    let mut buf = PacketBuf::whole(&mut copy);
    assert!(receiver.open(NOW, &mut buf, None).is_ok());
    assert_eq!(buf.as_slice(), v4(60));
    assert_eq!((&one[..], &other[..]), (&packet[..], &packet[..]));
    // The only handle is the buffer's owner: there it is opened where it lies.
    let only = bytes::Bytes::from(seal(&mut sender, &v4(60)));
    let place = only.as_ptr();
    let mut own = only.try_into_mut().expect("one handle");
    assert!(receiver.open(NOW, &mut PacketBuf::whole(&mut own), None).is_ok());
    assert_eq!(own.as_ptr(), place);
}
