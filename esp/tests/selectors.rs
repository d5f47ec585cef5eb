//! What an SA admits (RFC 4301 §4.4.1.1): each selector of one side with each of the other, protocols, ports,
//! ICMP and fragments.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::ip::IpHeader;
use ipsec_esp::selectors::admits;
use ipsec_esp::{DropReason, InboundConfig, InboundSa, OpenError};
use ipsec_types::sa::{ChildSa, Direction};
use ipsec_types::{AddressRange, Instant, PortRange, TrafficSelector};

fn ts(prefix: &str, bits: u8, protocol: u8, ports: PortRange) -> TrafficSelector {
    TrafficSelector {
        addresses: AddressRange::prefix(prefix.parse().unwrap(), bits).unwrap(),
        protocol,
        ports,
    }
}

/// A packet from 10.1.0.1 to 10.2.0.1 with the first octets of its next layer.
fn packet(protocol: u8, fragment: u16, upper: [u8; 4]) -> IpHeader {
    let mut packet = v4(28);
    packet[9] = protocol;
    packet[6..8].copy_from_slice(&fragment.to_be_bytes());
    packet[20..24].copy_from_slice(&upper);
    IpHeader::parse(&packet).unwrap()
}

fn sa(local: TrafficSelector, remote: TrafficSelector) -> ChildSa {
    ChildSa { local: vec![local], remote: vec![remote], ..child() }
}

#[test]
fn addresses_protocols_and_ports() {
    let any = PortRange::ANY;
    let web = PortRange::single(443);
    let (here, there) = (ts("10.1.0.0", 16, 6, any), ts("10.2.0.0", 16, 6, web));
    let child = sa(here, there);
    let out = |p: &IpHeader| admits(&child, p, Direction::Outbound);
    assert!(out(&packet(6, 0, [0x80, 0, 0x01, 0xBB])));
    assert!(!out(&packet(6, 0, [0x80, 0, 0x01, 0xBC])), "another port");
    assert!(!out(&packet(6, 0, [0x01, 0xBB, 0x80, 0])), "the port on the other side");
    assert!(!out(&packet(17, 0, [0x80, 0, 0x01, 0xBB])), "another protocol");
    assert!(!out(&packet(6, 1, [0x80, 0, 0x01, 0xBB])), "a later fragment shows no port");
    assert!(out(&packet(6, 0x2000, [0x80, 0, 0x01, 0xBB])), "a first fragment does");
    // Inbound the far side is the source.
    let back = admits(&mirrored(&child), &packet(6, 0, [0x80, 0, 0x01, 0xBB]), Direction::Inbound);
    assert!(back && !admits(&child, &packet(6, 0, [0x80, 0, 0x01, 0xBB]), Direction::Inbound));
    let elsewhere = sa(ts("10.3.0.0", 16, 6, any), there);
    assert!(!admits(&elsewhere, &packet(6, 0, [0x80, 0, 0x01, 0xBB]), Direction::Outbound));
}

#[test]
fn any_of_one_side_with_any_of_the_other() {
    let any = PortRange::ANY;
    let mut child = sa(ts("10.9.0.0", 16, 0, any), ts("10.9.0.0", 16, 0, any));
    child.local.push(ts("10.1.0.1", 32, 0, any));
    child.remote.push(TrafficSelector::ALL_V6);
    assert!(!admits(&child, &packet(17, 0, [0; 4]), Direction::Outbound));
    child.remote.push(ts("10.2.0.0", 24, 17, any));
    assert!(admits(&child, &packet(17, 0, [0; 4]), Direction::Outbound));
}

/// RFC 4301 §7: SAs with any ports carry all fragments; OPAQUE ports carry those that show none.
#[test]
fn fragments() {
    let later = packet(17, 100, [0; 4]);
    let first = packet(17, 0x2000, [0, 5, 0, 5]);
    let with = |ports| sa(ts("10.1.0.0", 16, 17, ports), ts("10.2.0.0", 16, 17, ports));
    let all = with(PortRange::ANY);
    assert!(admits(&all, &later, Direction::Outbound) && admits(&all, &first, Direction::Outbound));
    let opaque = with(PortRange::OPAQUE);
    assert!(admits(&opaque, &later, Direction::Outbound) && !admits(&opaque, &first, Direction::Outbound));
    let to_opaque = sa(ts("10.1.0.0", 16, 17, PortRange::ANY), ts("10.2.0.0", 16, 17, PortRange::OPAQUE));
    assert!(
        admits(&to_opaque, &later, Direction::Outbound) && !admits(&to_opaque, &first, Direction::Outbound)
    );
    let five = with(PortRange::single(5));
    assert!(!admits(&five, &later, Direction::Outbound) && admits(&five, &first, Direction::Outbound));
}

