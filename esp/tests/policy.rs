//! The policy of an engine (RFC 4301 §4.4.1, §5): ordered entries, what they do to packets, and the cache in front of
//! them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::ip::{IpHeader, Ports};
use ipsec_esp::selectors::SelectorFault;
use ipsec_esp::spd::{Action, Applies, Spd, SpdEntry, SpdError};
use ipsec_esp::{DropReason, Engine, EngineConfig, OpenError, PacketBuf, ReportConfig, SealError, Sending};
use ipsec_types::sa::{ChildSa, ChildSaId, Direction, PacketSelectors, PolicyId};
use ipsec_types::{AddressRange, Instant, PortRange, SaCommand, SaReport, TrafficSelector};
use proptest::prelude::*;
use std::net::IpAddr;
use std::time::Duration;

const NOW: Instant = Instant::ZERO;

fn engine() -> Engine {
    Engine::new(&RUSTCRYPTO, EngineConfig::default())
}

fn all() -> Vec<TrafficSelector> {
    vec![TrafficSelector::ALL_V4, TrafficSelector::ALL_V6]
}

fn entry(action: Action, remote: TrafficSelector) -> SpdEntry {
    SpdEntry { action, applies: Applies::BothWays, local: all(), remote: vec![remote] }
}

fn to(prefix: &str, bits: u8, protocol: u8, ports: PortRange) -> TrafficSelector {
    let addresses = AddressRange::prefix(prefix.parse().unwrap(), bits).unwrap();
    TrafficSelector { addresses, protocol, ports }
}

/// UDP to port 53 of 10.2.0.1, as `v4` makes it.
fn dns() -> TrafficSelector {
    to("10.2.0.1", 32, 17, PortRange::single(53))
}

fn catch_all(action: Action) -> SpdEntry {
    SpdEntry { remote: all(), ..entry(action, TrafficSelector::ALL_V4) }
}

fn spd(entries: impl IntoIterator<Item = SpdEntry>) -> Option<Spd> {
    Some(Spd::new(entries.into_iter().collect()).unwrap())
}

fn install_out(engine: &mut Engine, id: u64, policy: u64, replaces: Option<u64>) {
    let child =
        ChildSa { id: ChildSaId(id), policy: PolicyId(policy), replaces: replaces.map(ChildSaId), ..child() };
    let install = install(&child, 0x2000 + id as u32, id as u8);
    engine.apply(NOW, SaCommand::InstallOutbound(Box::new(install))).unwrap();
}

/// What became of a packet.
#[derive(PartialEq, Eq, Debug)]
enum Became {
    By(u64),
    Bypassed,
    Not(SealError),
}

fn send_at(engine: &mut Engine, now: Instant, packet: &[u8]) -> Became {
    let (mut storage, at) = roomy(packet);
    let mut buf = PacketBuf::new(&mut storage, at).unwrap();
    match engine.send(now, &mut buf) {
        Ok(Sending::Protected(outgoing)) => Became::By(outgoing.child.0),
        Ok(Sending::Bypass(_)) => {
            assert_eq!(buf.as_slice(), packet, "as it was");
            Became::Bypassed
        }
        Err(error) => {
            assert_eq!(buf.as_slice(), packet, "as it was");
            Became::Not(error)
        }
    }
}

fn send(engine: &mut Engine, packet: &[u8]) -> Became {
    send_at(engine, NOW, packet)
}

fn reports(engine: &mut Engine) -> Vec<SaReport> {
    std::iter::from_fn(|| engine.poll_report()).collect()
}

const P1: Action = Action::Protect(PolicyId(1));
const P2: Action = Action::Protect(PolicyId(2));

/// Overlapping entries: the first that matches decides, whichever it is; also when the flow was seen before.
#[test]
fn the_first_entry_decides() {
    let mut engine = engine();
    install_out(&mut engine, 1, 1, None);
    let narrow = |action| entry(action, dns());
    for (entries, expected) in [
        (vec![narrow(Action::Bypass), catch_all(P1)], Became::Bypassed),
        (vec![catch_all(P1), narrow(Action::Bypass)], Became::By(1)),
        (vec![narrow(Action::Discard), catch_all(P1)], Became::Not(SealError::Discarded)),
        (vec![narrow(P1), catch_all(Action::Discard)], Became::By(1)),
        (vec![catch_all(Action::Bypass), narrow(Action::Discard)], Became::Bypassed),
    ] {
        engine.set_policy(spd(entries));
        for _ in 0..3 {
            assert_eq!(send(&mut engine, &v4(60)), expected);
        }
    }
    let statistics = engine.statistics().outbound;
    assert_eq!((statistics.bypassed, statistics.dropped(DropReason::OutboundPolicy)), (6, 3));
}

