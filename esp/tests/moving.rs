//! Pairs of SAs that move from one engine to another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use ipsec_crypto::CipherError;
use ipsec_crypto::rustcrypto::RUSTCRYPTO;
use ipsec_crypto::state::{StateError, StateKey, StateKind, StateWriter};
use ipsec_esp::icmp::TooBigNotice;
use ipsec_esp::packet::EspHeader;
use ipsec_esp::replay::ReplayError;
use ipsec_esp::{
    AntiReplay, Arrival, AuditEvent, CommandError, DropReason, Engine, EngineConfig, Framing, InboundConfig,
    MoveError, OpenError, OutboundConfig, OutboundSa, PacketBuf, SealError, WindowSize,
};
use ipsec_types::sa::{
    ChildSa, ChildSaId, Direction, ExpiryReason, GroupSa, Lifetimes, Limit, OriginalAddresses,
};
use ipsec_types::{
    Encapsulation, Instant, Mode, Path, PathKind, SaCommand, SaReport, SequenceNumbers, TrafficSelector,
};
use std::net::SocketAddr;
use std::time::Duration;

const NOW: Instant = Instant::from_millis(10_000);
const ID: ChildSaId = ChildSaId(1);
const OUR_SPI: u32 = 0x1001;
const THEIR_SPI: u32 = 0x2002;
const NO_TIME: Duration = Duration::ZERO;

fn key() -> StateKey {
    StateKey::new(&RUSTCRYPTO, b"a key of the embedder, 32 octets").unwrap()
}

fn config() -> EngineConfig {
    EngineConfig { keep_keys: true, ..EngineConfig::default() }
}

fn engine() -> Engine {
    Engine::new(&RUSTCRYPTO, config())
}

fn install_pair(engine: &mut Engine, child: &ChildSa) {
    engine.apply(NOW, SaCommand::InstallInbound(Box::new(install(child, OUR_SPI, 1)))).unwrap();
    engine.apply(NOW, SaCommand::InstallOutbound(Box::new(install(child, THEIR_SPI, 2)))).unwrap();
}

fn with_pair(child: &ChildSa) -> Engine {
    let mut engine = engine();
    install_pair(&mut engine, child);
    engine
}

/// The peer's sender.
fn peer(child: &ChildSa) -> OutboundSa {
    OutboundSa::new(&RUSTCRYPTO, install(&mirrored(child), OUR_SPI, 1), OutboundConfig::default(), NOW)
        .unwrap()
}

fn esn() -> ChildSa {
    ChildSa { sequence_numbers: SequenceNumbers::Sequential64, ..child() }
}

/// The number of the packet that the engine sends next.
fn send(engine: &mut Engine, now: Instant) -> Result<u64, SealError> {
    let (mut storage, at) = roomy(&v4(60));
    let mut packet = PacketBuf::new(&mut storage, at).unwrap();
    engine.seal(now, &mut packet).map(|outgoing| outgoing.sealed.number)
}

fn receive(engine: &mut Engine, packet: &[u8]) -> Result<(), OpenError> {
    let mut packet = packet.to_vec();
    let Path { local, remote, .. } = path_v4();
    let arrival = Arrival::udp(Path::nat_t(local, remote));
    engine.open(NOW, arrival, &mut PacketBuf::whole(&mut packet)).map(|_| ())
}

fn reports(engine: &mut Engine) -> Vec<SaReport> {
    std::iter::from_fn(|| engine.poll_report()).collect()
}

/// Out of one and into another, at once.
fn moved(from: &mut Engine, to: &mut Engine, leap: u64) {
    let sealed = from.export(NOW, ID, &key(), leap).unwrap();
    assert_eq!(to.import(NOW, &key(), &sealed, NO_TIME), Ok(ID));
}

