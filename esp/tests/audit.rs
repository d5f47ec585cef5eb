//! Audit events: each that a document asks for, with what it asks to be told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::PacketNumber;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::audit::AuditEvents;
use ipsec_esp::ecn::Ecn;
use ipsec_esp::spd::{Action, Applies, Spd, SpdEntry};
use ipsec_esp::{
    Arrival, AuditConfig, AuditEvent, AuditRecord, DropReason, Engine, EngineConfig, Framing, OutboundConfig,
    OutboundSa, PacketBuf, ReportConfig,
};
use ipsec_types::sa::{ChildSa, ChildSaId, Lifetimes, Limit, PacketSelectors, PolicyId};
use ipsec_types::{AddressRange, Encapsulation, Instant, PortRange, SaCommand, TrafficSelector};
use std::net::IpAddr;
use std::time::Duration;

const NOW: Instant = Instant::from_millis(1_000);
const SPI: u32 = 0x1001;

fn engine_with(audit: AuditConfig) -> Engine {
    let outbound = OutboundConfig { framing: Framing::IpPacket, ..OutboundConfig::default() };
    Engine::new(&RUSTCRYPTO, EngineConfig { audit, outbound, ..EngineConfig::default() })
}

fn engine() -> Engine {
    engine_with(AuditConfig::default())
}

fn raw_v6() -> ChildSa {
    ChildSa { path: path_v6(), encapsulation: Encapsulation::None, ..child() }
}

/// What `child` sends, as whole packets.
fn sender(child: &ChildSa) -> OutboundSa {
    let config = OutboundConfig { framing: Framing::IpPacket, ..OutboundConfig::default() };
    OutboundSa::new(&RUSTCRYPTO, install(child, SPI, 1), config, NOW).unwrap()
}

fn receiver(child: &ChildSa) -> Engine {
    let mut engine = engine();
    engine.apply(NOW, SaCommand::InstallInbound(Box::new(install(&mirrored(child), SPI, 1)))).unwrap();
    engine
}

fn receive(engine: &mut Engine, packet: &[u8]) -> bool {
    let mut packet = packet.to_vec();
    engine.open_ip(NOW, &mut PacketBuf::whole(&mut packet)).is_ok()
}