/// RFC 4301 §4.4.1: without an entry for it a packet is discarded, in either direction.
#[test]
fn what_no_entry_is_for_is_discarded() {
    let mut engine = engine();
    install_out(&mut engine, 1, 1, None);
    for policy in [spd([]), spd([entry(P1, TrafficSelector::ALL_V6)])] {
        engine.set_policy(policy);
        assert_eq!(send(&mut engine, &v4(60)), Became::Not(SealError::Discarded));
        assert_eq!(engine.admit_unprotected(&v4(60)), Err(OpenError::Policy));
    }
    assert_eq!(send(&mut engine, &v6(60)), Became::By(1));
    assert!(reports(&mut engine).is_empty());
    // Without any policy the SAs decide, and nothing passes unprotected.
    engine.set_policy(None);
    assert_eq!(send(&mut engine, &v4(60)), Became::By(1));
    assert_eq!(engine.admit_unprotected(&v4(60)), Err(OpenError::Policy));
    assert_eq!(engine.statistics().inbound.dropped(DropReason::InboundPolicy), 3);
}

/// An SA carries the packets of its own policy alone.
#[test]
fn each_policy_has_its_own_sas() {
    let mut engine = engine();
    engine.set_policy(spd([entry(P2, dns()), catch_all(P1)]));
    install_out(&mut engine, 1, 1, None);
    assert_eq!(send(&mut engine, &v4(60)), Became::Not(SealError::NoSa));
    assert_eq!(send(&mut engine, &v6(60)), Became::By(1));
    install_out(&mut engine, 2, 2, None);
    assert_eq!(send(&mut engine, &v4(60)), Became::By(2), "at once: what was seen before is asked anew");
}

/// A question that found no room is asked by the next packet.
#[test]
fn acquire_that_was_lost() {
    let reports_config = ReportConfig { queue: 1, ..ReportConfig::default() };
    let config = EngineConfig { reports: reports_config, ..EngineConfig::default() };
    let mut engine = Engine::new(&RUSTCRYPTO, config);
    engine.set_policy(spd([catch_all(P1)]));
    send(&mut engine, &v6(60));
    for _ in 0..2 {
        send(&mut engine, &v4(60));
    }
    assert_eq!((reports(&mut engine).len(), engine.reports_lost()), (1, 2));
    assert_eq!(std::iter::from_fn(|| engine.poll_audit()).count(), 2, "nothing asks for an SA yet");
    send(&mut engine, &v4(60));
    let asked = reports(&mut engine);
    let [SaReport::Acquire { packet, .. }] = &asked[..] else { panic!("{asked:?}") };
    assert!(packet.source.addresses.contains([10, 1, 0, 1].into()));
}

/// Where there is no SA, IKE is asked with the packet's own selectors: once for a flow and a time.
#[test]
fn acquire_reports() {
    let reports_config = ReportConfig { acquires: 3, ..ReportConfig::default() };
    let config = EngineConfig { reports: reports_config, ..EngineConfig::default() };
    let mut engine = Engine::new(&RUSTCRYPTO, config);
    engine.set_policy(spd([catch_all(P1)]));
    let selectors = |source_port, destination_port| {
        let side = |address: &str, port| to(address, 32, 17, PortRange::single(port));
        PacketSelectors {
            source: side("10.1.0.1", source_port),
            destination: side("10.2.0.1", destination_port),
        }
    };
    for _ in 0..100 {
        assert_eq!(send(&mut engine, &v4(60)), Became::Not(SealError::NoSa));
    }
    let asked = SaReport::Acquire { policy: PolicyId(1), packet: selectors(5000, 53) };
    assert_eq!(reports(&mut engine), std::slice::from_ref(&asked));
    // Other flows ask too, as many as may.
    let other = |port: u16| {
        let mut packet = v4(60);
        packet[22..24].copy_from_slice(&port.to_be_bytes());
        packet
    };
    for port in 1..=5 {
        send(&mut engine, &other(port));
    }
    assert_eq!(reports(&mut engine).len(), 2);
    assert_eq!(engine.reports_lost(), 3);
    // After a time again.
    let later = |millis| Instant::from_origin(Duration::from_millis(millis));
    assert_eq!(send_at(&mut engine, later(4_999), &v4(60)), Became::Not(SealError::NoSa));
    assert!(reports(&mut engine).is_empty());
    send_at(&mut engine, later(5_000), &v4(60));
    assert_eq!(reports(&mut engine), [asked]);
    // What shows no ports asks for any; ICMP for its type and code.
    let mut fragment = v4(60);
    fragment[6..8].copy_from_slice(&[0, 9]);
    send_at(&mut engine, later(20_000), &fragment);
    let mut icmp = v4(60);
    (icmp[9], icmp[20], icmp[21]) = (1, 8, 3);
    send_at(&mut engine, later(20_000), &icmp);
    let ports = |report: &SaReport| match report {
        SaReport::Acquire { packet, .. } => (packet.source.protocol, packet.source.ports),
        _ => panic!(),
    };
    let asked: Vec<_> = reports(&mut engine).iter().map(ports).collect();
    assert_eq!(asked, [(17, PortRange::ANY), (1, PortRange::single(0x0803))]);
    // An SA that came answers.
    install_out(&mut engine, 1, 1, None);
    assert_eq!(send_at(&mut engine, later(20_001), &v4(60)), Became::By(1));
    assert_eq!(engine.statistics().outbound.dropped(DropReason::NoOutboundSa), 109);
}

