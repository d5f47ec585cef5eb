//! ICMP errors and SAs (RFC 4301 §6.2): one that no selectors are for goes, and comes, with the packets that it is about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::icmp;
use ipsec_esp::ip::{IpHeader, Ports};
use ipsec_esp::spd::{Action, Applies, Spd, SpdEntry};
use ipsec_esp::{AuditEvent, Engine, EngineConfig, OpenError, PacketBuf, SealError};
use ipsec_types::sa::{ChildSa, ChildSaId, PolicyId};
use ipsec_types::{AddressRange, Instant, PortRange, SaCommand, SaReport, TrafficSelector};
use std::net::IpAddr;

const NOW: Instant = Instant::ZERO;
const TCP: u8 = 6;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An IP packet between these addresses.
fn between(source: &str, destination: &str, protocol: u8, upper: &[u8]) -> Vec<u8> {
    let (source, destination) = (ip(source), ip(destination));
    let mut packet = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0];
            packet[2..4].copy_from_slice(&(20 + upper.len() as u16).to_be_bytes());
            packet.extend_from_slice(&source.octets());
            packet.extend_from_slice(&destination.octets());
            fix_checksum(&mut packet);
            packet
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut packet = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
            packet[4..6].copy_from_slice(&(upper.len() as u16).to_be_bytes());
            packet.extend_from_slice(&source.octets());
            packet.extend_from_slice(&destination.octets());
            packet
        }
        _ => unreachable!(),
    };
    packet.extend_from_slice(upper);
    packet
}

/// A TCP packet; of its header no more than the ports matter here.
fn tcp(source: &str, from: u16, destination: &str, to: u16) -> Vec<u8> {
    let mut upper = [from.to_be_bytes(), to.to_be_bytes()].concat();
    upper.resize(60, 0x77);
    between(source, destination, TCP, &upper)
}

/// An ICMP message of this type and code with these octets behind its header.
fn icmp(source: &str, destination: &str, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(rest);
    between(source, destination, if ip(source).is_ipv4() { 1 } else { 58 }, &message)
}

/// "Unreachable" in the family of the packet that it is about.
fn unreachable(source: &str, destination: &str, quote: &[u8]) -> Vec<u8> {
    let kind = if ip(source).is_ipv4() { 3 } else { 1 };
    icmp(source, destination, kind, 1, quote)
}

/// One of our side, one of the other, and a router there, of which no selectors know.
const V4: [&str; 3] = ["10.1.0.1", "10.2.0.1", "172.16.9.9"];
const V6: [&str; 3] = ["fd00:1::1", "fd00:2::1", "fd00:99::9"];

fn net(address: &str, protocol: u8, ports: PortRange) -> TrafficSelector {
    let address = ip(address);
    let addresses = AddressRange::prefix(address, if address.is_ipv4() { 16 } else { 64 }).unwrap();
    TrafficSelector { addresses, protocol, ports }
}

/// For what our side has to do with web servers of the other.
fn web(hosts: [&str; 3]) -> ChildSa {
    let [ours, theirs, _] = hosts;
    let local = vec![net(ours, TCP, PortRange::ANY)];
    let remote = vec![net(theirs, TCP, PortRange::single(443))];
    ChildSa { local, remote, ..child() }
}

/// For everything between the two networks.
fn all(hosts: [&str; 3]) -> ChildSa {
    let [ours, theirs, _] = hosts;
    ChildSa {
        local: vec![net(ours, 0, PortRange::ANY)],
        remote: vec![net(theirs, 0, PortRange::ANY)],
        ..child()
    }
}

/// Whether the SA delivers the packet that the peer sends by it.
fn delivers(sa: &ChildSa, packet: &[u8]) -> bool {
    let open_to_all = ChildSa { local: child().local, remote: child().remote, ..mirrored(sa) };
    let (mut sender, _) = default_pair(&open_to_all);
    let sealed = seal(&mut sender, packet);
    let (_, mut receiver) = default_pair(&mirrored(sa));
    match open(&mut receiver, &sealed) {
        Ok(inner) => {
            assert_eq!(inner, packet);
            true
        }
        Err(error) => {
            assert_eq!(error, OpenError::Selectors);
            false
        }
    }
}