/// The one event that there is.
fn only(engine: &mut Engine) -> AuditRecord {
    let record = engine.poll_audit().expect("an event");
    assert_eq!(engine.poll_audit(), None);
    record
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The inner packet of these tests as its selectors say it.
fn inside() -> PacketSelectors {
    let side = |address, port| TrafficSelector {
        addresses: AddressRange::single(ip(address)),
        protocol: 17,
        ports: PortRange::single(port),
    };
    PacketSelectors { source: side("10.1.0.1", 5000), destination: side("10.2.0.1", 53) }
}

/// A record of an ESP packet from 2001:db8::1 to 2001:db8::2 with this number.
fn of_esp(event: AuditEvent, reason: DropReason, number: u32) -> AuditRecord {
    AuditRecord {
        at: NOW,
        event,
        reason: Some(reason),
        child: Some(ChildSaId(1)),
        spi: Some(SPI),
        sequence_number: Some(number),
        source: Some(ip("2001:db8::1")),
        destination: Some(ip("2001:db8::2")),
        flow_label: Some(0xABCDE),
        packet: None,
        ecn: None,
    }
}

/// The packet under the flow label 0xABCDE.
fn labelled(mut packet: Vec<u8>) -> Vec<u8> {
    packet[1] = packet[1] & 0xF0 | 0x0A;
    packet[2..4].copy_from_slice(&[0xBC, 0xDE]);
    packet
}

/// RFC 4303 §3.4.2: SPI, time, addresses, number, flow label.
#[test]
fn unknown_spi() {
    let packet = labelled(seal(&mut sender(&raw_v6()), &v4(60)));
    let mut engine = engine();
    assert!(!receive(&mut engine, &packet));
    let expected = AuditRecord { child: None, ..of_esp(AuditEvent::UnknownSpi, DropReason::UnknownSpi, 1) };
    assert_eq!(only(&mut engine), expected);
}

/// RFC 4303 §3.4.3.
#[test]
fn replay() {
    let packet = labelled(seal(&mut sender(&raw_v6()), &v4(60)));
    let mut engine = receiver(&raw_v6());
    assert!(receive(&mut engine, &packet));
    assert!(!receive(&mut engine, &packet));
    assert_eq!(only(&mut engine), of_esp(AuditEvent::Replay, DropReason::Replayed, 1));
}

/// RFC 4303 §3.4.4.
#[test]
fn integrity() {
    let mut packet = labelled(seal(&mut sender(&raw_v6()), &v4(60)));
    *packet.last_mut().unwrap() ^= 1;
    let mut engine = receiver(&raw_v6());
    assert!(!receive(&mut engine, &packet));
    assert_eq!(only(&mut engine), of_esp(AuditEvent::Integrity, DropReason::Integrity, 1));
}

/// RFC 4303 §3.4.1: a first fragment shows SPI and number, a later one its addresses.
#[test]
fn fragments() {
    let v4_child = ChildSa { encapsulation: Encapsulation::None, ..child() };
    let whole = seal(&mut sender(&v4_child), &v4(60));
    let mut engine = receiver(&v4_child);
    let fragment = |field: u16| {
        let mut packet = whole.clone();
        packet[6..8].copy_from_slice(&field.to_be_bytes());
        fix_checksum(&mut packet);
        packet
    };
    let expected = AuditRecord {
        child: None,
        source: Some(ip("192.0.2.1")),
        destination: Some(ip("198.51.100.2")),
        flow_label: None,
        ..of_esp(AuditEvent::Fragment, DropReason::OuterFragment, 1)
    };
    assert!(!receive(&mut engine, &fragment(0x2000)));
    assert_eq!(only(&mut engine), expected);
    assert!(!receive(&mut engine, &fragment(0x0004)));
    assert_eq!(only(&mut engine), AuditRecord { spi: None, sequence_number: None, ..expected });

    let whole = labelled(seal(&mut sender(&raw_v6()), &v4(60)));
    for (offset_and_more, shown) in [(1u16, true), (8 << 3, false)] {
        let mut packet = whole.clone();
        packet[6] = 44;
        let [high, low] = offset_and_more.to_be_bytes();
        packet.splice(40..40, [50, 0, high, low, 0, 0, 0, 1]);
        let length = (packet.len() - 40) as u16;
        packet[4..6].copy_from_slice(&length.to_be_bytes());
        assert!(!receive(&mut engine, &packet));
        let expected =
            AuditRecord { child: None, ..of_esp(AuditEvent::Fragment, DropReason::OuterFragment, 1) };
        let hidden = AuditRecord { spi: None, sequence_number: None, ..expected };
        assert_eq!(only(&mut engine), if shown { expected } else { hidden });
    }
}

/// RFC 4303 §3.3.3 is told of the last number; a lifetime that ends is no event of it.
#[test]
fn numbers_exhausted_and_lifetimes() {
    let mut alone = sender(&child());
    assert!(alone.leap_to(u32::MAX.into()));
    let (mut storage, at) = roomy(&v4(60));
    let error = alone.seal(NOW, &mut PacketBuf::new(&mut storage, at).unwrap()).unwrap_err();
    assert_eq!(AuditEvent::of(error.reason()), Some(AuditEvent::NumbersExhausted));

    let mut engine = engine();
    let limits = Lifetimes { packets: Limit { soft: None, hard: Some(1) }, ..Lifetimes::default() };
    let sa = ChildSa { lifetimes: limits, ..child() };
    engine.apply(NOW, SaCommand::InstallOutbound(Box::new(install(&sa, SPI, 1)))).unwrap();
    for passes in [true, false] {
        let (mut storage, at) = roomy(&v4(60));
        let sealed = engine.seal(NOW, &mut PacketBuf::new(&mut storage, at).unwrap());
        assert_eq!(sealed.is_ok(), passes);
    }
    assert_eq!(engine.statistics().outbound.dropped(DropReason::OutboundExpired), 1);
    assert_eq!(engine.poll_audit(), None);
}

fn policy(action: Action) -> Option<Spd> {
    let all = || vec![TrafficSelector::ALL_V4, TrafficSelector::ALL_V6];
    let entry = SpdEntry { action, applies: Applies::BothWays, local: all(), remote: all() };
    Some(Spd::new(vec![entry]).unwrap())
}

fn send(engine: &mut Engine) {
    let (mut storage, at) = roomy(&v4(60));
    assert!(engine.send(NOW, &mut PacketBuf::new(&mut storage, at).unwrap()).is_err());
}

/// RFC 4301 §5.1: reason, time, selectors; where an SA is asked for, it is not yet known that there is none.
#[test]
fn packets_to_send() {
    let expected = |event, reason| AuditRecord {
        child: None,
        spi: None,
        sequence_number: None,
        flow_label: None,
        source: Some(ip("10.1.0.1")),
        destination: Some(ip("10.2.0.1")),
        packet: Some(inside()),
        ..of_esp(event, reason, 0)
    };
    let mut engine = engine();
    send(&mut engine);
    assert_eq!(only(&mut engine), expected(AuditEvent::NoSa, DropReason::NoOutboundSa));
    engine.set_policy(policy(Action::Discard));
    send(&mut engine);
    assert_eq!(only(&mut engine), expected(AuditEvent::OutboundPolicy, DropReason::OutboundPolicy));
    engine.set_policy(policy(Action::Protect(PolicyId(1))));
    send(&mut engine);
    assert_eq!(engine.poll_audit(), None);

    let reports = ReportConfig { acquires: 0, ..ReportConfig::default() };
    let mut deaf = Engine::new(&RUSTCRYPTO, EngineConfig { reports, ..EngineConfig::default() });
    deaf.set_policy(policy(Action::Protect(PolicyId(1))));
    send(&mut deaf);
    assert_eq!(only(&mut deaf).event, AuditEvent::NoSa);
}

/// RFC 4301 §5.2: what came unprotected.
#[test]
fn packets_that_came_unprotected() {
    let mut engine = engine();
    engine.handle_timeout(NOW);
    assert!(engine.admit_unprotected(&v4(60)).is_err());
    let record = only(&mut engine);
    assert_eq!((record.event, record.at), (AuditEvent::InboundPolicy, NOW));
    assert_eq!((record.packet, record.spi), (Some(inside()), None));
}

/// RFC 4301 §5.2 step 4: SPI, addresses, and the selectors of the packet inside.
#[test]
fn packets_that_the_sa_does_not_carry() {
    let narrow =
        ChildSa { remote: vec![TrafficSelector { protocol: 6, ..TrafficSelector::ALL_V4 }], ..raw_v6() };
    let packet = labelled(seal(&mut sender(&raw_v6()), &v4(60)));
    let mut engine = receiver(&narrow);
    assert!(!receive(&mut engine, &packet));
    let expected =
        AuditRecord { packet: Some(inside()), ..of_esp(AuditEvent::Selectors, DropReason::Selectors, 1) };
    assert_eq!(only(&mut engine), expected);
}

/// RFC 6040 §4.2, both ends of its table: dropped, and delivered with a mark.
#[test]
fn ecn_fields() {
    let with_outer = |ecn: Ecn| {
        let mut packet = labelled(seal(&mut sender(&raw_v6()), &v4(60)));
        packet[1] |= ecn.bits() << 4;
        packet
    };
    let mut engine = receiver(&raw_v6());
    assert!(!receive(&mut engine, &with_outer(Ecn::Ce)));
    let expected = AuditRecord {
        ecn: Some((Ecn::NotEct, Ecn::Ce)),
        ..of_esp(AuditEvent::CongestionLost, DropReason::Ecn, 1)
    };
    assert_eq!(only(&mut engine), expected);
    let mut engine = receiver(&raw_v6());
    assert!(receive(&mut engine, &with_outer(Ecn::Ect1)));
    let record = only(&mut engine);
    assert_eq!((record.event, record.reason), (AuditEvent::UnusualEcn, None));
    assert_eq!((record.ecn, record.packet), (Some((Ecn::NotEct, Ecn::Ect1)), Some(inside())));
}

/// What is dropped for other reasons is counted and no event.
#[test]
fn what_is_no_event() {
    let mut engine = receiver(&raw_v6());
    let cipher = FixedIv::new(GCM_128, &keys(GCM_128, 1), &[1; 8]);
    let mut text = v4(60);
    text.extend_from_slice(&[1, 9, 2, 4]); // padding that lies
    let mut packet = SPI.to_be_bytes().to_vec();
    packet.extend_from_slice(&[0, 0, 0, 1]);
    packet.extend_from_slice(&[1; 8]);
    packet.extend_from_slice(&text);
    packet.extend_from_slice(&[0; 16]);
    ipsec_crypto::PacketCipher::seal(&cipher, PacketNumber::explicit(1), 8, &mut packet).unwrap();
    let arrival = Arrival::raw(ip("2001:db8::2"), ip("2001:db8::1"));
    assert!(engine.open(NOW, arrival, &mut PacketBuf::whole(&mut packet)).is_err());
    assert_eq!(engine.statistics().inbound.dropped(DropReason::PaddingContent), 1);
    assert_eq!(engine.poll_audit(), None);
    let events = DropReason::ALL.iter().filter(|reason| AuditEvent::of(**reason).is_some()).count();
    assert_eq!(events, 16);
}

/// Each kind has its own rate, so that a flood of one leaves room for the others; nothing is lost unseen.
#[test]
fn rates_and_bounds() {
    let audit =
        AuditConfig { queue: 8, burst: 4, interval: Duration::from_secs(1), ..AuditConfig::default() };
    let mut engine = engine_with(audit);
    let unknown = seal(&mut sender(&raw_v6()), &v4(60));
    (0..100).for_each(|_| assert!(!receive(&mut engine, &unknown)));
    send(&mut engine);
    let events: Vec<_> = std::iter::from_fn(|| engine.poll_audit()).map(|record| record.event).collect();
    let u = AuditEvent::UnknownSpi;
    assert_eq!(events, [u, u, u, u, AuditEvent::NoSa]);
    assert_eq!(engine.audits_lost(), 96);
    assert_eq!(engine.statistics().inbound.dropped(DropReason::UnknownSpi), 100);
    // A second later one more is told.
    let mut packet = unknown.clone();
    let later = NOW + Duration::from_secs(1);
    assert!(engine.open_ip(later, &mut PacketBuf::whole(&mut packet)).is_err());
    assert_eq!(only(&mut engine).at, later);

    let full = AuditConfig { queue: 2, ..AuditConfig::default() };
    let mut engine = engine_with(full);
    (0..5).for_each(|_| send(&mut engine));
    assert_eq!((std::iter::from_fn(|| engine.poll_audit()).count(), engine.audits_lost()), (2, 3));
}

/// RFC 4301 §4.4.1, RFC 6040 §4.2: what is told can be chosen, and switched off.
#[test]
fn kinds_can_be_switched_off() {
    let some = AuditEvents::NONE.with(AuditEvent::NoSa).with(AuditEvent::Replay).without(AuditEvent::Replay);
    assert!(some.contains(AuditEvent::NoSa) && !some.contains(AuditEvent::Replay));
    assert_eq!(format!("{some:?}"), "{NoSa}");
    let unknown = seal(&mut sender(&raw_v6()), &v4(60));
    for (audit, told) in [
        (AuditConfig { events: some, ..AuditConfig::default() }, 1),
        (AuditConfig { events: AuditEvents::NONE, ..AuditConfig::default() }, 0),
        (AuditConfig { queue: 0, ..AuditConfig::default() }, 0),
    ] {
        let mut engine = engine_with(audit);
        assert!(!receive(&mut engine, &unknown));
        send(&mut engine);
        assert_eq!(std::iter::from_fn(|| engine.poll_audit()).count(), told);
        assert_eq!(engine.audits_lost(), 0);
    }
}

/// Events take no memory beyond the queue's.
#[test]
fn auditing_allocates_nothing() {
    let mut engine = receiver(&raw_v6());
    let unknown = seal(&mut sender(&raw_v6()), &v4(60));
    let mut forged = unknown.clone();
    *forged.last_mut().unwrap() ^= 1;
    let mut buffer = forged.clone();
    let info = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            buffer.copy_from_slice(&forged);
            let _dropped = engine.open_ip(NOW, &mut PacketBuf::whole(&mut buffer));
        }
    });
    assert_eq!((info.count_total, engine.audits_lost()), (0, 984));
}