/// Every change of policy or of the SAs holds for the next packet of a flow that was seen before.
#[test]
fn changes_reach_flows_that_are_under_way() {
    let mut engine = engine();
    engine.set_policy(spd([catch_all(P1)]));
    install_out(&mut engine, 1, 1, None);
    assert_eq!(send(&mut engine, &v4(60)), Became::By(1));
    // Make before break: the replacement carries nothing until it is told to.
    install_out(&mut engine, 2, 1, Some(1));
    assert_eq!(send(&mut engine, &v4(60)), Became::By(1));
    engine.apply(NOW, SaCommand::SwitchOutbound { from: ChildSaId(1), to: ChildSaId(2) }).unwrap();
    assert_eq!(send(&mut engine, &v4(60)), Became::By(2));
    engine.apply(NOW, SaCommand::Remove { id: ChildSaId(1), inbound: false, outbound: true }).unwrap();
    assert_eq!(send(&mut engine, &v4(60)), Became::By(2));
    install_out(&mut engine, 3, 1, None);
    assert_eq!(send(&mut engine, &v4(60)), Became::By(3), "the newest that admits it");
    for id in [3, 2] {
        engine.apply(NOW, SaCommand::Remove { id: ChildSaId(id), inbound: false, outbound: true }).unwrap();
    }
    assert_eq!(send(&mut engine, &v4(60)), Became::Not(SealError::NoSa));
    engine.set_policy(spd([catch_all(Action::Bypass)]));
    assert_eq!(send(&mut engine, &v4(60)), Became::Bypassed);
    engine.set_policy(None);
    assert_eq!(send(&mut engine, &v4(60)), Became::Not(SealError::NoSa));
}

/// Packets that policy lets pass are none that an embedder who only seals may send.
#[test]
fn seal_refuses_what_is_to_be_bypassed() {
    let mut engine = engine();
    engine.set_policy(spd([catch_all(Action::Bypass)]));
    let (mut storage, at) = roomy(&v4(60));
    let mut buf = PacketBuf::new(&mut storage, at).unwrap();
    assert_eq!(engine.seal(NOW, &mut buf), Err(SealError::Bypass));
    assert_eq!(engine.statistics().outbound.dropped(DropReason::NotToBeSealed), 1);
    engine.set_policy(spd([catch_all(Action::Discard)]));
    assert_eq!(engine.seal(NOW, &mut buf), Err(SealError::Discarded));
}

/// RFC 4301 §5.2: what comes unprotected passes by BYPASS alone, its sides the other way round.
#[test]
fn what_comes_unprotected() {
    let mut engine = engine();
    let mut answer = v4(60);
    answer[12..20].copy_from_slice(&[10, 2, 0, 1, 10, 1, 0, 1]);
    answer[20..24].copy_from_slice(&[0, 53, 0x13, 0x88]);
    let bypass = |applies| SpdEntry { applies, ..entry(Action::Bypass, dns()) };
    for (applies, out, inn) in
        [(Applies::BothWays, true, true), (Applies::Outbound, true, false), (Applies::Inbound, false, true)]
    {
        engine.set_policy(spd([bypass(applies), catch_all(Action::Discard)]));
        assert_eq!(send(&mut engine, &v4(60)) == Became::Bypassed, out, "{applies:?}");
        assert_eq!(engine.admit_unprotected(&answer).is_ok(), inn, "{applies:?}");
        assert_eq!(engine.admit_unprotected(&v4(60)), Err(OpenError::Policy), "the way out is no way in");
    }
    // What is to be protected must not come in the clear.
    engine.set_policy(spd([catch_all(P1)]));
    assert_eq!(engine.admit_unprotected(&answer), Err(OpenError::Policy));
    assert!(matches!(engine.admit_unprotected(&answer[..19]), Err(OpenError::Inner(_))));
    assert_eq!(engine.statistics().inbound.bypassed, 2);
}