/// RFC 4301 §6.2, inbound: the quoted packet, turned round, must be one of the SA's.
#[test]
fn errors_that_come_by_an_sa() {
    for hosts in [V4, V6] {
        let [ours, theirs, router] = hosts;
        let sa = web(hosts);
        let sent = tcp(ours, 5000, theirs, 443);
        assert!(delivers(&sa, &unreachable(router, ours, &sent)));
        let rows = [
            ("a packet that we would not send by this SA", tcp(ours, 5000, theirs, 80)),
            ("a packet of the other direction", tcp(theirs, 443, ours, 5000)),
            ("a packet to others", tcp(ours, 5000, router, 443)),
            ("another protocol", {
                let mut packet = sent.clone();
                packet[if ip(ours).is_ipv4() { 9 } else { 6 }] = 17;
                packet
            }),
            ("an error about an error", unreachable(ours, theirs, &sent)),
            ("nothing", Vec::new()),
            ("no packet", vec![0xFF; 80]),
        ];
        for (what, quote) in rows {
            assert!(!delivers(&sa, &unreachable(router, ours, &quote)), "{what}");
        }
        // To whom it does not concern.
        assert!(!delivers(&sa, &unreachable(router, theirs, &sent)));
        // No error: what it carries is no quote.
        let echo = if ip(ours).is_ipv4() { 0 } else { 129 };
        assert!(!delivers(&sa, &icmp(router, ours, echo, 0, &sent)));
        // One that the selectors are for needs no quote (RFC 4301 §6.2: who wants more must not admit it so).
        assert!(delivers(&all(hosts), &unreachable(theirs, ours, &[])));
    }
}

/// How much of the packet is quoted: routers owe eight octets behind the header (RFC 792). Where the ports do not show,
/// an SA for some ports does not carry it.
#[test]
fn short_quotes() {
    for (hosts, header) in [(V4, 20), (V6, 40)] {
        let [ours, theirs, router] = hosts;
        let sent = tcp(ours, 5000, theirs, 443);
        for len in 0..=header + 8 {
            let error = unreachable(router, ours, &sent[..len]);
            assert_eq!(delivers(&web(hosts), &error), len >= header + 4, "{len}");
            assert_eq!(delivers(&all(hosts), &error), len >= header, "{len}");
        }
    }
}

/// A later fragment shows no ports (RFC 4301 §7).
#[test]
fn quoted_fragments() {
    let [ours, theirs, router] = V4;
    let mut fragment = tcp(ours, 5000, theirs, 443);
    fragment[7] = 8;
    fix_checksum(&mut fragment);
    let error = unreachable(router, ours, &fragment);
    assert_eq!((delivers(&web(V4), &error), delivers(&all(V4), &error)), (false, true));
    // A fragment of an error is held against selectors as it is.
    let mut error = unreachable(router, ours, &tcp(ours, 5000, theirs, 443));
    error[6] = 0x20;
    fix_checksum(&mut error);
    assert!(!delivers(&web(V4), &error));
}

/// What a quoted packet's answer looks like.
#[test]
fn quotes_turned_round() {
    let [ours, theirs, router] = V4;
    let error = unreachable(router, ours, &tcp(ours, 5000, theirs, 443));
    let answer = icmp::answer_to_quoted(&error, &IpHeader::parse(&error).unwrap()).unwrap();
    assert_eq!((answer.source, answer.destination), (ip(theirs), ip(ours)));
    assert_eq!((answer.protocol, answer.ports), (Some(TCP), Ports::Pair(443, 5000)));
    let echo = icmp(ours, theirs, 8, 0, &[0; 8]);
    let error = unreachable(router, ours, &echo);
    let answer = icmp::answer_to_quoted(&error, &IpHeader::parse(&error).unwrap()).unwrap();
    assert_eq!((answer.protocol, answer.ports), (Some(1), Ports::Single(0x0800)));
    let plain = tcp(ours, 5000, theirs, 443);
    assert_eq!(icmp::answer_to_quoted(&plain, &IpHeader::parse(&plain).unwrap()), None);
}

fn engine(entries: &[(Action, TrafficSelector, TrafficSelector)]) -> Engine {
    let mut engine = Engine::new(&RUSTCRYPTO, EngineConfig::default());
    let entries = entries.iter().map(|(action, local, remote)| SpdEntry {
        action: *action,
        applies: Applies::BothWays,
        local: vec![*local],
        remote: vec![*remote],
    });
    engine.set_policy(Some(Spd::new(entries.collect()).unwrap()));
    engine
}