/// RFC 4301 §4.4.1.1: type and code as one value; ranges of them; one-directional rules by OPAQUE.
#[test]
fn icmp_types_and_codes() {
    let echo_request = packet(1, 0, [8, 0, 0, 0]);
    let unreachable = packet(1, 0, [3, 4, 0, 0]);
    let range = |from: u16, to: u16| PortRange::new(from, to).unwrap();
    let with = |local, remote| sa(ts("10.1.0.0", 16, 1, local), ts("10.2.0.0", 16, 1, remote));
    let check = |child: &ChildSa, packet: &IpHeader| {
        let outbound = admits(child, packet, Direction::Outbound);
        // The same packet arriving: its source is then the far side.
        (outbound, admits(&mirrored(child), packet, Direction::Inbound))
    };
    let echo = range(0x0800, 0x08FF);
    assert_eq!(check(&with(echo, echo), &echo_request), (true, true));
    assert_eq!(check(&with(echo, echo), &unreachable), (false, false));
    let codes = range(0x0300, 0x0304);
    assert_eq!(check(&with(codes, codes), &unreachable), (true, true));
    assert_eq!(check(&with(codes, codes), &packet(1, 0, [3, 5, 0, 0])), (false, false));
    assert_eq!(check(&with(range(0x0300, 0x08FF), PortRange::ANY), &echo_request), (true, true));
    // May be sent from here, must not be received: the source's selector names it, the other is OPAQUE.
    let send_only = with(echo, PortRange::OPAQUE);
    assert!(admits(&send_only, &echo_request, Direction::Outbound));
    let from_peer = {
        let mut packet = v4(28);
        packet[9] = 1;
        packet[20..24].copy_from_slice(&[8, 0, 0, 0]);
        packet[12..16].copy_from_slice(&[10, 2, 0, 1]);
        packet[16..20].copy_from_slice(&[10, 1, 0, 1]);
        IpHeader::parse(&packet).unwrap()
    };
    assert!(!admits(&send_only, &from_peer, Direction::Inbound));
    assert!(admits(&with(PortRange::OPAQUE, echo), &from_peer, Direction::Inbound));
    // A later fragment of ICMP shows no type.
    let later = packet(1, 50, [8, 0, 0, 0]);
    assert_eq!(check(&with(echo, echo), &later), (false, false));
    assert_eq!(check(&with(PortRange::ANY, PortRange::ANY), &later), (true, true));
}

/// A packet whose next layer can't be found fits only selectors for any protocol.
#[test]
fn hidden_protocol() {
    let mut hidden = v6(60);
    hidden[6] = 43; // a routing header that runs past the end
    hidden[41] = 200;
    let hidden = IpHeader::parse(&hidden).unwrap();
    assert_eq!(hidden.protocol, None);
    let all = child();
    assert!(admits(&all, &hidden, Direction::Outbound));
    let udp = TrafficSelector { protocol: 17, ..TrafficSelector::ALL_V6 };
    let child = ChildSa { local: vec![udp], ..child() };
    assert!(!admits(&child, &hidden, Direction::Outbound));
}

/// After decryption the inner packet is held against the SA (RFC 4301 §5.2), and dropped if it does not fit.
#[test]
fn inbound_packets_that_the_sa_does_not_carry() {
    let (mut sender, _) = default_pair(&child());
    let narrow = ChildSa {
        local: vec![ts("10.2.0.0", 24, 0, PortRange::ANY)],
        remote: vec![ts("10.1.0.0", 24, 0, PortRange::ANY)],
        ..mirrored(&child())
    };
    let install = install(&narrow, 0x1001, 1);
    let mut receiver = InboundSa::new(&RUSTCRYPTO, install, InboundConfig::default(), Instant::ZERO).unwrap();
    let good = seal(&mut sender, &v4(60));
    assert_eq!(open(&mut receiver, &good).unwrap(), v4(60));
    // Edge case 16: a source that the peer may not send from.
    let mut spoofed = v4(60);
    spoofed[12..16].copy_from_slice(&[10, 2, 0, 1]);
    fix_checksum(&mut spoofed);
    for inner in [spoofed, v6(60)] {
        let packet = seal(&mut sender, &inner);
        assert_eq!(open(&mut receiver, &packet), Err(OpenError::Selectors));
    }
    assert_eq!(receiver.statistics().dropped(DropReason::Selectors), 2);
    assert_eq!(receiver.newest_number(), 3, "authentic all the same");
}