/// RFC 4301 §7: a fragment that shows no ports is for entries with ANY or OPAQUE ports; one that lets some ports
/// pass, or drops them, is not for it.
#[test]
fn fragments() {
    let mut later = v4(60);
    later[6..8].copy_from_slice(&[0, 9]);
    let mut first = v4(60);
    first[6..8].copy_from_slice(&[0x20, 0]);
    let mut engine = engine();
    let udp = |ports| to("10.2.0.0", 16, 17, ports);
    for (ports, of_first, of_later) in
        [(PortRange::single(53), true, false), (PortRange::ANY, true, true), (PortRange::OPAQUE, false, true)]
    {
        engine.set_policy(spd([entry(Action::Bypass, udp(ports)), catch_all(Action::Discard)]));
        assert_eq!(send(&mut engine, &first) == Became::Bypassed, of_first, "{ports}");
        assert_eq!(send(&mut engine, &later) == Became::Bypassed, of_later, "{ports}");
    }
}

/// ICMP types and codes as one value: ranges of codes, and those that cross types.
#[test]
fn icmp_types_and_codes() {
    let mut engine = engine();
    let icmp = |kind, code| {
        let mut packet = v4(60);
        (packet[9], packet[20], packet[21]) = (1, kind, code);
        packet
    };
    let range = PortRange::new(0x0301, 0x0503).unwrap();
    let mut errors = entry(Action::Bypass, to("10.2.0.1", 32, 1, range));
    errors.local = vec![to("10.1.0.1", 32, 1, range)];
    engine.set_policy(spd([errors, catch_all(Action::Discard)]));
    for (kind, code, passes) in [
        (3, 0, false),
        (3, 1, true),
        (3, 255, true),
        (4, 0, true),
        (5, 3, true),
        (5, 4, false),
        (8, 1, false),
    ] {
        assert_eq!(send(&mut engine, &icmp(kind, code)) == Became::Bypassed, passes, "{kind}/{code}");
    }
}

#[test]
fn entries_that_mean_nothing() {
    let good = catch_all(Action::Discard);
    let empty = SpdEntry { local: vec![], ..good.clone() };
    let fault = SelectorFault::NoSelectors;
    assert_eq!(Spd::new(vec![good.clone(), empty]), Err(SpdError { entry: 1, fault }));
    let selector = to("10.0.0.0", 8, 0, PortRange::single(80));
    let fault = SelectorFault::PortsOfAnyProtocol(selector);
    let ports_of_any = entry(Action::Bypass, selector);
    assert_eq!(Spd::new(vec![good, ports_of_any]), Err(SpdError { entry: 1, fault }));
}

/// A packet of a small world, so that entries and packets meet often.
fn some_packet() -> impl Strategy<Value = Vec<u8>> {
    (0u8..4, 0u8..4, 0usize..3, 0u8..4, 0u8..4, any::<bool>()).prop_map(
        |(source, destination, protocol, from, to, fragment)| {
            let mut packet = v4(60);
            (packet[15], packet[19]) = (source, destination);
            packet[9] = [1, 6, 17][protocol];
            packet[20..24].copy_from_slice(&[0, from, 0, to]);
            packet[7] = u8::from(fragment);
            packet
        },
    )
}

fn some_selector(net: u8) -> impl Strategy<Value = TrafficSelector> {
    let ports = prop_oneof![
        Just(PortRange::ANY),
        Just(PortRange::OPAQUE),
        (0u16..4, 0u16..4).prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap()),
    ];
    (0u8..4, 0u8..4, 0usize..4, ports).prop_map(move |(a, b, protocol, ports)| {
        let address = |last: u8| IpAddr::from([10, net, 0, last]);
        let protocol = [0, 1, 6, 17][protocol];
        let ports = if protocol == 0 { PortRange::ANY } else { ports };
        let addresses = AddressRange::new(address(a.min(b)), address(a.max(b))).unwrap();
        TrafficSelector { addresses, protocol, ports }
    })
}

