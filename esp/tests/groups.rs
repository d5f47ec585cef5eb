//! SAs to groups: which one a packet is for (RFC 4301 §4.1, RFC 4303 §2.1), and whose addresses it has (RFC 5374).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_esp::error::{GroupFault, NotCarried};
use ipsec_esp::icmp::TooBigNotice;
use ipsec_esp::packet::EspHeader;
use ipsec_esp::{
    Arrival, AuditEvent, CommandError, DropReason, Engine, EngineConfig, Framing, InboundConfig, InboundSa,
    InstallError, OpenError, Opened, OutboundConfig, OutboundSa, PacketBuf, SealError,
};
use ipsec_types::algorithm::CipherSuite;
use ipsec_types::sa::{ChildSa, ChildSaId, GroupSa};
use ipsec_types::{
    AddressRange, Encapsulation, EncrId, Instant, IntegId, Mode, Path, SaCommand, SaReport, SequenceNumbers,
    TrafficSelector,
};
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

const NOW: Instant = Instant::ZERO;
/// Of MCAST-TEST-NET (RFC 5771 §9.2) and of RFC 3849's prefix.
const GROUPS: [&str; 3] = ["233.252.0.1", "233.252.0.2", "233.252.0.3"];
const SENDERS: [&str; 3] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
const GROUP_V6: &str = "ff3e:20:2001:db8::1";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn path_to(group: &str) -> Path {
    let local = if ip(group).is_ipv4() { ip(SENDERS[0]) } else { ip("2001:db8::1") };
    Path::nat_t(SocketAddr::new(local, 0), SocketAddr::new(ip(group), 0))
}

fn to_group(id: u64, group: &str, source: Option<&str>) -> ChildSa {
    let group_sa = GroupSa {
        group: ip(group),
        source: source.map(ip),
        preserves_source: false,
        preserves_destination: false,
    };
    let several_senders = source.is_none();
    ChildSa {
        id: ChildSaId(id),
        sequence_numbers: if several_senders {
            SequenceNumbers::Unspecified32
        } else {
            SequenceNumbers::Sequential32
        },
        encapsulation: Encapsulation::None,
        path: path_to(group),
        group: Some(group_sa),
        ..child()
    }
}

fn preserving(child: ChildSa, source: bool, destination: bool) -> ChildSa {
    let group =
        child.group.map(|g| GroupSa { preserves_source: source, preserves_destination: destination, ..g });
    ChildSa { group, ..child }
}

fn engine() -> Engine {
    let outbound = OutboundConfig { framing: Framing::IpPacket, ..OutboundConfig::default() };
    Engine::new(&RUSTCRYPTO, EngineConfig { outbound, ..EngineConfig::default() })
}

fn install_in(engine: &mut Engine, child: &ChildSa, spi: u32, seed: u8) -> Result<(), CommandError> {
    engine.apply(NOW, SaCommand::InstallInbound(Box::new(install(child, spi, seed))))
}

/// An ESP packet by this SPI and key, which arrives at `to` from `from`.
fn receive(engine: &mut Engine, spi: u32, seed: u8, to: &str, from: &str) -> Result<ChildSaId, OpenError> {
    let mut sender =
        OutboundSa::new(&RUSTCRYPTO, install(&child(), spi, seed), OutboundConfig::default(), NOW).unwrap();
    let mut packet = seal(&mut sender, &v4(60));
    let arrival = Arrival::raw(ip(to), ip(from));
    engine.open(NOW, arrival, &mut PacketBuf::whole(&mut packet)).map(|incoming| incoming.child)
}