fn send(engine: &mut Engine, packet: &[u8]) -> Result<ChildSaId, SealError> {
    let (mut storage, at) = roomy(packet);
    engine.seal(NOW, &mut PacketBuf::new(&mut storage, at).unwrap()).map(|outgoing| outgoing.child)
}

/// RFC 4301 §6.2, outbound: an error that neither an SA nor policy lets pass goes by the SA of the traffic that would
/// answer the quoted packet. No SA is made for it.
#[test]
fn errors_that_are_sent() {
    let [ours, theirs, _] = V4;
    let our_router = "172.16.1.1";
    let all_v4 = TrafficSelector::ALL_V4;
    let protect = (
        Action::Protect(PolicyId(1)),
        net(ours, TCP, PortRange::ANY),
        net(theirs, TCP, PortRange::single(443)),
    );
    let mut engine = engine(&[protect, (Action::Discard, all_v4, all_v4)]);
    // About a packet that came by the SA.
    let about = unreachable(our_router, theirs, &tcp(theirs, 443, ours, 5000));
    assert_eq!(send(&mut engine, &about), Err(SealError::Discarded));
    assert_eq!(engine.poll_report(), None);
    let record = engine.poll_audit().unwrap();
    assert_eq!((record.event, record.source), (AuditEvent::OutboundPolicy, Some(ip(our_router))));

    let sa = ChildSa { policy: PolicyId(1), ..web(V4) };
    engine.apply(NOW, SaCommand::InstallOutbound(Box::new(install(&sa, 0x1001, 1)))).unwrap();
    // Twice, so that a cache has its say: it knows the flow of errors, and not what they quote.
    for _ in 0..2 {
        assert_eq!(send(&mut engine, &about), Ok(ChildSaId(1)));
        let other = unreachable(our_router, theirs, &tcp(theirs, 80, ours, 5000));
        assert_eq!(send(&mut engine, &other), Err(SealError::Discarded));
        let no_error = icmp(our_router, theirs, 0, 0, &tcp(theirs, 443, ours, 5000));
        assert_eq!(send(&mut engine, &no_error), Err(SealError::Discarded));
        let astray = unreachable(our_router, "10.2.0.99", &tcp(theirs, 443, ours, 5000));
        assert_eq!(send(&mut engine, &astray), Err(SealError::Discarded));
    }
}

/// Where policy lets the error itself pass, it is a packet like others: an SA is asked for.
#[test]
fn errors_that_policy_is_for() {
    let [ours, theirs, _] = V4;
    let all_v4 = TrafficSelector::ALL_V4;
    let web_policy = (
        Action::Protect(PolicyId(1)),
        net(ours, TCP, PortRange::ANY),
        net(theirs, TCP, PortRange::single(443)),
    );
    let icmp_policy = (Action::Protect(PolicyId(2)), TrafficSelector { protocol: 1, ..all_v4 }, all_v4);
    let mut engine = engine(&[web_policy, icmp_policy]);
    let sa = ChildSa { policy: PolicyId(1), ..web(V4) };
    engine.apply(NOW, SaCommand::InstallOutbound(Box::new(install(&sa, 0x1001, 1)))).unwrap();
    let about = unreachable("172.16.1.1", theirs, &tcp(theirs, 443, ours, 5000));
    assert_eq!(send(&mut engine, &about), Err(SealError::NoSa));
    assert!(matches!(engine.poll_report(), Some(SaReport::Acquire { policy: PolicyId(2), .. })));
}

/// Without a policy the SAs' selectors are all there is.
#[test]
fn errors_without_a_policy() {
    let [ours, theirs, _] = V6;
    let mut engine = Engine::new(&RUSTCRYPTO, EngineConfig::default());
    engine.apply(NOW, SaCommand::InstallOutbound(Box::new(install(&web(V6), 0x1001, 1)))).unwrap();
    let about = unreachable("fd00:77::1", theirs, &tcp(theirs, 443, ours, 5000));
    assert_eq!(send(&mut engine, &about), Ok(ChildSaId(1)));
    let other = unreachable("fd00:77::1", theirs, &tcp(theirs, 80, ours, 5000));
    assert_eq!(send(&mut engine, &other), Err(SealError::NoSa));
}