fn some_spd() -> impl Strategy<Value = Vec<SpdEntry>> {
    let action = prop_oneof![Just(P1), Just(P2), Just(Action::Bypass), Just(Action::Discard)];
    let applies = prop_oneof![Just(Applies::BothWays), Just(Applies::Outbound), Just(Applies::Inbound)];
    let entry = (
        action,
        applies,
        prop::collection::vec(some_selector(1), 1..3),
        prop::collection::vec(some_selector(2), 1..3),
    );
    prop::collection::vec(
        entry.prop_map(|(action, applies, local, remote)| SpdEntry { action, applies, local, remote }),
        0..6,
    )
}

/// The action for a packet that is sent, looked up again by what the document says.
fn by_the_book(entries: &[SpdEntry], packet: &[u8]) -> Action {
    let header = IpHeader::parse(packet).unwrap();
    let (mut from, mut to) = (None, None);
    let mut single = false;
    match header.ports {
        Ports::Pair(source, destination) => (from, to) = (Some(source), Some(destination)),
        Ports::Single(value) => (from, to, single) = (Some(value), Some(value), true),
        Ports::Unavailable => {}
    }
    let protocol = header.protocol.unwrap();
    for entry in entries {
        if entry.applies == Applies::Inbound {
            continue;
        }
        let local = entry.local.iter().any(|selector| selector.matches(header.source, protocol, from));
        let remote = entry.remote.iter().any(|selector| {
            selector.matches(header.destination, protocol, to)
                || single && selector.matches(header.destination, protocol, None)
        });
        if local && remote {
            return entry.action;
        }
    }
    Action::Discard
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// With a cache of few flows, with none, and after changes: always what an ordered search says.
    #[test]
    fn cache_and_ordered_search_agree(
        policies in prop::collection::vec(some_spd(), 1..4),
        packets in prop::collection::vec(some_packet(), 1..40),
        flow_cache in prop_oneof![Just(0usize), Just(4), Just(1_024)],
    ) {
        let mut engine =
            Engine::new(&RUSTCRYPTO, EngineConfig { flow_cache, ..EngineConfig::default() });
        install_out(&mut engine, 1, 1, None);
        for entries in policies {
            engine.set_policy(spd(entries.clone()));
            for packet in packets.iter().chain(&packets) {
                let expected = match by_the_book(&entries, packet) {
                    Action::Protect(PolicyId(1)) => Became::By(1),
                    Action::Protect(_) => Became::Not(SealError::NoSa),
                    Action::Bypass => Became::Bypassed,
                    Action::Discard => Became::Not(SealError::Discarded),
                };
                prop_assert_eq!(send(&mut engine, packet), expected);
                let header = IpHeader::parse(packet).unwrap();
                prop_assert_eq!(
                    Spd::new(entries.clone()).unwrap().find(&header, Direction::Outbound),
                    by_the_book(&entries, packet)
                );
            }
        }
    }
}

/// Ten million flows, one packet each: nothing is allocated after the engine was made.
#[test]
fn ten_million_flows_take_no_memory() {
    let mut engine = engine();
    engine.set_policy(spd([entry(P1, dns()), catch_all(Action::Bypass)]));
    let mut packet = v4(60);
    packet[16] = 11; // not what is to be protected
    let info = allocation_counter::measure(|| {
        let mut random = 1u64;
        for _ in 0..10_000_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            packet[12..15].copy_from_slice(&random.to_be_bytes()[..3]);
            packet[20..24].copy_from_slice(&random.to_be_bytes()[3..7]);
            let sent = engine.send(NOW, &mut PacketBuf::whole(&mut packet));
            assert!(matches!(sent, Ok(Sending::Bypass(_))));
        }
    });
    assert_eq!(info.count_total, 0);
    assert_eq!(engine.statistics().outbound.bypassed, 10_000_000);
}

/// Nor do packets that ask for SAs, however many flows they are of.
#[test]
fn asking_for_sas_allocates_nothing() {
    let mut engine = engine();
    engine.set_policy(spd([catch_all(P1)]));
    let mut packet = v4(60);
    let info = allocation_counter::measure(|| {
        for flow in 0..100_000u32 {
            packet[20..24].copy_from_slice(&flow.to_be_bytes());
            let sent = engine.send(NOW, &mut PacketBuf::whole(&mut packet));
            assert_eq!(sent, Err(SealError::NoSa));
        }
    });
    assert_eq!(info.count_total, 0);
    assert_eq!(reports(&mut engine).len(), 64);
}