/// RFC 4301 §4.1, rule by rule: 1 by SPI, destination and source; 2 by SPI and destination; 3 by SPI. One SPI, three
/// SAs, each with a key of its own.
#[test]
fn the_longest_match_first() {
    let mut engine = engine();
    install_in(&mut engine, &ChildSa { id: ChildSaId(3), ..child() }, 0x1001, 3).unwrap();
    install_in(&mut engine, &to_group(2, GROUPS[0], None), 0x1001, 2).unwrap();
    install_in(&mut engine, &to_group(1, GROUPS[0], Some(SENDERS[0])), 0x1001, 1).unwrap();
    for (to, from, seed) in [
        (GROUPS[0], SENDERS[0], 1),
        (GROUPS[0], SENDERS[1], 2),
        (GROUPS[1], SENDERS[0], 3),
        ("198.51.100.2", SENDERS[0], 3),
    ] {
        for other in 1..=3 {
            let expected = if other == seed { Ok(ChildSaId(seed.into())) } else { Err(OpenError::Integrity) };
            // Each key's number 1 comes once to its SA; a copy of it would be a replay.
            let received = receive(&mut engine, 0x1001, other, to, from);
            let replayed = matches!(received, Err(OpenError::Replay(_)));
            assert!(received == expected || replayed, "{to} from {from} by key {other}: {received:?}");
        }
    }
    assert_eq!(engine.statistics().inbound.packets, 3);
}

/// RFC 4301 §4.1: a unicast packet never meets the SA of a group, nor one group's packet another's.
#[test]
fn what_is_not_the_groups() {
    let mut engine = engine();
    install_in(&mut engine, &to_group(1, GROUPS[0], None), 0x1001, 1).unwrap();
    install_in(&mut engine, &to_group(2, GROUPS[1], Some(SENDERS[1])), 0x1001, 2).unwrap();
    let unknown = Err(OpenError::UnknownSpi(spi(0x1001)));
    assert_eq!(receive(&mut engine, 0x1001, 1, "198.51.100.2", SENDERS[0]), unknown);
    assert!(matches!(engine.poll_report(), Some(SaReport::UnknownSpi { .. })));
    // What goes to a group is not answered: it may be for another behind us.
    assert_eq!(receive(&mut engine, 0x1001, 2, GROUPS[1], SENDERS[0]), unknown);
    assert_eq!(receive(&mut engine, 0x1001, 2, GROUPS[2], SENDERS[1]), unknown);
    assert_eq!(engine.poll_report(), None);
    assert_eq!(
        receive(&mut engine, 0x1002, 1, GROUPS[0], SENDERS[0]),
        Err(OpenError::UnknownSpi(spi(0x1002)))
    );
    let told = std::iter::from_fn(|| engine.poll_audit()).count();
    assert_eq!(told, 1, "of the packet to this host alone");
    assert_eq!(receive(&mut engine, 0x1001, 2, GROUPS[1], SENDERS[1]), Ok(ChildSaId(2)));
    // A group has no peer that would live or move.
    assert_eq!(engine.poll_report(), None);
}

#[test]
fn commands_for_groups() {
    let mut engine = engine();
    let a_group = to_group(1, GROUPS[0], None);
    install_in(&mut engine, &a_group, 0x1001, 1).unwrap();
    assert_eq!(
        install_in(&mut engine, &to_group(2, GROUPS[0], None), 0x1001, 2),
        Err(CommandError::SpiInUse(spi(0x1001)))
    );
    install_in(&mut engine, &to_group(2, GROUPS[0], Some(SENDERS[0])), 0x1001, 2).unwrap();
    assert!(matches!(
        install_in(&mut engine, &to_group(2, GROUPS[1], None), 0x1001, 2),
        Err(CommandError::AlreadyInstalled { .. })
    ));
    assert!(matches!(
        install_in(&mut engine, &ChildSa { id: ChildSaId(1), ..child() }, 0x1001, 2),
        Err(CommandError::AlreadyInstalled { .. })
    ));
    assert_eq!(engine.group(ChildSaId(1)).unwrap().child().group, a_group.group);
    assert!(engine.inbound(spi(0x1001)).is_none());
    let statistics = {
        receive(&mut engine, 0x1001, 1, GROUPS[0], SENDERS[1]).unwrap();
        engine.statistics()
    };
    let remove = SaCommand::Remove { id: ChildSaId(1), inbound: true, outbound: true };
    engine.apply(NOW, remove.clone()).unwrap();
    assert_eq!(engine.statistics(), statistics);
    assert_eq!(engine.apply(NOW, remove), Err(CommandError::NotInstalled(ChildSaId(1))));
    assert!(receive(&mut engine, 0x1001, 1, GROUPS[0], SENDERS[1]).is_err());
    receive(&mut engine, 0x1001, 2, GROUPS[0], SENDERS[0]).unwrap();

    let mut small = Engine::new(&RUSTCRYPTO, EngineConfig { max_sas: 1, ..EngineConfig::default() });
    install_in(&mut small, &a_group, 0x1001, 1).unwrap();
    assert_eq!(
        install_in(&mut small, &ChildSa { id: ChildSaId(9), ..child() }, 0x1001, 1),
        Err(CommandError::TableFull { limit: 1 })
    );
}