/// What came before came, what was under way comes, and nothing comes twice; numbers go on above the leap. The engine
/// that gave the pair away does neither.
#[test]
fn a_conversation_goes_on() {
    for child in [child(), esn()] {
        let mut peer = peer(&child);
        let packets: Vec<_> = (0..6).map(|_| seal(&mut peer, &v4(60))).collect();
        let mut old = with_pair(&child);
        for at in [0, 1, 3] {
            receive(&mut old, &packets[at]).unwrap();
        }
        assert_eq!((1..=5).map(|_| send(&mut old, NOW).unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        let before = old.statistics();
        let mut new = engine();
        moved(&mut old, &mut new, 1_000);

        assert_eq!(send(&mut old, NOW), Err(SealError::NoSa));
        assert_eq!(receive(&mut old, &packets[2]), Err(OpenError::UnknownSpi(spi(OUR_SPI))));
        assert_eq!(old.export(NOW, ID, &key(), 0), Err(MoveError::NotInstalled(ID)));
        assert_eq!(old.poll_timeout(), None);

        assert_eq!(new.statistics(), before);
        assert_eq!(send(&mut new, NOW), Ok(1_006));
        for (at, packet) in packets.iter().enumerate() {
            let expected =
                if [0, 1, 3].contains(&at) { Err(OpenError::Replay(ReplayError::Replayed)) } else { Ok(()) };
            assert_eq!(receive(&mut new, packet), expected, "{at}");
            assert_eq!(receive(&mut new, packet), Err(OpenError::Replay(ReplayError::Replayed)));
        }
        // The new engine's packet is the old peer's to open.
        let mut theirs = Engine::new(&RUSTCRYPTO, EngineConfig::default());
        let install = install(&mirrored(&child), THEIR_SPI, 2);
        theirs.apply(NOW, SaCommand::InstallInbound(Box::new(install))).unwrap();
        let (mut storage, at) = roomy(&v4(60));
        let mut packet = PacketBuf::new(&mut storage, at).unwrap();
        new.seal(NOW, &mut packet).unwrap();
        let arrival = Arrival::udp(mirrored(&child).path);
        assert!(theirs.open(NOW, arrival, &mut packet).is_ok());
        assert_eq!(packet.as_slice(), v4(60));
    }
}

/// Everything that was negotiated arrives: the state of the new engine is the old one's, to the last field.
#[test]
fn every_field_moves() {
    let limit = Limit { soft: Some(1 << 40), hard: None };
    let original = OriginalAddresses { local: [10, 0, 0, 1].into(), remote: [10, 0, 0, 2].into() };
    let one = |address: &str| {
        vec![TrafficSelector::addresses(ipsec_types::AddressRange::single(address.parse().unwrap()))]
    };
    let ports =
        TrafficSelector { protocol: 17, ports: ipsec_types::PortRange::OPAQUE, ..TrafficSelector::ALL_V6 };
    let children = [
        child(),
        esn(),
        ChildSa {
            suite: CBC_256,
            lifetimes: Lifetimes { seconds: limit, octets: limit, packets: limit },
            ..child()
        },
        ChildSa { mode: Mode::Transport, original_addresses: Some(original), tfc_allowed: false, ..child() },
        ChildSa { mode: Mode::Beet, local: one("10.1.0.1"), remote: one("10.2.0.1"), ..child() },
        ChildSa { path: path_v6(), local: vec![ports, TrafficSelector::ALL_V4], ..child() },
        ChildSa {
            sequence_numbers: SequenceNumbers::Unspecified32,
            encapsulation: Encapsulation::None,
            ..child()
        },
        ChildSa { path: Path { kind: PathKind::Ike, ..path_v4() }, ..child() },
    ];
    for child in children {
        let mut old = with_pair(&child);
        let before = format!("{old:?}");
        let mut new = engine();
        moved(&mut old, &mut new, 0);
        assert_eq!(format!("{new:?}"), before);
        assert!(old.inbound(spi(OUR_SPI)).is_none() && old.outbound(ID).is_none(), "nothing is left");
        assert_eq!(old.poll_timeout(), None);
    }
}

/// The same container a second time: refused while the pair is there, after it was removed, and where numbers would go
/// back; taken where nothing was sent or received since.
#[test]
fn a_container_is_imported_once() {
    let mut old = with_pair(&child());
    send(&mut old, NOW).unwrap();
    let first = old.export(NOW, ID, &key(), 10).unwrap();
    let mut new = engine();
    new.import(NOW, &key(), &first, NO_TIME).unwrap();
    let before = format!("{new:?}");
    let there = CommandError::AlreadyInstalled { id: ID, direction: Direction::Inbound };
    assert_eq!(new.import(NOW, &key(), &first, NO_TIME), Err(there.into()));
    assert_eq!(format!("{new:?}"), before);

    // There and back again, with nothing in between.
    let again = new.export(NOW, ID, &key(), 0).unwrap();
    new.import(NOW, &key(), &first, NO_TIME).unwrap();
    assert_eq!(send(&mut new, NOW), Ok(12));
    let second = new.export(NOW, ID, &key(), 0).unwrap();
    let used = |spi_value| Err(CommandError::KeyUsed(spi(spi_value)).into());
    assert_eq!(new.import(NOW, &key(), &first, NO_TIME), used(THEIR_SPI));
    assert_eq!(new.import(NOW, &key(), &again, NO_TIME), used(THEIR_SPI));
    new.import(NOW, &key(), &second, NO_TIME).unwrap();

    // What was received since would be received again.
    receive(&mut new, &seal(&mut peer(&child()), &v4(60))).unwrap();
    let third = new.export(NOW, ID, &key(), 0).unwrap();
    assert_eq!(new.import(NOW, &key(), &second, NO_TIME), used(OUR_SPI));
    new.import(NOW, &key(), &third, NO_TIME).unwrap();

    new.apply(NOW, SaCommand::Remove { id: ID, inbound: true, outbound: true }).unwrap();
    for container in [&first, &second, &third] {
        assert_eq!(new.import(NOW, &key(), container, NO_TIME), used(OUR_SPI));
    }
    // Nor does IKE's command bring the key back.
    let install = SaCommand::InstallOutbound(Box::new(install(&child(), THEIR_SPI, 2)));
    assert_eq!(new.apply(NOW, install), Err(CommandError::KeyUsed(spi(THEIR_SPI))));
}

/// A late packet leaves the newest number as it was; a container from before it would have it received once more.
#[test]
fn a_container_from_before_a_late_packet() {
    for child in [child(), esn()] {
        let mut peer = peer(&child);
        let packets: Vec<_> = (0..3).map(|_| seal(&mut peer, &v4(60))).collect();
        let mut engine = with_pair(&child);
        receive(&mut engine, &packets[2]).unwrap();
        let before = engine.export(NOW, ID, &key(), 0).unwrap();
        engine.import(NOW, &key(), &before, NO_TIME).unwrap();
        receive(&mut engine, &packets[0]).unwrap();
        let after = engine.export(NOW, ID, &key(), 0).unwrap();
        let used = Err(CommandError::KeyUsed(spi(OUR_SPI)).into());
        assert_eq!(engine.import(NOW, &key(), &before, NO_TIME), used);
        engine.import(NOW, &key(), &after, NO_TIME).unwrap();
        assert_eq!(receive(&mut engine, &packets[0]), Err(OpenError::Replay(ReplayError::Replayed)));
        receive(&mut engine, &packets[1]).unwrap();
    }
}

/// What a pair counted goes with it and comes with it: away, back again and removed, each packet counts once.
#[test]
fn what_was_counted_counts_once() {
    let mut engine = with_pair(&child());
    let nothing = engine.statistics();
    send(&mut engine, NOW).unwrap();
    receive(&mut engine, &seal(&mut peer(&child()), &v4(60))).unwrap();
    let counted = engine.statistics();
    assert_eq!((counted.inbound.packets, counted.outbound.packets), (1, 1));
    let sealed = engine.export(NOW, ID, &key(), 0).unwrap();
    assert_eq!(engine.statistics(), nothing);
    engine.import(NOW, &key(), &sealed, NO_TIME).unwrap();
    assert_eq!(engine.statistics(), counted);
    engine.apply(NOW, SaCommand::Remove { id: ID, inbound: true, outbound: true }).unwrap();
    assert_eq!(engine.statistics(), counted);
}

/// Where a pair goes, those that wait in its place for late packets end: nothing is left that would end them.
#[test]
fn what_lingers_ends_where_its_successor_leaves() {
    let mut old = with_pair(&child());
    let rekeyed = ChildSa { id: ChildSaId(2), replaces: Some(ID), ..child() };
    old.apply(NOW, SaCommand::InstallInbound(Box::new(install(&rekeyed, 0x1003, 3)))).unwrap();
    old.apply(NOW, SaCommand::InstallOutbound(Box::new(install(&rekeyed, 0x2004, 4)))).unwrap();
    old.apply(NOW, SaCommand::SwitchOutbound { from: ID, to: ChildSaId(2) }).unwrap();
    old.apply(NOW, SaCommand::Remove { id: ID, inbound: true, outbound: true }).unwrap();
    assert!(old.inbound(spi(OUR_SPI)).is_some(), "it lingers");
    old.export(NOW, ChildSaId(2), &key(), 0).unwrap();
    assert!(old.inbound(spi(OUR_SPI)).is_none());
    assert_eq!(old.poll_timeout(), None);
}

/// What lingers has its window yet: an older container does not take its place.
#[test]
fn a_container_of_a_pair_that_lingers() {
    let mut engine = with_pair(&child());
    let container = engine.export(NOW, ID, &key(), 0).unwrap();
    engine.import(NOW, &key(), &container, NO_TIME).unwrap();
    let packet = seal(&mut peer(&child()), &v4(60));
    receive(&mut engine, &packet).unwrap();
    let rekeyed = ChildSa { id: ChildSaId(2), replaces: Some(ID), ..child() };
    engine.apply(NOW, SaCommand::InstallInbound(Box::new(install(&rekeyed, 0x1003, 3)))).unwrap();
    engine.apply(NOW, SaCommand::InstallOutbound(Box::new(install(&rekeyed, 0x2004, 4)))).unwrap();
    engine.apply(NOW, SaCommand::SwitchOutbound { from: ID, to: ChildSaId(2) }).unwrap();
    engine.apply(NOW, SaCommand::Remove { id: ID, inbound: true, outbound: true }).unwrap();
    assert!(engine.inbound(spi(OUR_SPI)).is_some(), "it lingers");
    let used = Err(CommandError::KeyUsed(spi(OUR_SPI)).into());
    assert_eq!(engine.import(NOW, &key(), &container, NO_TIME), used);
    assert_eq!(receive(&mut engine, &packet), Err(OpenError::Replay(ReplayError::Replayed)));
}

/// A leap ends at the last number that there is: nothing more is sent, IKE hears of it at once, and it is audited.
#[test]
fn a_leap_to_the_end() {
    let mut old = with_pair(&child());
    let mut new = engine();
    moved(&mut old, &mut new, u64::MAX);
    let expected = [
        SaReport::SoftExpired {
            id: ID,
            direction: Direction::Outbound,
            reason: ExpiryReason::SequenceNumbers,
        },
        SaReport::HardExpired {
            id: ID,
            direction: Direction::Outbound,
            reason: ExpiryReason::SequenceNumbers,
        },
    ];
    assert_eq!(reports(&mut new), expected);
    assert_eq!(send(&mut new, NOW), Err(SealError::NumbersExhausted));
    let record = new.poll_audit().unwrap();
    assert_eq!(
        (record.event, record.child, record.spi),
        (AuditEvent::NumbersExhausted, Some(ID), Some(THEIR_SPI))
    );
    assert_eq!(record.packet.unwrap().source.protocol, 17);
    let Path { local, remote, .. } = path_v4();
    assert_eq!((record.source, record.destination), (Some(local.ip()), Some(remote.ip())));

    let mut old = with_pair(&child());
    let mut new = engine();
    moved(&mut old, &mut new, u64::from(u32::MAX) - 1);
    assert_eq!(send(&mut new, NOW), Ok(u64::from(u32::MAX)));
    assert_eq!(send(&mut new, NOW), Err(SealError::NumbersExhausted));
}

/// Lifetimes go on as far as they were used up, by the clock of the other process, and what was told is not told again.
#[test]
fn lifetimes_go_on() {
    let limit = |soft, hard| Limit { soft: Some(soft), hard: Some(hard) };
    let lifetimes = Lifetimes { seconds: limit(100, 200), packets: limit(2, 4), ..Lifetimes::default() };
    let mut old = with_pair(&ChildSa { lifetimes, ..child() });
    assert_eq!((1..=3).map(|_| send(&mut old, NOW).unwrap()).sum::<u64>(), 6);
    let soft = |reason| SaReport::SoftExpired { id: ID, direction: Direction::Outbound, reason };
    assert_eq!(reports(&mut old), [soft(ExpiryReason::Packets)]);
    let later = NOW + Duration::from_secs(60);
    let sealed = old.export(later, ID, &key(), 0).unwrap();

    let mut new = engine();
    let there = Instant::from_millis(5_000_000);
    new.import(there, &key(), &sealed, Duration::from_secs(15)).unwrap();
    // 60 and 15 of 100 seconds are over; the outbound SA's warning was told.
    assert_eq!(new.poll_timeout(), Some(there + Duration::from_secs(25)));
    assert_eq!(send(&mut new, there), Ok(4));
    let hard = |direction, reason| SaReport::HardExpired { id: ID, direction, reason };
    assert_eq!(reports(&mut new), [hard(Direction::Outbound, ExpiryReason::Packets)]);
    assert!(matches!(send(&mut new, there), Err(SealError::Expired(_))));
    new.handle_timeout(there + Duration::from_secs(25));
    let inbound = SaReport::SoftExpired { id: ID, direction: Direction::Inbound, reason: ExpiryReason::Time };
    assert_eq!(reports(&mut new), [inbound]);
    new.handle_timeout(there + Duration::from_secs(125));
    assert_eq!(reports(&mut new), [hard(Direction::Inbound, ExpiryReason::Time)]);

    // More time passed than was left: it has ended when it comes.
    let mut old = with_pair(&ChildSa { lifetimes, ..child() });
    let sealed = old.export(NOW, ID, &key(), 0).unwrap();
    let mut new = engine();
    new.import(there, &key(), &sealed, Duration::from_secs(10_000)).unwrap();
    assert!(matches!(send(&mut new, there), Err(SealError::Expired(_))));
}

/// An event that was not yet told when the pair moved is told where it came.
#[test]
fn what_was_not_told_is_told() {
    let lifetimes = Lifetimes { seconds: Limit { soft: Some(1), hard: None }, ..Lifetimes::default() };
    let mut old = with_pair(&ChildSa { lifetimes, ..child() });
    let sealed = old.export(NOW + Duration::from_secs(5), ID, &key(), 0).unwrap();
    assert_eq!(reports(&mut old), []);
    let mut new = engine();
    new.import(NOW, &key(), &sealed, NO_TIME).unwrap();
    assert_eq!(new.poll_timeout(), Some(NOW));
    new.handle_timeout(NOW);
    assert_eq!(reports(&mut new).len(), 2);
    assert_eq!(new.poll_timeout(), None);
}

/// Where the pair was moved to by IKE, and what is known of that path.
#[test]
fn path_and_its_mtu_move() {
    let path = Path::nat_t("[2001:db8::7]:4500".parse().unwrap(), "[2001:db8::8]:4500".parse().unwrap());
    let outbound = OutboundConfig { framing: Framing::IpPacket, ..OutboundConfig::default() };
    let config = EngineConfig { outbound, ..config() };
    let mut old = Engine::new(&RUSTCRYPTO, config);
    install_pair(&mut old, &child());
    let encapsulation = Encapsulation::None;
    old.apply(NOW, SaCommand::Move { id: ID, path, encapsulation }).unwrap();
    send(&mut old, NOW).unwrap();
    let esp = EspHeader { spi: THEIR_SPI, sequence_number: 1 };
    let notice = TooBigNotice { mtu: 1_400, destination: path.remote_ip(), esp };
    assert!(notice.mtu > 0);
    let icmp = too_big_v6(&path, &esp, 1_400);
    assert_eq!(old.handle_icmp(NOW, &icmp), Some((ID, 1_400)));

    let too_big = |engine: &mut Engine, now| {
        let mut packet = v4(1_400);
        packet[6] = 0x40;
        fix_checksum(&mut packet);
        let (mut storage, at) = roomy(&packet);
        let sealed = engine.seal(now, &mut PacketBuf::new(&mut storage, at).unwrap());
        matches!(sealed, Err(SealError::TooBig(_)))
    };
    let mut new = Engine::new(&RUSTCRYPTO, config);
    let sealed = old.export(NOW + Duration::from_secs(100), ID, &key(), 0).unwrap();
    new.import(NOW, &key(), &sealed, Duration::from_secs(50)).unwrap();
    assert_eq!(new.outbound(ID).unwrap().path(), &path);
    assert_eq!(new.outbound(ID).unwrap().encapsulation(), Encapsulation::None);
    // Of ten minutes 150 s are over.
    assert!(too_big(&mut new, NOW + Duration::from_secs(449)));
    assert!(!too_big(&mut new, NOW + Duration::from_secs(450)));
    // A packet from there is from where the peer is known to be.
    let packet = seal(&mut peer(&child()), &v4(60));
    let mut packet = packet.clone();
    new.open(NOW, Arrival::raw(path.local_ip(), path.remote_ip()), &mut PacketBuf::whole(&mut packet))
        .unwrap();
    assert!(reports(&mut new).iter().all(|report| !matches!(report, SaReport::PeerMoved { .. })));
}

/// RFC 4443 §3.2: Packet Too Big about an ESP packet of this path.
fn too_big_v6(path: &Path, esp: &EspHeader, mtu: u32) -> Vec<u8> {
    let octets = |address: SocketAddr| match address {
        SocketAddr::V6(address) => address.ip().octets(),
        SocketAddr::V4(_) => unreachable!(),
    };
    let mut quoted = vec![0x60, 0, 0, 0, 0, 8, 50, 64];
    quoted.extend_from_slice(&octets(path.local));
    quoted.extend_from_slice(&octets(path.remote));
    quoted.extend_from_slice(&esp.spi.to_be_bytes());
    quoted.extend_from_slice(&esp.sequence_number.to_be_bytes());
    let mut message = vec![2, 0, 0, 0];
    message.extend_from_slice(&mtu.to_be_bytes());
    message.extend_from_slice(&quoted);
    let router: std::net::Ipv6Addr = "2001:db8::ff".parse().unwrap();
    let mut pseudo = router.octets().to_vec();
    pseudo.extend_from_slice(&octets(path.local));
    pseudo.extend_from_slice(&(message.len() as u32).to_be_bytes());
    pseudo.extend_from_slice(&[0, 0, 0, 58]);
    pseudo.extend_from_slice(&message);
    let mut sum: u32 = pseudo.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    message[2..4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend_from_slice(&(message.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[58, 64]);
    packet.extend_from_slice(&router.octets());
    packet.extend_from_slice(&octets(path.local));
    packet.extend_from_slice(&message);
    packet
}

fn with_window(packets: Option<u32>) -> Engine {
    let anti_replay =
        packets.map_or(AntiReplay::Off, |packets| AntiReplay::Window(WindowSize::new(packets).unwrap()));
    let inbound = InboundConfig { anti_replay, ..InboundConfig::default() };
    Engine::new(&RUSTCRYPTO, EngineConfig { inbound, ..config() })
}

/// Windows of other widths: what the old one did not cover is not received by a wider one, since it may have been.
#[test]
fn windows_of_other_widths() {
    let widths = [Some(32), Some(50), Some(64), Some(1_000), Some(65_536), None];
    for from in widths {
        for to in widths {
            for child in [child(), esn()] {
                let mut old = with_window(from);
                install_pair(&mut old, &child);
                let mut sender = peer(&child);
                let packets: Vec<_> = (0..200).map(|_| seal(&mut sender, &v4(60))).collect();
                let received = |number: usize| number.is_multiple_of(3) || number == 200;
                for (at, packet) in packets.iter().enumerate().filter(|(at, _)| received(at + 1)) {
                    receive(&mut old, packet).unwrap_or_else(|error| panic!("{at}: {error}"));
                }
                let mut new = with_window(to);
                moved(&mut old, &mut new, 0);
                for (number, packet) in (1..).zip(&packets) {
                    let age = 200 - number;
                    let passes = match (from, to) {
                        (_, None) => true,
                        (None, Some(_)) => false,
                        (Some(from), Some(to)) => age < from.min(to) as usize && !received(number),
                    };
                    assert_eq!(receive(&mut new, packet).is_ok(), passes, "{from:?} {to:?} {number}");
                }
                receive(&mut new, &seal(&mut sender, &v4(60))).unwrap();
            }
        }
    }
}

/// A pair that waits for its switch waits where it came; one that was replaced knows its successor.
#[test]
fn rekeys_in_progress() {
    let mut old = with_pair(&child());
    let rekeyed = ChildSa { id: ChildSaId(2), replaces: Some(ID), ..child() };
    old.apply(NOW, SaCommand::InstallInbound(Box::new(install(&rekeyed, 0x1003, 3)))).unwrap();
    old.apply(NOW, SaCommand::InstallOutbound(Box::new(install(&rekeyed, 0x2004, 4)))).unwrap();
    let mut new = engine();
    for id in [1, 2] {
        let sealed = old.export(NOW, ChildSaId(id), &key(), 0).unwrap();
        new.import(NOW, &key(), &sealed, NO_TIME).unwrap();
    }
    let by = |engine: &mut Engine| {
        let (mut storage, at) = roomy(&v4(60));
        engine.seal(NOW, &mut PacketBuf::new(&mut storage, at).unwrap()).unwrap().child
    };
    assert_eq!(by(&mut new), ID);
    new.apply(NOW, SaCommand::SwitchOutbound { from: ID, to: ChildSaId(2) }).unwrap();
    assert_eq!(by(&mut new), ChildSaId(2));

    let mut newer = engine();
    for id in [1, 2] {
        let sealed = new.export(NOW, ChildSaId(id), &key(), 0).unwrap();
        newer.import(NOW, &key(), &sealed, NO_TIME).unwrap();
    }
    assert_eq!(by(&mut newer), ChildSaId(2));
    newer.apply(NOW, SaCommand::Remove { id: ID, inbound: true, outbound: true }).unwrap();
    assert!(newer.inbound(spi(OUR_SPI)).is_some(), "it lingers");
}

#[test]
fn one_direction_and_groups() {
    let mut old = engine();
    old.apply(NOW, SaCommand::InstallOutbound(Box::new(install(&child(), THEIR_SPI, 2)))).unwrap();
    let mut new = engine();
    moved(&mut old, &mut new, 0);
    assert_eq!((send(&mut new, NOW), new.inbound(spi(OUR_SPI)).is_none()), (Ok(1), true));

    let group = GroupSa {
        group: [233, 252, 0, 1].into(),
        source: Some([192, 0, 2, 1].into()),
        preserves_source: true,
        preserves_destination: true,
    };
    let path = Path::nat_t("192.0.2.9:0".parse().unwrap(), SocketAddr::new(group.group, 0));
    let child = ChildSa { group: Some(group), path, encapsulation: Encapsulation::None, ..child() };
    let mut old = engine();
    old.apply(NOW, SaCommand::InstallInbound(Box::new(install(&child, OUR_SPI, 1)))).unwrap();
    let before = format!("{old:?}");
    let mut new = engine();
    moved(&mut old, &mut new, 0);
    assert_eq!(format!("{new:?}"), before);
    assert!(old.group(ID).is_none());
}

/// Whatever is wrong with the container or the engine, nothing changes; a pair that could not leave stays.
#[test]
fn what_can_not_move() {
    let mut stays = Engine::new(&RUSTCRYPTO, EngineConfig::default());
    install_pair(&mut stays, &child());
    assert_eq!(stays.export(NOW, ID, &key(), 0), Err(MoveError::KeysNotKept));
    assert_eq!(send(&mut stays, NOW), Ok(1));
    assert_eq!(stays.export(NOW, ChildSaId(9), &key(), 0), Err(MoveError::NotInstalled(ChildSaId(9))));

    let sealed = with_pair(&child()).export(NOW, ID, &key(), 0).unwrap();
    let mut new = engine();
    let empty = format!("{new:?}");
    let other = StateKey::new(&RUSTCRYPTO, &[9; 32]).unwrap();
    let forged = Err(MoveError::State(StateError::Cipher(CipherError::IntegrityCheck)));
    assert_eq!(new.import(NOW, &other, &sealed, NO_TIME), forged);
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 0x80;
        assert!(new.import(NOW, &key(), &changed, NO_TIME).is_err(), "{at}");
        assert!(new.import(NOW, &key(), &sealed[..at], NO_TIME).is_err(), "{at}");
    }
    let mut taken = engine();
    let id = ChildSaId(7);
    taken
        .apply(NOW, SaCommand::InstallInbound(Box::new(install(&ChildSa { id, ..child() }, OUR_SPI, 7))))
        .unwrap();
    let refused = taken.import(NOW, &key(), &sealed, NO_TIME);
    assert_eq!(refused, Err(CommandError::SpiInUse(spi(OUR_SPI)).into()));
    let mut full = Engine::new(&RUSTCRYPTO, EngineConfig { max_sas: 0, ..config() });
    assert_eq!(full.import(NOW, &key(), &sealed, NO_TIME), Err(CommandError::TableFull { limit: 0 }.into()));
    assert_eq!(format!("{new:?}"), empty);
    new.import(NOW, &key(), &sealed, NO_TIME).unwrap();
    assert_eq!(new.statistics().inbound.dropped(DropReason::Integrity), 0);
}

/// A container of the right key with a broken inside, as of another version: every truncation, every octet changed.
#[test]
fn insides_that_are_broken() {
    let key = key();
    let sealed = with_pair(&esn()).export(NOW, ID, &key, 0).unwrap();
    let inside = key.open(StateKind::CHILD_SA, &sealed).unwrap();
    let inside = inside.as_slice();
    let import = |state: &[u8]| {
        let mut engine = engine();
        let before = format!("{engine:?}");
        let imported = engine.import(NOW, &key, &key.seal(StateKind::CHILD_SA, state).unwrap(), NO_TIME);
        if imported.is_err() {
            assert_eq!(format!("{engine:?}"), before);
        }
        imported
    };
    for len in 0..inside.len() {
        assert!(import(&inside[..len]).is_err(), "{len}");
    }
    for at in 0..inside.len() {
        for value in [0, 0x7F, 0xFF] {
            let mut changed = inside.to_vec();
            changed[at] = value;
            let _no_panic = import(&changed);
        }
    }
    assert!(import(inside).is_ok());
    let longer = [inside, &[0]].concat();
    assert_eq!(import(&longer), Err(StateError::Surplus { at: inside.len() }.into()));
    let mut w = StateWriter::new();
    w.put_u8(3);
    assert_eq!(import(w.as_slice()), Err(StateError::Version(3).into()));
}

/// An inside of version 1 as it was written when that was new: it is read as long as there are engines that may have
/// written it.
#[test]
fn version_1_is_read() {
    let child = ChildSa {
        lifetimes: Lifetimes { packets: Limit { soft: Some(2), hard: Some(9) }, ..Lifetimes::default() },
        ..esn()
    };
    let mut old = with_window(Some(32));
    install_pair(&mut old, &child);
    let mut sender = peer(&child);
    let packets: Vec<_> = (0..3).map(|_| seal(&mut sender, &v4(60))).collect();
    receive(&mut old, &packets[0]).unwrap();
    receive(&mut old, &packets[2]).unwrap();
    (1..=3).for_each(|number| assert_eq!(send(&mut old, NOW), Ok(number)));
    let sealed = old.export(NOW, ID, &key(), 100).unwrap();
    let inside = key().open(StateKind::CHILD_SA, &sealed).unwrap();
    let version_1 = hex(
        "0100000000000000010000000000000001001401008000000100010204c0000201119404c63364021194020000000204\
         0000000004ffffffff000000ffff060000000000000000000000000000000006ffffffffffffffffffffffffffffffff\
         000000ffff00000002040000000004ffffffff000000ffff060000000000000000000000000000000006ffffffffffff\
         ffffffffffffffffffff000000ffff000000000100000000000000020100000000000000090001000000000002000003\
         0100030100001001000000140102030405060708090a0b0c0d0e0f10111213140000000004c0000201119404c6336402\
         119402020000000020000000000000000305000000000000000000000000000000000000020000000000000080010000\
         000000000000000000000200000000000000780000000000000000000000000000000000000000000000000000000000\
         00000000000000000000000000000001000020020000001402030405060708090a0b0c0d0e0f10111213141500000000\
         04c0000201119404c633640211940202010000000000000067000000000000000300000000000000c001000000000000\
         000000000000000300000000000000b40000000000000000000000000000000000000000000000000000000000000000\
         000000000000000000000000",
    );
    // Version 2 is the same but for its number, and that no standby waits.
    let mut version_2 = [&version_1[..], &[0]].concat();
    version_2[0] = 2;
    assert_eq!(inside.as_slice(), version_2);

    let mut new = with_window(Some(32));
    let sealed = key().seal(StateKind::CHILD_SA, &version_1).unwrap();
    new.import(NOW, &key(), &sealed, NO_TIME).unwrap();
    assert_eq!(send(&mut new, NOW), Ok(104));
    for (packet, passes) in packets.iter().zip([false, true, false]) {
        assert_eq!(receive(&mut new, packet).is_ok(), passes);
    }
    let counted = new.statistics();
    assert_eq!((counted.inbound.packets, counted.outbound.packets), (3, 4));
    let soft = |direction| SaReport::SoftExpired { id: ID, direction, reason: ExpiryReason::Packets };
    // Nobody was told where the pair was.
    assert_eq!(reports(&mut new)[..2], [soft(Direction::Inbound), soft(Direction::Outbound)]);
}