/// Lifetimes of SAs to groups are told and kept as all are.
#[test]
fn lifetimes_in_groups() {
    use ipsec_types::sa::{Lifetimes, Limit};
    let mut engine = engine();
    let lifetimes = Lifetimes { seconds: Limit { soft: Some(5), hard: Some(9) }, ..Lifetimes::default() };
    install_in(&mut engine, &ChildSa { lifetimes, ..to_group(1, GROUPS[0], None) }, 0x1001, 1).unwrap();
    let mut told = Vec::new();
    while let Some(deadline) = engine.poll_timeout() {
        engine.handle_timeout(deadline);
        while let Some(report) = engine.poll_report() {
            told.push((deadline, matches!(report, SaReport::HardExpired { id: ChildSaId(1), .. })));
        }
    }
    assert_eq!(told, [(Instant::from_millis(5_000), false), (Instant::from_millis(9_000), true)]);
}

fn fault(child: ChildSa) -> GroupFault {
    match InboundSa::new(&RUSTCRYPTO, install(&child, 0x1001, 1), InboundConfig::default(), NOW) {
        Err(InstallError::Group(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn groups_that_are_none() {
    let good = || to_group(1, GROUPS[0], None);
    let with = |change: &dyn Fn(&mut GroupSa)| {
        let mut child = good();
        let mut group = child.group.unwrap();
        change(&mut group);
        child.group = Some(group);
        child
    };
    let unicast = ip("198.51.100.2");
    assert_eq!(fault(with(&|g| g.group = unicast)), GroupFault::NotMulticast(unicast));
    for source in [GROUPS[1], "0.0.0.0", "2001:db8::1"] {
        assert_eq!(fault(with(&|g| g.source = Some(ip(source)))), GroupFault::Source(ip(source)));
    }
    assert_eq!(fault(ChildSa { path: path_v4(), ..good() }), GroupFault::Path(path_v4().remote_ip()));
    let preserves = with(&|g| g.preserves_source = true);
    for mode in [Mode::Transport, Mode::Beet] {
        let one = |address| vec![TrafficSelector::addresses(AddressRange::single(ip(address)))];
        let (local, remote) = (one(SENDERS[0]), one(GROUPS[0]));
        assert_eq!(fault(ChildSa { mode, local, remote, ..preserves.clone() }), GroupFault::Preservation);
    }
    assert_eq!(fault(ChildSa { encapsulation: Encapsulation::Udp, ..preserves }), GroupFault::Preservation);
    let sequence_numbers = SequenceNumbers::Sequential64;
    assert_eq!(fault(ChildSa { sequence_numbers, ..good() }), GroupFault::SequenceNumbers);
}

/// RFC 4303 §2.2: where several send, numbers say nothing of repeats; RFC 6054 §2: nor do they keep nonces apart.
#[test]
fn where_several_may_send() {
    let any = to_group(1, GROUPS[0], None);
    let one = to_group(1, GROUPS[0], Some(SENDERS[0]));
    let sequential = ChildSa { sequence_numbers: SequenceNumbers::Sequential32, ..any.clone() };
    assert_eq!(fault(sequential.clone()), GroupFault::SeveralSenders);
    let sends = |child: &ChildSa| match OutboundSa::new(
        &RUSTCRYPTO,
        install(child, 0x1001, 1),
        OutboundConfig::default(),
        NOW,
    ) {
        Ok(_) => None,
        Err(InstallError::Group(fault)) => Some(fault),
        Err(other) => panic!("{other:?}"),
    };
    let suite = |encr, key_bits, integ| CipherSuite { encr, key_bits, integ };
    let sha = IntegId::HMAC_SHA2_256_128;
    for suite in [
        GCM_128,
        CBC_128,
        suite(EncrId::AES_CCM_16, Some(128), IntegId::NONE),
        suite(EncrId::AES_CTR, Some(128), sha),
        suite(EncrId::CHACHA20_POLY1305, None, IntegId::NONE),
        suite(EncrId::NULL_AUTH_AES_GMAC, Some(128), IntegId::NONE),
    ] {
        let fault = GroupFault::NoSenderId(suite);
        assert_eq!(sends(&ChildSa { suite, ..any.clone() }), Some(fault));
        assert_eq!(sends(&ChildSa { suite, ..one.clone() }), None, "{suite}");
        let install = install(&ChildSa { suite, ..any.clone() }, 0x1001, 1);
        assert!(InboundSa::new(&RUSTCRYPTO, install, InboundConfig::default(), NOW).is_ok(), "{suite}");
    }
    // What is not encrypted has no nonce.
    let suite = suite(EncrId::NULL, None, sha);
    assert_eq!(sends(&ChildSa { suite, ..any }), None);
    assert_eq!(sends(&ChildSa { suite, ..sequential }), Some(GroupFault::SeveralSenders));
}

/// Two senders' packets with one number are both received.
#[test]
fn several_senders_have_the_same_numbers() {
    let mut engine = engine();
    install_in(&mut engine, &to_group(1, GROUPS[0], None), 0x1001, 1).unwrap();
    for sender in SENDERS {
        assert_eq!(receive(&mut engine, 0x1001, 1, GROUPS[0], sender), Ok(ChildSaId(1)));
    }
    assert_eq!(engine.statistics().inbound.packets, 3);
}

/// What can't be installed can't come about by a move.
#[test]
fn groups_that_move() {
    let sa = preserving(to_group(1, GROUPS[0], Some(SENDERS[0])), true, false);
    let move_to = |path, encapsulation| SaCommand::Move { id: ChildSaId(1), path, encapsulation };
    for outbound in [false, true] {
        let mut engine = engine();
        let install = Box::new(install(&sa, 0x1001, 1));
        let installs =
            if outbound { SaCommand::InstallOutbound(install) } else { SaCommand::InstallInbound(install) };
        engine.apply(NOW, installs).unwrap();
        let before = format!("{engine:?}");
        let mut refused = |path: Path, encapsulation| match engine.apply(NOW, move_to(path, encapsulation)) {
            Err(CommandError::Install(InstallError::Group(fault))) => fault,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(sa.path, Encapsulation::Udp), GroupFault::Preservation);
        for path in [path_v4(), path_to(GROUPS[1]), path_to(GROUP_V6)] {
            assert_eq!(refused(path, Encapsulation::None), GroupFault::Path(path.remote_ip()));
        }
        assert_eq!(format!("{engine:?}"), before);
        let local = SocketAddr::new(ip(SENDERS[1]), 0);
        engine.apply(NOW, move_to(Path { local, ..sa.path }, Encapsulation::None)).unwrap();
    }
}

/// A router tells of the packet that it saw, whose outer destination is the inner one where that is preserved.
#[test]
fn path_mtu_where_the_destination_is_the_packets() {
    for (preserves, expected) in [(true, Some(1_300)), (false, None)] {
        let sa = preserving(to_group(1, GROUPS[0], Some(SENDERS[0])), false, preserves);
        let outbound = OutboundConfig { framing: Framing::IpPacket, ..OutboundConfig::default() };
        let mut sender = OutboundSa::new(&RUSTCRYPTO, install(&sa, 0x1001, 1), outbound, NOW).unwrap();
        seal(&mut sender, &inner("10.1.0.1", GROUPS[1]));
        let esp = EspHeader { spi: 0x1001, sequence_number: 1 };
        let notice = TooBigNotice { mtu: 1_300, destination: ip(GROUPS[1]), esp };
        assert_eq!(sender.learn_path_mtu(NOW, &notice), expected);
    }
}

/// The inner packet from `source` to `destination`.
fn inner(source: &str, destination: &str) -> Vec<u8> {
    match (ip(source), ip(destination)) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut packet = v4(60);
            packet[12..16].copy_from_slice(&source.octets());
            packet[16..20].copy_from_slice(&destination.octets());
            fix_checksum(&mut packet);
            packet
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut packet = v6(60);
            packet[8..24].copy_from_slice(&source.octets());
            packet[24..40].copy_from_slice(&destination.octets());
            packet
        }
        _ => unreachable!(),
    }
}

/// RFC 5374 §3.1: which outer addresses are the inner ones, in both families; the checksum is right.
#[test]
fn preserved_addresses() {
    for (source, group, gateway) in
        [("10.1.0.1", GROUPS[0], SENDERS[0]), ("fd00:1::1", GROUP_V6, "2001:db8::1")]
    {
        for (keeps_source, keeps_destination) in [(false, false), (true, false), (false, true), (true, true)]
        {
            let outer_source = if keeps_source { source } else { gateway };
            let sa = preserving(to_group(1, group, Some(outer_source)), keeps_source, keeps_destination);
            let mut sender = engine();
            sender.apply(NOW, SaCommand::InstallOutbound(Box::new(install(&sa, 0x1001, 1)))).unwrap();
            let packet = inner(source, group);
            let (mut storage, at) = roomy(&packet);
            let mut buf = PacketBuf::new(&mut storage, at).unwrap();
            let outgoing = sender.seal(NOW, &mut buf).unwrap();
            let octets = buf.as_slice();
            let (from, to) = if ip(group).is_ipv4() { (12..16, 16..20) } else { (8..24, 24..40) };
            let as_octets = |address: &str| match ip(address) {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            assert_eq!(octets[from], as_octets(outer_source));
            assert_eq!(octets[to], as_octets(group));
            assert!(octets[0] >> 4 == 6 || checksum_is_right(octets));
            assert_eq!((outgoing.path.local_ip(), outgoing.path.remote_ip()), (ip(outer_source), ip(group)));

            let mut receiver = engine();
            install_in(&mut receiver, &sa, 0x1001, 1).unwrap();
            let incoming = receiver.open_ip(NOW, &mut buf).unwrap();
            assert!(matches!(incoming.opened, Opened::Packet(_)));
            assert_eq!(buf.as_slice(), packet);
        }
    }
}

/// RFC 5374 §5.2: preserved addresses of outer and inner header that differ: discarded, counted, audited.
#[test]
fn preserved_addresses_that_differ() {
    let sender = to_group(1, GROUPS[0], Some(SENDERS[0]));
    for (keeps_source, keeps_destination, inner_source, inner_group, passes) in [
        (true, true, SENDERS[0], GROUPS[0], true),
        (true, false, "10.1.0.1", GROUPS[0], false),
        (false, true, SENDERS[0], GROUPS[1], false),
        (true, false, SENDERS[0], GROUPS[1], true),
        (false, true, "10.1.0.1", GROUPS[0], true),
        (false, false, "10.1.0.1", GROUPS[1], true),
    ] {
        let outbound = OutboundConfig { framing: Framing::IpPacket, ..OutboundConfig::default() };
        let mut sa = OutboundSa::new(&RUSTCRYPTO, install(&sender, 0x1001, 1), outbound, NOW).unwrap();
        let mut packet = seal(&mut sa, &inner(inner_source, inner_group));
        let mut receiver = engine();
        let receives = preserving(sender.clone(), keeps_source, keeps_destination);
        install_in(&mut receiver, &receives, 0x1001, 1).unwrap();
        let opened = receiver.open_ip(NOW, &mut PacketBuf::whole(&mut packet)).map(|_| ());
        let expected = if passes { Ok(()) } else { Err(OpenError::Preservation) };
        assert_eq!(opened, expected, "{keeps_source} {keeps_destination} {inner_source} {inner_group}");
        let dropped = u64::from(!passes);
        assert_eq!(receiver.statistics().inbound.dropped(DropReason::Preservation), dropped);
        match receiver.poll_audit() {
            Some(record) => {
                assert_eq!((record.event, record.spi), (AuditEvent::Preservation, Some(0x1001)));
                let inside = record.packet.unwrap();
                assert_eq!(inside.source.addresses, AddressRange::single(ip(inner_source)));
                assert_eq!((record.source, record.destination), (Some(ip(SENDERS[0])), Some(ip(GROUPS[0]))));
            }
            None => assert!(passes),
        }
    }
}

/// RFC 5374 §3.1: an inner packet of another version has no address to be preserved. No number is used for it.
#[test]
fn another_version_has_no_addresses_to_preserve() {
    let sa = preserving(to_group(1, GROUPS[0], Some(SENDERS[0])), true, true);
    let mut sender =
        OutboundSa::new(&RUSTCRYPTO, install(&sa, 0x1001, 1), OutboundConfig::default(), NOW).unwrap();
    let (mut storage, at) = roomy(&v6(60));
    let error = sender.seal(NOW, &mut PacketBuf::new(&mut storage, at).unwrap()).unwrap_err();
    assert_eq!(error, SealError::NotCarried(NotCarried::OtherVersion));
    assert_eq!(sender.last_number(), 0);
}

/// RFC 5374 §4.1: the selectors mean the same at both ends, source to group.
#[test]
fn selectors_are_not_swapped() {
    let only = |address: &str, bits| {
        vec![TrafficSelector::addresses(AddressRange::prefix(ip(address), bits).unwrap())]
    };
    let sa = ChildSa {
        local: only("10.1.0.0", 16),
        remote: only("233.252.0.0", 24),
        ..to_group(1, GROUPS[0], Some(SENDERS[0]))
    };
    for (source, passes) in [("10.1.0.1", true), ("10.2.0.1", false)] {
        let mut sender =
            OutboundSa::new(&RUSTCRYPTO, install(&sa, 0x1001, 1), OutboundConfig::default(), NOW).unwrap();
        let mut receiver =
            InboundSa::new(&RUSTCRYPTO, install(&sa, 0x1001, 1), InboundConfig::default(), NOW).unwrap();
        let packet = inner(source, GROUPS[0]);
        let sealed = seal(&mut sender, &packet);
        let opened = open(&mut receiver, &sealed);
        assert_eq!(opened, if passes { Ok(packet) } else { Err(OpenError::Selectors) });
    }
}

#[derive(Clone, Debug)]
struct Entry {
    spi: u32,
    group: Option<usize>,
    source: Option<usize>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Against a search through all SAs, as the document has it.
    #[test]
    fn any_mix_of_lookups(
        entries in prop::collection::vec(
            (0u32..3, prop::option::of(0usize..3), prop::option::of(0usize..3))
                .prop_map(|(spi, group, source)| Entry { spi: 0x1000 + spi, group, source }),
            0..12,
        ),
        packets in prop::collection::vec((0u32..3, 0usize..4, 0usize..3), 1..20),
    ) {
        let mut engine = engine();
        let mut there: Vec<(u8, Entry)> = Vec::new();
        for (id, entry) in entries.into_iter().enumerate() {
            let id = id as u8 + 1;
            let source = entry.source.filter(|_| entry.group.is_some());
            let entry = Entry { source, ..entry };
            let sa = match entry.group {
                Some(group) => to_group(id.into(), GROUPS[group], source.map(|at| SENDERS[at])),
                None => ChildSa { id: ChildSaId(id.into()), ..child() },
            };
            let taken = there.iter().any(|(_, e)| (e.spi, e.group, e.source) == (entry.spi, entry.group, entry.source));
            let installed = install_in(&mut engine, &sa, entry.spi, id);
            prop_assert_eq!(installed.is_err(), taken);
            if !taken {
                there.push((id, entry));
            }
        }
        for (packet_spi, to, from) in packets {
            let packet_spi = 0x1000 + packet_spi;
            let of_spi = || there.iter().filter(|(_, entry)| entry.spi == packet_spi);
            let expected = of_spi()
                .find(|(_, e)| e.group == Some(to) && e.source == Some(from))
                .or_else(|| of_spi().find(|(_, e)| e.group == Some(to) && e.source.is_none()))
                .or_else(|| of_spi().find(|(_, e)| e.group.is_none()));
            let destination = GROUPS.get(to).copied().unwrap_or("198.51.100.2");
            // A key that no SA has: what is found refuses it, what is not found is unknown.
            let result = receive(&mut engine, packet_spi, 200, destination, SENDERS[from]);
            let child = engine.poll_audit().and_then(|record| record.child);
            while engine.poll_audit().is_some() {}
            prop_assert_eq!(result == Err(OpenError::UnknownSpi(spi(packet_spi))), expected.is_none());
            if let Some(child) = child {
                prop_assert_eq!(Some(child), expected.map(|(id, _)| ChildSaId((*id).into())));
            }
        }
    }
}
